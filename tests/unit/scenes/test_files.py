"""Files of bands, as datasets and items name them."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import numpy as np
import pystac
import pytest
import rasterio
from affine import Affine
from datacube.model import Measurement
from odc.geo.geobox import GeoBox
from odc.geo.xr import wrap_xr
from rasterio.errors import RasterioIOError

from odc_cleansat.errors import SceneError
from odc_cleansat.scenes.files import (
    Band,
    BandFile,
    SceneFiles,
    local_path,
    parts_of,
    reading,
)

GRID = GeoBox((6, 8), Affine(10, 0, 399960, 0, -10, 5300040), "EPSG:32633")


def band_file(path: Path, crs: str | None = "EPSG:32633", nodata: int | None = None) -> BandFile:
    with rasterio.open(
        path, "w", driver="GTiff", height=6, width=8, count=2, dtype="uint16", crs=crs,
        transform=GRID.affine, nodata=nodata,
    ) as file:  # fmt: skip
        file.write(np.arange(96, dtype="uint16").reshape(2, 6, 8))
    return BandFile(str(path), 2, 7)


def test_a_band_has_the_grid_of_its_file_and_pixels_of_its_band(tmp_path: Path) -> None:
    band = band_file(tmp_path / "x.tif").open()
    assert band.grid == GRID
    np.testing.assert_array_equal(band.data.values, np.arange(48, 96).reshape(6, 8))


@pytest.mark.parametrize(("declared", "expected"), [(None, 7), (3, 3)])
def test_the_nodata_value_of_the_file_comes_first(
    tmp_path: Path, declared: int | None, expected: int
) -> None:
    band = band_file(tmp_path / "x.tif", nodata=declared).open()
    assert band.data.rio.nodata == expected


def test_two_bands_of_one_file_are_refused() -> None:
    """As when a script that writes metadata names one file for all bands."""
    one, other = BandFile("/x/B04.tif", 1, 0), BandFile("/x/all.tif", 1, 0)
    files = {"red": one, "nir": one, "blue": other, "green": other._replace(band=2)}
    scene = SceneFiles(files, {}, "item a", {})
    assert list(scene.wanted(["red", "blue", "green"])) == ["red", "blue", "green"]
    with pytest.raises(
        SceneError, match=r"item a: red and nir are both band 1 of /x/B04\.tif; correct"
    ):
        scene.wanted(["blue", "red", "nir"])


def test_parts_of_bands_cover_the_target_or_there_are_none() -> None:
    grids = [GRID, GRID, GRID.zoom_out(2), GRID]
    bands = [
        Band(
            wrap_xr(np.arange(i, i + grid.shape[0] * grid.shape[1]).reshape(grid.shape), grid), grid
        )
        for i, grid in enumerate(grids)
    ]
    parts = parts_of(bands, GRID[2:4, 3:5])
    assert parts is not None
    for part, band in zip(parts, bands, strict=True):
        assert part.data.shape == tuple(part.grid.shape)
        assert part.grid.resolution == band.grid.resolution
        assert part.grid.extent.contains(GRID[2:4, 3:5].extent)
        assert part.data.equals(band.data.sel(y=part.data.y, x=part.data.x))
    assert parts_of(bands, GRID.translate_pix(100, 0)) is None
    beside = Band(bands[0].data, GRID.translate_pix(100, 0))
    assert parts_of([bands[0], beside], GRID[2:4, 3:5]) is None


def test_files_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(SceneError, match=r"cannot read .*missing\.tif.*Is it there, and whole"):
        BandFile(str(tmp_path / "missing.tif"), 1, 0).open()


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_a_file_without_coordinate_system(tmp_path: Path) -> None:
    with pytest.raises(SceneError, match="no coordinate system"):
        band_file(tmp_path / "x.tif", crs=None).open()


def test_a_dataset_without_location() -> None:
    dataset: Any = SimpleNamespace(uri=None, id=UUID(int=1))
    with pytest.raises(SceneError, match=r"dataset 0+-.* has no location"):
        SceneFiles.of_dataset(dataset)


def test_a_measurement_of_a_dataset_names_its_file_and_its_band() -> None:
    stored = {
        "blue": {"path": "all.tif", "band": 2},
        "green": {"path": "all.tif", "layer": 3},
        "red": {"path": "https://x/red.tif", "layer": "red"},
        "nir": {},
    }
    measurements = {
        name: Measurement(name=name, dtype="uint16", nodata=i, units="1", aliases=[f"{name}_"])
        for i, name in enumerate((*stored, "swir16"))
    }
    dataset: Any = SimpleNamespace(
        uri="file:///s/scene.yaml", id=UUID(int=1), has_multiple_uris=lambda: False, metadata_doc={},
        measurements=stored, product=SimpleNamespace(name="s2_l2a", measurements=measurements),
    )  # fmt: skip
    found = SceneFiles.of_dataset(dataset).files
    assert found["blue"] == found["blue_"] == BandFile("file:///s/all.tif", 2, 0)
    assert found["green"] == BandFile("file:///s/all.tif", 3, 1)
    assert found["red"] == BandFile("https://x/red.tif", 1, 2)
    assert found["nir"] == BandFile("file:///s/scene.yaml", 1, 3)
    assert "swir16" not in found


def item(**assets: dict[str, Any]) -> pystac.Item:
    found = pystac.Item("scene", None, None, datetime(2024, 6, 15), {"s2:processing_baseline": "05.10"})  # fmt: skip
    for name, fields in assets.items():
        found.add_asset(name, pystac.Asset(f"https://x/{name}.tif", extra_fields=fields))
    return found


def test_an_item_names_its_bands_with_and_without_resolution() -> None:
    files = SceneFiles.of_item(item(B04_10m={"nodata": 5}, SCL_20m={}))
    assert files.files["B04"] == files.files["B04_10m"] == BandFile("https://x/B04_10m.tif", 1, 5)
    assert files.wanted(["red"]) == {"red": files.files["B04"]}
    assert files.scl == BandFile("https://x/SCL_20m.tif", 1, 0)
    with pytest.raises(SceneError, match=r"item scene: .*lacks blue \(B02\)"):
        files.wanted(["blue"])


def test_the_offset_is_that_of_any_reflective_band() -> None:
    described = {"raster:bands": [{"offset": -0.1, "scale": 0.0001}]}
    assert SceneFiles.of_item(item(B02=described, SCL={})).offset().value == -1000
    assert SceneFiles.of_item(item(B02=described)).offset(0).source == "argument"
    only_classes = SceneFiles.of_item(item(SCL={}))
    assert only_classes.scl is not None
    with pytest.raises(SceneError, match="lacks red"):
        only_classes.offset()


def test_local_paths() -> None:
    assert local_path("file:///a%20b/c.tif") == "/a b/c.tif"
    assert local_path("s3://bucket/c.tif") == "s3://bucket/c.tif"
    assert local_path("/a/c.tif") == "/a/c.tif"


@pytest.mark.parametrize("error", [SceneError("gone"), RasterioIOError("gone"), OSError("gone")])
def test_errors_name_the_scene(error: Exception) -> None:
    with pytest.raises(SceneError, match=r"scene x: .*gone"), reading("scene x"):
        raise error


def test_each_address_is_patched_once() -> None:
    """A file has several names, and a patch may ask a service for a signature."""
    red = BandFile("https://store/B04.tif", 1, 0)
    files = {"red": red, "B04": red, "nir": BandFile("https://store/B08.tif", 1, 0)}
    asked: list[str] = []

    def sign(uri: str) -> str:
        asked.append(uri)
        return f"{uri}?signature"

    found = SceneFiles(files, {}, "scene", {}).patched(sign)
    assert sorted(asked) == ["https://store/B04.tif", "https://store/B08.tif"]
    assert {name: file.uri for name, file in found.files.items()} == {
        "red": "https://store/B04.tif?signature",
        "B04": "https://store/B04.tif?signature",
        "nir": "https://store/B08.tif?signature",
    }
    assert files["red"] == red
