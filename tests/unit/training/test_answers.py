"""Answers of teachers are kept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.special import softmax

from odc_cleansat import get_model
from odc_cleansat.training import answers as module
from odc_cleansat.training.answers import Answers
from odc_cleansat.training.tiles import TileSampler
from unit.training.helpers import CLEAR, CLOUD, SHADOW, SIX, patch

CLASSES = (CLEAR, CLOUD, SHADOW)
TEACHERS = {("L2A", 6): get_model("unet-efficientnetb4-l2a-6b")}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of tiles of each question to a teacher that answers by brightness."""
    calls: list[int] = []

    def answer(tiles: list, teachers: object, classes: object) -> np.ndarray:
        calls.append(len(tiles))
        return np.stack([softmax(tile.sharp[:3], axis=0) for tile in tiles])

    monkeypatch.setattr(module, "answers_for_tiles", answer)
    return calls


def test_a_teacher_is_asked_once_for_a_lesson(tmp_path: Path, asked: list[int]) -> None:
    tiles = TileSampler([patch()], SIX, size=64)
    answers = Answers(TEACHERS, CLASSES, tmp_path / "answers")
    first = answers.of(tiles.batch(0, 2), 0)
    # The same lesson at another step, which spoils it in another way; and after a new start.
    for again in (answers, Answers(TEACHERS, CLASSES, tmp_path / "answers")):
        kept = again.of(tiles.batch(8, 2, 0), 0)
        assert kept.dtype == np.float32
        np.testing.assert_allclose(kept, first, atol=3e-3)
    assert asked == [2]
    assert (tmp_path / "answers" / "000000.npz").stat().st_size < 2 * 3 * 64 * 64


def test_answers_for_other_pixels_or_of_other_teachers_are_not_taken(
    tmp_path: Path, asked: list[int]
) -> None:
    tiles = TileSampler([patch()], SIX, size=64).batch(0, 1)
    Answers(TEACHERS, CLASSES, tmp_path).of(tiles, 0)
    other = replace(tiles[0], sharp=tiles[0].sharp + np.float32(0.01))
    Answers(TEACHERS, CLASSES, tmp_path).of([other], 0)
    four = {("L2A", 6): get_model("unet-efficientnetb4-l1c-6b")}
    Answers(four, CLASSES, tmp_path).of([other], 0)
    assert asked == [1, 1, 1]
    path = tmp_path / "000000.npz"
    for spoilt in (path.read_bytes()[:100], b""):
        path.write_bytes(spoilt)
        Answers(TEACHERS, CLASSES, tmp_path).of(tiles, 0)
    assert asked == [1] * 5
    Answers(TEACHERS, CLASSES, None).of(tiles, 0)
    assert asked == [1] * 6
