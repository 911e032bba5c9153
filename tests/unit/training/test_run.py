"""Runs of a recipe, stopped, killed and continued."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Recorder

from odc_cleansat import get_model
from odc_cleansat.errors import ModelError, SceneError
from odc_cleansat.training.curves import read_rows
from odc_cleansat.training.export import export_model
from odc_cleansat.training.recipe import Recipe
from odc_cleansat.training.recipe_file import read_recipe
from odc_cleansat.training.run import train
from unit.training.helpers import after, halves, plan, raster, run, weights, write

pytestmark = pytest.mark.usefixtures("no_curves")


def test_a_run_with_a_trained_encoder(tmp_path: Path, imagenet: dict[str, Any]) -> None:
    found = read_recipe(write(tmp_path, encoder_weights="imagenet", plan=plan(steps=2)))
    run(found, tmp_path / "run")
    # It goes on without them, and a run with another encoder is another run.
    shutil.rmtree(tmp_path / "hub")
    run(replace(found, schedule=replace(found.schedule, steps=3)), tmp_path / "run")
    with pytest.raises(ModelError, match="begun with another encoder_weights"):
        run(read_recipe(write(tmp_path)), tmp_path / "run")
    card = next(path for path in export_model(found, tmp_path / "run") if path.suffix == ".md")
    assert "an encoder trained on imagenet (segmentation_models_pytorch)" in card.read_text()


def test_a_recipe_of_whose_data_nothing_can_be_used(tmp_path: Path, recorder: Recorder) -> None:
    raster(tmp_path / "a" / "B02.tif", np.full((1, 64, 64), 1000, "uint16"))
    found = read_recipe(write(tmp_path, data=[{"scenes": "a"}], held_out=None, partial=True))
    with pytest.raises(SceneError, match="there is nothing to learn from"):
        train(found, tmp_path, tmp_path / "run", reporter=recorder)
    assert recorder.lines[-1] == "  a: 1 patches lack bands and are left out"


def test_what_is_left_out_is_told_and_must_be_allowed(tmp_path: Path, recorder: Recorder) -> None:
    """Of two labelled patches one has no data."""
    for name, value in (("a", 1000), ("b", 0)):
        for band in ("B02", "B03"):
            raster(tmp_path / "chips" / name / f"{band}.tif", np.full((1, 96, 96), value, "uint16"))
        raster(tmp_path / "chips" / name / "label.tif", halves(96)[None])
    changes = {
        "bands": ["blue", "green"], "few": None, "held_out": None, "plan": plan(steps=1),
        "data": [{"labels": "chips", "layout": "on-cloud-n"}],
    }  # fmt: skip
    with pytest.raises(
        SceneError, match="1 of the 2 patches have no pixel with all bands whose class"
    ):
        run(read_recipe(write(tmp_path, **changes)), tmp_path / "run")
    found = read_recipe(write(tmp_path, **changes, partial=True))
    train(found, tmp_path, tmp_path / "run", device="cpu", precision="f32", reporter=recorder)
    assert any("1 of the 2 patches have no pixel" in line for line in recorder.lines)
    assert any("nothing is held out" in line for line in recorder.lines)


def test_a_run_that_is_stopped_goes_on_as_if_it_had_not_been(
    tmp_path: Path, recipe: Recipe, whole: tuple[Path, list[float]]
) -> None:
    folder, losses = whole
    threads = {thread.name for thread in threading.enumerate()}
    assert not any(name.startswith("tiles") for name in threads), "the preparing thread has ended"
    first = run(recipe, tmp_path / "parts", stop=after(4))
    second = run(recipe, tmp_path / "parts")
    assert (len(first), len(second)) == (4, 2)
    assert first + second == losses
    one, other = weights(folder), weights(tmp_path / "parts")
    assert all(np.array_equal(one[name], other[name]) for name in one)
    assert [row["step"] for row in read_rows(tmp_path / "parts")] == [3, 6]
    with (folder / "curves.png").open("rb") as file:
        assert file.read(4) == b"\x89PNG"
    changed = replace(recipe, schedule=replace(recipe.schedule, rate=1.0))
    with pytest.raises(ModelError, match="another rate; use another folder"):
        run(changed, tmp_path / "parts")
    with pytest.raises(ModelError, match="holds a run of the recipe tiny"):
        run(replace(recipe, name="other"), tmp_path / "parts")


def test_a_killed_run_goes_on_from_its_last_checkpoint(
    tmp_path: Path, recipe: Recipe, whole: tuple[Path, list[float]]
) -> None:
    """It is killed between two steps, some steps after the last checkpoint."""
    folder, losses = whole
    program = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from odc_cleansat.training import loop, read_recipe, train\n"
        "loop.draw_curves = lambda folder: None\n"
        "steps = iter(range(1, 10))\n"
        "def stop():\n"
        "    if next(steps) == 5: os.kill(os.getpid(), signal.SIGKILL)\n"
        "train(read_recipe(sys.argv[1]), Path('.'), Path(sys.argv[2]), device='cpu', precision='f32',"
        " stop=stop)\n"
    )
    arguments = [sys.executable, "-W", "ignore", "-c", program, recipe.path, tmp_path / "killed"]
    assert subprocess.run(arguments, timeout=100, check=False).returncode == -signal.SIGKILL
    rest = run(recipe, tmp_path / "killed")
    assert rest == pytest.approx(losses[3:], rel=1e-5), "the checkpoint was at step 3"
    one, other = weights(folder), weights(tmp_path / "killed")
    for name in one:
        # Another process may add up in another order.
        assert np.allclose(one[name], other[name], rtol=1e-4, atol=1e-6), name


def test_a_teacher_is_imitated(tmp_path: Path) -> None:
    """With a real teacher, on tiles of all bands and of four: first the same losses for the same seed."""
    names = ["unet-efficientnetb4-l2a-6b", "unet-efficientnetb4-l2a-4b"]
    path = write(
        tmp_path,
        teachers=names,
        classes=None,
        resolution=None,
        plan=plan(steps=2, teacher=1, truth=0.1),
    )
    found = read_recipe(path)
    assert found.classes == get_model(names[0]).classes
    first, again = (run(found, tmp_path / name) for name in ("one", "two"))
    assert first == again
    (row,) = read_rows(tmp_path / "one")
    assert set(row) - {"step", "seconds", "loss"} == {
        f"sim-{n}{end}" for n in (4, 6) for end in ("", " label", " spoilt")
    }


def test_what_cannot_be_done_is_said_before_data_are_read(
    tmp_path: Path, begun: Path, recorder: Recorder
) -> None:
    import torch

    missing = {"data": [{"archive": "none.npz"}], "held_out": None}
    architecture = {"name": "Unet", "encoder": "mobilnet"}
    found = read_recipe(write(tmp_path, architecture=architecture, **missing))
    with pytest.raises(ModelError, match="cannot build"):
        train(found, tmp_path, tmp_path / "run", reporter=recorder)
    found = read_recipe(write(tmp_path, plan=plan(rate=1.0), **missing))
    with pytest.raises(ModelError, match="another rate"):
        train(found, tmp_path, begun, reporter=recorder)
    if not torch.cuda.is_available():
        with pytest.raises(ModelError, match="no CUDA device"):
            train(found, tmp_path, tmp_path / "run", device="cuda", reporter=recorder)
    assert not recorder.lines
