"""The output grid of `load` and `recall`: from `like`, from `output_crs` and `resolution`, or the masks' own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox
from odc.geo.geom import Geometry, bbox_union, box

from ..errors import CubeError
from ..grids.grid import crs_name
from .query import _MERIDIAN, PLACE, _area, _crs, _wraps
from .sample import _dtype

if TYPE_CHECKING:
    from datacube.model import Dataset


LONGEST = 10_000_000
"""Pixels along a side of the output beyond which the resolution cannot be meant."""


def _geobox(scenes: Sequence[Dataset], like: Any, grid: Mapping[str, Any], query: Any) -> GeoBox:
    from datacube.api.core import output_geobox

    product = scenes[0].product
    place = {key: value for key, value in query.items() if key in PLACE}
    hints = product.load_hints()
    systems = ", ".join(sorted({str(each.crs) for each in scenes}))
    if "output_crs" in grid:
        try:
            CRS(grid["output_crs"])
        except Exception as error:  # pyproj's own
            raise CubeError(f"{grid['output_crs']!r} is no coordinate system: {error}") from error
    try:
        geobox: GeoBox = output_geobox(
            like=like,
            load_hints=hints,
            grid_spec=None if hints else product.grid_spec,
            datasets=scenes,
            **grid,
            **place,
        )
    except (ValueError, TypeError, AssertionError, ZeroDivisionError) as error:
        raise CubeError(
            f"no output grid ({' '.join(str(error).split()) or type(error).__name__}): pass like=, or "
            f"output_crs= and resolution=. The scenes are in {systems}."
        ) from error
    if 0 in geobox.shape or max(geobox.shape) > LONGEST:
        raise CubeError(
            f"the output grid has {geobox.shape[0]} x {geobox.shape[1]} pixels; check the resolution, which is "
            f"in units of {geobox.crs}."
        )
    return geobox


WIDEST = 5.0
"""Degrees beyond which the size of a pixel cannot be meant."""


# --- the grid -------------------------------------------------------------------------


def _given_grid(
    like: Any, geobox: GeoBox | None, output_crs: Any, resolution: Any, query: Mapping[str, Any]
) -> GeoBox | None:
    """The grid that was passed whole, if any."""
    if like is None and geobox is None:
        return None
    other = {"output_crs": output_crs, "resolution": resolution, "align": query.get("align")}
    clash = [name for name, value in other.items() if value is not None]
    if like is not None and geobox is not None:
        clash.append("like")
    if _area(query) is not None:
        clash.append("an area")
    if clash:
        raise CubeError(
            f"{', '.join(clash)} cannot go with {'geobox' if like is None else 'like'}, which "
            "says it all; leave one of them out."
        )
    given = like if geobox is None else geobox
    grid = given.odc.geobox if isinstance(given, (xr.Dataset, xr.DataArray)) else given
    if not isinstance(grid, GeoBox) or grid.crs is None:
        raise CubeError(
            f"{'geobox' if like is None else 'like'} has no grid with a coordinate system; pass a "
            "GeoBox, or data that have one in .odc.geobox."
        )
    _check_grid(grid)
    return grid


def _native_grid(dataset: Dataset) -> GeoBox:
    from datacube.testutils.io import native_geobox

    try:
        return native_geobox(dataset, basis="ucl")
    except (KeyError, ValueError) as error:
        raise CubeError(
            f"the dataset {dataset.id} of the product {dataset.product.name} has no band ucl with a "
            "grid; pass masks."
        ) from error


def _asked_grid(
    datasets: Sequence[Dataset],
    native: Sequence[GeoBox],
    output_crs: Any,
    resolution: Any,
    query: Mapping[str, Any],
) -> GeoBox:
    """The grid of a query, as `dc.load` makes it; the masks' own where it does not say."""
    from datacube.api.core import output_geobox

    hints = datasets[0].product.load_hints() or _hints(native, output_crs, resolution)
    crs = _crs(output_crs or hints["output_crs"])
    area = _area(query)
    if area is not None:
        _check_area(area, crs)
    try:
        if area is None:
            area = box(*bbox_union(g.footprint(crs).boundingbox for g in native), crs=crs)
        grid: GeoBox = output_geobox(
            output_crs=output_crs,
            resolution=resolution,
            align=query.get("align"),
            load_hints=hints,
            geopolygon=area,
        )
    except Exception as error:  # of datacube, odc-geo and shapely, each with its own
        raise CubeError(
            f"no grid in {crs_name(crs)} with resolution {resolution or hints['resolution']} can be "
            f"laid over the area: {str(error) or type(error).__name__}. Choose a coordinate system for that part of the Earth, and "
            "a resolution in its units."
        ) from error
    _check_grid(grid)
    return grid


def _hints(native: Sequence[GeoBox], output_crs: Any, resolution: Any) -> dict[str, Any]:
    """What a product's `load` would say, from the grids of its datasets."""
    systems = list(dict.fromkeys(crs_name(grid.crs) for grid in native))
    sizes = {grid.resolution.yx for grid in native}
    if output_crs is None and len(systems) > 1:
        raise CubeError(
            f"the masks are in several coordinate systems ({', '.join(systems)}), so that they have no "
            "common grid; pass output_crs and resolution, or a grid as like or geobox."
        )
    crs = _crs(output_crs or systems[0])
    if resolution is None and not ([crs_name(crs)] == systems and len(sizes) == 1):
        raise CubeError(
            f"the masks have no common pixel size in {crs_name(crs)}; pass the resolution, in "
            f"{'degrees' if crs.geographic else 'units of that system'}."
        )
    hints: dict[str, Any] = {"output_crs": crs, "resolution": resolution, "align": None}
    if resolution is None:
        hints |= {"resolution": native[0].resolution, "align": native[0].alignment}
    return hints


def _check_grid(grid: GeoBox) -> None:
    if 0 in grid.shape:
        raise CubeError(
            f"the grid is empty: its shape is {tuple(grid.shape)}; it needs a pixel at least."
        )
    bounds, pixel = grid.boundingbox, abs(grid.resolution.x)
    if grid.crs.geographic and pixel > WIDEST:
        raise CubeError(
            f"pixels of {pixel:g} degrees are meant as metres; in {crs_name(grid.crs)} the resolution is in degrees: "
            "0.0002 is about 20 m."
        )
    if grid.crs.geographic and not -180 - pixel <= bounds.left <= bounds.right <= 180 + pixel:
        raise CubeError(
            f"the grid goes from {bounds.left:g}° to {bounds.right:g}°, across the antimeridian. "
            + _MERIDIAN
        )


def _check_area(area: Geometry, crs: CRS) -> None:
    """Refuse an area across the antimeridian, unless the grid is in its own projected system."""
    bounds = area.boundingbox
    beyond = area.crs.geographic and not -180 <= bounds.left <= bounds.right <= 180
    if beyond or (area.crs != crs and not area.crs.geographic and _wraps(area)):
        raise CubeError("the area lies across the antimeridian. " + _MERIDIAN)


def check_memory(grid: GeoBox, times: int, names: Sequence[str]) -> None:
    """Refuse a result that does not fit: before anything is read, not when memory is exhausted.

    Raises
    ------
    CubeError
        Saying how large it is.
    """
    import psutil
    from distributed.system import MEMORY_LIMIT

    rows, columns = grid.shape
    size = sum(np.dtype(_dtype(name)).itemsize for name in names)
    needed = 2 * size * times * rows * columns  # the blocks, and the whole that is made of them
    free = min(psutil.virtual_memory().available, MEMORY_LIMIT)
    if needed > free:
        y, x = grid.dimensions
        raise CubeError(
            f"the grid has {rows} x {columns} pixels, for {times} times; that needs "
            f"{needed / 1e9:,.0f} GB of memory, and {free / 1e9:,.1f} GB are free. Check the resolution, "
            f"given in units of {crs_name(grid.crs)}, or pass dask_chunks={{{y!r}: 2048, {x!r}: 2048}}."
        )
