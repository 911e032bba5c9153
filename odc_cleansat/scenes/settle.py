"""Settle the radiometric offset of a scene by its pixels, where they are clearer than its metadata."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from ..errors import ReflectanceWarning, SceneError, tell
from ..storage.reader import DocumentError
from .files import BandFile
from .offset import ASSUMED, QUANTIFICATION, Offset, OffsetCheck
from .packing import read_packing

_VISIBLE = ("blue", "green", "red")

_BLANK = 1.5e-4
"""Reflectance below which all bands are where there are no data: numbers of 0 and 1."""

_SIDE = 512
"""Rows and columns of the sample, or of all its pieces together."""

_PIECES = 8
"""Pieces of the sample along each side, in files without overviews."""


def settle_offset(files: Mapping[str, BandFile], offset: Offset, label: str) -> Offset:
    """Return the offset that a mask is made with: as the metadata say, unless the files are clear that it is not.

    1. The caller's own choice stands.
    2. If a hundredth of the pixels would be far below 0, the offset that the metadata give has been removed already,
       and it is 0. Some archives of 2022 and 2025 have such metadata.
    3. If the tags of the files give an offset and the metadata none, that of the tags is taken. If both give one and
       they differ, or the metadata tell of two processing baselines, the pixels decide where they can. Else the first of
       the metadata is taken, with a warning, and :attr:`Offset.doubt` says so.
    4. If nothing gives one, ground so dark that it can have none settles that.

    A sample of the visible bands is read, once for each scene. All pixels are checked later anyway.

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
        If the offset is another than the metadata give, or if tags and metadata, or the metadata among themselves, differ.
    """
    bands = [files[name] for name in _VISIBLE if name in files]
    if not bands or offset.source == "argument" or offset.source.startswith("the values are"):
        return offset
    guessed = offset.source.startswith(ASSUMED)
    rival, who = offset.rival, "the metadata"
    if rival is None:
        with contextlib.closing(bands[0].open().data) as opened:
            tag = read_packing(opened).offset
        if tag not in (0, offset.value):
            rival, who = tag, "the tags of its files"
    if offset.value == 0 and not guessed and rival is None:
        return offset
    found = _decided_by_pixels(_look_at(bands), offset, rival, who)
    if found is None and rival is not None:
        if guessed:
            return Offset(rival, f"the files' own tags say {rival:g}", offset.value)
        others = "" if offset.rival is not None else f", {who} {rival:g}"
        doubt = (
            f"the metadata give the offset {offset.value:g} ({offset.source}){others}, and the "
            f"pixels do not tell which is right; {offset.value:g} is taken. Pass offset= to decide it."
        )
        tell(f"{label}: {doubt}", ReflectanceWarning)
        return replace(offset, doubt=doubt)
    if found is not None and found.stated is not None and not guessed:
        tell(
            f"{label}: the metadata give the offset {offset.value:g} ({offset.source}), but {found.source}; {found.value:g} is "
            "taken. Pass offset= to decide it yourself.",
            ReflectanceWarning,
        )
    return found or offset


def _decided_by_pixels(
    check: OffsetCheck, offset: Offset, rival: float | None, who: str
) -> Offset | None:
    """Return the offset that pixels without any taken off are clear about; None if they are not.

    `rival` is that of another source, DN, if it is another than that of the metadata, and `who` that source.
    """
    if check.confirms(0):
        if offset.value == 0:
            return replace(
                offset, source=f"the pixels: ground is too dark for any other ({offset.source})"
            )
        if rival == 0 or check.is_below(-offset.value / QUANTIFICATION + OffsetCheck.TOO_DARK):
            return Offset(0, "the pixels show that it has been removed already", offset.value)
    elif rival is not None and check.complaint(0):
        # One of the two is 0, or both are about as large.
        if offset.value == 0:
            return Offset(
                rival, f"the pixels and {who} ({rival:g}) show that it is left", offset.value
            )
        if rival == 0:
            return replace(offset, source=f"the pixels show that it is left ({offset.source})")
    return None


def _look_at(bands: Sequence[BandFile]) -> OffsetCheck:
    """Check a sample of some bands, without an offset taken off."""
    check = OffsetCheck()
    planes = [_sample(file) for file in bands]
    if len({plane.shape for plane in planes}) == 1:
        reflectance = np.stack(planes)
        with np.errstate(invalid="ignore"):
            reflectance[:, (reflectance < _BLANK).all(axis=0)] = np.nan
        check.add(reflectance)
    return check


def _sample(file: BandFile) -> np.ndarray:
    """Return pixels from all over a band without an offset taken off: ``(h, w)`` float32 reflectance, NaN for no data."""
    from rasterio.errors import RasterioError
    from rasterio.windows import Window

    try:
        with file.opened() as opened:
            with contextlib.closing(file.open().data) as band:
                packing = read_packing(band, None, 0)
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
    except (RasterioError, OSError, DocumentError) as error:
        raise SceneError(f"cannot read {file.uri}: {error}. Is it there, and whole?") from error
    reflectance: np.ndarray = values.astype("float32") * np.float32(packing.scale)
    # Not the file's own value for no data: a 0 there says nothing of one band alone, but in ESA's Zarr layout it does.
    reflectance[values == packing.nodata] = np.nan
    return reflectance
