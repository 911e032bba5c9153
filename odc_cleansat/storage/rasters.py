"""Open rasters that a user names, and say why one is of no use.

A pipe or a device is refused, for which GDAL would wait for ever.
"""

from __future__ import annotations

import atexit
import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import first_line
from .reader import check_regular
from .settings import URL_SCHEME, gdal_settings

if TYPE_CHECKING:
    from rasterio.io import DatasetReader


@atexit.register
def _close_what_is_open() -> None:
    """Close the files that xarray keeps open for arrays whose pixels are read when they are used.

    With rasterio 1.5, each file that is open when Python ends prints an empty `Error in sys.excepthook`.
    """
    if manager := sys.modules.get("xarray.backends.file_manager"):
        for file in list(manager.FILE_CACHE.values()):
            file.close()


@contextlib.contextmanager
def open_file(path: Path | str, **options: Any) -> Iterator[DatasetReader]:
    """Open a raster with rasterio.

    Parameters
    ----------
    path
        Path or URL, not ``file://``.
    **options
        For rasterio and GDAL.

    Raises
    ------
    DocumentError
        If it is a pipe or a device.
    rasterio.errors.RasterioError
        If it cannot be opened.
    """
    import rasterio

    refuse_pipes(path)
    with gdal_settings(str(path)), rasterio.open(path, **options) as opened:
        yield opened


def refuse_pipes(path: Path | str) -> None:
    """Raise if a local path is that of a pipe or a device.

    Raises
    ------
    DocumentError
        If it is.
    """
    if URL_SCHEME.match(str(path)) is not None or "\0" in str(path):
        return
    with contextlib.suppress(OSError):  # whoever opens it says what is wrong
        check_regular(Path(path), path)


def fault_of_raster(opened: DatasetReader, band: int) -> str | None:
    """Say why a raster that rasterio can open is of no use; None if there is no such reason.

    Parameters
    ----------
    opened
        The raster.
    band
        Number of the band that is wanted, from 1.
    """
    from odc.geo.geobox import GeoBox

    from ..grids.grid import fault_of_grid

    if opened.count < band:
        has = (
            "several rasters and no band"
            if not opened.count
            else f"{opened.count} band" + "s" * (opened.count > 1)
        )
        return f"it has {has}, and band {band} is asked for"
    if not opened.crs:
        return (
            "it has no coordinate system; set it, e.g. with `rio edit-info --crs EPSG:32633 FILE`"
        )
    try:
        return fault_of_grid(GeoBox.from_rio(opened))
    except Exception as error:  # of odc-geo and pyproj, each with its own
        return f"its grid cannot be understood ({first_line(error)})"
