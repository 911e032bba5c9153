"""Canonical windows and their blending, with networks whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from odc_cleansat.windows import Box, blend, grid_box, spans

SIZE, OVERLAP = 64, 16


@given(start=st.integers(-10_000, 10_000), length=st.integers(1, 500))
def test_every_pixel_is_seen_and_none_outside(start: int, length: int) -> None:
    weight = np.zeros(length)
    for span in spans(start, start + length, SIZE, OVERLAP):
        assert start <= span.start < span.stop <= start + length
        assert span.stop - span.start <= SIZE
        assert (span.weights > 0).all()
        weight[span.start - start : span.stop - start] += span.weights
    assert (weight > 0).all()


@given(start=st.integers(-500, 500), length=st.integers(200, 400), cut=st.integers(1, 100))
def test_windows_do_not_depend_on_where_the_scene_ends(start: int, length: int, cut: int) -> None:
    """Away from the edges, a scene cut shorter has the same windows."""
    whole = {(s.start, s.stop) for s in spans(start, start + length, SIZE, OVERLAP)}
    shorter = {(s.start, s.stop) for s in spans(start, start + length - cut, SIZE, OVERLAP)}
    inside = {s for s in shorter if s[1] < start + length - cut}
    assert inside <= whole


def test_weights_sum_to_one_where_windows_overlap() -> None:
    first, second, *_ = spans(0, 300, SIZE, OVERLAP)
    shared = first.stop - second.start
    assert shared == OVERLAP
    np.testing.assert_allclose(first.weights[-shared:] + second.weights[:shared], 1, atol=1e-6)


def pointwise(batch: np.ndarray) -> np.ndarray:
    """A network without context: three numbers from each pixel's first two bands."""
    a, b = batch[:, 0], batch[:, 1]
    return np.stack([a, b, 1 - a - b], axis=1)


def contextual(batch: np.ndarray) -> np.ndarray:
    """A network whose answer differs from window to window, and that says when it meets NaN."""
    assert np.isfinite(batch).all()
    assert batch.shape[2] % 32 == 0
    assert batch.shape[3] % 32 == 0
    mean = batch.mean(axis=(1, 2, 3), keepdims=True)
    return np.concatenate([batch[:, :1] * 0 + mean, batch[:, :1] * 0 + 1 - mean], axis=1)


def reader(values: np.ndarray, scene: Box):
    def read(box: Box) -> np.ndarray:
        assert scene.top <= box.top < box.bottom <= scene.bottom
        assert scene.left <= box.left < box.right <= scene.right
        rows = slice(box.top - scene.top, box.bottom - scene.top)
        return values[:, rows, box.left - scene.left : box.right - scene.left]

    return read


@pytest.mark.parametrize("corner", [(0, 0), (-37, 1003), (5000, -5000)])
@pytest.mark.parametrize("shape", [(1, 1), (3, 200), (130, 97), (64, 64)])
def test_blending_changes_nothing_where_windows_agree(
    corner: tuple[int, int], shape: tuple[int, int]
) -> None:
    values = np.random.default_rng(1).random((2, *shape), dtype="float32") / 2
    scene = Box(corner[0], corner[0] + shape[0], corner[1], corner[1] + shape[1])
    found = blend(
        reader(values, scene), pointwise, scene, scene, classes=3, size=SIZE, overlap=OVERLAP
    )
    np.testing.assert_allclose(found[:2], values, atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_an_area_is_a_cut_out_of_the_whole(data: st.DataObject) -> None:
    height, width = 150, 210
    values = np.random.default_rng(2).random((2, height, width), dtype="float32")
    values[:, 40:80, 50:100] = np.nan
    scene = Box(-33, -33 + height, 70, 70 + width)
    how = {"classes": 2, "size": SIZE, "overlap": OVERLAP}
    whole = blend(reader(values, scene), contextual, scene, scene, **how)
    top = data.draw(st.integers(0, height - 1))
    left = data.draw(st.integers(0, width - 1))
    bottom = data.draw(st.integers(top + 1, height))
    right = data.draw(st.integers(left + 1, width))
    area = Box(scene.top + top, scene.top + bottom, scene.left + left, scene.left + right)
    part = blend(reader(values, scene), contextual, scene, area, **how)
    np.testing.assert_array_equal(part, whole[:, top:bottom, left:right])


def test_windows_without_data_are_skipped() -> None:
    values = np.full((2, 64 * 4, 64), np.nan, dtype="float32")
    values[:, :40] = 0.3
    calls = []

    def counted(batch: np.ndarray) -> np.ndarray:
        calls.append(batch.shape)
        return pointwise(batch)

    scene = Box(0, 256, 0, 64)
    steps: list[tuple[int, int]] = []
    found = blend(
        reader(values, scene), counted, scene, scene, classes=3, size=SIZE, overlap=OVERLAP,
        progress=lambda done, total: steps.append((done, total)),
    )  # fmt: skip
    assert len(calls) == 1
    assert steps[-1] == (len(steps), len(steps))
    assert np.isfinite(found[:, :40]).all()
    assert np.isnan(found[:, 64:]).all()


def test_missing_pixels_are_filled_by_reflection() -> None:
    values = np.tile(np.arange(64, dtype="float32"), (2, 64, 1)) / 100
    values[:, :, 40:] = np.nan
    seen: list[np.ndarray] = []

    def watch(batch: np.ndarray) -> np.ndarray:
        seen.append(batch)
        return pointwise(batch)

    scene = Box(0, 64, 0, 64)
    blend(reader(values, scene), watch, scene, scene, classes=3, size=SIZE, overlap=OVERLAP)
    np.testing.assert_allclose(seen[0][0, 0, 10, 40:], np.arange(38, 14, -1) / 100, atol=1e-6)


@pytest.mark.parametrize(
    ("start", "stop", "expected"),
    [(0, 90, (0, 3)), (95, 240, (3, 8)), (-100, -10, (-4, 0)), (29.999, 60.001, (1, 2))],
)
def test_pixels_of_a_grid_anchored_at_zero(
    start: float, stop: float, expected: tuple[int, int]
) -> None:
    assert grid_box(start, stop, 30.0) == expected
