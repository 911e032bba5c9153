"""Spoilt pictures."""

from __future__ import annotations

import numpy as np
import pytest

from odc_cleansat.training.spoiling import (
    FEWER_BANDS,
    KINDS,
    PHASE,
    draw_phase,
    haze,
    jpeg2000,
    move,
    spoil,
    spoil_once,
)
from unit.training.helpers import SIX

NODATA = ("stripes", "cut")


def picture(side: int = 64) -> np.ndarray:
    """Ground of 0.05 to 0.15 with some texture, and a bright square."""
    pixels = np.random.default_rng(0).uniform(0.05, 0.15, (6, side, side)).astype("float32")
    pixels[:, 8:24, 8:24] += 0.8
    return pixels


@pytest.mark.parametrize("kind", [each for each in KINDS if each not in (PHASE, FEWER_BANDS)])
def test_each_kind_spoils_the_same_way_for_the_same_seed(kind: str) -> None:
    pixels = picture()
    before = pixels.copy()
    seen, again = (spoil(np.random.default_rng(3), pixels, SIX, {kind: 1.0}) for _ in range(2))
    np.testing.assert_array_equal(seen, again)
    np.testing.assert_array_equal(pixels, before, "the teacher's picture stays as it is")
    assert seen.dtype == np.float32
    assert seen.shape == pixels.shape
    there = np.isfinite(seen)
    assert (seen != pixels).any()
    assert there.all() == (kind not in NODATA)
    assert np.abs(seen - pixels)[there].mean() < 0.08, "it can still be recognised"
    np.testing.assert_array_equal(spoil(np.random.default_rng(3), pixels, SIX, {kind: 0}), pixels)


def test_some_of_the_tiles_lose_data() -> None:
    lost = [
        np.isnan(spoil(np.random.default_rng(i), picture(), SIX, {kind: 1.0})[0]).mean()
        for kind in NODATA
        for i in range(20)
    ]
    assert min(lost) >= 0
    assert 0.01 < np.mean(lost) < 0.4
    assert max(lost) < 0.7


def test_haze_is_bluest_and_hides_what_its_depth_says() -> None:
    black = haze(np.zeros((6, 2, 2), "float32"), SIX, 0.3, 1.3)[:, 0, 0]
    assert (np.diff(black) < 0).all()
    assert black[0] == pytest.approx(
        0.4 * (1 - np.exp(-0.5 * 0.3 * (0.49 / 0.55) ** -1.3)), rel=1e-4
    )
    np.testing.assert_allclose(haze(picture(), SIX, 0.0, 1.3), picture())


def test_jpeg2000_loses_more_at_a_lower_quality() -> None:
    pixels = picture()
    losses = [np.abs(jpeg2000(pixels, quality) - pixels).mean() for quality in (50, 15, 5)]
    assert losses == sorted(losses)
    assert 0 < losses[0] < 0.005
    assert losses[2] < 0.05


def test_a_picture_that_came_from_another_grid_lies_where_it_was() -> None:
    """The centre of a bright square moves by less than a pixel."""
    for seed in range(12):
        seen = spoil(np.random.default_rng(seed), picture(), SIX, {"resample": 1.0})
        bright = np.argwhere(seen[0] > 0.5)
        assert np.abs(bright.mean(axis=0) - 15.5).max() < 1
        assert np.abs(seen[:, 30:60, 30:60].mean() - picture()[:, 30:60, 30:60].mean()) < 0.005


def test_a_picture_is_spoilt_in_one_way() -> None:
    seen = [spoil_once(np.random.default_rng(i), picture(), SIX, {"blur": 0.1, "gain": 0.3}) for i in range(20)]  # fmt: skip
    ratios = [float(np.ptp((each / picture())[0])) for each in seen]
    blurred = sum(ratio > 0.1 for ratio in ratios)
    assert 1 <= blurred <= 12
    assert sum(ratio < 1e-5 for ratio in ratios) == 20 - blurred, "gain alone"
    np.testing.assert_array_equal(
        spoil_once(np.random.default_rng(0), picture(), SIX, {PHASE: 1.0}), picture()
    )


def test_the_share_of_a_kind_does_not_change_what_others_do() -> None:
    some = spoil(np.random.default_rng(5), picture(), SIX, {"noise": 1.0})
    more = spoil(np.random.default_rng(5), picture(), SIX, {"noise": 1.0, "cut": 1.0})
    there = np.isfinite(more)
    np.testing.assert_array_equal(some[there], more[there])


def test_a_tile_is_moved_up_and_left() -> None:
    phases = [draw_phase(np.random.default_rng(i), {PHASE: 0.5}, 64) for i in range(60)]
    assert all(0 <= each < 32 for phase in phases for each in phase)
    assert 15 <= sum(phase == (0, 0) for phase in phases) <= 45
    planes = np.arange(12).reshape(1, 3, 4)
    np.testing.assert_array_equal(
        move(planes, (1, 2), -1)[0], [[6, 7, -1, -1], [10, 11, -1, -1], [-1] * 4]
    )
    assert move(planes, (0, 0), -1) is planes
