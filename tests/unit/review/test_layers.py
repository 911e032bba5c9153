"""Layers are thinned, and dark pixels are not taken for missing ones."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from odc.geo.geobox import GeoBox

from odc_cleansat.review.comparison import compare
from odc_cleansat.review.layers import thin, thin_grid
from unit.review.helpers import GRID, UTM, made_up


def test_darkest_shadow_is_dark(tmp_path: Path) -> None:
    """A 0 in one band is data and drawn dark; where all bands are 0 there is none."""
    dark = np.full(GRID.shape, 300, dtype="uint16")
    cut = dark.copy()
    cut[:5] = 0
    dark[4] = 3000
    gone = np.where(np.arange(GRID.shape[0])[:, np.newaxis] < 2, np.uint16(0), dark)
    scene = made_up(red=dark * (gone > 0), green=dark * (gone > 0), blue=cut)
    for band in ("red", "green", "blue"):
        scene[band].attrs["nodata"] = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rgb = compare(scene).frames[0].rgb
    assert np.isnan(rgb[:2]).all()
    np.testing.assert_allclose(rgb[4], np.broadcast_to([0.3, 0.3, 0], rgb[4].shape), rtol=1e-6)
    np.testing.assert_allclose(rgb[2:4], np.broadcast_to([0.03, 0.03, 0], rgb[2:4].shape))


def test_the_grid_of_thinned_pixels_is_in_their_centres() -> None:
    index = np.arange(321 * 250).reshape(321, 250)
    grid = GeoBox(index.shape, UTM.affine, UTM.crs)
    for step in (1, 2, 3, 4, 7):
        small = thin(index, step)
        there = thin_grid(grid, small.shape, step)
        for row, column in ((0, 0), (small.shape[0] - 1, small.shape[1] - 1)):
            x, y = there.affine * (column + 0.5, row + 0.5)
            j, i = ~grid.affine * (x, y)
            assert (i % 1, j % 1) == (pytest.approx(0.5), pytest.approx(0.5))
            assert index[int(i), int(j)] == small[row, column]
