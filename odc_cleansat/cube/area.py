"""The area of a query: what says where, and what datacube makes of the antimeridian."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from odc.geo.crs import CRS
from odc.geo.geom import Geometry

from ..errors import CubeError

PLACE = ("x", "y", "lon", "lat", "longitude", "latitude", "crs", "geopolygon")
"""Names of the search terms that say where."""

INSTEAD = (
    "Ask for the two sides of the 180° meridian one after the other, or for a projected grid "
    "across it as like= or geobox=, e.g. in EPSG:32601 or EPSG:3832."
)
"""What to do where an area lies across the antimeridian."""


def parse_crs(name: Any) -> CRS:
    """Return a coordinate system by its name, code or WKT.

    Raises
    ------
    CubeError
        If there is none.
    """
    try:
        return CRS(name)
    except Exception as error:  # pyproj's own, which odc-geo lets through
        raise CubeError(f"{name!r} is no coordinate system: {error}") from error


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
        If it cannot be understood, has no width or no height, lies across the antimeridian, or has metres where
        degrees are meant.
    """
    from datacube.index import extract_geom_from_query

    if terms.get("geopolygon") is not None:
        polygon = _polygon(terms["geopolygon"], terms.get("crs"))
        terms = {**{k: v for k, v in terms.items() if k != "crs"}, "geopolygon": polygon}
    _check_longitudes(terms)
    _check_degrees(terms)
    try:
        area: Geometry | None = extract_geom_from_query(**terms)
    except Exception as error:  # also assertions, and pyproj's own for an unknown crs
        raise CubeError(f"the area of the query cannot be understood: {error}") from error
    # Datacube would cut the outline of a line into pieces without end.
    if area is not None and 0 in (area.boundingbox.span_x, area.boundingbox.span_y):
        raise CubeError(
            "the area of the query has no width or no height; pass (from, to) for both."
        )
    return area


def _polygon(value: Any, crs: Any) -> Geometry:
    """Return the geometry of odc-geo, shapely, geopandas or GeoJSON."""
    import shapely

    if isinstance(value, Geometry):
        return value
    try:
        shapes = getattr(value, "__geo_interface__", value)
        if shapes["type"] == "FeatureCollection":
            parts = [shapely.geometry.shape(each["geometry"]) for each in shapes["features"]]
            shape = shapely.union_all(parts)
        else:
            shape = shapely.geometry.shape(shapes.get("geometry", shapes))
    except Exception as error:  # of shapely, and of whatever the value is
        raise CubeError(
            f"the area of the query cannot be understood: geopolygon= is a {type(value).__name__}. Pass a polygon of "
            "odc-geo, shapely or geopandas, or a GeoJSON geometry or feature."
        ) from error
    system = parse_crs(getattr(value, "crs", None) or crs or "EPSG:4326")
    found = Geometry(shapely.force_2d(shape), system)
    bounds = found.boundingbox
    if system.geographic and max(map(abs, bounds)) > 360:
        raise CubeError(
            f"the area from {bounds.left:g} to {bounds.right:g} is not in degrees; pass its coordinate system too, "
            "e.g. crs='EPSG:32633'."
        )
    return found


def _check_degrees(terms: Mapping[str, Any]) -> None:
    """Raise if x or y cannot be degrees and no coordinate system is given."""
    if "crs" in terms:
        return
    for name in ("x", "y"):
        values = terms.get(name)
        try:
            largest = np.abs(np.asarray(values, dtype=float)).max(initial=0)
        except (TypeError, ValueError):  # none, or what datacube refuses by itself
            continue
        if largest > 360:
            raise CubeError(
                f"{name}={values!r} is not in degrees; pass the coordinate system too, e.g. crs='EPSG:32633'."
            )


def _check_longitudes(terms: Mapping[str, Any]) -> None:
    """Raise if longitudes run across the antimeridian: datacube reads (179, -179) as the 358 degrees between."""
    if "crs" in terms and not parse_crs(terms["crs"]).geographic:
        return
    for name in ("x", "lon", "longitude"):
        value = terms.get(name)
        if isinstance(value, Sequence) and len(value) == 2 and value[0] - value[1] > 180:
            raise CubeError(f"{name}={value!r} lies across the antimeridian. {INSTEAD}")


def check_area(area: Geometry, crs: CRS) -> None:
    """Raise if an area lies across the antimeridian, unless it is in the grid's own projected system.

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
    beyond = area.crs.geographic and not -180 <= bounds.left <= bounds.right <= 180
    if beyond or (area.crs != crs and not area.crs.geographic and _wraps(area)):
        raise CubeError(f"the area lies across the antimeridian. {INSTEAD}")


def wide_terms(area: Geometry) -> dict[str, Any]:
    """Return search terms that find at least all datasets of an area.

    Datacube's own search by area finds nothing in half a globe and more, nor datasets that lie across
    the antimeridian. There only the latitudes are searched for, and the caller looks again.
    """
    lon, lat = _lonlat(area)
    if not (np.isfinite(lon).all() and np.isfinite(lat).all()):
        return {}
    if np.ptp(lon) <= 180 and np.abs(lon).max() <= 174:
        return {"geopolygon": area}
    margin = np.abs(np.diff(lat, axis=0)).max()
    return {"lat": (max(lat.min() - margin, -90), min(lat.max() + margin, 90))}


def _wraps(area: Geometry) -> bool:
    lon, _ = _lonlat(area)
    steps = [np.abs(np.diff(lon, axis=axis)) for axis in (0, 1)]
    return any(bool((step[np.isfinite(step)] > 180).any()) for step in steps)


def _lonlat(area: Geometry) -> tuple[np.ndarray, np.ndarray]:
    """Return longitudes and latitudes, degrees, of 33 x 33 points over the bounding box of an area."""
    bounds = area.boundingbox
    x, y = (np.linspace(low, high, 33) for low, high in (bounds.range_x, bounds.range_y))
    to_lonlat = area.crs.transformer_to_crs(CRS("EPSG:4326"))
    found: tuple[np.ndarray, np.ndarray] = to_lonlat(*np.meshgrid(x, y))
    return found
