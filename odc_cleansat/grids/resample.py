"""Resample arrays between grids: an exact area average where pixels are aligned, GDAL's methods elsewhere."""

from __future__ import annotations

import math

import numpy as np
from affine import Affine
from odc.geo.geobox import GeoBox
from odc.geo.warp import rio_reproject
from rasterio.enums import Resampling
from rasterio.io import MemoryFile
from rasterio.vrt import WarpedVRT

from .grid import pixel_ratios

AVERAGED = 0.4
"""Share of the model's pixel size up to which scenes that do not fit the model grid are averaged.

An average would blur coarser ones; they are resampled by :data:`KERNEL`."""

KERNEL = "lanczos"
"""The sharpest resampling method of GDAL, for networks take blurred ground for cloud.

Averaging turns 4 % of the pixels of 30 m beside the model grid from clear to cloud. Cubic convolution turns 1.4 %,
this one 0.4 % (`benchmarks/resampling.py`)."""

TOLERANCE = 1e-6
"""Greatest error of the coordinates in a reprojection, source pixels.

By default GDAL interpolates coordinates along rows to within 1/8 of a pixel. Then the answer depends on the block
that is asked for. With 1e-4 one pixel of a million still did, and with 1e-6 it takes 1.4 times as long."""


def warp(planes: np.ndarray, grid: GeoBox, target: GeoBox, how: str) -> np.ndarray:
    """Resample planes to another grid. A pixel comes out the same whichever part of the target is asked for.

    Parameters
    ----------
    planes
        ``(K, *grid.shape)`` float32, NaN for nodata.
    grid
        Grid of the planes.
    target
        Grid of the result.
    how
        A resampling method of GDAL, such as ``average`` or ``lanczos``.

    Returns
    -------
    numpy.ndarray
        ``(K, *target.shape)`` float32, NaN for nodata; `planes` themselves on the same grid.
    """
    if grid == target:
        return planes
    result = np.full((len(planes), *target.shape), np.nan, dtype="float32")
    if _aligned_factor(grid, target) == 1:
        for plane, out in zip(planes, result, strict=True):
            mean_of_blocks(plane, grid, target, out)
        return result
    scales = _kernel_scales(grid, target)
    if grid.crs == target.crs:  # coordinates are linear, and GDAL's interpolation of them exact
        rio_reproject(
            planes, result, grid, target, how,
            src_nodata=np.nan, dst_nodata=np.nan, **scales,
        )  # fmt: skip
        return result
    # rasterio.warp.reproject of 1.4 has no tolerance; the virtual dataset has.
    profile = {"count": len(planes), "dtype": "float32", "nodata": np.nan}
    with MemoryFile() as memory:
        height, width = grid.shape
        with memory.open(
            driver="GTiff",
            height=height,
            width=width,
            transform=grid.affine,
            crs=str(grid.crs),
            **profile,
        ) as file:
            file.write(planes)
        with (
            memory.open() as file,
            WarpedVRT(
                file, crs=str(target.crs), transform=target.affine,
                height=target.shape[0], width=target.shape[1], resampling=Resampling[how],
                src_nodata=np.nan, nodata=np.nan, tolerance=TOLERANCE, **scales,
            ) as view,
        ):  # fmt: skip
            view.read(out=result)
    return result


def _kernel_scales(grid: GeoBox, target: GeoBox) -> dict[str, float]:
    """Return the options of GDAL for the width of its kernels: target pixels per source pixel, at most 1.

    GDAL would estimate them from the block at hand, and the answer would depend on that. Rounded to an
    eighth of an octave, they hardly ever differ from one block to the next.
    """
    y, x = (2 ** -(max(round(8 * math.log2(ratio)), 0) / 8) for ratio in pixel_ratios(grid, target))
    return {"XSCALE": x, "YSCALE": y}


def _aligned_factor(grid: GeoBox, target: GeoBox) -> int | None:
    """Return how many pixels of `grid` make one of `target` along each axis; None if that is no whole number."""
    if grid.crs != target.crs:
        return None
    # From pixels of the target to pixels of the source.
    step = ~grid.affine * target.affine
    factor = round(step.a)
    exact = factor >= 1 and np.allclose(
        [step.a, step.b, step.d, step.e, step.c, step.f],
        [factor, 0, 0, factor, round(step.c), round(step.f)],
        atol=1e-6,
    )
    return factor if exact else None


def divisions(grid: GeoBox, target: GeoBox) -> int | None:
    """Return into how many parts each pixel is cut along each axis for an exact average; None if it cannot be.

    Pixels of 20 m fit into those of 30 m only when they are halved. The average is then to the bit that of the same
    pixels loaded at 10 m. Pixels that are nearly as large as the target's, but beside them, would only be blurred.
    """
    near = 0.7 < grid.affine.a / target.affine.a < 2
    counts = (1,) if near else (1, 2, 3, 6)
    return next((n for n in counts if _aligned_factor(divide_pixels(grid, n), target)), None)


def covers(grid: GeoBox, target: GeoBox) -> bool:
    """Return whether one grid reaches as far as another in the same coordinate system."""
    outer, inner = grid.boundingbox, target.boundingbox
    upright = grid.axis_aligned and target.axis_aligned
    return bool(upright and grid.crs == target.crs and (outer & inner) == inner)


def divide_pixels(grid: GeoBox, n: int) -> GeoBox:
    """Return a grid with each pixel cut into n x n."""
    rows, columns = grid.shape
    return (
        grid
        if n == 1
        else GeoBox((rows * n, columns * n), grid.affine * Affine.scale(1 / n), grid.crs)
    )


def mean_of_blocks(values: np.ndarray, grid: GeoBox, target: GeoBox, out: np.ndarray) -> None:
    """Average the valid pixels of each block: GDAL's average of aligned grids, ten times faster.

    Parameters
    ----------
    values
        ``grid.shape`` float32, NaN for nodata.
    grid
        Grid of the values.
    target
        Grid of the result, whose pixels are whole blocks of those of `grid`.
    out
        ``target.shape`` float32, filled here; NaN where a block has no valid pixel.
    """
    step = ~grid.affine * target.affine
    factor = round(step.a)
    top, left = round(step.f), round(step.c)
    height, width = (n * factor for n in target.shape)
    inside = np.s_[max(top, 0) : max(top + height, 0), max(left, 0) : max(left + width, 0)]
    found = values[inside]
    if found.shape != (height, width):
        whole = np.full((height, width), np.nan, dtype="float32")
        y, x = max(-top, 0), max(-left, 0)
        whole[y : y + found.shape[0], x : x + found.shape[1]] = found
        found = whole
    if factor == 1:
        out[:] = found
        return
    finite = np.isfinite(found)
    if finite.all():
        out[:] = _sum_of_blocks(found, factor) / factor**2
        return
    with np.errstate(invalid="ignore"):
        total = _sum_of_blocks(np.where(finite, found, np.float32(0)), factor)
        out[:] = total / _sum_of_blocks(finite.astype("float32"), factor)


def _sum_of_blocks(values: np.ndarray, factor: int) -> np.ndarray:
    rows = sum((values[i::factor] for i in range(1, factor)), start=values[::factor].copy())
    columns: np.ndarray = sum(
        (rows[:, i::factor] for i in range(1, factor)), start=rows[:, ::factor].copy()
    )
    return columns
