"""The grid of the result."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from conftest import Cube
from odc.geo.geobox import GeoBox
from odc.geo.xr import xr_zeros

from odc_cleansat import CloudClass
from odc_cleansat.cube.load import load
from odc_cleansat.cube.output_grid import GridOptions
from odc_cleansat.cube.recall import recall
from odc_cleansat.errors import (
    CubeError,
)
from odc_cleansat.storage.eo3 import MASK_PRODUCT

from .helpers import HOME, of_home
from .mask_archive import GRIDS, MaskArchive, codes_of


def test_a_grid_by_any_name(cube: Cube) -> None:
    how = {"datasets": of_home(cube)[:1], "measurements": "ucl"}
    expected = load(cube.dc, like=HOME, **how)
    assert load(cube.dc, geobox=HOME, **how).identical(expected)
    for like in (expected, expected.ucl):
        xr.testing.assert_equal(load(cube.dc, like=like, **how), expected)


@pytest.mark.parametrize(
    "query",
    [
        {"x": (13.66, 13.68), "y": (47.82, 47.84), "output_crs": "EPSG:32633", "resolution": 20},
        {"lon": (13.66, 13.68), "lat": (47.82, 47.84), "output_crs": "EPSG:3857", "resolution": 30},
        {"x": (401000, 402000), "y": (5298000, 5299500), "crs": "EPSG:32633", "output_crs": "EPSG:4326", "resolution": 0.0003},
        {"output_crs": "EPSG:3035", "resolution": 50, "align": (10, 20), "time": "2024-07"},
        {"time": ("2024-06-01", "2024-06-30"), "output_crs": "EPSG:32633", "resolution": 35, "group_by": "solar_day"},
    ],
    ids=["x-y", "lon-lat", "crs", "align", "solar-day"],
)  # fmt: skip
def test_queries_mean_what_they_mean_to_dc_load(cube: Cube, query: dict[str, Any]) -> None:
    found, loaded = recall(cube.dc, **query), cube.dc.load(MASK_PRODUCT, **query)
    assert found.odc.geobox == loaded.odc.geobox
    assert found.ucl.shape == loaded.ucl.shape
    assert (found.time.values == loaded.time.values).all()
    # dc.load interpolates coordinates to an eighth of a pixel.
    assert np.mean(found.ucl.values == loaded.ucl.values) > 0.95


def test_without_a_grid_the_masks_own(archive: MaskArchive) -> None:
    native = GRIDS["east"]
    found = recall(archive.dc, time="2024-07")
    assert found.odc.geobox == native
    np.testing.assert_array_equal(found.ucl[0], codes_of(archive, "later"))
    part = recall(
        archive.dc, time="2024-07", x=(401001, 401999), y=(5298001, 5299001), crs="EPSG:32633"
    )
    box = part.odc.geobox
    assert (box.crs, box.resolution.x, box.alignment) == (native.crs, 20, native.alignment)
    np.testing.assert_array_equal(part.ucl[0], found.ucl[0].sel(x=part.x, y=part.y))
    coarse = recall(archive.dc, time="2024-07", resolution=60, how="any_cloud")
    assert (coarse.odc.geobox.crs, coarse.odc.geobox.resolution.x) == (native.crs, 60)
    with pytest.raises(CubeError, match=r"EPSG:32633, EPSG:32632|EPSG:32632, EPSG:32633") as error:
        recall(archive.dc, time="2024-06-15T10:10")
    assert "output_crs and resolution" in str(error.value)


def test_absurd_grids_are_refused_before_the_memory_is_gone(archive: MaskArchive) -> None:
    query: dict[str, Any] = {"time": "2024-07", "output_crs": "EPSG:4326", "resolution": 1e-7}
    with pytest.raises(CubeError, match=r"GB.*dask_chunks=\{'latitude': 2048, 'longitude': 2048\}"):
        recall(archive.dc, **query)
    area = {"x": (13.66, 13.67), "y": (47.83, 47.84)}
    lazy = recall(archive.dc, dask_chunks={"x": 25_000, "y": 25_000}, **query, **area)
    assert lazy.ucl.nbytes > 9e9
    corner = lazy.ucl[0, 50_000:50_002, 50_000:50_003]
    assert corner.shape == (2, 3)


@pytest.mark.parametrize(
    ("crs", "bounds", "resolution"),
    [
        ("EPSG:4326", (-180, -90, 180, 90), 0.5),
        ("EPSG:3857", (-2.01e7, -2.01e7, 2.01e7, 2.01e7), 50_000),
        ("EPSG:3857", (-3e7, -3e7, 3e7, 3e7), 50_000),
        ("EPSG:6933", (-2e7, -9e6, 2e7, 9e6), 40_000),
        ("EPSG:3577", (-3e7, -3e7, 3e7, 3e7), 60_000),
        ("EPSG:32601", (-3e7, -3e7, 3e7, 3e7), 60_000),
        ("EPSG:3031", (-5e7, -5e7, 5e7, 5e7), 100_000),
    ],
)
def test_grids_of_the_world_and_more(
    archive: MaskArchive, crs: str, bounds: tuple[float, ...], resolution: float
) -> None:
    target = GeoBox.from_bbox(bounds, crs, resolution=resolution)
    found = recall(archive.dc, geobox=target, how="any_cloud", group_by="solar_day")
    assert found.sizes["time"] >= 2
    assert (found.ucl.max(target.dimensions) == CloudClass.CLOUD).all()
    nearest = recall(archive.dc, geobox=target, group_by="solar_day")
    assert (nearest.ucl.values != 0).sum() <= (found.ucl.values != 0).sum()


def test_a_grid_by_the_path_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "like.tif"
    xr_zeros(HOME, "uint8").odc.write_cog(path)
    for given in (path, str(path)):
        assert GridOptions(like=given).given({}) == HOME
    (tmp_path / "text.tif").write_text("no raster")
    for wrong in (tmp_path / "none.tif", tmp_path / "text.tif"):
        with pytest.raises(CubeError, match=f"{wrong.name}', given as like, is no raster file"):
            GridOptions(like=wrong).given({})
