"""Reflectance of bands on the model grid."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from odc.geo.geobox import GeoBox

from ..grids.grid import ground_resolution
from ..grids.resample import (
    AVERAGED,
    KERNEL,
    divide_pixels,
    divisions,
    mean_of_blocks,
    warp,
)
from .files import Band
from .levels import LevelCheck, sample
from .nodata import find_missing
from .packing import Packing

_STRIP = 64
"""Rows of the model grid that are averaged at a time."""

_SLIVER = 1e-3
"""Share of a pixel that rounding may add to an edge."""


def to_model_grid(
    bands: Sequence[Band],
    target: GeoBox,
    scale: float | None = None,
    offset: float | None = None,
    check: LevelCheck | None = None,
) -> np.ndarray:
    """Return the reflectance of a part of a scene on a part of the model grid.

    Parameters
    ----------
    bands
        The parts of the bands that determine the target.
    target
        A part of the model grid.
    scale, offset
        Of bands without a packing of their own; see :func:`~odc_cleansat.scenes.packing.read_packing`.
    check
        Told of the reflectance of each band, by its number in `bands`.

    Returns
    -------
    numpy.ndarray
        ``(C, *target.shape)`` float32 reflectance, NaN where a band has no data.
    """
    result = np.full((len(bands), *target.shape), np.nan, dtype="float32")
    bands = [band.packed(scale, offset) for band in bands]
    pixels = [band.data.values for band in bands]
    missing = find_missing(bands, pixels)
    if check is not None:
        check.add_undeclared(missing.undeclared, missing.alike)
        check.gaps |= any(gone.any() for gone in missing.gone)
    for i, (band, gone) in enumerate(zip(bands, missing.gone, strict=True)):
        assert band.packing is not None
        raw = pixels.pop(0)  # what is done with is not kept: a window of 10 m has 50 MB a band
        if check is not None:
            few = _reflectance(sample(raw), sample(gone), band.packing)
            check.add(i, few, raw.dtype, band.packing)
        _resample(raw, gone, band, target, result[i])
    return result


def _reflectance(raw: np.ndarray, gone: np.ndarray, packing: Packing) -> np.ndarray:
    """Return numbers as float32 reflectance, NaN where they are gone."""
    values = raw.astype("float32")
    values += np.float32(packing.offset)
    values *= np.float32(packing.scale)
    values[gone] = np.nan
    return values


def _resample(
    raw: np.ndarray, gone: np.ndarray, band: Band, target: GeoBox, out: np.ndarray
) -> None:
    """Bring one plane, ``(y, x)`` of any dtype, to the target grid, as reflectance with NaN where it is gone."""
    assert band.packing is not None
    raw, gone, grid = _upright(raw, gone, band.grid)
    repeat = divisions(grid, target)
    if not repeat:
        is_finer = max(ground_resolution(grid)) <= AVERAGED * target.resolution.x
        method = "average" if is_finer else KERNEL
        values = _reflectance(raw, gone, band.packing)
        out[:] = warp(values[np.newaxis], grid, target, method)[0]
        return
    # Strip by strip, because floating-point numbers of a whole window take four times the memory of its average.
    for top in range(0, target.shape[0], _STRIP):
        here = slice(top, min(top + _STRIP, target.shape[0]))
        strip = target[here, :]
        step = ~grid.affine * strip.affine
        ends = step.f, step.f + step.e * strip.shape[0]
        first, last = math.floor(ends[0] + _SLIVER), math.ceil(ends[1] - _SLIVER)
        rows = slice(max(first, 0), min(last, len(raw)))
        if rows.start >= rows.stop:
            continue
        values = _reflectance(raw[rows], gone[rows], band.packing)
        if repeat > 1:
            values = values.repeat(repeat, axis=0).repeat(repeat, axis=1)
        part = divide_pixels(grid[rows, :], repeat)
        mean_of_blocks(values, part, strip, out[here])


def _upright(
    raw: np.ndarray, gone: np.ndarray, grid: GeoBox
) -> tuple[np.ndarray, np.ndarray, GeoBox]:
    """Turn planes to rows from north to south and columns from west to east, as in the model grid."""
    if grid.affine.e > 0:
        raw, gone, grid = raw[::-1], gone[::-1], grid.flipy()
    if grid.affine.a < 0:
        raw, gone, grid = raw[:, ::-1], gone[:, ::-1], grid.flipx()
    return raw, gone, grid
