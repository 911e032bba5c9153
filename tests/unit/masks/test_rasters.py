"""Rasters: which bands of masks and composites share a file."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from odc.geo.geobox import GeoBox
from odc.geo.xr import wrap_xr

from odc_cleansat.masks.rasters import (
    composite_raster,
    composite_rasters,
    mask_rasters,
    share_a_file,
)

GRID = GeoBox(
    (4, 5), GeoBox.from_bbox((0, 0, 5, 4), "EPSG:32633", shape=(4, 5)).affine, "EPSG:32633"
)


def layer(dtype: str, **attrs: object) -> xr.DataArray:
    found: xr.DataArray = wrap_xr(np.ones((4, 5), dtype), GRID, **attrs)
    return found


@pytest.fixture
def clean() -> xr.Dataset:
    attrs = {
        "time_coverage_start": "2024-06-01T00:00:00.0",
        "time_coverage_end": "2024-06-30T00:00:00.0",
    }
    return xr.Dataset(
        {
            "red": layer("uint16", nodata=0),
            "blue": layer("uint16", nodata=0),
            "clear_count": layer("uint16"),
            "observation_count": layer("uint16"),
            "clear_share": layer("float32"),
        },
        attrs={**attrs, "composite_method": "median"},
    )


def test_a_mask_with_its_confidence() -> None:
    mask = xr.Dataset({"ucl": layer("uint8"), "ucl_confidence": layer("uint8")})
    mask = mask.assign_coords(time=np.datetime64("2024-06-15T10:10:31", "ns"))
    found = mask_rasters(mask, "mode", "asked")
    assert list(found) == ["mode_ucl", "ucl_confidence"]
    assert (found["mode_ucl"].nodata, found["ucl_confidence"].nodata) == (0, 255)
    assert found["mode_ucl"].tags["TIFFTAG_DATETIME"] == "2024:06:15 10:10:31"


def test_fractions_share_a_file() -> None:
    mask = xr.Dataset({"cloud_fraction": layer("float32"), "shadow_fraction": layer("float32")})
    mask = mask.assign_coords(time=np.datetime64("2024-06-15", "ns"))
    (raster,) = mask_rasters(mask, "fraction", "").values()
    assert list(raster.bands) == ["cloud_fraction", "shadow_fraction"]


def test_a_composite_in_one_file_or_in_several(clean: xr.Dataset) -> None:
    assert share_a_file(clean)
    assert list(composite_raster(clean, 3, "").bands) == ["red", "blue"]
    found = composite_rasters(clean, 3, "asked")
    assert list(found) == ["red", "blue", "clear_count", "observation_count", "clear_share"]
    assert found["clear_count"].nodata is None  # a count of 0 is a count
    assert found["red"].tags["OBSERVATIONS"] == "3"
    assert not share_a_file(clean.assign(nir=layer("float32")))
