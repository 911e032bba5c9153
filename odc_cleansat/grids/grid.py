"""The model grid of a scene, and which part of one grid decides the pixels of another.

Everything here is a pure function of coordinates. So a pixel comes out the same whichever part of a
scene is asked for.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from affine import Affine
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox

from ..errors import SceneError, first_line
from .centres import Roi, reach
from .windows import Box, pixels_covering

if TYPE_CHECKING:
    import xarray as xr

FINEST = 0.1
"""Metres below which the size of a pixel cannot be meant."""


def crs_name(crs: CRS) -> str:
    """Return the name of a coordinate system: ``EPSG:32633`` where there is a code, else WKT."""
    return f"EPSG:{crs.epsg}" if crs.epsg else str(crs.to_wkt())


def ground_resolution(geobox: GeoBox) -> tuple[float, float]:
    """Return the size of the central pixel on the ground.

    Returns
    -------
    tuple of float
        Along y and along x, metres, on the WGS 84 ellipsoid.

    Raises
    ------
    SceneError
        If the coordinates cannot be of the coordinate system, such as metres with degrees.
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
    if not (FINEST <= along_y < math.inf and FINEST <= along_x < math.inf):
        raise _no_ground(geobox)
    return along_y, along_x


def _no_ground(geobox: GeoBox) -> SceneError:
    """Return the error for a grid that is nowhere on the Earth, or whose pixels are too small to be meant."""
    rows, columns = geobox.shape
    (left, top), (right, bottom) = geobox.affine * (0, 0), geobox.affine * (columns, rows)
    unit = "degrees" if geobox.crs.geographic else "metres"
    other = "metres of a UTM zone" if geobox.crs.geographic else "degrees"
    instead = "'EPSG:32633') for zone 33 north" if geobox.crs.geographic else "'EPSG:4326')"
    return SceneError(
        f"x from {left:g} to {right:g} and y from {bottom:g} to {top:g} cannot be {unit} of {crs_name(geobox.crs)}. "
        f"If they are {other}, the coordinate system was written on them by mistake. Give them their own, e.g. "
        f"scene.drop_vars('spatial_ref').rio.write_crs({instead}."
    )


@lru_cache(maxsize=256)
def model_grid(geobox: GeoBox, resolution: float) -> tuple[CRS, Box]:
    """Return the model grid over a scene.

    A scene in a UTM zone keeps its coordinate system. Any other goes through the UTM zone of its centre: pixels
    of geographic grids and of many map projections are not metres on the ground.

    Parameters
    ----------
    geobox
        Grid of the scene.
    resolution
        Size of the model's pixels, metres.

    Returns
    -------
    crs : odc.geo.crs.CRS
        The coordinate system.
    box : Box
        The pixels, counted from the origin of the coordinate system. Rows grow southwards from y = 0, so
        those of the northern hemisphere are negative.

    Raises
    ------
    SceneError
        If the scene lies across the edge of its coordinate system, such as 180 degrees of longitude, or where
        there is no UTM zone.
    """
    crs = geobox.crs if _is_utm(geobox.crs) else _zone(geobox)
    extent = geobox.extent if crs == geobox.crs else geobox.footprint(crs, npoints=100)
    bounds = extent.boundingbox
    left, right = pixels_covering(bounds.left, bounds.right, resolution)
    top, bottom = pixels_covering(-bounds.top, -bounds.bottom, resolution)
    return crs, Box(top, bottom, left, right)


def _zone(geobox: GeoBox) -> CRS:
    """Return the UTM zone of a scene's centre."""
    try:
        crs = CRS.utm(geobox.geographic_extent.centroid)
    except ValueError as error:
        raise SceneError(
            f"the scene in {crs_name(geobox.crs)} lies where there is no UTM zone, beyond the edge of the world or near "
            f"a pole: {geobox.boundingbox}. Check its coordinates, or load it in its UTM zone."
        ) from error
    # Coordinates come back from the zone as they were, but for pixels beyond 180 degrees.
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


def fault_of_grid(grid: GeoBox) -> str | None:
    """Say why a grid has no places for its pixels; None if it has.

    Parameters
    ----------
    grid
        A grid of one pixel at least. It may lack a coordinate system.
    """
    try:
        corners = [*grid.affine[:6], *(grid.affine * grid.shape[::-1])]
        if not np.isfinite(corners).all():
            return f"the coordinates are no places: {grid.affine!r}"
        grid.affine.__invert__()
        if grid.crs is not None and not (grid.crs.geographic or grid.crs.projected):
            return f"the coordinate system {crs_name(grid.crs):.60} has no x and y on the ground"
    except Exception as error:  # of odc-geo, pyproj, numpy and affine, each with its own
        return f"the grid {grid.affine!r} cannot be used ({first_line(error)})"
    return None


def unevenness(data: xr.Dataset | xr.DataArray) -> str | None:
    """Say why the pixels of an array are on no grid: its coordinates are no places, or not evenly spaced.

    A geobox knows the first and the last coordinate only. With a row missing between them, all others would be taken
    for rows of another place. Ask before ``.odc.geobox``: that may raise anything where this gives a reason.

    Parameters
    ----------
    data
        Any dims, shape and dtype, with coordinates of rows and columns or without.

    Returns
    -------
    str or None
        The reason; None if each coordinate is within a quarter of a pixel of its even place. Coordinates in float32
        are rounded by up to a tenth. None also for an array without coordinates, which has no geobox.
    """
    try:
        dims, grid = data.odc.spatial_dims or (), data.odc.geobox
        if grid is not None and 0 not in grid.shape and (fault := fault_of_grid(grid)):
            return f"{fault}; give each pixel its own place"
    except Exception as error:  # of odc-geo, pyproj, numpy and affine, each with its own
        return f"the grid cannot be understood ({first_line(error)}); correct the coordinates and the attributes that tell it"
    for name in dims:
        if name in data.coords and data[name].dtype.kind not in "uif":
            return f"the coordinate {name} is {data[name].dtype}, and no number"
        values = data[name].values.astype("float64") if name in data.coords else np.empty(0)
        if not np.isfinite(values).all():
            return f"the coordinate {name} is not finite everywhere; give each pixel a place"
        even = np.linspace(values[0], values[-1], values.size) if values.size > 2 else values
        pixel = abs(even[1] - even[0]) if values.size > 2 else 0.0
        if not np.all(np.abs(values - even) <= pixel / 4):
            steps = np.abs(np.diff(values))
            return (
                f"the coordinate {name} is not evenly spaced: its steps are from {steps.min():g} to {steps.max():g}, so "
                "that rows or columns are missing, repeated or out of order; put the data on an even grid, e.g. with "
                f"data.reindex({name}=...), or cut a part without gaps"
            )
    return None


def box_geobox(box: Box, crs: CRS, resolution: float) -> GeoBox:
    """Return the geobox of a rectangle of the model grid, whose pixels are `resolution` metres large."""
    origin = Affine(resolution, 0, box.left * resolution, 0, -resolution, -box.top * resolution)
    return GeoBox(box.shape, origin, crs)


def corner(geobox: GeoBox) -> tuple[int, int]:
    """Return row and column of the first pixel of a :func:`box_geobox`, counted as in its box."""
    affine = geobox.affine
    return round(affine.f / affine.e), round(affine.c / affine.a)


def overlap(source: GeoBox, target: GeoBox) -> Roi | None:
    """Find the part of `source` that decides the pixels of `target` when they are resampled.

    Returns
    -------
    tuple of slice or None
        Rows and columns of `source`; None if the grids do not meet.
    """
    near = reach(source, target)
    roi = near and reach(target[near], source)
    if roi is None:
        return None
    # Lanczos' kernel reaches three pixels far. For a coarser target it grows with the ratio of the pixel sizes.
    paddings = [2 + math.ceil(3 * max(ratio, 1)) for ratio in pixel_ratios(source, target[near])]
    rows, columns = (
        slice(max(span.start - padding, 0), min(span.stop + padding, size))
        for span, padding, size in zip(roi, paddings, source.shape, strict=True)
    )
    return rows, columns


def pixel_ratios(grid: GeoBox, target: GeoBox) -> tuple[float, float]:
    """Return the size of a target pixel in pixels of the grid, along y and along x.

    The two differ far north, where pixels of geographic grids are narrow.
    """
    (y, x), (own_y, own_x) = ground_resolution(target), ground_resolution(grid)
    return y / own_y, x / own_x


def _is_utm(crs: CRS) -> bool:
    epsg = crs.epsg or 0
    return 32601 <= epsg <= 32660 or 32701 <= epsg <= 32760


def centre(geobox: GeoBox) -> tuple[float, float]:
    """Return longitude and latitude of the middle of a grid, degrees."""
    rows, columns = geobox.shape
    x, y = geobox.affine * (columns / 2, rows / 2)
    longitude, latitude = geobox.crs.transformer_to_crs(CRS("EPSG:4326"))(x, y)
    return float(longitude), float(latitude)


def grid_north(geobox: GeoBox) -> float:
    """Return by how much the rows of a projected grid are turned from true north at its middle, degrees clockwise."""
    from pyproj import Proj

    return float(Proj(geobox.crs.proj.to_wkt()).get_factors(*centre(geobox)).meridian_convergence)
