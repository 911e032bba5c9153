"""Values of bands as reflectance."""

from __future__ import annotations

import numpy as np
from affine import Affine
from odc.geo.geobox import GeoBox
from odc.geo.xr import wrap_xr

from odc_cleansat.scenes.files import Band
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
