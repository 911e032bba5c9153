"""Open rasters that a user names. A pipe or a device is refused, for which GDAL would wait for ever."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .reader import check_regular
from .settings import URL_SCHEME, gdal_settings

if TYPE_CHECKING:
    from rasterio.io import DatasetReader


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
