"""Areas, and the antimeridian."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytest
import shapely
from odc.geo.geobox import GeoBox
from odc.geo.geom import box

from odc_cleansat.cube.area import check_area, parse_area, parse_crs, wide_terms
from odc_cleansat.cube.recall import recall
from odc_cleansat.errors import (
    CubeError,
)

from .independent import expected_nearest
from .mask_archive import GRIDS, MaskArchive


@pytest.mark.parametrize(
    "query",
    [
        {"geobox": GeoBox.from_bbox((179, -18, 181, -17), "EPSG:4326", resolution=0.01)},
        {"x": (179, -179), "y": (-18, -17), "output_crs": "EPSG:32760", "resolution": 20},
        {"lon": (179, 181), "lat": (-18, -17), "output_crs": "EPSG:32760", "resolution": 20},
        {"x": (8e5, 8.4e5), "y": (8.09e6, 8.11e6), "crs": "EPSG:32760", "output_crs": "EPSG:4326", "resolution": 0.01},
    ],
    ids=["grid", "reversed", "beyond", "projected"],
)  # fmt: skip
def test_areas_across_the_antimeridian(archive: MaskArchive, query: dict[str, Any]) -> None:
    with pytest.raises(CubeError, match=r"across the antimeridian.*EPSG:3832"):
        recall(archive.dc, **query)


def test_a_projected_grid_across_the_antimeridian(archive: MaskArchive) -> None:
    native, codes, _ = archive.truth("fiji")
    lon = native.extent.to_crs("EPSG:4326").boundingbox.range_x
    assert lon[1] - lon[0] > 300  # it does lie across
    np.testing.assert_array_equal(recall(archive.dc, geobox=native).ucl[0], codes)
    target = GeoBox.from_bbox(native.footprint("EPSG:3832").boundingbox, "EPSG:3832", resolution=30)
    expected, _, unsure = expected_nearest([archive.truth("fiji")], target)
    found = recall(archive.dc, geobox=target).ucl[0].values
    assert (unsure | (found == expected)).all()
    assert (found != 0).sum() > 1000
    for west, east in ((-180, -179.97), (179.97, 180)):
        target = GeoBox.from_bbox((west, -17.2, east, -17.1), "EPSG:4326", resolution=0.0003)
        expected, _, unsure = expected_nearest([archive.truth("fiji")], target)
        found = recall(archive.dc, geobox=target).ucl[0].values
        assert (unsure | (found == expected)).all()
        assert (found != 0).sum() > 500


@pytest.mark.parametrize(
    ("terms", "bounds"),
    [
        ({}, None),
        ({"crs": "EPSG:32633"}, None),
        ({"x": (13, 14), "y": (47, 48)}, (13, 47, 14, 48)),
        ({"lon": (13, 14), "lat": (48, 47)}, (13, 47, 14, 48)),
        ({"x": (4e5, 5e5), "y": (5e6, 6e6), "crs": "EPSG:32633"}, (4e5, 5e6, 5e5, 6e6)),
        ({"x": (179, -179), "y": (0, 1), "crs": "EPSG:32633"}, (-179, 0, 179, 1)),
    ],
)
def test_areas_as_datacube_understands_them(
    terms: dict[str, Any], bounds: tuple[float, ...] | None
) -> None:
    area = parse_area(terms)
    assert (area and tuple(area.boundingbox)) == bounds


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        ({"x": (179, -179), "y": (0, 1)}, r"x=\(179, -179\) lies across the antimeridian"),
        ({"x": (13, 14), "y": (47, 47)}, "no width or no height"),
        ({"x": (13, 14), "lon": (13, 14)}, "cannot be understood"),
        ({"x": (13, 14), "crs": "nowhere"}, "'nowhere' is no coordinate system"),
    ],
)
def test_areas_that_are_none(terms: dict[str, Any], message: str) -> None:
    with pytest.raises(CubeError, match=message):
        parse_area(terms)


def test_search_terms_are_never_too_narrow() -> None:
    near = box(13, 47, 14, 48, "EPSG:4326")
    assert wide_terms(near) == {"geopolygon": near}
    (south, north) = wide_terms(box(-180, -50, 180, 50, "EPSG:4326"))["lat"]
    assert south <= -50
    assert north >= 50
    fiji = GRIDS["fiji"].extent
    (south, north) = wide_terms(fiji)["lat"]
    bottom, top = fiji.to_crs("EPSG:4326").boundingbox.range_y
    assert bottom - 0.01 < south <= bottom
    assert top <= north < top + 0.01
    beyond_the_map = box(-3e7, -3e7, 3e7, 3e7, "EPSG:3577")
    assert set(wide_terms(beyond_the_map)) <= {"lat"}


def test_only_a_grid_of_its_own_system_may_cross() -> None:
    fiji = GRIDS["fiji"]
    check_area(fiji.extent, fiji.crs)
    with pytest.raises(CubeError, match="across the antimeridian"):
        check_area(fiji.extent, parse_crs("EPSG:4326"))


SQUARE = box(402000, 5290000, 405000, 5294000, "EPSG:32633")


class Frame:
    """What geopandas has: a coordinate system, and features."""

    crs = "EPSG:32633"
    __geo_interface__: ClassVar = {
        "type": "FeatureCollection",
        "features": [{"type": "Feature", "geometry": SQUARE.json, "properties": {}}],
    }


LONLAT = SQUARE.to_crs("EPSG:4326")


@pytest.mark.parametrize(
    "terms",
    [
        {"geopolygon": SQUARE},
        {"geopolygon": SQUARE.geom, "crs": "EPSG:32633"},
        {"geopolygon": Frame()},
        {"geopolygon": LONLAT.geom},
        {"geopolygon": LONLAT.json},
        {"geopolygon": {"type": "Feature", "geometry": LONLAT.json, "properties": {}}},
        {"geopolygon": shapely.force_3d(LONLAT.geom, 200)},
    ],
    ids=["odc-geo", "shapely", "geopandas", "lonlat", "geojson", "feature", "heights"],
)
def test_geometries_of_several_libraries(terms: dict[str, Any]) -> None:
    area = parse_area(terms)
    assert area is not None
    assert area.to_crs("EPSG:32633").geom.symmetric_difference(SQUARE.geom).area < 1


@pytest.mark.parametrize(
    ("terms", "says"),
    [
        ({"geopolygon": SQUARE.geom}, r"not in degrees.*crs='EPSG:32633'"),
        ({"x": (402000, 405000), "y": (5290000, 5294000)}, r"not in degrees.*crs='EPSG:32633'"),
        ({"geopolygon": 5}, "geopolygon= is a int.*GeoJSON"),
        ({"geopolygon": {"type": "Feature", "geometry": None}}, "geopolygon= is a dict"),
    ],
)
def test_metres_are_no_degrees_and_numbers_no_geometries(terms: dict[str, Any], says: str) -> None:
    with pytest.raises(CubeError, match=says):
        parse_area(terms)
