"""Areas that people draw, type or upload: understood, measured, and refused with what to do."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from odc.geo.geom import Geometry

from ..cube.area import parse_area
from ..errors import CleansatError
from ..grids.footprint import lonlat_footprint

MOST_CORNERS = 5_000
"""Corners of an area; more make searches slow."""


class AreaError(CleansatError):
    """An area that cannot be understood or searched."""


def read_area(text: str, largest: float) -> Geometry:
    """Return the area of a text.

    Parameters
    ----------
    text
        West, south, east and north in degrees; or corners as ``lon,lat;lon,lat;...``; or GeoJSON.
    largest
        Largest area, km2.

    Returns
    -------
    Geometry
        A polygon, or several, in degrees.

    Raises
    ------
    AreaError
        If it is none of these, crosses itself or the 180° meridian, is empty, or too large.
    """
    text = text.strip()
    if not text:
        raise AreaError("there is no area; draw one, or type west,south,east,north in degrees.")
    if text.startswith("{"):
        return check_geometry(_from_json(text), largest)
    return check_geometry(_from_numbers(text), largest)


def check_geometry(geometry: Mapping[str, Any], largest: float) -> Geometry:
    """Return the area of a GeoJSON geometry, feature or collection; see :func:`read_area`.

    Raises
    ------
    AreaError
        If it cannot be used.
    """
    import shapely

    try:
        area = parse_area({"geopolygon": geometry})
    except CleansatError as error:
        # The rest tells programmers what to pass.
        reason = str(error).partition(";")[0].partition(": geopolygon")[0].rstrip(".")
        raise AreaError(
            f"{reason}; draw a polygon, or upload one as GeoJSON in degrees."
        ) from error
    assert area is not None
    shape = area.geom
    if shape.geom_type not in ("Polygon", "MultiPolygon"):
        raise AreaError(
            f"the area is a {shape.geom_type}, which has no inside; draw or upload a polygon."
        )
    if shapely.get_num_coordinates(shape) > MOST_CORNERS:
        raise AreaError(
            f"the area has {shapely.get_num_coordinates(shape)} corners; simplify it to at most {MOST_CORNERS}."
        )
    if shape.is_empty or shape.area == 0:
        raise AreaError("the area is empty; draw one with some width and height.")
    west, south, east, north = shape.bounds
    if west < -180 or east > 180 or east - west > 180:
        raise AreaError(
            "the area crosses the 180° meridian; ask for the parts on both sides one after the other."
        )
    if south < -90 or north > 90:
        raise AreaError(f"the area reaches from latitude {south:g} to {north:g}; they end at ±90.")
    size = square_km(area)
    if size > largest:
        raise AreaError(
            f"the area has {size:,.0f} km², and at most {largest:,.0f} are searched here; choose a smaller one."
        )
    return area


def square_km(area: Geometry) -> float:
    """Return the size of an area on the ellipsoid, km2."""
    from pyproj import Geod

    size, _ = Geod(ellps="WGS84").geometry_area_perimeter(lonlat_footprint(area).geom)
    return abs(float(size)) / 1e6


def area_text(area: Geometry) -> str:
    """Return an area as it stands in an address: a box, corners, or GeoJSON for what has several parts or holes."""
    shape = area.geom
    if shape.equals(shape.envelope):
        return ",".join(f"{x:.5f}" for x in shape.bounds)
    if shape.geom_type == "Polygon" and not shape.interiors:
        return ";".join(f"{x:.5f},{y:.5f}" for x, y in list(shape.exterior.coords)[:-1])
    return json.dumps(shape.__geo_interface__, separators=(",", ":"))


def _from_json(text: str) -> Mapping[str, Any]:
    from ..storage.reader import DocumentError, parse_json

    try:
        found = parse_json(text.encode(), "the area")
    except DocumentError as error:
        raise AreaError(f"the area cannot be read as GeoJSON: {error.reason}.") from error
    if not isinstance(found, dict) or "type" not in found:
        raise AreaError(
            "the area is JSON, but no GeoJSON: it has no type. Export a polygon as GeoJSON."
        )
    return found


def _from_numbers(text: str) -> Mapping[str, Any]:
    try:
        pairs = [[_number(x) for x in part.split(",")] for part in text.split(";") if part.strip()]
    except ValueError:
        raise AreaError(
            f"{text[:60]!r} is no area; write west,south,east,north in degrees, like 13.6,47.7,13.8,47.9, or GeoJSON."
        ) from None
    if len(pairs) == 1 and len(pairs[0]) == 4:
        west, south, east, north = pairs[0]
        if west > east and west - east > 180:
            raise AreaError(
                "the area crosses the 180° meridian; ask for the parts on both sides one after the other."
            )
        if west >= east or south >= north:
            raise AreaError(
                f"{text} is no box: west must be below east, and south below north, in degrees."
            )
        corners = [[west, south], [east, south], [east, north], [west, north]]
    elif len(pairs) > 2 and all(len(pair) == 2 for pair in pairs):
        corners = pairs
    else:
        raise AreaError(
            f"{text[:60]!r} is no area; write four numbers, west,south,east,north, or corners like lon,lat;lon,lat;lon,lat."
        )
    return {"type": "Polygon", "coordinates": [[*corners, corners[0]]]}


def _number(text: str) -> float:
    """Return a finite number."""
    found = float(text)
    if not math.isfinite(found):
        raise ValueError(text)
    return found
