"""The loop in which a network learns."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from odc_cleansat.errors import ModelError
from odc_cleansat.training import loop
from odc_cleansat.training.curves import read_rows
from odc_cleansat.training.learner import Task
from odc_cleansat.training.loop import fit
from odc_cleansat.training.network import untrained_network
from odc_cleansat.training.recipe import Recipe
from odc_cleansat.training.recipe_file import read_recipe
from odc_cleansat.training.tiles import Tile, TileSampler
from unit.training.helpers import F32, SIX, after, patch, plan, run, weights, write

pytestmark = pytest.mark.usefixtures("no_curves")


def test_the_loss_falls_on_a_small_fixed_set(tmp_path: Path, recipe: Recipe) -> None:
    import torch

    class Fixed(TileSampler):
        """The same two mosaics and two single patches in turn."""

        def draw(self, number: int, *, single: bool = False, lesson: int | None = None) -> Tile:
            return super().draw(number % 2, single=single)

    torch.manual_seed(0)
    schedule = replace(recipe.schedule, steps=25, cooldown=5, rate=0.01, check=100, size=32)
    task = Task(recipe.classes, [0.2] * 6, [0.2] * 6, schedule)
    tiles = Fixed([patch()], SIX, size=32)
    losses = fit(untrained_network(recipe), tiles, tmp_path, task, F32).losses
    assert np.mean(losses[-4:]) < 0.6 * np.mean(losses[:4])


@pytest.mark.parametrize("fault", ["infinite", "unknown"])
def test_a_loss_that_cannot_be_learnt_from(tmp_path: Path, recipe: Recipe, fault: str) -> None:
    class Faulty(TileSampler):
        """From the fifth step on."""

        def draw(self, number: int, *, single: bool = False, lesson: int | None = None) -> Tile:
            tile = super().draw(number, single=single)
            if number < 8:
                return tile
            if fault == "infinite":
                return replace(tile, pixels=np.full_like(tile.pixels, np.inf))
            return replace(tile, truth=np.zeros_like(tile.truth))

    schedule = replace(recipe.schedule, size=32)
    task = Task(recipe.classes, [0.2] * 6, [0.2] * 6, schedule)
    tiles = Faulty([patch()], SIX, size=32)
    network = untrained_network(recipe)
    if fault == "unknown":
        fit(network, tiles, tmp_path, task, F32)
        assert read_rows(tmp_path)[-1]["step"] == 6
        return
    with pytest.raises(ModelError, match="not finite at step 5; lower the plan's rate"):
        fit(network, tiles, tmp_path, task, F32)
    assert [row["step"] for row in read_rows(tmp_path)] == [3]
    assert all(np.isfinite(values).all() for values in weights(tmp_path).values())


def test_a_network_with_dropout_goes_on_as_if_it_had_not_been_stopped(tmp_path: Path) -> None:
    architecture = {"name": "PSPNet", "encoder": "mobilenet_v2", "psp_dropout": 0.5}
    found = read_recipe(
        write(tmp_path, architecture=architecture, held_out=None, plan=plan(steps=4, size=32))
    )
    losses = run(found, tmp_path / "whole")
    parts = run(found, tmp_path / "parts", stop=after(2)) + run(found, tmp_path / "parts")
    assert parts == losses
    one, other = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    assert all(np.array_equal(one[name], other[name]) for name in one)


def test_several_processes_draw_the_tiles_of_the_steps_in_their_order(
    tmp_path: Path, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = run(recipe, tmp_path / "one")
    monkeypatch.setattr(loop, "workers_for", lambda *_: 2)
    assert run(recipe, tmp_path / "two") == losses
    figures = json.loads((tmp_path / "two" / "speed.json").read_text())
    assert (figures["device"], figures["workers"], figures["steps"]) == ("cpu", 2, 6)
    parts = ("waiting for tiles", "teachers", "network", "evaluating and saving")
    assert sum(figures[f"share of {part}"] for part in parts) == pytest.approx(1, abs=0.01)
