"""The output grid of `load` and `recall`: given whole, or laid over an area by `output_crs` and `resolution`."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import xarray as xr
from odc.geo import XY, Resolution, resyx_
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox
from odc.geo.geom import Geometry

from ..arguments import is_number
from ..errors import CubeError, first_line
from ..grids.grid import crs_name, unevenness
from ..storage.rasters import open_file
from ..threads import available_memory
from .area import INSTEAD, check_area, parse_area, parse_crs

if TYPE_CHECKING:
    from datacube.model import Product


BLOCK = 2048
"""Pixels along a side of a block, where no chunks are asked for or their size is left to us."""

LONGEST = 10_000_000
"""Pixels along a side of the output beyond which the resolution cannot be meant."""

WIDEST = 5.0
"""Degrees beyond which the size of a pixel cannot be meant."""


@dataclass(frozen=True)
class GridOptions:
    """What a caller says of the output grid, as `dc.load` takes it."""

    like: Any = None
    """A GeoBox, data that have one, or the path of a raster file."""

    geobox: Any = None
    """The same by another name."""

    output_crs: Any = None
    """Coordinate system."""

    resolution: Any = None
    """Size of a pixel, in units of the coordinate system."""

    align: Any = None
    """Offset of the pixels' edges, in the same units."""

    @staticmethod
    def taken_from(arguments: dict[str, Any]) -> GridOptions:
        """Take the options out of the arguments of a call, which keep the others."""
        names = [each.name for each in fields(GridOptions)]
        return GridOptions(**{name: arguments.pop(name, None) for name in names})

    def given(self, place: Mapping[str, Any]) -> GeoBox | None:
        """Return the grid that was passed whole; None if there is none.

        Parameters
        ----------
        place
            Search terms that say where.

        Raises
        ------
        CubeError
            If it is no grid, is empty or absurd, lies across the antimeridian, or does not go with the
            other options or the place.
        """
        if self.like is None and self.geobox is None:
            return None
        name = "like" if self.geobox is None else "geobox"
        given = getattr(self, name)
        clash = [
            each.name
            for each in fields(self)
            if each.name != name and getattr(self, each.name) is not None
        ]
        if parse_area(place) is not None:
            clash.append("an area")
        if clash:
            raise CubeError(
                f"{', '.join(clash)} cannot go with {name}, which says it all; leave one of them out."
            )
        grid = given
        if isinstance(given, (xr.Dataset, xr.DataArray)):
            if reason := unevenness(given):
                raise CubeError(f"{name} has no grid: {reason}.")
            grid = given.odc.geobox
        elif isinstance(given, str | os.PathLike):
            grid = _grid_of_file(name, os.fspath(given))
        if not isinstance(grid, GeoBox) or grid.crs is None:
            raise CubeError(
                f"{name} has no grid with a coordinate system; pass a GeoBox, data that have one "
                "in .odc.geobox, or the path of a raster file."
            )
        _check_grid(grid)
        return grid


def lay_grid(
    options: GridOptions,
    area: Geometry | None,
    hints: Mapping[str, Any],
    bounds_in: Callable[[CRS], Geometry],
) -> GeoBox:
    """Lay a grid over an area, as `dc.load` does.

    Parameters
    ----------
    options
        Coordinate system, resolution and alignment, where the caller says them.
    area
        What is asked for.
    hints
        ``output_crs``, ``resolution`` and ``align`` where the caller does not say them.
    bounds_in
        Returns the bounds of all datasets in a coordinate system: the area if none is asked for.

    Raises
    ------
    CubeError
        If there is no such grid, or it is empty or absurd, or lies across the antimeridian.
    """
    from datacube.api.core import output_geobox

    crs = parse_crs(hints["output_crs"] if options.output_crs is None else options.output_crs)
    resolution, align = _resolution(options.resolution, crs), _numbers(options.align)
    if align is None and options.align is not None:
        raise CubeError(f"align is {options.align!r:.100}; pass a pair of numbers, (y, x).")
    if resolution is None and hints.get("resolution") is None:
        raise CubeError(
            f"output_crs= needs resolution=, the size of a pixel in units of {crs_name(crs)}."
        )
    if area is not None:
        check_area(area, crs)
    try:
        grid: GeoBox = output_geobox(
            output_crs=options.output_crs,
            resolution=resolution,
            align=align,
            load_hints=hints,
            geopolygon=bounds_in(crs) if area is None else area,
        )
    except Exception as error:  # of datacube, odc-geo and shapely, each with its own
        size = hints.get("resolution") if resolution is None else resolution
        raise CubeError(
            f"no output grid in {crs_name(crs)} with resolution {size} can be laid over the area: "
            f"{' '.join(str(error).split()) or type(error).__name__}. Choose a coordinate system for that part of "
            "the Earth, and a resolution in its units."
        ) from error
    _check_grid(grid)
    return grid


def _resolution(given: Any, crs: CRS) -> Any:
    """Return the size of a pixel as datacube takes it; None if none is given."""
    if given is None or isinstance(given, Resolution):
        return given
    found = (float(given),) * 2 if is_number(given) else _numbers(given)
    if not (isinstance(found, tuple) and all(found)):
        raise CubeError(
            f"the resolution is {given!r:.100}; pass a number other than 0, or a pair (y, x), in units of {crs_name(crs)}."
        )
    return found[0] if is_number(given) else resyx_(*found)


def _numbers(given: Any) -> Any:
    """Return a pair of numbers as datacube takes it; None if it is something else."""
    if isinstance(given, XY):
        return given
    try:
        y, x = given
    except (TypeError, ValueError):
        return None
    return (float(y), float(x)) if is_number(y) and is_number(x) else None


def product_hints(product: Product, options: GridOptions) -> dict[str, Any]:
    """Return what a product says of the grid on which to load it; nothing if it says nothing."""
    hints: dict[str, Any] = product.load_hints()
    spec = product.grid_spec
    if hints or spec is None or options.output_crs is not None:
        return hints
    return {"output_crs": spec.crs, "resolution": spec.resolution, "align": spec.alignment}


def native_hints(native: Sequence[GeoBox], options: GridOptions) -> dict[str, Any]:
    """Return what a product's hints would be, from the grids of its datasets.

    Raises
    ------
    CubeError
        If the grids have no common coordinate system or pixel size, and the caller names none.
    """
    systems = list(dict.fromkeys(crs_name(grid.crs) for grid in native))
    sizes = {grid.resolution.yx for grid in native}
    if options.output_crs is None and len(systems) > 1:
        raise CubeError(
            f"the masks are in several coordinate systems ({', '.join(systems)}), so that they have no "
            "common grid; pass output_crs and resolution, or a grid as like or geobox."
        )
    crs = parse_crs(options.output_crs or systems[0])
    if options.resolution is not None:
        return {"output_crs": crs, "resolution": options.resolution, "align": None}
    if [crs_name(crs)] != systems or len(sizes) > 1:
        raise CubeError(
            f"the masks have no common pixel size in {crs_name(crs)}; pass the resolution, in "
            f"{'degrees' if crs.geographic else 'units of that system'}."
        )
    return {"output_crs": crs, "resolution": native[0].resolution, "align": native[0].alignment}


def check_memory(grid: GeoBox, times: int, pixel_bytes: int) -> None:
    """Raise if a result does not fit: before anything is read, not when memory is exhausted.

    Parameters
    ----------
    grid
        The output grid.
    times
        Number of times.
    pixel_bytes
        Bytes that a pixel of one time takes at least, all layers together.

    Raises
    ------
    CubeError
        Saying how large it is.
    """
    rows, columns = grid.shape
    needed = (
        2 * pixel_bytes * times * rows * columns
    )  # the blocks, and the whole that is made of them
    free = available_memory()
    if needed > free:
        y, x = grid.dimensions
        raise CubeError(
            f"the grid has {rows} x {columns} pixels, for {times} times; that needs "
            f"{needed / 1e9:,.0f} GB of memory, and {free / 1e9:,.1f} GB are free. Check the resolution, "
            f"given in units of {crs_name(grid.crs)}, or pass dask_chunks={{{y!r}: 2048, {x!r}: 2048}}."
        )


def _grid_of_file(name: str, path: str) -> GeoBox:
    """Return the grid of a raster file."""
    from rasterio.errors import RasterioError

    try:
        with open_file(path) as file:
            return GeoBox.from_rio(file)
    except RasterioError as error:
        raise CubeError(
            f"{path!r}, given as {name}, is no raster file: {first_line(error)}."
        ) from error


def _check_grid(grid: GeoBox) -> None:
    """Raise if a grid is empty or absurd, or lies across the antimeridian."""
    rows, columns = grid.shape
    if 0 in grid.shape:
        raise CubeError(
            f"the grid is empty: its shape is {(rows, columns)}; it needs a pixel at least."
        )
    if max(grid.shape) > LONGEST:
        raise CubeError(
            f"the output grid has {rows} x {columns} pixels; check the resolution, which is in units of "
            f"{crs_name(grid.crs)}."
        )
    bounds, pixel = grid.boundingbox, abs(grid.resolution.x)
    if grid.crs.geographic and pixel > WIDEST:
        raise CubeError(
            f"pixels of {pixel:g} degrees are meant as metres; in {crs_name(grid.crs)} the resolution is in "
            "degrees: 0.0002 is about 20 m."
        )
    if grid.crs.geographic and not -180 - pixel <= bounds.left <= bounds.right <= 180 + pixel:
        raise CubeError(
            f"the grid goes from {bounds.left:g}° to {bounds.right:g}°, across the antimeridian. {INSTEAD}"
        )
