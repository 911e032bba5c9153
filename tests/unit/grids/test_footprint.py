"""Footprints across the antimeridian and around the poles have the right area and cover their pixels."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox

from odc_cleansat.grids.footprint import (
    common_ground,
    data_footprint,
    geojson_bbox,
    lonlat_footprint,
)

GRIDS = {
    "T01WCP": (32601, (300000, 7190220, 409800, 7300020)),
    "zone 60": (32660, (600000, 7790220, 709800, 7900020)),
    "Fiji": (32760, (790000, 8090220, 899800, 8200020)),
    "84 N": (32633, (400000, 9290200, 509800, 9400000)),
    "zone over the pole": (32633, (400000, 9900000, 600000, 10100000)),
    "north pole": (3413, (-50000, -50000, 60000, 60000)),
    "pole at a corner": (3413, (0, 0, 60000, 60000)),
    "pole on an edge": (3413, (-60000, 0, 60000, 60000)),
    "south pole": (3031, (-50000, -50000, 60000, 60000)),
    "pole beside an edge": (3413, (1000, -55000, 111000, 55000)),
    "pole just inside": (3413, (-10, -55000, 109990, 55000)),
    "pole at a corner, an edge along 180": (3031, (-110000, -110000, 0, 0)),
    "180 in 3413": (3413, (-300000, 200000, -200000, 300000)),
    "beyond 180": (4326, (179.5, -17, 180.5, -16)),
    "beyond -180": (4326, (-180.5, -17, -179.5, -16)),
    "up to 180": (4326, (179, -17, 180, -16)),
    "from -180": (4326, (-180, -17, -179, -16)),
    "wholly beyond -180": (4326, (-181, -17, -180, -16)),
    "wholly beyond 180": (4326, (180.5, -17, 181.5, -16)),
    "elsewhere": (32633, (399960, 5190240, 509760, 5300040)),
}
CUT = {"T01WCP", "zone 60", "Fiji", "180 in 3413", "beyond 180", "beyond -180"}
POLAR = {
    "zone over the pole", "north pole", "pole at a corner", "pole on an edge", "south pole",
    "pole just inside", "pole at a corner, an edge along 180",
}  # fmt: skip


def area(polygon: shapely.Geometry) -> float:
    """Square kilometres on a sphere, in a projection that keeps areas."""
    equal_area = CRS("EPSG:6933")
    to_xy = CRS("EPSG:4326").transformer_to_crs(equal_area)
    fine = shapely.segmentize(polygon, 0.5)
    return shapely.area(shapely.transform(fine, lambda c: np.column_stack(to_xy(*c.T)))) / 1e6


def pixel_areas(grid: GeoBox) -> float:
    """The same from the corners of the pixels, each a small quadrilateral that is nowhere near a seam."""
    rows, columns = grid.shape
    x, y = grid.affine * np.meshgrid(np.arange(columns + 1.0), np.arange(rows + 1.0))
    lon, lat = np.radians(grid.crs.transformer_to_crs(CRS("EPSG:4326"))(x, y))
    v = np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])
    diagonals = v[:, 1:, 1:] - v[:, :-1, :-1], v[:, 1:, :-1] - v[:, :-1, 1:]
    return float(np.linalg.norm(np.cross(*diagonals, axis=0), axis=0).sum() / 2 * 6371.007**2)


@pytest.mark.parametrize("name", GRIDS)
def test_footprints_in_longitudes_and_latitudes(name: str) -> None:
    epsg, bounds = GRIDS[name]
    grid = GeoBox.from_bbox(bounds, f"EPSG:{epsg}", shape=(100, 100))
    found = lonlat_footprint(data_footprint(np.ones(grid.shape, bool), grid))
    assert found.is_valid
    assert (found.geom_type == "MultiPolygon") == (name in CUT)
    assert found.boundingbox.left >= -180
    assert found.boundingbox.right <= 180
    assert area(found.geom) == pytest.approx(pixel_areas(grid), rel=0.01)
    rows, columns = np.indices(grid.shape)
    x, y = grid.affine * (columns + 0.5, rows + 0.5)
    lon, lat = grid.crs.transformer_to_crs(CRS("EPSG:4326"))(x.ravel(), y.ravel())
    assert shapely.covers(found.geom, shapely.points((lon + 180) % 360 - 180, lat)).all()
    west, south, east, north = geojson_bbox(found)
    assert south < lat.min() + 0.01
    assert north > lat.max() - 0.01
    assert (west > east) == (name in CUT)
    if name in POLAR:
        assert (west, east, max(-south, north)) == (-180, 180, 90)
    elif name != "pole beside an edge":
        assert (east - west) % 360 < 25


def test_the_footprint_holds_all_data_and_no_more() -> None:
    grid = GeoBox.from_bbox((0, 0, 200, 100), "EPSG:32633", resolution=10)
    data = np.zeros(grid.shape, bool)
    data[2:5, 3] = True
    data[4, 3:6] = True
    found = data_footprint(data, grid)
    assert found.crs == grid.crs
    assert found.boundingbox == (30, 50, 60, 80)
    assert found.area == 100 * (5 + 2)  # the triangle between the two arms is half of four pixels
    assert data_footprint(np.ones(grid.shape, bool), grid).boundingbox == grid.boundingbox


def test_common_ground() -> None:
    home = GeoBox.from_bbox((399960, 5290040, 409960, 5300040), "EPSG:32633", resolution=10)
    assert common_ground(home, GeoBox.from_bbox(home.boundingbox, home.crs, resolution=60)) > 0.99
    assert common_ground(home, home.to_crs("EPSG:4326")) > 0.9
    assert common_ground(home, home[:500]) == pytest.approx(0.5)
    assert common_ground(home, home.translate_pix(500, 0)) == pytest.approx(1 / 3)
    assert common_ground(home, home.translate_pix(1000, 0)) == 0
    for other in ("EPSG:32632", "EPSG:3031", "EPSG:4326"):  # the same numbers elsewhere
        assert common_ground(home, GeoBox(home.shape, home.affine, other)) == 0
