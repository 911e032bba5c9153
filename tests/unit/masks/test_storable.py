"""What xarray writes as netCDF and Zarr."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from odc_cleansat.classes import flags_definition
from odc_cleansat.masks.storable import storable


@pytest.fixture
def odd() -> xr.Dataset:
    """A Dataset with everything that datacube puts into attributes and netCDF refuses."""
    times = xr.DataArray(
        np.array(["2024-06-15T10:10:31"], "datetime64[ns]"),
        dims="time",
        attrs={"units": "seconds since 1970-01-01 00:00:00"},
    )
    scl = xr.DataArray(
        np.ones((1, 2, 3), "int16"),
        dims=("time", "y", "x"),
        coords={"time": times, "spatial_ref": 32633},
        attrs={
            "flags_definition": flags_definition(),
            "grid_mapping": "spatial_ref",
            "nothing": None,
            "is_mask": True,
            "bands": [{"name": "SCL"}],
            "made": np.datetime64("2024-06-15"),
        },
    )
    scl.encoding = {"grid_mapping": "spatial_ref", "preferred_chunks": {"y": 7}}
    return xr.Dataset({"SCL": scl})


@pytest.mark.parametrize("kind", ["netcdf", "zarr"])
def test_what_was_stored_comes_back(odd: xr.Dataset, kind: str, tmp_path: Path) -> None:
    made = storable(odd)
    if kind == "netcdf":
        made.to_netcdf(tmp_path / "made", engine="scipy")
        back = xr.load_dataset(tmp_path / "made", engine="scipy")
    else:
        pytest.importorskip("zarr", reason="zarr is not installed")
        made.chunk({"y": 1}).to_zarr(tmp_path / "made", consolidated=False)
        back = xr.open_zarr(tmp_path / "made", consolidated=False)
    np.testing.assert_array_equal(back.SCL, odd.SCL)
    np.testing.assert_array_equal(back.time, odd.time)
    assert "grid_mapping" in {**back.SCL.attrs, **back.SCL.encoding}
    # NetCDF gives text back, and Zarr the mapping.
    assert made.SCL.attrs["flags_definition"] == back.SCL.attrs["flags_definition"]
    assert back.SCL.attrs["is_mask"] == 1
    assert back.SCL.attrs["made"] == "2024-06-15"
    assert "nothing" not in back.SCL.attrs


def test_what_was_given_stays_as_it_was(odd: xr.Dataset) -> None:
    before = odd.copy(deep=True)
    encoding = dict(odd.SCL.encoding)
    storable(odd)
    xr.testing.assert_identical(odd, before)
    assert odd.SCL.encoding == encoding
