"""How the numbers of a band become reflectance, from all that its array says of itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pystac
import pytest
import xarray as xr
from odc.geo.geobox import GeoBox
from odc.geo.xr import wrap_xr

from odc_cleansat.errors import SceneError
from odc_cleansat.scenes.packing import Packing, asset_values, item_metadata, read_packing

GRID = GeoBox.from_bbox((399960, 5299920, 400080, 5300040), "EPSG:32633", resolution=30)


def band(dtype: str = "uint16", attrs: dict[str, Any] | None = None, **coords: Any) -> xr.DataArray:
    values = wrap_xr(np.full(GRID.shape, 0.2 if dtype[0] == "f" else 200, dtype), GRID)
    return values.assign_attrs(attrs or {}).assign_coords(coords)


def raster(**fields: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"raster:bands": ((), np.array(None, dtype=object))}
    found["raster:bands"][1][()] = fields
    return found


def test_without_a_word_integers_are_digital_numbers_and_floats_reflectance() -> None:
    assert read_packing(band()) == Packing(1e-4, 0, None, "nothing", (0, 1))
    assert read_packing(band("float32")) == Packing(1, 0, None, "the values are reflectance")


@pytest.mark.parametrize(
    ("dtype", "attrs", "scale", "offset"),
    [
        ("uint16", {"scale_factor": 0.0001, "add_offset": -0.1}, 1e-4, -1000),
        (
            "uint16",
            {"scale_factor": 1.0, "add_offset": 0.0},
            1e-4,
            0,
        ),  # what rioxarray says of files that say nothing
        ("uint16", {"scale_factor": 0.0002, "add_offset": -0.1}, 2e-4, -500),
        ("uint16", {"add_offset": -1000}, 1e-4, -1000),
        ("uint8", {"scale_factor": 0.004}, 0.004, 0),
        ("float32", {"scale_factor": 0.0001, "add_offset": -0.1}, 1e-4, -1000),
        ("float32", {"add_offset": -0.1}, 1, -0.1),
    ],
)
def test_attributes_are_still_to_be_applied(
    dtype: str, attrs: dict[str, Any], scale: float, offset: float
) -> None:
    found = read_packing(band(dtype, attrs))
    assert (found.scale, found.offset) == (scale, offset)


def test_the_caller_comes_first() -> None:
    said = band(attrs={"scale_factor": 0.0002, "add_offset": -0.1}, offset=-1000.0)
    found = read_packing(said, 0.5, 0)
    assert (found.scale, found.offset, found.source) == (0.5, 0, "argument")
    assert read_packing(said, offset=-0.1).offset == -500


def test_a_fraction_is_reflectance_whatever_the_numbers_are() -> None:
    assert read_packing(band(), offset=-0.1).offset == -1000
    assert read_packing(band("float32"), offset=-0.1).offset == -0.1
    assert read_packing(band("float32"), 1e-4, -0.1).offset == -1000


def test_the_coordinate_that_load_adds_is_about_digital_numbers() -> None:
    found = read_packing(band(offset=-1000.0))
    assert (found.offset, found.source) == (-1000, "the coordinate offset is -1000")
    assert read_packing(band("float32", offset=-1000.0)).offset == 0
    assert read_packing(band("float32", offset=-1000.0), 1e-4).offset == -1000
    with pytest.raises(SceneError, match="harmonized=True"):
        read_packing(band(offset=np.nan))


BASELINE = {"s2:processing_baseline": "05.10"}
APPLIED = {**BASELINE, "earthsearch:boa_offset_applied": True}


@pytest.mark.parametrize(
    ("dtype", "coords", "offset"),
    [
        ("uint16", BASELINE, -1000),
        ("uint16", APPLIED, 0),
        ("uint16", raster(scale=0.0001, offset=-0.1), -1000),
        ("uint16", APPLIED | raster(scale=0.0001, offset=-0.1), 0),
        ("float64", BASELINE, 0),  # who made reflectance of it may have taken it off
    ],
)
def test_what_stackstac_tells_of_the_item(
    dtype: str, coords: dict[str, Any], offset: float
) -> None:
    found = read_packing(band(dtype, **coords))
    assert (found.offset, found.contradiction) == (offset, "")


@pytest.mark.parametrize(
    ("coords", "offset"),
    [
        (APPLIED | raster(scale=0.0001, offset=-0.1), 0.1),
        (BASELINE | raster(scale=0.0001), -0.1),
        (BASELINE | raster(scale=0.0001, offset=-0.1), 0),
    ],
)
def test_a_wrong_offset_that_stackstac_has_applied_is_put_right(
    coords: dict[str, Any], offset: float
) -> None:
    found = read_packing(band("float64", **coords))
    assert found.offset == pytest.approx(offset)
    assert bool(found.contradiction) == bool(offset)
    assert "offset=0" in found.contradiction or not offset


def test_item_metadata_are_scalars_only() -> None:
    of_items = {"platform": "sentinel-2a", "s2:tile": ("time", ["a", "b"]), "gsd": 10}
    several = band().expand_dims(time=2).assign_coords(of_items)
    assert item_metadata(several) == {
        "properties": {"platform": "sentinel-2a"},
        "raster_bands": None,
    }
    assert item_metadata(several[0])["properties"]["s2:tile"] == "a"


@pytest.mark.parametrize(
    ("attrs", "message"),
    [
        ({"scale_factor": "ten"}, "scale_factor of a band is 'ten'"),
        ({"scale_factor": 0.0}, "scale_factor of a band is 0"),
        ({"add_offset": np.nan}, "add_offset of a band is nan"),
        ({"nodata": "none"}, "correct its attribute `nodata`"),
    ],
)
def test_attributes_that_say_nothing_sensible(attrs: dict[str, Any], message: str) -> None:
    with pytest.raises(SceneError, match=message):
        read_packing(band(attrs=attrs))


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, {}),
        ({"raster:bands": [{"nodata": 0, "scale": 0.1}]}, {"nodata": 0, "scale": 0.1}),
        ({"bands": [{"raster:offset": -0.1}], "data_type": "uint16"}, {"offset": -0.1, "data_type": "uint16"}),
        ({"raster:bands": [{"offset": 1}], "bands": [{"offset": 2, "nodata": 3}], "nodata": 4}, {"nodata": 3, "offset": 1}),
        ({"raster:scale": 2, "bands": []}, {"scale": 2}),
        ({"raster:bands": ["x"], "bands": {"nodata": 1}, "nodata": "-1"}, {"nodata": -1}),
    ],
)  # fmt: skip
def test_what_an_asset_says_of_its_values(fields: dict[str, Any], expected: dict[str, Any]) -> None:
    assert asset_values(pystac.Asset("x.tif", extra_fields=fields)) == expected


def test_an_asset_whose_nodata_is_no_number() -> None:
    assert np.isnan(asset_values(pystac.Asset("x.tif", extra_fields={"nodata": "nan"}))["nodata"])
    with pytest.raises(SceneError, match="nodata of an asset is 'none'"):
        asset_values(pystac.Asset("x.tif", extra_fields={"nodata": "none"}))


def test_the_fill_value_of_esas_zarr_is_no_data_packed_and_unpacked() -> None:
    """Zarr 3 does not tell xarray of it, which unpacks 0 like data."""
    packed = band(attrs={"scale_factor": 0.0001, "add_offset": -0.1, "fill_value": 0})
    assert read_packing(packed).nodata == 0
    for dtype in ("float32", "float64"):
        unpacked = band(dtype, attrs={"fill_value": 0})
        unpacked.encoding = {"scale_factor": 0.0001, "add_offset": -0.1}
        assert read_packing(unpacked).nodata == pytest.approx(-0.1)
    assert read_packing(band("float32", attrs={"fill_value": 0})).nodata is None
    assert read_packing(band(attrs={"fill_value": float("nan")})).nodata is None
    with pytest.raises(SceneError, match="fill_value of a band is 'x', which is no number"):
        read_packing(band(attrs={"fill_value": "x"}))
