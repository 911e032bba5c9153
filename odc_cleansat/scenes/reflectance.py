"""Reflectance of bands on the model grid."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from odc.geo.geobox import GeoBox

from ..errors import SceneError
from ..grids.grid import ground_resolution
from ..grids.resample import (
    AVERAGED,
    KERNEL,
    covers,
    divide_pixels,
    divisions,
    mean_of_blocks,
    warp,
)
from .files import Band
from .offset import QUANTIFICATION

if TYPE_CHECKING:
    import xarray as xr


def to_model_grid(
    bands: Sequence[Band], target: GeoBox, scale: float | None, offset: float
) -> np.ndarray:
    """Return the reflectance of a part of a scene on a part of the model grid.

    Parameters
    ----------
    bands
        The parts of the bands that determine the target.
    target
        A part of the model grid.
    scale, offset
        Reflectance is ``(value + offset) * scale``. Without a scale it is 1/10000 for integers and 1 for
        floating-point values.

    Returns
    -------
    numpy.ndarray
        ``(C, *target.shape)`` float32 reflectance, NaN where a band has no data.
    """
    result = np.full((len(bands), *target.shape), np.nan, dtype="float32")
    pixels = [band.data.values for band in bands]
    for band, raw, gone, out in zip(
        bands, pixels, missing_pixels(bands, pixels), result, strict=True
    ):
        per_dn = scale
        if per_dn is None:
            per_dn = 1.0 if raw.dtype.kind == "f" else 1 / QUANTIFICATION
        values = raw.astype("float32")
        values += np.float32(offset)
        values *= np.float32(per_dn)
        values[gone] = np.nan
        values, grid = _upright(values, band.grid)
        _resample(values, grid, target, out)
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


def missing_pixels(bands: Sequence[Band], pixels: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return where each band has no data.

    A pixel has no data at the declared nodata value, and in a floating-point band where it is not finite. If
    integer bands on one grid declare no nodata value, a pixel has no data where all of them are 0.

    Parameters
    ----------
    bands
        Bands with their nodata values.
    pixels
        The values of each band, ``(y, x)``, of any dtype.

    Returns
    -------
    list of numpy.ndarray
        ``(y, x)`` bool for each band.

    Raises
    ------
    SceneError
        If a nodata value is not a number.
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
    """Return the nodata value that a band declares, or None.

    Parameters
    ----------
    band
        Any shape and dtype. For integers a nodata value of NaN counts as none.

    Raises
    ------
    SceneError
        If the value is not a number.
    """
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
    """Return which pixels of a grid have data in all bands on at least half of their area.

    Parameters
    ----------
    bands
        Bands on any grids.
    target
        The grid.

    Returns
    -------
    numpy.ndarray
        ``(y, x)`` bool, of the shape of `target`.

    Raises
    ------
    SceneError
        If a nodata value is not a number.
    """
    enough = np.ones(target.shape, dtype=bool)
    missing: dict[GeoBox, np.ndarray] = {}
    for band, gone in zip(
        bands, missing_pixels(bands, [b.data.values for b in bands]), strict=True
    ):
        of_grid = missing.get(band.grid)
        missing[band.grid] = gone if of_grid is None else of_grid | gone
    for grid, gone in missing.items():
        if grid == target:
            enough &= ~gone
            continue
        if not gone.any() and covers(grid, target):
            continue
        share = warp((~gone)[np.newaxis].astype("float32"), grid, target, "average")[0]
        with np.errstate(invalid="ignore"):
            enough &= share >= 0.499  # half, less the rounding of a sum of float32
    return enough


def check_scale(pixels: np.ndarray) -> None:
    """Raise if values that should be reflectance can only be digital numbers.

    Parameters
    ----------
    pixels
        ``(C, y, x)`` float32 reflectance, NaN for no data.

    Raises
    ------
    SceneError
        If most of the values are above 10.
    """
    some = pixels[:, ::4, ::4]
    finite = some[np.isfinite(some)]
    if finite.size and np.mean(np.abs(finite) > 10) > 0.5:
        raise SceneError(
            "the reflectance of most pixels is above 10, so the values are digital numbers or of "
            "another scale; pass scale=1/10000 if they are Sentinel-2 digital numbers."
        )
