"""Footprints: which part of the Earth has data, in a grid's own system and in longitudes and latitudes."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox
from odc.geo.geom import Geometry, point

if TYPE_CHECKING:
    from numpy.typing import NDArray

_PIECES = 32
"""Pieces of the longer side of a footprint. So the edges of a tile of 110 km are true to about a metre."""

_NEAR_POLE = 1e-5
"""Distance from a pole that counts as none, as a share of the longer side: a metre in a tile of 110 km."""


def data_footprint(data: NDArray[np.bool_], geobox: GeoBox) -> Geometry:
    """Return the convex hull of the pixels that have data.

    It follows from the pixels alone, whatever a scene says of itself.

    Parameters
    ----------
    data
        Whether a pixel has data, dims ``(y, x)``. One has, at least.
    geobox
        The grid.

    Returns
    -------
    odc.geo.geom.Geometry
        A polygon along the edges of pixels, in the grid's coordinate system.
    """
    from shapely import MultiPoint
    from shapely.affinity import affine_transform

    rows = np.flatnonzero(data.any(axis=1))
    first = data[rows].argmax(axis=1)
    last = data.shape[1] - data[rows, ::-1].argmax(axis=1)
    columns = np.concatenate([first, first, last, last])
    lines = np.concatenate([rows, rows + 1, rows, rows + 1])
    hull = MultiPoint(np.column_stack([columns, lines])).convex_hull
    return Geometry(affine_transform(hull, geobox.affine.to_shapely()), geobox.crs)


SAME_GROUND = 0.5
"""Part of the ground of two rasters that both cover, from which on they are taken for the same ground.

Edges of bands with pixels of 10 and 60 m differ by one of these."""


@lru_cache(maxsize=1024)
def common_ground(one: GeoBox, other: GeoBox) -> float:
    """Return how much of the ground of two grids both cover, 0 to 1 of what they cover together.

    It is 0 where one of them has no place in the coordinate system of the other.
    """
    here = one.extent
    there = other.extent if other.crs == one.crs else other.footprint(one.crs)
    if not np.isfinite(there.boundingbox).all() or not there.is_valid:
        return 0.0
    return float((here & there).area / (here | there).area)


def lonlat_footprint(footprint: Geometry) -> Geometry:
    """Return a footprint in longitudes and latitudes as GeoJSON wants it (RFC 7946, section 3.1.9).

    What lies across the antimeridian is cut there, into a MultiPolygon. What holds a pole reaches up to
    it at all longitudes.

    Parameters
    ----------
    footprint
        A polygon or MultiPolygon in any coordinate system. It may have longitudes beyond 180 degrees.

    Returns
    -------
    odc.geo.geom.Geometry
        In EPSG:4326, all longitudes from -180 to 180 degrees, outer rings counterclockwise.
    """
    from antimeridian import fix_multi_polygon, fix_polygon
    from shapely import orient_polygons, segmentize
    from shapely.affinity import translate

    bounds = footprint.boundingbox
    if footprint.crs.geographic:
        # What lies wholly beyond the antimeridian is not across it.
        turns = 360 * np.floor((bounds.left + 180) / 360)
        footprint = Geometry(translate(footprint.geom, -turns), footprint.crs)
    longer = max(bounds.span_x, bounds.span_y)
    poles = {}
    for name, latitude in (("north", 90), ("south", -90)):
        pole = None if footprint.crs.geographic else _pole(footprint.crs, latitude)
        if pole is not None and pole.geom.distance(footprint.geom) <= longer * _NEAR_POLE:
            poles[f"force_{name}_pole"] = True
            # On an edge or a corner it would have any longitude.
            footprint = footprint | pole.buffer(longer * _NEAR_POLE)
    # Not `segmented` of odc-geo: it leaves edges near the line x = 0 as they are.
    fine = Geometry(segmentize(orient_polygons(footprint.geom), longer / _PIECES), footprint.crs)
    lonlat = fine.to_crs("EPSG:4326").geom
    fix = fix_polygon if lonlat.geom_type == "Polygon" else fix_multi_polygon
    fixed = fix(lonlat, fix_winding=False, great_circle=False, **poles)
    if (
        not fixed.is_valid
    ):  # an edge along the antimeridian, up to a pole at a corner, is there twice
        fixed = orient_polygons(fixed.buffer(0))
    return Geometry(fixed, "EPSG:4326")


def _pole(crs: CRS, latitude: float) -> Geometry | None:
    """A pole in a projected system; None where it has no place."""
    x, y = CRS("EPSG:4326").transformer_to_crs(crs)(0.0, latitude)
    return point(x, y, crs) if np.isfinite([x, y]).all() else None


def geojson_bbox(lonlat: Geometry) -> list[float]:
    """Return the bounding box of a footprint as GeoJSON wants it (RFC 7946, section 5.2).

    Parameters
    ----------
    lonlat
        From :func:`lonlat_footprint`.

    Returns
    -------
    list of float
        West, south, east and north, degrees. Across the antimeridian west is larger than east.
    """
    from antimeridian import bbox

    return list(bbox(lonlat.geom))
