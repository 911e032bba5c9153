"""Values of bands as reflectance, and where there are none."""

from __future__ import annotations

import numpy as np
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox
from odc.geo.xr import wrap_xr

from odc_cleansat.errors import SceneError
from odc_cleansat.grids.grid import box_geobox, model_grid
from odc_cleansat.scenes.files import Band
from odc_cleansat.scenes.reflectance import (
    check_scale,
    declared_nodata,
    has_data,
    missing_pixels,
    to_model_grid,
)

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


def test_without_nodata_value_a_pixel_is_missing_where_all_bands_are_0() -> None:
    one, other = np.ones((6, 8), "uint16"), np.ones((6, 8), "uint16")
    one[:2], other[1:3] = 0, 0
    for gone in missing_pixels([band(one), band(other)], [one, other]):
        assert gone[1].all()
        assert gone.sum() == 8
    declared = band(other, nodata=0)
    first, second = missing_pixels([band(one), declared], [one, other])
    assert (first.sum(), second.sum()) == (16, 16)


def test_floating_point_is_missing_where_it_is_not_finite_or_nodata() -> None:
    values = np.full((6, 8), 0.1, "float32")
    values[0, :3] = np.nan, np.inf, -9999
    (gone,) = missing_pixels([band(values, nodata=-9999)], [values])
    assert gone[0, :3].all()
    assert gone.sum() == 3


def test_the_nodata_value_may_be_an_attribute_or_an_encoding() -> None:
    plain = wrap_xr(np.ones((6, 8), "uint16"), GRID)
    assert declared_nodata(plain) is None
    assert declared_nodata(plain.assign_attrs(_FillValue=3)) == 3
    encoded = plain.copy()
    encoded.encoding["_FillValue"] = 4
    assert declared_nodata(encoded) == 4
    assert declared_nodata(plain.assign_attrs(nodata=float("nan"))) is None
    with pytest.raises(SceneError, match="is no number"):
        declared_nodata(plain.assign_attrs(nodata="none"))


def test_a_pixel_has_data_where_half_of_it_has_in_all_bands() -> None:
    fine = GRID.zoom_out(0.5)
    values = np.ones(fine.shape, "uint16")
    values[0, 0] = 0  # a quarter of a pixel
    values[0, 2:4] = 0  # half of one
    values[0:2, 4:6] = 0  # a whole one
    other = np.ones((6, 8), "uint16")
    other[5, 7] = 0
    found = has_data([band(values, fine, nodata=0), band(other, nodata=0)], GRID)
    assert found[0, :4].tolist() == [True, True, False, True]
    assert not found[5, 7]
    assert found.sum() == found.size - 2


def test_beside_a_rotated_scene_there_is_no_data() -> None:
    corner = Affine.translation(600_000, 5_000_000) * Affine.rotation(45)
    grid = GeoBox((120, 120), corner * Affine.scale(30, -30), "EPSG:32633")
    scene = Band(wrap_xr(np.full(grid.shape, 0.2, "float32"), grid, nodata=float("nan")), grid)
    crs, box = model_grid(grid, 30)
    around = box_geobox(box, crs, 30)[2:-2, 2:-2]
    # A square on its corner fills half of one around it.
    assert 0.4 < has_data([scene], around).mean() < 0.6


def test_digital_numbers_are_refused_however_much_is_missing() -> None:
    pixels = np.full((4, 80, 80), 1500, dtype="float32")
    pixels[:, :60] = np.nan
    with pytest.raises(SceneError, match="pass scale=1/10000"):
        check_scale(pixels)
    check_scale(np.full((4, 80, 80), np.nan, dtype="float32"))


def test_no_integer_is_nan() -> None:
    """A nodata value of NaN says nothing of integers: then zeros in all bands are no data."""
    scene = band(np.full((20, 8), 0.2, "float32"), GeoBox((20, 8), GRID.affine, GRID.crs))
    numbers = np.full(scene.grid.shape, 1200, dtype="uint16")
    numbers[:10] = 0
    data = wrap_xr(numbers, scene.grid, nodata=float("nan"))
    (gone,) = missing_pixels([Band(data, scene.grid)], [numbers])
    assert gone[:10].all()
    assert not gone[10:].any()
    with pytest.raises(SceneError, match="'none' of a band is no number"):
        missing_pixels([Band(data.assign_attrs(nodata="none"), scene.grid)], [numbers])
