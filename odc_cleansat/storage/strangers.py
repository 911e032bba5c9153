"""Open rasters of strangers, which then name no other file or address that GDAL would read.

Formats such as VRT consist of the names of other files. A GeoTIFF may name a file of overviews in its metadata. GDAL also
opens what lies beside a raster as its overviews, mask or metadata, in any format.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from .rasters import refuse_pipes
from .reader import DocumentError
from .settings import gdal_settings
from .signing import signing_path

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

FORMATS = ("GTiff", "JP2OpenJPEG")
"""GDAL's names of the formats in which a stranger's raster is read."""


@contextlib.contextmanager
def careful_settings(path: str, formats: tuple[str, ...] = FORMATS) -> Iterator[dict[str, Any]]:
    """Open a raster of a stranger in this context. GDAL looks at no other file.

    Parameters
    ----------
    path
        Path or URL, not ``file://``.
    formats
        GDAL's names of the formats that it may have.

    Yields
    ------
    dict
        Options of `rasterio.open`.

    Raises
    ------
    DocumentError
        If it is a pipe or a device, or names another file.
    rasterio.errors.RasterioError
        If it cannot be opened, or has another format.
    """
    import rasterio

    refuse_pipes(path)
    alone = {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR", "GDAL_PAM_ENABLED": "NO"}
    with gdal_settings(path), rasterio.Env(**alone):
        with contextlib.ExitStack() as stack:
            opened = stack.enter_context(_open_first(path, formats))
            if "OVERVIEW_FILE" in opened.tags(ns="OVERVIEWS"):
                raise DocumentError(f"{path} names another file for its overviews; it is not read.")
        yield {"driver": opened.driver}


def _open_first(path: str, formats: tuple[str, ...]) -> DatasetReader:
    """Open a raster in the first of some formats that it has."""
    import rasterio
    from rasterio.errors import RasterioIOError

    for number, name in enumerate(formats, start=1):
        try:
            return rasterio.open(signing_path(path), driver=name)
        except RasterioIOError:
            if number == len(formats):
                raise
    raise AssertionError("no format is given")


@contextlib.contextmanager
def open_carefully(path: str, formats: tuple[str, ...] = FORMATS) -> Iterator[DatasetReader]:
    """Open a raster of a stranger; parameters and errors as of :func:`careful_settings`."""
    import rasterio

    with (
        careful_settings(path, formats) as options,
        rasterio.open(signing_path(path), **options) as opened,
    ):
        yield opened
