"""Downloads: the files hold what was recalled, sizes are told and limited, lines of Python are Python."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest
import rasterio
import xarray as xr
from conftest import Cube
from odc.geo.geom import box, polygon

from odc_cleansat.app.downloads import (
    Grid,
    by_scl,
    check_size,
    class_picture,
    colour_picture,
    composite_files,
    make_composite,
    mask_files,
    png,
    share_picture,
    size_text,
)
from odc_cleansat.app.settings import Limits
from odc_cleansat.classes import CloudClass, scl_to_ucl
from odc_cleansat.cube import load, recall
from odc_cleansat.errors import CubeError

COUNTED: list[tuple[int, int]] = []


def count(done: int, total: int) -> None:
    COUNTED.append((done, total))


@pytest.fixture(scope="module")
def masks(cube: Cube) -> xr.Dataset:
    return recall(cube.dc, "s2_l2a_ucl", resolution=60, output_crs="EPSG:32633")


@pytest.fixture(scope="module")
def scenes(cube: Cube) -> xr.Dataset:
    datasets = [cube.scenes["june"], cube.scenes["july"]]
    found: xr.Dataset = load(
        cube.dc, datasets=datasets, measurements=["red", "green", "blue", "ucl", "scl"],
        harmonized=True, group_by="solar_day", resolution=60, output_crs="EPSG:32633",
    )  # fmt: skip
    return found


def test_several_masks_come_as_one_archive(masks: xr.Dataset) -> None:
    COUNTED.clear()
    found = mask_files(masks, "nearest", "as asked", count)
    assert found.kind == "application/zip"
    with zipfile.ZipFile(io.BytesIO(found.content)) as archive:
        names = archive.namelist()
        assert len(names) == masks.sizes["time"]
        with rasterio.MemoryFile(archive.read(names[0])) as file, file.open() as opened:
            np.testing.assert_array_equal(opened.read(1), masks.ucl.isel(time=0).values)
            assert opened.tags()["CLEANSAT_REQUEST"] == "as asked"
    assert COUNTED[-1][0] == COUNTED[-1][1] > 0


def test_one_mask_comes_as_a_cog(masks: xr.Dataset) -> None:
    found = mask_files(masks.isel(time=[0]), "nearest", "", count)
    assert (found.kind, found.name[-4:]) == ("image/tiff", ".tif")
    with rasterio.MemoryFile(found.content) as file, file.open() as opened:
        assert opened.nodata == CloudClass.NODATA


def test_size_in_words_and_its_limit(masks: xr.Dataset) -> None:
    rows, columns = masks.odc.geobox.shape
    assert f"{columns:,} x {rows:,} pixels, 2 times, 1 layer" in check_size(masks, Limits())
    with pytest.raises(CubeError, match="at most"):
        check_size(masks, Limits(pixels=1000))


def test_lines_of_python_say_the_same() -> None:
    west, south, east, north = 13.6, 47.7, 13.8, 47.9
    grid = Grid(box(west, south, east, north, "EPSG:4326"), "2024-06", "EPSG:32633", 20.0)
    said = eval(f"dict({grid.lines()})")  # our own text
    assert said == {"x": (west, east), "y": (south, north), "time": "2024-06", "output_crs": "EPSG:32633", "resolution": 20.0}  # fmt: skip
    corners = [(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 0.0)]
    said = eval(f"dict({Grid(polygon(corners, 'EPSG:4326'), '').lines()})")
    assert said["geopolygon"]["coordinates"] == (tuple(corners),)
    assert set(said) == {"geopolygon"}


def test_composites_by_both_layers_differ_only_in_their_masks(scenes: xr.Dataset) -> None:
    swapped = by_scl(scenes)
    np.testing.assert_array_equal(swapped.ucl.values, scl_to_ucl(scenes.scl.values))
    ucl, scl = (make_composite(scenes, by, "median") for by in ("UCL", "SCL"))
    assert (ucl.observation_count.values == scl.observation_count.values).all()
    assert (ucl.clear_count.values != scl.clear_count.values).any()
    found = composite_files(ucl, 2, "as asked", count)
    with zipfile.ZipFile(io.BytesIO(found.content)) as archive:
        assert {"red.tif", "clear_count.tif"} <= set(archive.namelist())


def test_pictures(scenes: xr.Dataset) -> None:
    codes = np.array([[0, 1], [2, 3]], dtype="uint8")
    picture = class_picture(codes)
    assert picture[0, 0, 3] == 0
    assert picture[1, 0].tolist() == [*bytes.fromhex(CloudClass.CLOUD.colour[1:]), 255]
    shares = share_picture(np.array([[np.nan, 1.0, 0.0]]))
    assert shares[0].tolist() == [[0, 0, 0, 0], [255] * 4, [0, 0, 0, 255]]
    colours = colour_picture(make_composite(scenes, "UCL", "median"))
    assert png(colours).startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("size", "words"),
    [(0, "0.1 kB"), (37_627, "37.6 kB"), (100_000, "0.1 MB"), (2_500_000_000, "2,500.0 MB")],
)
def test_sizes_are_told_in_the_unit_that_fits(size: int, words: str) -> None:
    assert size_text(size) == words
