"""Settle the radiometric offset of a scene by its pixels, where they are clearer than its metadata."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..errors import ReflectanceWarning, SceneError, tell
from ..storage.settings import gdal_settings
from .files import BandFile, local_path
from .offset import ASSUMED, Offset, OffsetCheck
from .packing import read_packing

_VISIBLE = ("blue", "green", "red")

_BLANK = 1.5e-4
"""Reflectance below which all bands are where there are no data: numbers of 0 and 1."""

_SIDE = 512
"""Rows and columns of the sample, or of all its pieces together."""

_PIECES = 8
"""Pieces of the sample along each side, in files without overviews."""


def settle_offset(files: Mapping[str, BandFile], offset: Offset, label: str) -> Offset:
    """Return the offset that a mask is made with: as the metadata say, unless the pixels are clear that it is not.

    The caller's own choice stands. If the metadata give -1000 and a hundredth of the pixels would then be far below
    0, the offset has been removed already, and it is 0. Some archives of 2022 and 2025 have such metadata. If the
    metadata give none, ground so dark that it can have none settles that. All else stays as it is, and is told by the
    check of all pixels. A sample of some bands is read, once for each scene.

    Parameters
    ----------
    files
        Canonical band name to file.
    offset
        As the metadata or the caller give it.
    label
        Name of the scene for people.

    Raises
    ------
    SceneError
        If a file cannot be read.

    Warns
    -----
    ReflectanceWarning
        If the offset is another than the metadata give.
    """
    guessed = offset.source.startswith(ASSUMED)
    bands = [files[name] for name in _VISIBLE if name in files]
    if not bands or offset.source == "argument" or not (guessed or offset.value <= -1):
        return offset
    planes = [_sample(file) for file in bands]
    shape = planes[0].shape
    if any(plane.shape != shape for plane in planes):
        return offset
    reflectance = np.stack(planes)
    with np.errstate(invalid="ignore"):
        reflectance[:, (reflectance < _BLANK).all(axis=0)] = np.nan
    check = OffsetCheck()
    check.add(reflectance)
    if not check.confirms(0):
        return offset
    if guessed:
        return Offset(
            offset.value, f"the pixels: ground is too dark for any other ({offset.source})"
        )
    if not check.is_below(-offset.value * 1e-4 + OffsetCheck.TOO_DARK):
        return offset
    tell(
        f"{label}: the metadata give the offset {offset.value:g} ({offset.source}), but the pixels show that it has been "
        "removed already; 0 is taken. Pass --offset (offset=) to decide it yourself.",
        ReflectanceWarning,
    )
    return Offset(
        0, f"the pixels, which no longer have the offset that {offset.source} means", offset.value
    )


def _sample(file: BandFile) -> np.ndarray:
    """Return pixels from all over a band without an offset taken off: ``(h, w)`` float32 reflectance, NaN for no data."""
    import rasterio
    from rasterio.errors import RasterioError
    from rasterio.windows import Window

    try:
        with gdal_settings(file.uri), rasterio.open(local_path(file.uri)) as opened:
            scale = read_packing(file.open().data, None, 0).scale
            height, width = opened.shape
            if opened.overviews(file.band) or max(height, width) <= 2 * _SIDE:
                values = opened.read(file.band, out_shape=(min(height, _SIDE), min(width, _SIDE)))
            else:
                side = _SIDE // _PIECES
                starts = [
                    np.linspace(0, size - side, _PIECES).astype(int) for size in (height, width)
                ]
                values = np.block(
                    [
                        [opened.read(file.band, window=Window(x, y, side, side)) for x in starts[1]]
                        for y in starts[0]
                    ]
                )
            nodata = opened.nodata
    except (RasterioError, OSError) as error:
        raise SceneError(f"cannot read {file.uri}: {error}. Is it there, and whole?") from error
    return np.where(
        values == nodata if nodata else False, np.nan, values.astype("float32") * np.float32(scale)
    )
