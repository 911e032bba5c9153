"""Random changes of tiles."""

from __future__ import annotations

import numpy as np
import pytest

from odc_cleansat.training.augmentation import change_light, crop, turn


def test_light_changes_all_pixels_of_a_band_alike() -> None:
    pixels = np.random.default_rng(0).uniform(0.1, 0.3, (3, 8, 8)).astype("float32")
    gains = []
    for seed in range(40):
        lit = change_light(np.random.default_rng(seed), pixels)
        assert lit.dtype == np.float32
        for band in range(3):
            gain, added = np.polyfit(pixels[band].ravel(), lit[band].ravel(), 1)
            np.testing.assert_allclose(lit[band], gain * pixels[band] + added, atol=1e-5)
            gains.append(gain)
    assert 0.8 < np.median(gains) < 1.2
    assert np.std(gains) > 0.05


def test_tiles_are_turned_and_cropped() -> None:
    planes = np.arange(2 * 6 * 6).reshape(2, 6, 6)
    for seed in range(10):
        turned = turn(np.random.default_rng(seed), planes)
        assert sorted(turned[0].ravel()) == sorted(planes[0].ravel())
        piece = crop(np.random.default_rng(seed), planes, 4)
        assert piece.shape == (2, 4, 4)
        assert piece[1] == pytest.approx(piece[0] + 36)
