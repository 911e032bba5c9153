"""Bands as reflectance on the model grid."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import xarray as xr
from odc.geo.geobox import GeoBox

from ..errors import SceneError
from ..grids.grid import ground_resolution, overlap
from ..grids.resample import AVERAGED, KERNEL, _divided, _holds, _mean_of_blocks, _repeats, warp
from .offset import QUANTIFICATION


class Band(NamedTuple):
    """One band of a scene on its own grid, or a part of it."""

    data: xr.DataArray
    """Dims ``(y, x)``, in memory, lazy, or in a file."""

    grid: GeoBox
    """Where its pixels stand; kept apart from the coordinates, which are rounded."""

    def part(self, target: GeoBox) -> Band | None:
        """The pixels that decide those of another grid, or None if there are none."""
        roi = overlap(self.grid, target)
        if roi is None:
            return None
        return Band(self.data[roi], self.grid[roi])


def to_model_grid(
    bands: Sequence[Band], target: GeoBox, scale: float | None, offset: float
) -> np.ndarray:
    """Reflectance of a part of a scene on a part of the model grid.

    Parameters
    ----------
    bands
        The parts of the bands that decide the target.
    target
        A part of the model grid.
    scale, offset
        See :func:`~odc_cleansat.classify`.

    Returns
    -------
    numpy.ndarray
        ``(C, *target.shape)`` float32, NaN where a band has no data.
    """
    result = np.full((len(bands), *target.shape), np.nan, dtype="float32")
    pixels = [band.data.values for band in bands]
    for band, raw, gone, out in zip(bands, pixels, missing(bands, pixels), result, strict=True):
        per_dn = scale
        if per_dn is None:
            per_dn = 1.0 if raw.dtype.kind == "f" else 1 / QUANTIFICATION
        values = raw.astype("float32")
        values += np.float32(offset)
        values *= np.float32(per_dn)
        values[gone] = np.nan
        values, grid = _upright(values, band.grid)
        repeat = _repeats(grid, target)
        if repeat:
            values = values.repeat(repeat, axis=0).repeat(repeat, axis=1) if repeat > 1 else values
            _mean_of_blocks(values, _divided(grid, repeat), target, out)
        else:
            finer = max(ground_resolution(grid)) <= AVERAGED * target.resolution.x
            how = "average" if finer else KERNEL
            out[:] = warp(values[np.newaxis], grid, target, how)[0]
    return result


def _upright(values: np.ndarray, grid: GeoBox) -> tuple[np.ndarray, GeoBox]:
    """With rows from north to south and columns from west to east, as the model grid has them."""
    if grid.affine.e > 0:
        values, grid = values[::-1], grid.flipy()
    if grid.affine.a < 0:
        values, grid = values[:, ::-1], grid.flipx()
    return np.ascontiguousarray(values), grid


def missing(bands: Sequence[Band], pixels: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Where each band has no data, ``(y, x)`` bool.

    That is at its declared nodata value, and where a floating-point band is not finite. If
    integer bands on one grid declare no nodata value, it is where all of them are 0.
    """
    declared = [declared_nodata(band.data) for band in bands]
    together = all(
        nodata is None and values.dtype.kind in "ui" and band.grid == bands[0].grid
        for nodata, values, band in zip(declared, pixels, bands, strict=True)
    )
    zero = np.all([values == 0 for values in pixels], axis=0) if together else None
    gone = []
    for nodata, values in zip(declared, pixels, strict=True):
        if values.dtype.kind == "f":
            found = ~np.isfinite(values)
            if nodata is not None and np.isfinite(nodata):
                found |= values == nodata
        elif zero is not None:
            found = zero
        else:
            found = values == (0 if nodata is None else nodata)
        gone.append(found)
    return gone


def declared_nodata(band: xr.DataArray) -> float | None:
    """The declared nodata value; NaN, which no integer can be, is none for integers."""
    value = band.attrs.get("nodata", band.attrs.get("_FillValue", band.encoding.get("_FillValue")))
    if value is None:
        return None
    try:
        found = float(value)
    except (TypeError, ValueError):
        raise SceneError(
            f"the nodata value {value!r} of a band is no number; correct its attribute `nodata`."
        ) from None
    return None if math.isnan(found) and band.dtype.kind in "ui" else found


def has_data(bands: Sequence[Band], target: GeoBox) -> np.ndarray:
    """Whether at least half of each pixel of `target` has data in all bands, bool."""
    enough = np.ones(target.shape, dtype=bool)
    holes: dict[GeoBox, np.ndarray] = {}
    for band, gone in zip(bands, missing(bands, [b.data.values for b in bands]), strict=True):
        known = holes.get(band.grid)
        holes[band.grid] = gone if known is None else known | gone
    for grid, gone in holes.items():
        if grid == target:
            enough &= ~gone
            continue
        if not gone.any() and _holds(grid, target):
            continue
        share = warp((~gone)[np.newaxis].astype("float32"), grid, target, "average")[0]
        with np.errstate(invalid="ignore"):
            enough &= share >= 0.499  # half, less the rounding of a sum of float32
    return enough


def check_scale(pixels: np.ndarray) -> None:
    """Refuse reflectance that can only be digital numbers.

    Raises
    ------
    SceneError
        If most of it is above 10.
    """
    some = pixels[:, ::4, ::4]
    finite = some[np.isfinite(some)]
    if finite.size and np.mean(np.abs(finite) > 10) > 0.5:
        raise SceneError(
            "the reflectance of most pixels is above 10, so the values are digital numbers or of "
            "another scale; pass scale=1/10000 if they are Sentinel-2 digital numbers."
        )
