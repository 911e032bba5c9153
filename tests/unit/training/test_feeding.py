"""Tiles for the coming steps."""

from __future__ import annotations

import os
import signal
from contextlib import closing
from dataclasses import fields
from itertools import chain

import numpy as np
import pytest

from odc_cleansat.errors import SceneError
from odc_cleansat.training import feeding
from odc_cleansat.training.feeding import drawn_ahead, workers_for
from odc_cleansat.training.schedule import Schedule
from odc_cleansat.training.tiles import Tile, TileSampler
from unit.training.helpers import SIX, patch

SCHEDULE = Schedule(steps=7, batch=2, size=64, lessons=3)


def sampler() -> TileSampler:
    spoilt = {"fewer_bands": 0.5, "phase": 0.5, "stripes": 0.5}
    return TileSampler([patch()], SIX, few=4, size=64, spoilt=spoilt)


def test_processes_give_the_tiles_that_a_thread_gives() -> None:
    one, other = (list(drawn_ahead(sampler(), SCHEDULE, 2, count)) for count in (1, 2))
    assert len(one) == len(other) == 5
    for first, second in zip(chain(*one), chain(*other), strict=True):
        for field in fields(Tile):
            a, b = (getattr(tile, field.name) for tile in (first, second))
            if isinstance(a, np.ndarray):
                assert a.dtype == b.dtype
                np.testing.assert_array_equal(a, b, strict=True)
            else:
                assert a == b


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_of_a_tile_ends_the_training(workers: int) -> None:
    class Faulty(TileSampler):
        def draw(self, number: int, *, single: bool = False, lesson: int | None = None) -> Tile:
            raise SceneError("a patch is spoilt")

    with pytest.raises(SceneError, match="a patch is spoilt"):
        list(drawn_ahead(Faulty([patch()], SIX, size=64), SCHEDULE, 0, workers))


def test_processes_leave_ctrl_c_to_their_parent() -> None:
    """A terminal sends it to all of them, and a training ends with a checkpoint."""

    class Interrupted(TileSampler):
        def draw(self, number: int, *, single: bool = False, lesson: int | None = None) -> Tile:
            os.kill(os.getpid(), signal.SIGINT)
            return super().draw(number, single=single, lesson=lesson)

    tiles = Interrupted([patch()], SIX, size=64)
    with closing(drawn_ahead(tiles, SCHEDULE, 0, 2)) as batches:
        assert len(next(batches)) == 2


def test_workers_are_as_many_as_processors_and_memory_allow(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    free = {"memory": 100 << 30, "shared": 50 << 30}
    monkeypatch.setattr(feeding, "available_memory", lambda: free["memory"])
    monkeypatch.setattr(
        feeding.shutil, "disk_usage", lambda _: type("Usage", (), {"free": free["shared"]})
    )
    monkeypatch.setenv("CLEANSAT_THREADS", "16")
    assert workers_for("cpu", Schedule()) == 1
    assert workers_for("cuda", Schedule()) == 15
    free["shared"] = 500 << 20
    assert workers_for("cuda", Schedule()) == 5
    free["shared"] = 64 << 20  # as in a container
    assert workers_for("cuda", Schedule()) == 1
    free.update(memory=9 << 30, shared=50 << 30)
    assert workers_for("cuda", Schedule()) == 4
    monkeypatch.setenv("CLEANSAT_THREADS", "1")
    assert workers_for("cuda", Schedule()) == 1
