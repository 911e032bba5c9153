"""Answers of teachers, and weights of patches."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from odc_cleansat import get_model
from odc_cleansat.models.engines import get_engine
from odc_cleansat.training import teachers as module
from odc_cleansat.training.spoiling import FEWER_BANDS
from odc_cleansat.training.teachers import (
    answers_for_tiles,
    taught_classes,
    teacher_answers,
    weight_by_variety,
)
from odc_cleansat.training.tiles import TileSampler
from odc_cleansat.training.truths import UNKNOWN, class_bits
from unit.training.helpers import CLEAR, CLOUD, SHADOW, SIX, THIN, patch


def test_the_teacher_answers_for_the_tile_before_it_was_spoilt() -> None:
    spoilt = {"blur": 1.0, FEWER_BANDS: 1.0}
    tile = TileSampler([patch(side=100)], SIX, few=4, size=64, spoilt=spoilt).draw(1)
    assert np.abs(tile.pixels - tile.sharp[:4]).max() > 0.01
    teacher = get_model("unet-efficientnetb4-l2a-6b")
    (answer,) = answers_for_tiles([tile], {("L2A", 6): teacher}, teacher.classes)
    said = get_engine(teacher)(tile.sharp[None])[0]
    same = (answer == said).all(axis=0)
    assert same.mean() > 0.95
    assert (answer[1][~same] == 1).all(), "the rest are white cores"


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


def test_clipped_white_in_the_midst_of_cloud_is_cloud(monkeypatch: pytest.MonkeyPatch) -> None:
    teacher = get_model("unet-efficientnetb4-l2a-6b")
    # Cloud of 0.6 whose core is clipped at 0.8; the teacher takes the core for clear ground.
    pixels = np.random.default_rng(0).uniform(0.02, 0.1, (6, 96, 96)).astype("float32")
    pixels[:, 20:70, 20:70] += 0.5
    pixels[:, 30:60, 30:60] = 0.8
    raw = np.zeros((1, 3, 96, 96), "float32")
    cloud = (pixels[0] > 0.3) & (pixels[0] < 0.8)
    raw[0, 1], raw[0, 0] = cloud, ~cloud
    monkeypatch.setattr(module, "get_engine", lambda _: lambda batch: raw.copy())
    answer = teacher_answers({("L2A", 6): teacher}, ("L2A", 6), pixels[None], teacher.classes)[0]
    assert teacher.classes[:2] == (CLEAR, CLOUD)
    np.testing.assert_array_equal(answer.argmax(axis=0) == 1, pixels[0] > 0.3)
    np.testing.assert_allclose(answer.sum(axis=0), 1)


def test_a_network_may_know_more_than_its_teachers() -> None:
    teacher = get_model("unet-efficientnetb4-l2a-6b")
    classes = (SHADOW, THIN, CLOUD, CLEAR)
    assert taught_classes({("L2A", 6): teacher}, classes) == (SHADOW, CLOUD, CLEAR)
    assert taught_classes({}, classes) == classes
