"""The area of a query: what says where, and how datasets are found in it.

An area is continuous: one across the antimeridian has longitudes beyond 180 degrees. Datasets there are found
from both sides, however an index has them; see :func:`searches`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from odc.geo.crs import CRS
from odc.geo.geom import Geometry, unary_union

from ..arguments import is_number
from ..errors import CubeError
from ..grids.footprint import lonlat_footprint
from ..grids.grid import crs_name

RANGES = ("x", "y", "lon", "lat", "longitude", "latitude")
"""Names of the search terms that are a number or a range."""

PLACE = (*RANGES, "crs", "geopolygon")
"""Names of the search terms that say where."""

INSTEAD = (
    "Choose a coordinate system that is whole there as output_crs=, such as EPSG:32601, EPSG:32660 or "
    "EPSG:3832, or a grid in one as like= or geobox=; or ask for the two sides of the 180° meridian one after "
    "the other."
)
"""What to do where a grid would lie across the antimeridian."""

_LONLAT = CRS("EPSG:4326")

LAST_LONGITUDE = 174.0
"""Degrees of longitude from which on a dataset may lie across the antimeridian."""

LAST_LATITUDE = 80.0
"""Degrees of latitude from which on an index may not know what a dataset holds: it looks at corners alone."""

_TILE = 4.0
"""Degrees of latitude by which the corners of a dataset may miss what it holds there."""


def parse_crs(name: Any) -> CRS:
    """Return a coordinate system by its name, code or WKT.

    Raises
    ------
    CubeError
        If there is none, or it has no places on the ground, such as one of heights.
    """
    try:
        found = CRS(name)
    except Exception as error:  # pyproj's own, which odc-geo lets through
        raise CubeError(f"{name!r} is no coordinate system: {error}") from error
    if not (found.geographic or found.projected):
        raise CubeError(
            f"{name!r} is no coordinate system with x and y on the ground; choose one such as EPSG:32633."
        )
    return found


def parse_area(terms: Mapping[str, Any]) -> Geometry | None:
    """Return the area of some search terms, as datacube understands it; None if they do not say where.

    Parameters
    ----------
    terms
        Names of :data:`PLACE`. A ``geopolygon`` may be a geometry of odc-geo, shapely, geopandas or GeoJSON.
        Its coordinates are degrees, unless it or ``crs`` has another coordinate system.

    Raises
    ------
    CubeError
        If it cannot be understood, crosses itself, has no width or no height, or has metres where degrees are meant.
    """
    from datacube.index import extract_geom_from_query

    if terms.get("geopolygon") is not None:
        polygon = _polygon(terms["geopolygon"], terms.get("crs"))
        terms = {**{k: v for k, v in terms.items() if k != "crs"}, "geopolygon": polygon}
    terms = _continuous(_ranges(terms))
    try:
        area: Geometry | None = extract_geom_from_query(**terms)
    except Exception as error:  # also assertions, and pyproj's own for an unknown crs
        raise CubeError(f"the area of the query cannot be understood: {error}") from error
    if area is not None and area.crs.geographic:
        area = _in_one_piece(area)
        south, north = area.boundingbox.range_y
        if south < -90 or north > 90:
            raise CubeError(
                f"the area goes from latitude {south:g} to {north:g}; they are from -90 to 90."
            )
    # Datacube would cut the outline of a line into pieces without end.
    if area is not None and 0 in (area.boundingbox.span_x, area.boundingbox.span_y):
        raise CubeError(
            "the area of the query has no width or no height; pass (from, to) for both."
        )
    return area


def _polygon(value: Any, crs: Any) -> Geometry:
    """Return the geometry of odc-geo, shapely, geopandas or GeoJSON."""
    import shapely

    try:
        shapes = getattr(value, "__geo_interface__", value)
        if isinstance(value, Geometry):
            shape = value.geom
        elif shapes["type"] == "FeatureCollection":
            parts = [shapely.geometry.shape(each["geometry"]) for each in shapes["features"]]
            shape = shapely.union_all(parts)
        else:
            shape = shapely.geometry.shape(shapes.get("geometry", shapes))
    except Exception as error:  # of shapely, and of whatever the value is
        raise CubeError(
            f"the area of the query cannot be understood: geopolygon= is a {type(value).__name__}. Pass a polygon of "
            "odc-geo, shapely or geopandas, or a GeoJSON geometry or feature."
        ) from error
    if shape.is_empty:
        raise CubeError("the area of the query is empty; pass a polygon with corners.")
    if not np.isfinite(shapely.get_coordinates(shape)).all():
        raise CubeError(
            "a corner of the area of the query has no place: a coordinate is not finite."
        )
    if not shape.is_valid:
        raise CubeError(
            f"the outline of the area is no polygon: {shapely.is_valid_reason(shape)}. Draw it anew, without crossing "
            "lines."
        )
    system = parse_crs(getattr(value, "crs", None) or crs or "EPSG:4326")
    found = Geometry(shapely.force_2d(shape), system)
    bounds = found.boundingbox
    if system.geographic and max(map(abs, bounds)) > 360:
        raise CubeError(
            f"the area from {bounds.left:g} to {bounds.right:g} is not in degrees; pass its coordinate system too, "
            "e.g. crs='EPSG:32633'."
        )
    return found


def _ranges(terms: Mapping[str, Any]) -> dict[str, Any]:
    """Return search terms whose ranges are pairs of numbers; raise if one is none, or cannot be in degrees."""
    found = dict(terms)
    for name in RANGES:
        value = terms.get(name)
        if value is None:
            continue
        alone = is_number(value)
        several = isinstance(value, Iterable) and not isinstance(value, Mapping)
        ends = [value] if alone else list(value) if several else []
        if len(ends) != (1 if alone else 2) or not all(map(is_number, ends)):
            raise CubeError(
                f"the {name} is {value!r:.100}; pass a number, or the first and the last of a range."
            )
        ends = [float(each) for each in ends]
        if max(map(abs, ends)) > 360 and (name not in ("x", "y") or "crs" not in terms):
            raise CubeError(
                f"the {name} of {value!r} is not in degrees; pass x and y with their coordinate system, e.g. "
                "crs='EPSG:32633'."
            )
        found[name] = ends[0] if alone else tuple(ends)
    return found


def _continuous(terms: Mapping[str, Any]) -> dict[str, Any]:
    """Let longitudes from 179 to -179 end at 181: datacube would read them as the 358 degrees between."""
    found = dict(terms)
    if "crs" in terms and not parse_crs(terms["crs"]).geographic:
        return found
    for name in ("x", "lon", "longitude"):
        value = terms.get(name)
        if isinstance(value, tuple) and value[0] - value[1] > 180:
            found[name] = (value[0], value[1] + 360)
    return found


def _in_one_piece(area: Geometry) -> Geometry:
    """Return an area that is cut at the antimeridian, as GeoJSON has it, with longitudes beyond 180 degrees."""
    bounds = area.boundingbox
    if not area.geom_type.startswith("Multi") or (bounds.left, bounds.right) != (-180, 180):
        return area
    parts = [
        each.transform(lambda x, y: ([lon + 360 for lon in x], y))
        if each.centroid.coords[0][0] < 0
        else each
        for each in area.geoms
    ]
    whole = unary_union(parts)
    return whole if whole.boundingbox.span_x < 180 else area


def check_area(area: Geometry, crs: CRS) -> None:
    """Raise if an area is torn apart in the coordinate system of a grid, as at the antimeridian.

    Parameters
    ----------
    area
        What is asked for.
    crs
        Coordinate system of the output grid.

    Raises
    ------
    CubeError
        Saying what to do instead.
    """
    bounds = area.boundingbox
    beyond = (
        crs.geographic and area.crs.geographic and not -180 <= bounds.left <= bounds.right <= 180
    )
    if beyond or (area.crs != crs and _is_torn(area, crs)):
        raise CubeError(
            f"the area lies across the antimeridian, where {crs_name(crs)} is torn apart. {INSTEAD}"
        )


def _is_torn(area: Geometry, crs: CRS) -> bool:
    """Whether neighbouring points of an area lie half of it apart in a coordinate system."""
    for values in _points(area, crs):
        finite = values[np.isfinite(values)]
        for axis in (0, 1):
            step = np.abs(np.diff(values, axis=axis))
            if (step[np.isfinite(step)] > np.ptp(finite) / 2).any():
                return True
    return False


def searches(area: Geometry) -> list[dict[str, Any]]:
    """Return the searches that together find at least all datasets of an area.

    Datacube's own search by area finds nothing in half a globe and more. What lies across the antimeridian is
    in an index with longitudes beyond 180 degrees, and what holds a pole with the latitudes of its corners. So
    near these edges the searches are wider, and :func:`inside` has to look again.

    Returns
    -------
    list of dict
        Search terms of `dc.find_datasets`.
    """
    lon, lat = _points(area, _LONLAT)
    if not (np.isfinite(lon).all() and np.isfinite(lat).all()):
        return [{}]
    if not _is_near_edge(area):
        return [{"geopolygon": area}]
    step = float(np.abs(np.diff(lat, axis=0)).max())
    south, north = lat.min() - step, lat.max() + step
    across = np.abs(lon).max() > LAST_LONGITUDE
    lon = lon % 360  # as an index has what lies across
    if np.ptp(lon) > 180:
        return [{"lat": (max(south - _TILE, -90), min(north + _TILE, 90))}]
    found: list[dict[str, Any]] = [{"geopolygon": area}]
    if across:
        terms = {"lat": (max(south, -90), min(north, 90))}
        west, east = min(lon.min(), LAST_LONGITUDE), max(lon.max(), 360 - LAST_LONGITUDE)
        found = [{**terms, "lon": (west, east)}, {**terms, "lon": (-180, east - 360)}]
    if north > LAST_LATITUDE:
        found.append({"lat": (max(south, LAST_LATITUDE) - _TILE, 90)})
    if south < -LAST_LATITUDE:
        found.append({"lat": (-90, min(north, -LAST_LATITUDE) + _TILE)})
    return found


def inside(extents: Iterable[Geometry | None], area: Geometry) -> list[bool]:
    """Return which datasets lie in an area.

    Parameters
    ----------
    extents
        Footprints of the datasets, in any coordinate system. None lies nowhere.
    area
        The area.
    """
    from odc.geo.geom import intersects

    lon, lat = _points(area, _LONLAT)
    near = np.isfinite(lon).all() and np.isfinite(lat).all() and _is_near_edge(area)
    if near and (area.crs.geographic or np.ptp(lon % 360) <= 180 or _is_polar(lat)):
        there = lonlat_footprint(area)
        return [
            each is not None and bool(intersects(there, lonlat_footprint(each))) for each in extents
        ]
    return [
        each is not None and bool(intersects(area, each.to_crs(area.crs, resolution="auto")))
        for each in extents
    ]


def _is_near_edge(area: Geometry) -> bool:
    lon, lat = _points(area, _LONLAT)
    return bool(np.ptp(lon) > 180 or np.abs(lon).max() > LAST_LONGITUDE or _is_polar(lat))


def _is_polar(lat: np.ndarray) -> bool:
    return bool(np.abs(lat).max() > LAST_LATITUDE)


def _points(area: Geometry, crs: CRS) -> tuple[np.ndarray, np.ndarray]:
    """Return the coordinates of 33 x 33 points over the bounding box of an area, in a coordinate system."""
    bounds = area.boundingbox
    x, y = (np.linspace(low, high, 33) for low, high in (bounds.range_x, bounds.range_y))
    found: tuple[np.ndarray, np.ndarray] = area.crs.transformer_to_crs(crs)(*np.meshgrid(x, y))
    return found
