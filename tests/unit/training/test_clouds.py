"""Simulated clouds and snow agree with their truth."""

from __future__ import annotations

import numpy as np

from odc_cleansat import CloudClass
from odc_cleansat.training.clouds import CloudLayer, draw_clouds, lay_snow
from unit.training.helpers import CLEAR, CLOUD, SHADOW, SIX


def test_the_truth_of_clouds_agrees_with_what_was_laid_over() -> None:
    ground = np.full((6, 128, 128), 0.08, "float32")
    seen_classes = set()
    for seed in range(12):
        clouds = draw_clouds(np.random.default_rng(seed), 128)
        seen, truth = clouds.over(ground, SIX), clouds.classes()
        change = seen[0] / ground[0]
        # Dark ground below a quarter of a bright cloud is brighter, in the shadow of one darker.
        assert (change[truth == CLOUD] > 1.2).all()
        # A trace of cloud, below what counts, may be over a shadow or over clear ground.
        assert (change[truth == SHADOW] < 0.97).all()
        assert (np.abs(change[truth == CLEAR] - 1) < 0.3).all()
        seen_classes |= set(np.unique(truth))
    assert seen_classes == {CloudClass.NODATA, CLEAR, CLOUD, SHADOW}


def test_a_shadow_lies_where_the_cloud_is_moved_to() -> None:
    clouds = draw_clouds(np.random.default_rng(3), 96)
    found = [
        np.allclose(np.roll(clouds.opacity, (dy, dx), (0, 1)), clouds.dimming)
        for dy in range(96)
        for dx in range(96)
    ]
    assert sum(found) == 1


def test_clouds_can_be_laid_over_every_band() -> None:
    from odc_cleansat.scenes.bands import S2_BANDS

    bands = tuple(band for band in S2_BANDS if band != "scl")
    half = np.full((4, 4), 0.5, "float32")
    seen = CloudLayer(half, half, half).over(np.full((len(bands), 4, 4), 0.1, "float32"), bands)
    assert np.isfinite(seen).all()


def test_snow_is_bright_to_the_eye_and_dark_in_the_short_wave_infrared() -> None:
    ground = np.full((6, 128, 128), 0.1, dtype="float32")
    shares = []
    for seed in range(10):
        seen, share = lay_snow(np.random.default_rng(seed), ground, SIX)
        assert seen.shape == ground.shape
        assert seen.dtype == np.float32
        assert share.min() >= 0
        assert share.max() <= 1
        np.testing.assert_array_equal(seen[:, share == 0], np.float32(0.1))
        deep = share > 0.7
        assert (seen[SIX.index("blue")][deep] > 0.35).all()
        assert (seen[SIX.index("swir16")][deep] < 0.15).all()
        shares.append((share > 0.02).mean())
    assert min(shares) < 0.3
    assert max(shares) > 0.7
