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

SHARED = 3
"""Levels of zoom between a tile and the large one that it shares a view with: 8 x 8 tiles have one view."""

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

    def shared(self) -> MapTile:
        """Return the large tile around it whose view it is read from."""
        up = min(SHARED, self.zoom)
        return MapTile(self.zoom - up, self.column >> up, self.row >> up)


@dataclass(frozen=True)
class MapView:
    """A raster in web Mercator, over a large tile; see :class:`~odc_cleansat.review.open_rasters.View`."""

    tile: MapTile
    """The large tile."""

    side: int
    """Pixels along its sides at the zoom of the small tiles."""

    resampling: str
    """A method of GDAL, such as ``nearest``."""

    @classmethod
    def around(cls, tile: MapTile, resampling: str) -> MapView:
        """Return the view that a tile is read from."""
        large = tile.shared()
        return cls(large, SIDE << (tile.zoom - large.zoom), resampling)

    def of(self, file: BandFile, raster: DatasetReader) -> WarpedVRT:
        """Return the view of a raster. Where the map is coarse, its overviews are read."""
        from rasterio.enums import Resampling
        from rasterio.vrt import WarpedVRT
        from rio_tiler.utils import get_vrt_transform

        transform, width, height = get_vrt_transform(
            raster, self.tile.bounds, self.side, self.side, dst_crs=MERCATOR
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
            A tile in the large one.

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
