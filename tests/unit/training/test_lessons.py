"""From whom each pixel learns, and the loss."""

from __future__ import annotations

import numpy as np
import pytest

from odc_cleansat import CloudClass
from odc_cleansat.training.lessons import Lesson, channel_groups, lesson_of, loss_of
from odc_cleansat.training.schedule import Schedule
from odc_cleansat.training.tiles import Tile
from odc_cleansat.training.truths import UNKNOWN, class_bits, possible_channels
from unit.training.helpers import CLEAR, CLOUD, SHADOW, SIX, THIN

THREE = (CLEAR, CLOUD, SHADOW)
FOUR = (*THREE, THIN)


def a_lesson(
    answer: tuple[float, ...] | None, possible: set[CloudClass], veil: set[CloudClass],
    classes: tuple[CloudClass, ...] = THREE, taught: bool = True,
) -> Lesson:  # fmt: skip
    """A lesson of one pixel."""
    import torch

    channels = torch.from_numpy(possible_channels(classes))
    return Lesson(
        None if answer is None else torch.tensor(answer).view(1, -1, 1, 1),
        torch.from_numpy(channel_groups(THREE, classes)),
        torch.tensor(taught).view(1, 1, 1),
        channels[class_bits(possible)].view(1, -1, 1, 1),
        channels[class_bits(veil)].view(1, -1, 1, 1),
    )


def loss(probabilities: tuple[float, ...], lesson: Lesson, schedule: Schedule) -> float:
    import torch

    logs = torch.tensor(probabilities).log().view(1, -1, 1, 1)
    return float(loss_of(logs, lesson, schedule).detach())


def test_the_loss_of_a_label_that_does_not_know_shadow() -> None:
    for truth, wanted in (({CLEAR, SHADOW}, -np.log(0.5)), ({SHADOW}, -np.log(0.3)), (set(), 0.0)):
        found = loss((0.2, 0.5, 0.3), a_lesson(None, truth, set()), Schedule(truth=1.0))
        assert found == pytest.approx(wanted, abs=1e-6)


def test_the_loss_has_the_weights_of_the_plan() -> None:
    schedule = Schedule(teacher=2.0, truth=0.5, thin=4.0)
    taught = a_lesson((0.0, 1.0, 0.0), {CLOUD}, set())
    assert loss((0.2, 0.5, 0.3), taught, schedule) == pytest.approx(2.5 * np.log(2), abs=1e-6)
    veiled = a_lesson((1.0, 0.0, 0.0), set(), {THIN}, FOUR, taught=False)
    assert loss((0.25, 0.25, 0.25, 0.25), veiled, schedule) == pytest.approx(
        4 * np.log(4), abs=1e-6
    )


def test_a_teacher_with_one_kind_of_cloud_means_both() -> None:
    np.testing.assert_array_equal(
        channel_groups(THREE, FOUR), [[1, 0, 0, 0], [0, 1, 0, 1], [0, 0, 1, 0]]
    )
    either = a_lesson((0.0, 1.0, 0.0), set(), set(), FOUR)
    for split in ((0.1, 0.7, 0.1, 0.1), (0.1, 0.1, 0.1, 0.7)):
        assert loss(split, either, Schedule()) == pytest.approx(-np.log(0.8), abs=1e-6)


def tile(truth: int, veil: int, blue: float = 0.1, counted: bool = True) -> Tile:
    """A tile of one pixel."""
    pixels = np.full((6, 1, 1), blue, "float32")
    plane = np.full((1, 1), truth, "uint8")
    return Tile(pixels, SIX, "L2A", pixels, plane, np.full_like(plane, veil), np.array([[counted]]))


@pytest.mark.parametrize(
    ("answer", "each", "taught", "truth", "veil"),
    [
        (CLEAR, tile(0, 0), True, set(), set()),
        # Thin cloud over what the teacher calls clear, shadow, cloud.
        (CLEAR, tile(0, class_bits([THIN])), False, set(), {THIN}),
        (SHADOW, tile(0, class_bits([THIN])), False, set(), {THIN, SHADOW}),
        (CLOUD, tile(0, class_bits([THIN])), True, set(), set()),
        # A label of cloud holds below thin cloud, another one does not.
        (CLOUD, tile(class_bits([CLOUD]), class_bits([THIN])), True, {CLOUD}, set()),
        (CLOUD, tile(class_bits([CLEAR]), class_bits([THIN])), True, set(), set()),
        # Bright cloud is thick.
        (CLOUD, tile(0, 0, 0.7), True, {CLOUD}, set()),
        (CLEAR, tile(0, 0, 0.7), True, set(), set()),
        # What is not seen teaches nothing.
        (CLEAR, tile(class_bits([CLEAR]), class_bits([THIN]), counted=False), False, set(), set()),
        # Without a teacher.
        (None, tile(class_bits([CLEAR, SHADOW]), class_bits([THIN])), False, set(), {THIN}),
        (None, tile(class_bits([CLOUD]), class_bits([THIN])), True, {CLOUD}, set()),
        (None, tile(UNKNOWN, class_bits([THIN])), True, set(), set()),
    ],
)  # fmt: skip
def test_from_whom_a_pixel_learns(
    answer: CloudClass | None, each: Tile, taught: bool, truth: set[CloudClass], veil: set[CloudClass]
) -> None:  # fmt: skip
    answers = None
    if answer is not None:
        answers = np.zeros((1, 3, 1, 1), "float32")
        answers[0, THREE.index(answer)] = 1
    found = lesson_of([each], answers, THREE)
    assert found.taught.item() is taught
    assert found.truth.item() == class_bits(truth)
    assert found.veil.item() == class_bits(veil)
