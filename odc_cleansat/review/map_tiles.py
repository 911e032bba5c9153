"""Tiles of web maps, each read from a view of its raster that many neighbouring tiles share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..scenes.files import BandFile

if TYPE_CHECKING:
    from rasterio.io import DatasetReader
    from rasterio.vrt import WarpedVRT


SIDE = 256
"""Pixels along each side of a tile."""

SHARED = 8
"""Tiles of a column that have one view. GDAL warps blocks that are as wide as a view. Tiles beside each other would be
warped together, and more of the file be read than is wanted."""

MERCATOR = "EPSG:3857"


@dataclass(frozen=True)
class MapTile:
    """A tile in web Mercator, counted from the north-west."""

    zoom: int
    column: int
    row: int

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """West, south, east and north in metres of web Mercator."""
        from morecantile import Tile
        from rio_tiler.constants import WEB_MERCATOR_TMS

        west, south, east, north = WEB_MERCATOR_TMS.xy_bounds(
            Tile(self.column, self.row, self.zoom)
        )
        return west, south, east, north


@dataclass(frozen=True)
class MapView:
    """A raster in web Mercator, over a column of tiles; see :class:`~odc_cleansat.review.open_rasters.View`."""

    first: MapTile
    """The northernmost tile."""

    rows: int
    """How many tiles there are."""

    resampling: str
    """A method of GDAL, such as ``nearest``."""

    @classmethod
    def around(cls, tile: MapTile, resampling: str) -> MapView:
        """Return the view that a tile is read from."""
        rows = min(SHARED, 2**tile.zoom)
        return cls(MapTile(tile.zoom, tile.column, tile.row // rows * rows), rows, resampling)

    def of(self, file: BandFile, raster: DatasetReader) -> WarpedVRT:
        """Return the view of a raster. Where the map is coarse, its overviews are read."""
        from rasterio.enums import Resampling
        from rasterio.vrt import WarpedVRT
        from rio_tiler.utils import get_vrt_transform

        west, _, east, north = self.first.bounds
        south = north - self.rows * (east - west)
        transform, width, height = get_vrt_transform(
            raster, (west, south, east, north), self.rows * SIDE, SIDE, dst_crs=MERCATOR
        )
        nodata = nodata_of(file, raster)
        return WarpedVRT(
            raster, crs=MERCATOR, transform=transform, width=width, height=height,
            resampling=Resampling[self.resampling], src_nodata=nodata, nodata=nodata,
        )  # fmt: skip

    def read(self, view: WarpedVRT, band: int, tile: MapTile) -> Any:
        """Return the pixels of a tile.

        Parameters
        ----------
        view
            From :meth:`of`.
        band
            Number of the band, from 1.
        tile
            A tile of the column.

        Returns
        -------
        numpy.ma.MaskedArray
            ``(SIDE, SIDE)`` of the dtype of the raster, masked where there are no data.

        Raises
        ------
        rio_tiler.errors.TileOutsideBounds
            If the raster is elsewhere.
        """
        from rasterio.enums import Resampling
        from rasterio.windows import from_bounds
        from rio_tiler.errors import TileOutsideBounds
        from rio_tiler.io import Reader

        with Reader(None, dataset=view.src_dataset) as reader:
            if not reader.tile_exists(tile.column, tile.row, tile.zoom):
                raise TileOutsideBounds(f"{tile} is outside of the raster")
        return view.read(
            band,
            window=from_bounds(*tile.bounds, transform=view.transform),
            out_shape=(SIDE, SIDE),
            resampling=Resampling[self.resampling],
            masked=True,
        )


def nodata_of(file: BandFile, raster: DatasetReader) -> float:
    """Return the value for no data of a raster, or else that its document tells, or else 0."""
    return next((n for n in (raster.nodata, file.nodata) if n is not None), 0)
