"""Which files that are there may be replaced."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox
from odc.geo.xr import wrap_xr

from odc_cleansat.errors import OutputError
from odc_cleansat.storage.cog import REQUEST, Raster, write_cogs
from odc_cleansat.storage.replace import check_free, mark_difference, mark_of


def grid(east: float = 399960, metres: float = 20, epsg: int = 32633) -> GeoBox:
    return GeoBox((16, 16), Affine(metres, 0, east, 0, -metres, 5300040), f"EPSG:{epsg}")


def raster(on: GeoBox, name: str = "ucl", dtype: str = "uint8", **tags: str) -> Raster:
    band = wrap_xr(np.ones(on.shape, dtype), on)
    return Raster({name: band}, 0, tags={REQUEST: "--how nearest", "HOW": "nearest", **tags})


FIRST = raster(grid(), TIFFTAG_DATETIME="2024:06:15 10:10:31")
OTHERS = {
    "another grid, 16 x 16 pixels in EPSG:32633": (
        raster(grid(400000)), raster(grid(metres=10)), raster(grid(epsg=32733)),
        replace(FIRST, bands={"ucl": FIRST.first[:8]}),
    ),
    "holds other bands: ucl": (
        raster(grid(), "red"), raster(grid(), dtype="uint16"), replace(FIRST, nodata=255),
        replace(FIRST, nodata=None), replace(FIRST, bands={"ucl": FIRST.first, "more": FIRST.first}),
    ),
    "is of another time: 2024:06:15": (raster(grid(), TIFFTAG_DATETIME="2024:06:20 10:10:31"),),
    "made with other options: --how nearest": (raster(grid(), **{REQUEST: "--how mode"}),),
}  # fmt: skip


def test_a_raster_is_replaced_by_the_same_only(tmp_path: Path) -> None:
    path = tmp_path / "mask.tif"
    write_cogs({path: FIRST})
    write_cogs({path: FIRST})
    before = path.read_bytes()
    for said, rasters in OTHERS.items():
        for other in rasters:
            with pytest.raises(OutputError, match=said) as caught:
                write_cogs({tmp_path / "new.tif": other, path: other})
            assert f"{path} is there already" in str(caught.value)
            assert "overwrite=True" in str(caught.value)
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["mask.tif"]
    write_cogs({path: raster(grid(400000))}, overwrite=True)
    assert path.read_bytes() != before


@pytest.mark.parametrize("content", [b"", b"hello", b"II*\x00garbage", b"<VRTDataset/>"])
def test_what_is_no_raster_is_never_replaced_by_one(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "notes.tif"
    path.write_bytes(content)
    with pytest.raises(OutputError, match="is no GeoTIFF"):
        write_cogs({path: FIRST})
    assert path.read_bytes() == content
    write_cogs({path: FIRST}, overwrite=True)


def test_folders_and_pipes_are_not_replaced_even_on_demand(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.tif")
    (tmp_path / "folder.tif").mkdir()
    for name, kind in (("pipe.tif", "device or pipe"), ("folder.tif", "folder")):
        with pytest.raises(OutputError, match=f"no file but a {kind}"):
            write_cogs({tmp_path / name: FIRST}, overwrite=True)


def test_marks_tell_a_kind_and_what_is_shown(tmp_path: Path) -> None:
    path = tmp_path / "x.html"
    mark = mark_of("odc_cleansat comparison", "2024-06-15", 1.5)
    path.write_text(f"<html>{mark}</html>")
    assert mark_difference(path, mark) == mark_difference(path, "odc_cleansat comparison") == ""
    other = mark_of("odc_cleansat comparison", "2024-06-16", 1.5)
    assert mark_difference(path, other) == "is another comparison"
    assert mark_difference(path, "odc_cleansat page of masks") == "is no page of masks"
    with pytest.raises(OutputError, match="is another comparison"):
        check_free(path, lambda there: mark_difference(there, other), overwrite=False)
    check_free(path, lambda there: mark_difference(there, other), overwrite=True)
