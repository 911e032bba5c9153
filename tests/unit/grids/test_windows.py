"""Canonical windows and their blending, with networks whose answers are known."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from odc_cleansat.grids.windows import (
    DEFAULT_TILING,
    Box,
    Span,
    Tiling,
    Window,
    blend,
    pixels_covering,
    prepare_window,
    spans,
    windows,
)

STRIDE, OVERLAP = 64, 16

NO = float("nan")


@pytest.mark.parametrize(
    ("start", "stop", "expected"),
    [
        (0, 160, [(0, 72), (56, 136), (120, 160)]),
        (0, 159, [(0, 72), (56, 159)]),  # the cut at 128 is 31 pixels from the end
        (32, 128, [(32, 72), (56, 128)]),
        (33, 128, [(33, 128)]),  # the cut at 64 is 31 pixels from the start
        (-64, 32, [(-64, 8), (-8, 32)]),
    ],
)
def test_cuts_are_half_a_stride_from_the_edges_or_more(
    start: int, stop: int, expected: list[tuple[int, int]]
) -> None:
    assert [(s.start, s.stop) for s in spans(start, stop, STRIDE, OVERLAP)] == expected


@pytest.mark.parametrize(
    ("span", "expected"),
    [
        (Span(10, 17, 2, 4), [1 / 4, 3 / 4, 1, 7 / 8, 5 / 8, 3 / 8, 1 / 8]),
        (Span(0, 3, 1, 1), [1 / 2, 1, 1 / 2]),
        (Span(0, 2, 0, 0), [1, 1]),
    ],
)
def test_weights_rise_and_fall_in_even_steps(span: Span, expected: list[float]) -> None:
    weights = span.weights()
    assert weights.dtype == np.float32
    np.testing.assert_array_equal(weights, np.array(expected, dtype="float32"))


@given(start=st.integers(-10_000, 10_000), length=st.integers(1, 500))
def test_every_pixel_is_seen_and_none_outside(start: int, length: int) -> None:
    weight = np.zeros(length)
    for span in spans(start, start + length, STRIDE, OVERLAP):
        assert start <= span.start < span.stop <= start + length
        assert span.stop - span.start < 2 * STRIDE + OVERLAP
        assert span.stop - span.start >= min(length, STRIDE // 2)
        assert (span.weights() > 0).all()
        weight[span.start - start : span.stop - start] += span.weights()
    np.testing.assert_allclose(weight, 1, atol=1e-6)


@given(start=st.integers(-500, 500), length=st.integers(300, 500), cut=st.integers(1, 100))
def test_windows_do_not_depend_on_where_the_scene_ends(start: int, length: int, cut: int) -> None:
    """Away from the edges, a scene cut shorter has the same windows."""
    whole = set(spans(start, start + length, STRIDE, OVERLAP))
    shorter = set(spans(start, start + length - cut, STRIDE, OVERLAP))
    inside = {s for s in shorter if s.stop < start + length - cut - STRIDE}
    assert inside <= whole


@given(start=st.integers(-500, 500), overlap=st.sampled_from([2, 16, 30]))
def test_neighbours_share_the_whole_overlap(start: int, overlap: int) -> None:
    """Over all of it one rises as the other falls, in even steps."""
    found = spans(start, start + 400, STRIDE, overlap)
    assert len(found) > 3
    for before, after in itertools.pairwise(found):
        assert before.stop - after.start == before.fall == after.rise == overlap
        falling, rising = before.weights()[-overlap:], after.weights()[:overlap]
        np.testing.assert_allclose(rising, (np.arange(overlap) + 0.5) / overlap, rtol=1e-6)
        np.testing.assert_allclose(falling, 1 - rising, atol=1e-6)
    assert (found[0].rise, found[-1].fall) == (0, 0)


@pytest.mark.parametrize("tiling", [Tiling((STRIDE, 2 * STRIDE), OVERLAP, whole=0), DEFAULT_TILING])
def test_answers_are_blended_over_the_whole_overlap(tiling: Tiling) -> None:
    """From a window that says 0 to one that says 1: a ramp as wide as the overlap, and flat beside it."""
    (down, across), overlap = tiling.stride, tiling.overlap
    for axis, scene in ((0, Box(0, 2 * down, 0, 8)), (1, Box(0, 8, 0, 2 * across))):
        cut = (down, across)[axis]
        if scene.shape[0] * scene.shape[1] <= tiling.whole:
            tiling = Tiling(tiling.stride, overlap, whole=0)
        found = windows(scene, scene, tiling)
        assert len(found) == 2
        answers = [
            (window, np.full((1, *window.box.shape), i, dtype="float32"))
            for i, window in enumerate(found)
        ]
        blended = np.moveaxis(blend(scene, answers, 1)[0], axis, 0)[:, 4]
        start, stop = cut - overlap // 2, cut + overlap // 2
        assert (blended[:start] == 0).all()
        assert (blended[stop:] == 1).all()
        ramp = (np.arange(overlap) + 0.5) / overlap
        np.testing.assert_allclose(blended[start:stop], ramp, atol=1e-6)


def test_a_small_scene_is_one_window() -> None:
    tiling = Tiling((64, 64), 16, whole=150 * 100)
    small, large = Box(-20, 130, 30, 130), Box(-20, 131, 30, 130)
    assert [w.box for w in windows(small, Box(0, 1, 50, 51), tiling)] == [small]
    assert len(windows(large, large, tiling)) == 4
    assert tiling.spans(small) == ([Span(-20, 130, 0, 0)], [Span(30, 130, 0, 0)])
    smaller = Box(-20, 129, 30, 130)
    assert tiling.spans(smaller) == ([Span(-20, 129, 0, 0)], [Span(30, 130, 0, 0)])


@pytest.mark.parametrize(
    ("first", "last", "seen"), [(0, 56, [0]), (55, 57, [0, 1]), (71, 73, [0, 1]), (72, 128, [1])]
)
def test_only_windows_that_touch_the_area(first: int, last: int, seen: list[int]) -> None:
    """Along each axis the windows are the pixels 0 to 71 and 56 to 127."""
    scene, tiling = Box(0, 128, 0, 128), Tiling((STRIDE, STRIDE), OVERLAP, whole=0)
    starts = [(0, 56)[i] for i in seen]
    assert [w.box.top for w in windows(scene, Box(first, last, 0, 1), tiling)] == starts
    assert [w.box.left for w in windows(scene, Box(0, 1, first, last), tiling)] == starts


def test_a_window_without_data_leaves_the_answer_of_its_neighbour() -> None:
    """Also where its share would have been the greater; beyond the neighbour there is nothing."""
    column = Span(0, 5, 0, 0)
    with_data = Window(Span(64, 128, 16, 0), column)
    answer = np.random.default_rng(3).random((2, 64, 5), dtype="float32")
    answers = [(Window(Span(0, 80, 0, 16), column), None), (with_data, answer)]
    blended = blend(Box(0, 128, 1, 4), answers, 2)
    assert np.isnan(blended[:, :64]).all()
    np.testing.assert_allclose(blended[:, 64:], answer[:, :, 1:4], rtol=1e-6)
    assert np.isnan(blend(Box(0, 70, 0, 2), [], 3)).all()


def pointwise(batch: np.ndarray) -> np.ndarray:
    """A network without context: three numbers from each pixel's first two bands."""
    a, b = batch[:, 0], batch[:, 1]
    return np.stack([a, b, 1 - a - b], axis=1)


def contextual(batch: np.ndarray) -> np.ndarray:
    """A network whose answer differs from window to window."""
    mean = batch.mean(axis=(1, 2, 3), keepdims=True)
    return np.concatenate([batch[:, :1] * 0 + mean, batch[:, :1] * 0 + 1 - mean], axis=1)


def run(
    values: np.ndarray,
    scene: Box,
    area: Box,
    network: Callable[[np.ndarray], np.ndarray],
    classes: int,
) -> np.ndarray:
    """Windows read from an array, answered and blended."""

    def answer(box: Box) -> np.ndarray | None:
        rows = slice(box.top - scene.top, box.bottom - scene.top)
        batch = prepare_window(values[:, rows, box.left - scene.left : box.right - scene.left])
        return None if batch is None else network(batch)[0, :, : box.shape[0], : box.shape[1]]

    found = windows(scene, area, Tiling((STRIDE, STRIDE), OVERLAP, whole=0))
    return blend(area, [(w, answer(w.box)) for w in found], classes)


@pytest.mark.parametrize("corner", [(0, 0), (-37, 1003), (5000, -5000)])
@pytest.mark.parametrize("shape", [(1, 1), (3, 200), (130, 97), (64, 64)])
def test_blending_changes_nothing_where_windows_agree(
    corner: tuple[int, int], shape: tuple[int, int]
) -> None:
    values = np.random.default_rng(1).random((2, *shape), dtype="float32") / 2
    scene = Box(corner[0], corner[0] + shape[0], corner[1], corner[1] + shape[1])
    np.testing.assert_allclose(run(values, scene, scene, pointwise, 3)[:2], values, atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_an_area_is_a_cut_out_of_the_whole(data: st.DataObject) -> None:
    height, width = 150, 210
    values = np.random.default_rng(2).random((2, height, width), dtype="float32")
    values[:, 40:80, 50:100] = np.nan
    scene = Box(-33, -33 + height, 70, 70 + width)
    whole = run(values, scene, scene, contextual, 2)
    top = data.draw(st.integers(0, height - 1))
    left = data.draw(st.integers(0, width - 1))
    bottom = data.draw(st.integers(top + 1, height))
    right = data.draw(st.integers(left + 1, width))
    area = Box(scene.top + top, scene.top + bottom, scene.left + left, scene.left + right)
    part = run(values, scene, area, contextual, 2)
    np.testing.assert_array_equal(part, whole[:, top:bottom, left:right])


def test_windows_without_data_are_skipped() -> None:
    values = np.full((2, 64 * 4, 64), np.nan, dtype="float32")
    values[:, :40] = 0.3
    calls = []

    def counted(batch: np.ndarray) -> np.ndarray:
        calls.append(batch.shape)
        return pointwise(batch)

    scene = Box(0, 256, 0, 64)
    found = run(values, scene, scene, counted, 3)
    assert len(calls) == 1
    assert np.isfinite(found[:, :40]).all()
    assert np.isnan(found[:, 96:]).all()


def test_missing_pixels_are_filled_by_reflection() -> None:
    window = np.tile(np.arange(64, dtype="float32"), (2, 64, 1))
    window[:, :, 40:] = np.nan
    filled = prepare_window(window)
    assert filled is not None
    np.testing.assert_array_equal(filled[0, 0, 10, 40:], np.arange(38, 14, -1))


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(
    ("values", "filled"),
    [
        ([1, 2, 3, NO, NO], [1, 2, 3, 2, 1]),
        ([NO, NO, 3, 4, 5], [5, 4, 3, 4, 5]),
        ([1, 2, NO, NO, NO], [1, 2, 1, 1, 1]),  # what would be behind the first is the first
        ([NO, NO, NO, 4, 5], [5, 5, 5, 4, 5]),
        ([NO, 2, NO, NO, 5], [2, 2, 2, 5, 5]),  # what is behind has no data: the edge itself
    ],
)
def test_what_a_missing_pixel_is_filled_with(
    values: list[float], filled: list[float], turned: bool
) -> None:
    """Along both axes, in all bands where one has no data, and padded by reflection."""
    window = np.array([[values], [np.arange(5)]], dtype="float32")
    prepared = prepare_window(window.swapaxes(1, 2) if turned else window)
    assert prepared is not None
    row = prepared[0, :, :, 0] if turned else prepared[0, :, 0, :]
    assert row[0, :10].tolist() == [*filled, *filled[::-1]]
    known = [values.index(each) for each in filled]
    assert row[1, :5].tolist() == known


@pytest.mark.parametrize("shape", [(1, 1), (31, 33), (64, 90)])
def test_windows_are_padded_to_multiples_of_32(shape: tuple[int, int]) -> None:
    window = np.random.default_rng(0).random((3, *shape), dtype="float32")
    padded = prepare_window(window)
    assert padded is not None
    assert padded.shape[2] % 32 == padded.shape[3] % 32 == 0
    assert padded.shape[:2] == (1, 3)
    assert all(
        0 <= after - before < 32 for after, before in zip(padded.shape[2:], shape, strict=True)
    )
    assert np.isfinite(padded).all()
    np.testing.assert_array_equal(padded[0, :, : shape[0], : shape[1]], window)


@pytest.mark.parametrize("corner", [(0, 0), (32, -64), (1, 31), (-1, -33), (45, 70)])
def test_windows_begin_at_multiples_of_32_from_the_origin(corner: tuple[int, int]) -> None:
    """What is before the window is its mirror image, as is what comes after."""
    window = np.random.default_rng(0).random((2, 40, 50), dtype="float32")
    prepared = prepare_window(window, corner)
    assert prepared is not None
    above, left = corner[0] % 32, corner[1] % 32
    np.testing.assert_array_equal(prepared[0, :, above : above + 40, left : left + 50], window)
    for axis, (first, size) in enumerate(zip((above, left), (40, 50), strict=True)):
        assert prepared.shape[2 + axis] == -(-(first + size) // 32) * 32
    mirrored = np.pad(window, ((0, 0), (above, 0), (left, 0)), mode="symmetric")
    np.testing.assert_array_equal(prepared[0, :, : above + 40, : left + 50], mirrored)


@pytest.mark.parametrize(
    ("start", "stop", "expected"),
    [
        (0, 90, (0, 3)),
        (95, 240, (3, 8)),
        (-100, -10, (-4, 0)),
        (29.999, 60.001, (1, 2)),
        (29.71, 60.29, (1, 2)),  # less than a hundredth of a pixel, which is 0.3
        (29.69, 60.31, (0, 3)),
    ],
)
def test_pixels_of_a_grid_anchored_at_zero(
    start: float, stop: float, expected: tuple[int, int]
) -> None:
    assert pixels_covering(start, stop, 30.0) == expected


@pytest.mark.parametrize(
    "values",
    [
        (None, 64, 0),
        ([448], 64, 0),
        ([448, 448, 448], 64, 0),
        ([448, "448"], 64, 0),
        ([448, 448.0], 64, 0),
        ([448, True], 64, 0),
        ([448, 448], -64, 0),
        ([448, 448], 64, None),
        ([448, 440], 64, 0),
        ([64, 64], 64, 0),
        ([447, 447], 65, 0),
    ],
    ids=str,
)
def test_tilings_that_somebody_wrote(values: tuple[Any, Any, Any]) -> None:
    assert Tiling.of([448, 960], 64, 0) == Tiling((448, 960), 64, 0)
    with pytest.raises(ValueError, match="should have"):
        Tiling.of(*values)
