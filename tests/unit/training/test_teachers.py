"""Answers of teachers, and weights of patches."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from odc_cleansat import get_model
from odc_cleansat.models.engines import get_engine
from odc_cleansat.training.teachers import answers_for_tiles, weight_by_variety
from odc_cleansat.training.tiles import TileSampler
from odc_cleansat.training.truths import UNKNOWN, class_bits
from unit.training.helpers import CLEAR, CLOUD, SHADOW, SIX, patch


def test_the_teacher_answers_for_the_tile_before_it_was_blurred(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("odc_cleansat.training.augmentation.BLURRED_SHARE", 1)
    tile = TileSampler([patch(side=100)], SIX, size=64).draw(1)
    assert np.abs(tile.pixels - tile.sharp).max() > 0.01
    teacher = get_model("unet-efficientnetb4-l2a-6b")
    (answer,) = answers_for_tiles([tile], {("L2A", 6): teacher}, teacher.classes)
    np.testing.assert_array_equal(answer, get_engine(teacher)(tile.sharp[None])[0])


def test_patches_of_which_nothing_is_known_are_left_out_without_teachers() -> None:
    half = patch()
    assert half.truth is not None
    truth = half.truth.copy()
    truth[:35] = UNKNOWN
    none = replace(half, truth=np.zeros_like(truth))
    low = replace(half, truth=np.full_like(truth, class_bits([CLEAR])))
    some = replace(low, truth=np.where(truth == UNKNOWN, UNKNOWN, low.truth).astype("uint8"))
    first, second = weight_by_variety([none, low, some], {}, (CLEAR, CLOUD, SHADOW))
    assert first.weight == pytest.approx(second.weight), "what is unknown has no say"
    assert weight_by_variety([half], {}, (CLEAR, CLOUD, SHADOW))[0].weight > first.weight
