"""Which pixels of a scene have no data."""

from __future__ import annotations

import numpy as np
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox
from odc.geo.xr import wrap_xr

from odc_cleansat.errors import SceneError
from odc_cleansat.grids.grid import box_geobox, model_grid
from odc_cleansat.scenes.files import Band
from odc_cleansat.scenes.nodata import find_missing, has_data, missing_pixels
from odc_cleansat.scenes.packing import declared_nodata

GRID = GeoBox((6, 8), Affine(30, 0, 600_000, 0, -30, 5_000_010), "EPSG:32633")


def band(values: np.ndarray, grid: GeoBox = GRID, **attrs: object) -> Band:
    return Band(wrap_xr(values, grid, **attrs), grid)


def test_a_zero_in_one_band_is_data_and_in_all_bands_it_is_not() -> None:
    one, other = np.full((6, 8), 500, "uint16"), np.full((6, 8), 500, "uint16")
    one[:2], other[1:3] = 0, 0
    for scene in (
        [band(one), band(other)],
        [band(one), band(other, nodata=0)],
        [band(one, nodata=0), band(other, nodata=0)],
    ):
        for gone in missing_pixels(scene, [one, other]):
            assert gone[1].all()
            assert gone.sum() == 8


def test_any_other_declared_value_counts_for_its_band_alone() -> None:
    one, other = np.full((6, 8), 500, "int16"), np.full((6, 8), 500, "int16")
    one[:2], other[1:3] = -999, -999
    first, second = missing_pixels([band(one, nodata=-999), band(other, nodata=-999)], [one, other])
    assert (first.sum(), second.sum()) == (16, 16)
    found = find_missing([band(one, nodata=-999), band(other, nodata=-999)], [one, other])
    assert found.undeclared == {}


def test_ones_in_all_bands_are_the_edge_of_a_tile() -> None:
    one, other = np.full((6, 8), 500, "uint16"), np.full((6, 8), 500, "uint16")
    one[:, :3], other[:, 1:4] = 1, 1
    one[0, 1], other[0, 2] = 0, 0  # dark ground has 0 in one band and 1 in another
    for gone in missing_pixels([band(one, nodata=0), band(other, nodata=0)], [one, other]):
        assert gone[1:, 1:3].all()
        assert gone.sum() == 10


@pytest.mark.parametrize(
    ("dtype", "fill", "good"),
    [
        ("int16", -999, 500),
        ("int16", -32768, 500),
        ("int16", 32767, 500),
        ("uint16", 65535, 500),
        ("float32", -9999.0, 0.05),
        ("float32", -0.9999, 0.05),
        ("float64", 1e20, 0.05),
    ],
)
def test_a_number_that_no_ground_has_in_all_bands_is_undeclared_nodata(
    dtype: str, fill: float, good: float
) -> None:
    one, other = (np.full((6, 8), good, dtype) for _ in range(2))
    one[:2], other[1:3] = fill, fill
    found = find_missing([band(one), band(other)], [one, other])
    assert found.undeclared == {float(one[0, 0]): 8}
    for gone in found.gone:
        assert gone[1].all()
        assert gone.sum() == 8


def test_one_number_in_all_bands_is_counted_where_it_is_data() -> None:
    one, other = (np.arange(48, dtype="uint16").reshape(6, 8) + k for k in (500, 700))
    one[:2], other[1:3] = 255, 255
    one[5], other[5] = 0, 0
    bands = [band(one), band(other)]
    assert find_missing(bands, [one, other]).alike == {255: 8}
    declared = [band(one, nodata=255), band(other, nodata=255)]
    assert find_missing(declared, [one, other]).alike == {}
    assert find_missing(bands[:1], [one]).alike[255] == 16


def test_rows_that_are_looked_at_in_strips_are_looked_at_alike() -> None:
    rng = np.random.default_rng(3)
    tall = GeoBox((700, 8), Affine(30, 0, 600_000, 0, -30, 5_000_010), "EPSG:32633")
    one, other = (rng.choice([0, 1, 255, 500, 65535], tall.shape).astype("uint16") for _ in "12")
    found = find_missing([band(one, tall), band(other, tall)], [one, other])
    rows = [
        find_missing([band(a, tall[i : i + 1, :]), band(b, tall[i : i + 1, :])], [a, b])
        for i, (a, b) in enumerate(zip(one[:, None], other[:, None], strict=True))
    ]
    expected = (one == other) & np.isin(one, [0, 1, 65535])
    assert expected[:, 0].any()
    for k, gone in enumerate(found.gone):
        np.testing.assert_array_equal(gone, expected)
        np.testing.assert_array_equal(gone, np.concatenate([row.gone[k] for row in rows]))
    assert found.undeclared == {65535: ((one == other) & (one == 65535)).sum()}
    assert found.alike == {n: ((one == other) & (one == n)).sum() for n in (255, 500)}


def test_dark_and_bright_ground_is_data_even_where_all_bands_are_equal() -> None:
    for dtype, values in (
        ("float32", (-0.04, 0.0003, 1.0, 4.9)),
        ("uint16", (2, 300, 20_000, 49_000)),
    ):
        for value in values:
            pixels = np.full((6, 8), value, dtype)
            for gone in missing_pixels([band(pixels), band(pixels)], [pixels, pixels]):
                assert not gone.any(), value


def test_the_fill_value_of_packed_numbers_says_nothing_of_unpacked_ones() -> None:
    """As xarray opens Zarr with scale_factor, add_offset and _FillValue 0: missing is NaN, and 0 is reflectance."""
    values = np.full((6, 8), 0.2, "float32")
    values[0], values[1] = 0, np.nan
    data = wrap_xr(values, GRID)
    data.encoding = {"scale_factor": 0.0001, "add_offset": -0.1, "_FillValue": 0}
    assert declared_nodata(data) is None
    for gone in missing_pixels([Band(data, GRID)] * 2, [values] * 2):
        assert gone[1].all()
        assert gone.sum() == 8


def test_bands_of_two_pixel_sizes_say_it_together() -> None:
    """The edge of a swath is missing in all, to the pixel of each; dark water in one of them is data."""
    fine = GRID.zoom_out(0.5)
    visible, infrared = np.full(fine.shape, 500, "uint16"), np.full(GRID.shape, 500, "uint16")
    visible[:, :5], infrared[:, :2] = 0, 0  # the third coarse pixel is cut
    infrared[3:5, 5:7] = 0
    first, second = missing_pixels([band(visible, fine), band(infrared)], [visible, infrared])
    assert first[:, :5].all()
    assert not first[:, 5:].any()
    assert second[:, :2].all()
    assert not second[:, 2:].any()
    visible[6:10, 10:14] = 0
    _, second = missing_pixels([band(visible, fine), band(infrared)], [visible, infrared])
    assert second[3:5, 5:7].all()


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
    values = np.full(fine.shape, 500, "int16")
    values[0, 0] = -999  # a quarter of a pixel
    values[0, 2:4] = -999  # half of one
    values[0:2, 4:6] = -999  # a whole one
    other = np.full((6, 8), 500, "int16")
    other[5, 7] = -999
    found = has_data([band(values, fine, nodata=-999), band(other, nodata=-999)], GRID)
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
