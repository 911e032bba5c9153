"""What `load` asks of a file before it reads a band from it: that it is one, and lies where its document says."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from odc.geo.geobox import GeoBox

from ..errors import SceneError
from ..grids.footprint import SAME_GROUND, common_ground
from ..masks.on_demand import time_stamp
from ..scenes.files import BandFile
from ..scenes.providers import read_advice
from ..storage.rasters import fault_of_raster


def check_file(file: BandFile, documented: Any, subdataset: str | None = None) -> None:
    """Raise if a file is of no use, or does not lie where its dataset or item says.

    Parameters
    ----------
    file
        The band and its file.
    documented
        The grid that the document gives the band. Anything but a `GeoBox` says nothing.
    subdataset
        Name of a raster in the file. Then nothing is checked, for the file itself is no raster.

    Raises
    ------
    SceneError
        With the reason.
    DocumentError
        If it is a pipe or a device.
    rasterio.errors.RasterioError
        If it cannot be opened.
    """
    if subdataset is None:
        grid = documented if isinstance(documented, GeoBox) else None
        if fault := _fault(file, grid, time_stamp(file)):
            raise SceneError(f"cannot read {file.uri}: {fault}.")


@lru_cache(maxsize=4096)
def _fault(file: BandFile, documented: GeoBox | None, stamp: int) -> str | None:
    """Say why a file is of no use; it is opened once, though it is read block by block."""
    with file.opened() as opened:
        fault = fault_of_raster(opened, file.band)
        if fault or documented is None:
            return fault
        common = common_ground(documented, GeoBox.from_rio(opened))
    if common >= SAME_GROUND:
        return None
    return (
        f"it has {100 * common:.0f} % of its ground in common with what its document says. Probably it is another's, or "
        "a part; bring the right one, or index the scene anew"
    )


def why_unreadable(file: BandFile, error: Exception) -> str:
    """Return why a file cannot be read, for people."""
    reason = str(error.__cause__ or error).rstrip(".") or type(error).__name__
    hint = read_advice(file.uri, error.__cause__ or error)
    return f"cannot read {file.uri}: {reason}. {f'Probably {hint}.' if hint else 'Is it there, and whole?'}"
