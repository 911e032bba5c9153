"""Agreement of a network with labels and teachers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from odc_cleansat import get_model
from odc_cleansat.training import agreement
from odc_cleansat.training.agreement import AgreementMeter
from odc_cleansat.training.network import NormalisedNetwork
from odc_cleansat.training.patches import Patch
from odc_cleansat.training.truths import class_bits
from unit.training.helpers import CLEAR, CLOUD, SHADOW, THIN, patch

CLASSES = (CLEAR, CLOUD, SHADOW)


def threshold(value: float) -> NormalisedNetwork:
    """A network that calls cloud what is brighter in blue, and clear what is not."""
    import torch

    class Threshold(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            blue = images[:, 0]
            return torch.stack([value - blue, blue - value, torch.full_like(blue, -9)], dim=1)

    return NormalisedNetwork(Threshold(), [0.0] * 6, [1.0] * 6, torch.device("cpu"), half=False)


def half_cloud() -> Patch:
    """A patch of 40 x 50 pixels, labelled cloud in its brighter left half and clear in its right one."""
    bright = np.arange(50)[None].repeat(40, 0) < 25
    pixels = np.where(bright, 0.6, 0.1)[None].repeat(6, 0).astype("float32")
    truth = np.where(bright, class_bits([CLOUD]), class_bits([CLEAR])).astype("uint8")
    return replace(patch(), pixels=pixels, truth=truth)


def test_agreement_with_labels() -> None:
    each = half_cloud()
    meter = AgreementMeter({"right": [each]}, {}, CLASSES, 30)
    assert meter.measure(threshold(0.3)) == {"right": 1.0}
    assert meter.measure(threshold(0.05)) == {"right": 0.5}


def test_pixels_without_data_or_truth_do_not_count() -> None:
    each = half_cloud()
    assert each.truth is not None
    pixels, truth = each.pixels.copy(), each.truth.copy()
    pixels[:, :, :10] = np.nan
    truth[:, 25:40] = class_bits(CLASSES)
    some = replace(each, pixels=pixels, truth=truth)
    nothing = replace(each, pixels=np.full_like(pixels, np.nan))
    unknown = replace(each, truth=np.zeros_like(truth))
    meter = AgreementMeter({"a": [some, nothing], "b": [unknown]}, {}, CLASSES, 30)
    found = meter.measure(threshold(0.05))
    assert found == {"a": pytest.approx(15 / 25)}, "15 columns of cloud and 10 of clear count"


def test_teachers_and_labels_make_groups_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    def all_clear(teachers: object, kind: object, batch: np.ndarray, classes: object) -> np.ndarray:
        answers = np.zeros((1, 3, *batch.shape[2:]), "float32")
        answers[:, 0] = 1
        return answers

    monkeypatch.setattr(agreement, "teacher_answers", all_clear)
    teachers = {("L2A", 6): get_model("unet-efficientnetb4-l2a-6b")}
    meter = AgreementMeter({"a": [half_cloud()]}, teachers, CLASSES, 30)
    assert meter.measure(threshold(0.3)) == {"a": 0.5, "a label": 1.0}


def test_spoilt_patches_and_thin_cloud_make_groups_of_their_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of spoilt patches what the teacher says of unspoilt ones is right. A network that knows no thin cloud is
    right where it is clear alone.
    """
    asked: list[np.ndarray] = []

    def all_clear(teachers: object, kind: object, batch: np.ndarray, classes: object) -> np.ndarray:
        asked.append(batch)
        answers = np.zeros((1, 3, *batch.shape[2:]), "float32")
        answers[:, 0] = 1
        return answers

    monkeypatch.setattr(agreement, "teacher_answers", all_clear)
    teachers = {("L2A", 6): get_model("unet-efficientnetb4-l2a-6b")}
    patches = [replace(patch(seed=i), truth=None) for i in range(4)]
    four = (*CLASSES, THIN)
    meter = AgreementMeter({"a": patches}, teachers, four, 30, {"cut": 1.0})
    assert len(asked) == len(patches)
    found = meter.measure(threshold(9.0))
    assert set(found) == {"a", "a spoilt", "a below thin cloud"}
    assert found["a"] == found["a spoilt"] == 1.0
    assert 0.1 < found["a below thin cloud"] < 0.9
    assert set(AgreementMeter({"a": patches}, teachers, CLASSES, 30).measure(threshold(9.0))) == {
        "a"
    }
