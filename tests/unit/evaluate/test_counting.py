"""Pixels near edges, boundaries and dilation."""

from __future__ import annotations

import math

import numpy as np
import pytest

from odc_cleansat.errors import CleansatError
from odc_cleansat.evaluate.confusion import Confusion, Question
from odc_cleansat.evaluate.counting import Protocol, count_pixels

from .helpers import blobs, codes


def reference_without_edges(label: np.ndarray, k: int) -> np.ndarray:
    """Pixel by pixel, as the definition says."""
    three = np.where(
        label == 6, 2, np.where((label == 2) | (label == 3), label, np.minimum(label, 1))
    )
    kept = label.copy()
    for y, x in np.ndindex(label.shape):
        near = three[max(y - k, 0) : y + k + 1, max(x - k, 0) : x + k + 1]
        if len(set(near[near > 0].tolist())) > 1:
            kept[y, x] = 0
    return kept


def test_pixels_near_edges_are_left_out() -> None:
    label, prediction = blobs(3, (40, 50)), blobs(4, (40, 50))
    (found,) = count_pixels(label, [prediction], Protocol((0, 1, 2, 5)))
    for i, k in enumerate((0, 1, 2, 5)):
        expected = Confusion.of(reference_without_edges(label, k), prediction).matrix
        np.testing.assert_array_equal(found.confusions[i], expected)


def test_an_edge_by_hand() -> None:
    label = codes(1, 1, 1, 1, 2, 2, 2, 2, 0, 3)[np.newaxis].repeat(3, axis=0)
    prediction = codes(1, 1, 1, 2, 2, 2, 2, 2, 2, 3)[np.newaxis].repeat(3, axis=0)
    (found,) = count_pixels(label, [prediction], Protocol((0, 1), boundary=1))
    assert found.confusion.scores(Question.CLOUD)["precision"] == pytest.approx(4 / 5)
    # Without a pixel on either side of the edge there is no error; no data makes no edge.
    without = Confusion(found.confusions[1])
    assert without.pixels == 3 * 7
    assert without.scores(Question.CLOUD)["precision"] == 1
    # The label's boundary is the column 4, that of the prediction 3 and, beyond the label's data, 8.
    assert found.boundary_iou(Question.CLOUD) == 0
    assert found.boundaries[list(Question).index(Question.CLOUD)].tolist() == [0, 6]


def test_boundary_iou_by_hand() -> None:
    label = np.ones((30, 40), "uint8")
    label[5:25, 5:25] = 2
    moved = np.roll(label, 1, axis=1)
    (same, other) = count_pixels(label, [label, moved], Protocol(boundary=2))
    assert same.boundary_iou(Question.CLOUD) == 1
    assert math.isnan(same.boundary_iou(Question.SHADOW))
    ring = {(y, x) for y in range(20) for x in range(20) if min(y, x, 19 - y, 19 - x) < 2}
    shifted = {(y, x + 1) for y, x in ring}
    assert other.boundary_iou(Question.CLOUD) == pytest.approx(
        len(ring & shifted) / len(ring | shifted)
    )
    # The plain IoU forgives what the boundary shows.
    assert other.confusion.scores(Question.CLOUD)["iou"] > 0.9 > other.boundary_iou(Question.CLOUD)


def test_the_edge_of_the_data_is_no_boundary() -> None:
    label = np.full((20, 20), 2, "uint8")
    label[:, 12:] = 0
    (found,) = count_pixels(label, [label], Protocol())
    assert math.isnan(found.boundary_iou(Question.CLOUD))


def test_both_sides_are_dilated_alike() -> None:
    label = np.ones((9, 9), "uint8")
    prediction = label.copy()
    label[2, 2], prediction[2, 4] = 3, 3
    label[:, 8] = 0
    (plain,) = count_pixels(label, [prediction], Protocol())
    (widened,) = count_pixels(label, [prediction], Protocol(dilation=1))
    assert plain.confusion.scores(Question.SHADOW)["recall"] == 0
    assert widened.confusion.scores(Question.SHADOW)["recall"] == pytest.approx(3 / 9)
    assert widened.confusion.pixels == plain.confusion.pixels
    # Clouds grow over shadow that has grown, and not over shadow that was there.
    label = codes(2, 1, 3, 1, 1)[np.newaxis]
    (both,) = count_pixels(label, [label], Protocol(dilation=1))
    assert np.diag(both.confusion.matrix).tolist() == [0, 1, 2, 2, 0, 0, 0]


def test_a_protocol_always_counts_everything_too() -> None:
    assert Protocol((5, 2)).ignored == (0, 2, 5)
    with pytest.raises(CleansatError, match="-1 pixels"):
        Protocol((-1,))
