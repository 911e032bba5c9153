"""Tiles of web maps: those of rio-tiler, from a view that neighbours share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.enums import Resampling

from odc_cleansat.review.map_tiles import SHARED, SIDE, MapTile, MapView
from odc_cleansat.review.open_rasters import OpenRasters
from odc_cleansat.scenes.files import BandFile

pytest.importorskip("rio_tiler", reason="the extra app is not installed")


@pytest.fixture
def smooth(tmp_path: Path) -> BandFile:
    """A hill of 20 km in a UTM zone at the date line, with overviews; outside of the hill there are no data."""
    y, x = np.indices((1024, 1024)) / 512 - 1
    hill = np.clip(3000 * (1 - x**2 - y**2), 0, None).astype("uint16")
    path = tmp_path / "hill.tif"
    with rasterio.open(
        path, "w", driver="GTiff", width=1024, height=1024, count=1, dtype="uint16", nodata=0, tiled=True,
        crs="EPSG:32660", transform=rasterio.Affine(20, 0, 700_000, 0, -20, 5_300_000),
    ) as file:  # fmt: skip
        file.write(hill, 1)
        file.build_overviews([2, 4, 8], Resampling.average)
    return BandFile(path.as_uri(), 1, None)


def middle(file: BandFile, zoom: int) -> MapTile:
    from rio_tiler.io import Reader

    with file.opened() as raster, Reader(None, dataset=raster) as reader:
        west, south, east, north = reader.get_geographic_bounds("EPSG:4326")
        found = reader.tms.tile((west + east) / 2, (south + north) / 2, zoom)
    return MapTile(zoom, found.x, found.y)


def read(files: OpenRasters, file: BandFile, tile: MapTile) -> np.ma.MaskedArray:
    view = MapView.around(tile, "bilinear")
    with files.opened(file, view) as opened:
        return view.read(opened, 1, tile)


@pytest.mark.parametrize("zoom", [0, 2, 7, 10, 13, 16])
def test_tiles_are_those_of_rio_tiler(smooth: BandFile, zoom: int) -> None:
    from rio_tiler.io import Reader

    tile, options = (
        middle(smooth, zoom),
        {"resampling_method": "bilinear", "reproject_method": "bilinear"},
    )
    with smooth.opened() as raster, Reader(None, dataset=raster, options=options) as reader:
        theirs = reader.tile(tile.column, tile.row, zoom, tilesize=SIDE, indexes=1).array[0]
    ours = read(OpenRasters(), smooth, tile)
    assert ours.shape == theirs.shape == (SIDE, SIDE)
    both = ~np.ma.getmaskarray(ours) & ~np.ma.getmaskarray(theirs)
    assert (np.ma.getmaskarray(ours) != np.ma.getmaskarray(theirs)).mean() < 0.01
    if zoom >= 7:
        assert both.any()
        difference = np.abs(ours.data.astype(float) - theirs.data)[both]
        assert np.median(difference) < 30  # of 3000


def test_tiles_of_a_column_share_a_view(smooth: BandFile) -> None:
    tile = middle(smooth, 13)
    first = tile.row // SHARED * SHARED
    column = {
        MapView.around(MapTile(13, tile.column, first + i), "bilinear") for i in range(SHARED)
    }
    assert len(column) == 1
    others = (
        MapView.around(MapTile(13, tile.column, first + SHARED), "bilinear"),
        MapView.around(MapTile(13, tile.column + 1, tile.row), "bilinear"),
        MapView.around(tile, "nearest"),
    )
    assert not column & {*others}
    assert MapView.around(MapTile(1, 1, 1), "nearest").first == MapTile(1, 1, 0)


def test_no_tile_is_warped_for_another(smooth: BandFile) -> None:
    """The blocks of a view are as wide as a tile."""
    view = MapView.around(middle(smooth, 16), "bilinear")
    with OpenRasters().opened(smooth, view) as opened:
        assert opened.shape == (SHARED * SIDE, SIDE)
        ((height, width),) = opened.block_shapes
    assert width == SIDE
    assert SIDE % height == 0


def test_tiles_fit_together(smooth: BandFile) -> None:
    tile, files = middle(smooth, 13), OpenRasters()
    west, east = (
        read(files, smooth, tile),
        read(files, smooth, MapTile(13, tile.column + 1, tile.row)),
    )
    step = np.abs(east[:, 0].astype(float) - west[:, -1].astype(float))
    assert step.max() < 2 * np.abs(np.diff(west.astype(float), axis=1)).max() + 1
    files.close()


def test_elsewhere(smooth: BandFile) -> None:
    from rio_tiler.errors import TileOutsideBounds

    with pytest.raises(TileOutsideBounds):
        read(OpenRasters(), smooth, MapTile(13, 0, 0))
