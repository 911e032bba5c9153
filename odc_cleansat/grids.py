"""The model grid, and bands resampled to it.

Everything here is a pure function of coordinates: the same pixel comes out the same whichever
part of a scene is asked for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import xarray as xr
from affine import Affine
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox
from odc.geo.warp import rio_reproject
from rasterio.enums import Resampling
from rasterio.io import MemoryFile
from rasterio.vrt import WarpedVRT

from .errors import SceneError
from .pixels import Roi, reach
from .reflectance import QUANTIFICATION
from .windows import Box, grid_box

AVERAGED = 0.4
"""Scenes that do not fit the model grid and have pixels up to this share of the model's are averaged; coarser ones,
which an average would blur, are resampled by KERNEL."""

KERNEL = "lanczos"
"""The sharpest of GDAL's, for networks take blurred ground for cloud. Of pixels of 30 m that lie beside those of the
model grid, 4 % turn from clear to cloud by averaging, 1.4 % by cubic convolution and 0.4 % by this one
(`benchmarks/resampling.py`)."""

TOLERANCE = 1e-4
"""Greatest error of the coordinates in a reprojection, source pixels. GDAL interpolates coordinates along
rows to within 1/8 of a pixel by default, and then the answer depends on the block asked for."""


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


def crs_name(crs: CRS) -> str:
    """``EPSG:32633`` where there is a code, else WKT."""
    return f"EPSG:{crs.epsg}" if crs.epsg else str(crs.to_wkt())


def ground_resolution(geobox: GeoBox) -> tuple[float, float]:
    """Size of the central pixel on the ground.

    Returns
    -------
    tuple of float
        Along y and along x, metres, on the WGS 84 ellipsoid.
    """
    from pyproj import Geod

    rows, columns = geobox.shape
    y, x = rows // 2, columns // 2
    corners = [geobox.affine * p for p in ((x, y), (x + 1, y), (x, y + 1))]
    to_lonlat = geobox.crs.transformer_to_crs(CRS("EPSG:4326"))
    lon, lat = to_lonlat([c[0] for c in corners], [c[1] for c in corners])
    geod = Geod(ellps="WGS84")
    _, _, along_x = geod.inv(lon[0], lat[0], lon[1], lat[1])
    _, _, along_y = geod.inv(lon[0], lat[0], lon[2], lat[2])
    return along_y, along_x


@lru_cache(maxsize=256)
def model_grid(geobox: GeoBox, resolution: float) -> tuple[CRS, Box]:
    """The model grid over a scene: pixels of `resolution` metres, anchored at the origin.

    Sentinel-2's own UTM grids are kept. Anything else, geographic grids and map projections
    whose metres are not metres on the ground, goes through the UTM zone of the scene's centre.

    Returns
    -------
    CRS, Box
        The coordinate system, and the pixels counted from its origin. Rows grow
        southwards from y = 0, so those of the northern hemisphere are negative.

    Raises
    ------
    SceneError
        If the scene lies across the edge of its coordinate system, as one in longitudes does across 180 degrees, or
        where there are no UTM zones.
    """
    crs = geobox.crs if _is_utm(geobox.crs) else _zone(geobox)
    extent = geobox.extent if crs == geobox.crs else geobox.footprint(crs, npoints=100)
    bounds = extent.boundingbox
    left, right = grid_box(bounds.left, bounds.right, resolution)
    top, bottom = grid_box(-bounds.top, -bounds.bottom, resolution)
    return crs, Box(top, bottom, left, right)


def _zone(geobox: GeoBox) -> CRS:
    """The UTM zone of a scene's centre."""
    try:
        crs = CRS.utm(geobox.geographic_extent.centroid)
    except ValueError as error:
        raise SceneError(
            f"the scene in {crs_name(geobox.crs)} lies where there is no UTM zone, beyond the edge of the world or near "
            f"a pole: {geobox.boundingbox}. Check its coordinates, or load it in its UTM zone."
        ) from error
    # What leads there leads back, but for pixels beyond 180 degrees.
    bounds = geobox.boundingbox
    corners = [
        [x for x in (bounds.left, bounds.right) for _ in range(2)],
        [bounds.bottom, bounds.top] * 2,
    ]
    there = geobox.crs.transformer_to_crs(crs)(*corners)
    back = crs.transformer_to_crs(geobox.crs)(*there)
    pixel = max(abs(geobox.resolution.x), abs(geobox.resolution.y))
    if not np.allclose(corners, back, rtol=0, atol=pixel):
        raise SceneError(
            f"the scene reaches beyond the edge of {crs_name(geobox.crs)}, where its pixels have no place: {bounds}. "
            "Cut it there, or load it in its UTM zone."
        )
    return crs


def box_geobox(box: Box, crs: CRS, resolution: float) -> GeoBox:
    """The geobox of a rectangle of the model grid."""
    origin = Affine(resolution, 0, box.left * resolution, 0, -resolution, -box.top * resolution)
    return GeoBox(box.shape, origin, crs)


def overlap(source: GeoBox, target: GeoBox) -> Roi | None:
    """The part of `source` that decides the pixels of `target`, or None if they do not meet."""
    near = reach(source, target)
    roi = near and reach(target[near], source)
    if roi is None:
        return None
    # Lanczos' kernel reaches three pixels far. A coarser target looks further: kernels grow with the ratio of
    # the pixel sizes.
    paddings = [2 + math.ceil(3 * max(ratio, 1)) for ratio in _ratios(source, target[near])]
    rows, columns = (
        slice(max(span.start - padding, 0), min(span.stop + padding, size))
        for span, padding, size in zip(roi, paddings, source.shape, strict=True)
    )
    return rows, columns


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


def warp(planes: np.ndarray, grid: GeoBox, target: GeoBox, how: str) -> np.ndarray:
    """Resample planes to another grid, the same for a pixel whichever part of the target is asked for.

    Parameters
    ----------
    planes
        ``(K, h, w)`` float32, NaN for nodata, on `grid`.
    how
        A resampling method of GDAL.

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
            _mean_of_blocks(plane, grid, target, out)
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
    """Target pixels per source pixel along each axis, at most 1, for the width of GDAL's kernels.

    GDAL would estimate them from the block at hand, and the answer would depend on that. In steps of
    an eighth of an octave, so that they hardly ever differ from one block to the next.
    """
    y, x = (2 ** -(max(round(8 * math.log2(ratio)), 0) / 8) for ratio in _ratios(grid, target))
    return {"XSCALE": x, "YSCALE": y}


def _ratios(grid: GeoBox, target: GeoBox) -> tuple[float, float]:
    """Size of a target pixel in pixels of the grid, along y and along x: far north geographic pixels are narrow."""
    (y, x), (own_y, own_x) = ground_resolution(target), ground_resolution(grid)
    return y / own_y, x / own_x


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


def _is_utm(crs: CRS) -> bool:
    epsg = crs.epsg or 0
    return 32601 <= epsg <= 32660 or 32701 <= epsg <= 32760


def _aligned_factor(grid: GeoBox, target: GeoBox) -> int | None:
    """How many pixels of `grid` make one of `target` along each axis, if that is a whole number."""
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


def _repeats(grid: GeoBox, target: GeoBox) -> int | None:
    """Into how many parts each pixel is to be cut along each axis for an exact average, if that can be.

    20 m pixels go into those of 30 m only when halved, and those of 60 m into 10 m when cut in six: the same area
    average, and to the bit that of the same pixels loaded at 10 m. Pixels nearly as large as the target's but beside
    them would only be blurred.
    """
    near = 0.7 < grid.affine.a / target.affine.a < 2
    counts = (1,) if near else (1, 2, 3, 6)
    return next((n for n in counts if _aligned_factor(_divided(grid, n), target)), None)


def _holds(grid: GeoBox, target: GeoBox) -> bool:
    """Whether one grid reaches as far as another in the same coordinate system."""
    outer, inner = grid.boundingbox, target.boundingbox
    upright = grid.axis_aligned and target.axis_aligned
    return bool(upright and grid.crs == target.crs and (outer & inner) == inner)


def _divided(grid: GeoBox, n: int) -> GeoBox:
    """Each pixel cut into n x n."""
    rows, columns = grid.shape
    return (
        grid
        if n == 1
        else GeoBox((rows * n, columns * n), grid.affine * Affine.scale(1 / n), grid.crs)
    )


def _mean_of_blocks(values: np.ndarray, grid: GeoBox, target: GeoBox, out: np.ndarray) -> None:
    """Mean of the valid pixels of each block: GDAL's average of aligned grids, ten times faster."""
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
