"""A network learns from tiles."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from odc_cleansat import CloudClass, get_model
from odc_cleansat.training import answers as module
from odc_cleansat.training.learner import Learner, Task
from odc_cleansat.training.schedule import Schedule
from odc_cleansat.training.spoiling import PHASE
from odc_cleansat.training.tiles import TileSampler
from unit.training.helpers import CLEAR, CLOUD, SHADOW, SIX, THIN, patch

FOUR = (CLEAR, CLOUD, SHADOW, THIN)


def a_learner(schedule: Schedule, classes: tuple[CloudClass, ...], folder: Path | None) -> Learner:
    import torch

    torch.manual_seed(0)
    network = torch.nn.Conv2d(6, len(classes), 1)
    teachers = {("L2A", 6): get_model("unet-efficientnetb4-l2a-6b")}
    task = Task(classes, [0.1] * 6, [0.1] * 6, schedule, teachers, answers=folder)
    return Learner(network, task, "cpu", "f32")


def by_brightness(tiles: list, teachers: object, classes: object) -> np.ndarray:
    """A teacher that says cloud where blue is bright, and clear elsewhere."""
    bright = np.stack([tile.sharp[0] > 0.3 for tile in tiles])
    return np.stack([~bright, bright, np.zeros_like(bright)], axis=1).astype("float32")


def test_what_is_learnt_from_a_teacher_and_from_thin_cloud(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A teacher that knows three classes, a network that knows four."""
    monkeypatch.setattr(module, "answers_for_tiles", by_brightness)
    schedule = Schedule(rate=0.3, warmup=0, average=0.5, lessons=4, truth=0.2)
    tiles = TileSampler(
        [patch(str(i), i) for i in range(3)], SIX,
        size=64, spoilt={PHASE: 0.5}, thin_cloud=0.7,
    )  # fmt: skip
    learner = a_learner(schedule, FOUR, tmp_path / "answers")
    losses = [
        learner.learn(tiles.batch(step, 2, schedule.lesson_of(step)), step) for step in range(24)
    ]
    assert np.mean(losses[-4:]) < 0.7 * np.mean(losses[:4])
    assert len(list((tmp_path / "answers").iterdir())) == 4
    ground = np.full((1, 6, 2, 2), 0.1, "float32")
    assert (learner.average.best_channels(ground) == FOUR.index(CLEAR)).all()
    assert (learner.average.best_channels(ground + 0.9) == FOUR.index(CLOUD)).all()
    veiled = ground + np.array([0.2, 0.2, 0.2, 0.19, 0.12, 0.1], "float32")[:, None, None]
    assert (learner.average.best_channels(veiled) == FOUR.index(THIN)).all()


def test_a_learner_goes_on_from_its_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "answers_for_tiles", by_brightness)
    schedule = Schedule(rate=0.1, warmup=0)
    tiles = TileSampler([patch()], SIX, size=64)
    first = a_learner(schedule, FOUR[:3], None)
    history = first.resume(tmp_path)
    first.learn(tiles.batch(0, 1), 0)
    history.step = 1
    first.save(tmp_path, history)
    again = a_learner(schedule, FOUR[:3], None)
    assert again.resume(tmp_path).step == 1
    # The optimiser's moments are kept too, or the next step would differ.
    assert first.learn(tiles.batch(1, 1), 1) == again.learn(tiles.batch(1, 1), 1)
    assert first.learn(tiles.batch(2, 1), 2) == again.learn(tiles.batch(2, 1), 2)
