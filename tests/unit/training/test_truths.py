"""What labels leave possible, and which channels are right."""

from __future__ import annotations

import numpy as np
import pytest

from odc_cleansat import CloudClass
from odc_cleansat.evaluate.mappings import MAPPINGS
from odc_cleansat.training.truths import class_bits, possible_channels, truth_of
from unit.training.helpers import CLEAR, CLOUD, SHADOW, THIN


@pytest.mark.parametrize(
    ("mapping", "code", "classes"),
    [
        ("cloudsen12", 0, {CLEAR, CloudClass.SNOW, CloudClass.WATER}),
        ("cloudsen12", 1, {CLOUD}),
        ("cloudsen12", 2, {THIN}),
        ("cloudsen12", 3, {SHADOW}),
        ("on-cloud-n", 0, {CLEAR, SHADOW, CloudClass.SNOW, CloudClass.WATER}),
        ("on-cloud-n", 1, {CLOUD, THIN}),
        ("on-cloud-n", 255, set()),
        ("shadow-label", 0, {CLEAR, CLOUD, THIN, CloudClass.SNOW, CloudClass.WATER}),
    ],
)
def test_what_labels_leave_open(mapping: str, code: int, classes: set[CloudClass]) -> None:
    assert truth_of(np.array([[code]]), MAPPINGS[mapping])[0, 0] == class_bits(classes)


def test_which_channels_would_be_right() -> None:
    three, four = (CLEAR, CLOUD, SHADOW), (CLEAR, CLOUD, THIN, SHADOW)

    def right(classes: tuple[CloudClass, ...], *truth: CloudClass) -> list[bool]:
        return possible_channels(classes)[class_bits(truth)].tolist()

    assert right(three, THIN) == [False, True, False], "thin cloud counts as cloud"
    assert right(four, THIN) == [False, False, True, False]
    assert right(four, CLOUD, THIN) == [False, True, True, False]
    assert right(three, CloudClass.SNOW) == [True, False, False]
    assert right(three, CLEAR, SHADOW) == [True, False, True]
    assert right(three) == [True] * 3, "nothing is known"
