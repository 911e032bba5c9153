"""Reflectance of bands on the model grid."""

from __future__ import annotations

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
from .levels import LevelCheck
from .nodata import find_missing


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
    for i, (band, raw, gone) in enumerate(zip(bands, pixels, missing.gone, strict=True)):
        assert band.packing is not None
        values = raw.astype("float32")
        values += np.float32(band.packing.offset)
        values *= np.float32(band.packing.scale)
        values[gone] = np.nan
        if check is not None:
            check.add(i, values, raw.dtype, band.packing)
        values, grid = _upright(values, band.grid)
        _resample(values, grid, target, result[i])
    return result


def _resample(values: np.ndarray, grid: GeoBox, target: GeoBox, out: np.ndarray) -> None:
    """Bring one plane, ``(y, x)`` float32 with NaN for no data, to the target grid."""
    repeat = divisions(grid, target)
    if repeat:
        values = values.repeat(repeat, axis=0).repeat(repeat, axis=1) if repeat > 1 else values
        mean_of_blocks(values, divide_pixels(grid, repeat), target, out)
    else:
        is_finer = max(ground_resolution(grid)) <= AVERAGED * target.resolution.x
        method = "average" if is_finer else KERNEL
        out[:] = warp(values[np.newaxis], grid, target, method)[0]


def _upright(values: np.ndarray, grid: GeoBox) -> tuple[np.ndarray, GeoBox]:
    """Turn a plane to rows from north to south and columns from west to east, as in the model grid."""
    if grid.affine.e > 0:
        values, grid = values[::-1], grid.flipy()
    if grid.affine.a < 0:
        values, grid = values[:, ::-1], grid.flipx()
    return np.ascontiguousarray(values), grid
