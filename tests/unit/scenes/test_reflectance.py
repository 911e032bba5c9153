"""Values of bands as reflectance."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox
from odc.geo.xr import wrap_xr

from odc_cleansat.scenes.files import Band, parts_of
from odc_cleansat.scenes.reflectance import to_model_grid

GRID = GeoBox((6, 8), Affine(30, 0, 600_000, 0, -30, 5_000_010), "EPSG:32633")


def band(values: np.ndarray, grid: GeoBox = GRID, **attrs: object) -> Band:
    return Band(wrap_xr(values, grid, **attrs), grid)


def test_digital_numbers_become_reflectance_and_reflectance_stays() -> None:
    numbers = band(np.full((6, 8), 3000, "uint16"), nodata=0)
    ready = band(np.full((6, 8), 0.2, "float32"))
    found = to_model_grid([numbers, ready], GRID, None, 0)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[0], 0.3, rtol=1e-6)
    np.testing.assert_array_equal(found[1], np.float32(0.2))
    np.testing.assert_allclose(to_model_grid([numbers], GRID, 1e-4, -1000), 0.2, rtol=1e-6)


def test_nodata_is_nan_and_dark_ground_is_not() -> None:
    values = np.full((6, 8), 1000, "uint16")
    values[0, 0], values[0, 1] = 0, 990
    (found,) = to_model_grid([band(values, nodata=0)], GRID, None, -1000)
    assert np.isnan(found[0, 0])
    assert found[0, 1] < 0
    assert np.isfinite(found).sum() == found.size - 1


@pytest.mark.parametrize("pixel", [10, 20])
@pytest.mark.parametrize("flip", [False, True])
def test_strips_join_without_a_trace(pixel: int, flip: bool) -> None:
    """150 rows are averaged in three strips; pixels of 20 m lie across their edges."""
    rng = np.random.default_rng(4)
    target = GeoBox((150, 7), Affine(30, 0, 600_000, 0, -30, 5_000_010), "EPSG:32633")
    shape = (4503 // pixel - 5, 210 // pixel)
    grid = GeoBox(shape, Affine(pixel, 0, 600_000, 0, -pixel, 5_000_010), "EPSG:32633")
    values = rng.integers(0, 4, shape).astype("uint16") * 1000
    scene = band(values, grid, nodata=0)
    if flip:
        scene = band(values[::-1].copy(), grid.flipy(), nodata=0)
    found = to_model_grid([scene], target, None, -1000)
    for row in range(150):
        line = target[row : row + 1, :]
        near = parts_of([scene], line)
        if near is None:
            assert np.isnan(found[:, row]).all()
        else:
            np.testing.assert_array_equal(
                found[:, row : row + 1], to_model_grid(near, line, None, -1000)
            )
    assert np.isnan(found[0, -1]).any()
    assert np.isfinite(found).any()


def test_a_window_takes_little_more_memory_than_its_numbers() -> None:
    """Each band has 32 MB. In float32, all at once, one would take 65 MB more, and each comparison of the two 16."""
    target = GeoBox((1000, 1800), Affine(30, 0, 600_000, 0, -30, 5_000_010), "EPSG:32633")
    grid = GeoBox((3000, 5400), Affine(10, 0, 600_000, 0, -10, 5_000_010), "EPSG:32633")
    rng = np.random.default_rng(5)
    scene = [band(rng.integers(1000, 5000, grid.shape).astype("uint16"), grid) for _ in range(2)]
    tracemalloc.start()
    try:
        to_model_grid(scene, target, None, -1000)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 100e6
