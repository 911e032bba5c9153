"""Areas, and the antimeridian."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar
from uuid import UUID

import numpy as np
import pytest
import shapely
from odc.geo.geobox import GeoBox
from odc.geo.geom import Geometry, box

from odc_cleansat.cube.area import check_area, inside, parse_area, parse_crs, searches
from odc_cleansat.cube.index import add_dataset, add_product
from odc_cleansat.cube.load import load
from odc_cleansat.cube.query import Query, find_ids, inside_area, search
from odc_cleansat.cube.recall import recall
from odc_cleansat.errors import (
    CubeError,
)
from odc_cleansat.scenes.band_folder import open_scene, write_scene_document
from odc_cleansat.storage.eo3 import product_definition
from odc_cleansat.synthetic.scene import SimulatedScene

from .independent import expected_nearest
from .mask_archive import GRIDS, MaskArchive


@pytest.mark.parametrize(
    "query",
    [
        {"geobox": GeoBox.from_bbox((179, -18, 181, -17), "EPSG:4326", resolution=0.01)},
        {"x": (179, -179), "y": (-18, -17), "output_crs": "EPSG:4326", "resolution": 0.01},
        {"lon": (179, 181), "lat": (-18, -17), "output_crs": "EPSG:3857", "resolution": 20},
        {"x": (8e5, 8.4e5), "y": (8.09e6, 8.11e6), "crs": "EPSG:32760", "output_crs": "EPSG:4326", "resolution": 0.01},
    ],
    ids=["grid", "reversed", "beyond", "projected"],
)  # fmt: skip
def test_grids_that_the_antimeridian_tears_apart(
    archive: MaskArchive, query: dict[str, Any]
) -> None:
    with pytest.raises(CubeError, match=r"across the antimeridian.*EPSG:3832"):
        recall(archive.dc, **query)


SIDES = {"type": "MultiPolygon", "coordinates": [
    [[[179, -18], [180, -18], [180, -17], [179, -17], [179, -18]]],
    [[[-180, -18], [-179, -18], [-179, -17], [-180, -17], [-180, -18]]],
]}  # fmt: skip


@pytest.mark.parametrize(
    "area",
    [
        {"lon": (179, -179), "lat": (-18, -17)},
        {"x": (179, 181), "y": (-18, -17)},
        {"longitude": (-181, -179), "latitude": (-18, -17)},
        {"geopolygon": SIDES},
    ],
)
def test_masks_are_recalled_by_longitudes_across_the_antimeridian(
    archive: MaskArchive, area: dict[str, Any]
) -> None:
    found = recall(archive.dc, **area, output_crs="EPSG:32760", resolution=20).ucl
    native, codes, _ = archive.truth("fiji")
    np.testing.assert_array_equal(found.sel(x=native.coords["x"].values, y=native.coords["y"].values)[0], codes)  # fmt: skip
    assert int((found != 0).sum()) == (codes != 0).sum()


@dataclass(frozen=True)
class Place:
    """A scene near an edge of the world."""

    epsg: int
    origin: tuple[float, float]
    bounds: tuple[float, float, float, float]
    """West, south, east and north, degrees; east may be beyond 180."""


PLACES = {
    "across": Place(32601, (360000.0, 7300020.0), (179.9397, 65.7587, 180.0093, 65.7924)),
    "zone 60": Place(32660, (637020.0, 7300020.0), (179.9918, 65.759, 180.0610, 65.793)),
    "east": Place(32601, (367020.0, 7300020.0), (-179.907, 65.762, -179.838, 65.795)),
    "west": Place(32601, (355020.0, 7300020.0), (179.831, 65.756, 179.900, 65.790)),
}


@pytest.fixture(scope="module")
def edge(archive: MaskArchive, tmp_path_factory: pytest.TempPathFactory) -> dict[UUID, str]:
    """The names of indexed scenes of the product ``edge`` by their ids."""
    product = product_definition("s2_l2a")
    product["name"] = product["metadata"]["product"]["name"] = "edge"
    add_product(archive.dc, product)
    found = {}
    for name, place in PLACES.items():
        folder = tmp_path_factory.mktemp(name)
        scene = SimulatedScene(shape=(360, 300), seed=1, epsg=place.epsg, origin=place.origin)
        path = write_scene_document(open_scene(scene.write(folder / "scene")), folder)
        path.write_text(path.read_text().replace("name: s2_l2a", "name: edge"))
        found[add_dataset(archive.dc, path).id] = name
    return found


@pytest.mark.parametrize(
    ("lon", "names"),
    [
        ((179, -179), {*PLACES}),
        ((179, 181), {*PLACES}),
        ((-181, -179), {*PLACES}),
        ((179, 180), {"across", "zone 60", "west"}),
        ((-180, -179), {"across", "zone 60", "east"}),
        ((179.95, 179.97), {"across"}),
        ((179.999, 180), {"across", "zone 60"}),
        ((-180, -179.999), {"across", "zone 60"}),
        ((180.02, 180.04), {"zone 60"}),
        ((-179.98, -179.96), {"zone 60"}),
        ((174.5, 179), set()),
        ((0, 10), set()),
    ],
)
def test_scenes_are_found_from_both_sides(
    archive: MaskArchive, edge: dict[UUID, str], lon: tuple[float, float], names: set[str]
) -> None:
    terms = {"lon": lon, "lat": (65.7, 65.85)}
    found = search(archive.dc, Query.of("edge", terms))
    assert {edge[each.id] for each in found} == names
    ids, area = find_ids(archive.dc, "edge", terms)
    assert {edge[each.id] for each in map(archive.dc.index.datasets.get, ids)} >= names
    assert {edge[each.id] for each in read_scenes_by_id(archive.dc, ids, area)} == names


def read_scenes_by_id(dc: Any, ids: list[UUID], area: Any) -> list[Any]:
    scenes = dc.index.datasets.bulk_get(ids)
    return list(scenes) if area is None else inside_area(list(scenes), area)


def test_an_index_has_the_longitudes_of_both_sides(
    archive: MaskArchive, edge: dict[UUID, str]
) -> None:
    for each, name in edge.items():
        lon = archive.dc.index.datasets.get(each).metadata_doc["extent"]["lon"]
        assert (lon["begin"], lon["end"]) == pytest.approx(PLACES[name].bounds[::2], abs=0.002)


def test_scenes_are_loaded_by_longitudes_across_the_antimeridian(
    archive: MaskArchive, edge: dict[UUID, str], fast_network: None
) -> None:
    data = load(
        archive.dc, "edge", measurements=["red", "ucl"], lon=(179, -179), lat=(65.7, 65.85),
        output_crs="EPSG:32601", resolution=20, dask_chunks={},
    )  # fmt: skip
    part = data.isel(time=0).sel(x=slice(360000, 363000), y=slice(7300020, 7296420)).compute()
    assert part.ucl.shape == (180, 150)
    assert (part.ucl != 0).all()


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
        ({"x": (179, -179), "y": (0, 1)}, (179, 0, 181, 1)),
        ({"lon": (170, -170), "lat": (0, 1), "crs": "EPSG:4326"}, (170, 0, 190, 1)),
        ({"geopolygon": SIDES}, (179, -18, 181, -17)),
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
        ({"x": (13, 14), "y": (47, 47)}, "no width or no height"),
        ({"x": (13, 14), "lon": (13, 14)}, "cannot be understood"),
        ({"x": (13, 14), "crs": "nowhere"}, "'nowhere' is no coordinate system"),
        ({"x": (13, 14), "crs": "EPSG:5773"}, "'EPSG:5773' is no coordinate system with x and y"),
    ],
)
def test_areas_that_are_none(terms: dict[str, Any], message: str) -> None:
    with pytest.raises(CubeError, match=message):
        parse_area(terms)


def test_searches_are_never_too_narrow() -> None:
    near = box(13, 47, 14, 48, "EPSG:4326")
    assert searches(near) == [{"geopolygon": near}]
    (found,) = searches(box(-180, -50, 180, 50, "EPSG:4326"))
    south, north = found["lat"]
    assert set(found) == {"lat"}
    assert south <= -50
    assert north >= 50
    fiji = GRIDS["fiji"].extent
    one, other = searches(fiji)
    assert (one["lon"], other["lon"]) == ((174, 186), (-180, -174))
    (south, north) = one["lat"]
    bottom, top = fiji.to_crs("EPSG:4326").boundingbox.range_y
    assert bottom - 0.01 < south <= bottom
    assert top <= north < top + 0.01
    assert searches(box(170, 0, 190, 1, "EPSG:4326"))[0]["lon"] == (170, 190)
    (pole,) = searches(box(-50000, -50000, 60000, 60000, "EPSG:3413"))
    assert pole["lat"][0] < 85.5
    assert pole["lat"][1] == 90
    caps = [each["lat"] for each in searches(box(179, -90, 181, 90, "EPSG:4326"))[2:]]
    assert caps == [(76, 90), (-90, -76)]
    arctic = box(10, 81, 20, 85, "EPSG:4326")
    assert searches(arctic)[0] == {"geopolygon": arctic}
    assert searches(arctic)[1]["lat"][0] < 77
    beyond_the_map = box(-3e7, -3e7, 3e7, 3e7, "EPSG:3577")
    assert searches(beyond_the_map) == [{}] or set(searches(beyond_the_map)[0]) == {"lat"}


def test_what_lies_in_an_area_at_a_pole_or_in_half_a_globe() -> None:
    pole = box(-50000, -50000, 60000, 60000, "EPSG:3413")
    fiji, alps = GRIDS["fiji"].extent, GRIDS["east"].extent
    at_the_pole = box(-10, 89.9, 10, 90, "EPSG:4326")
    assert inside([pole, fiji, None], at_the_pole) == [True, False, False]
    assert inside([pole, fiji, alps], box(-180, -50, 180, 50, "EPSG:4326")) == [False, True, True]
    assert inside([fiji, alps], box(0, -50, 180, 50, "EPSG:4326")) == [True, True]
    assert inside([fiji, alps], box(-1.7e7, -5e6, 1.7e7, 6e6, "EPSG:6933")) == [True, True]


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
        ({"lon": (402000, 405000), "lat": (5290000, 5294000)}, r"not in degrees; pass x and y"),
        ({"geopolygon": Geometry(SQUARE.geom, "EPSG:4326")}, r"not in degrees.*crs='EPSG:32633'"),
        ({"geopolygon": Geometry(SQUARE.geom, "EPSG:5773")}, "no coordinate system with x and y"),
        ({"geopolygon": Geometry(shapely.Polygon(), None)}, "is empty"),
        ({"geopolygon": shapely.box(13, 47, math.inf, 48)}, "is not finite"),
        (
            {"geopolygon": shapely.Polygon([(0, 0), (1, 1), (1, 0), (0, 1)])},
            "no polygon: Self-int.* Draw it anew",
        ),
        ({"x": ("a", "b"), "y": (47, 48)}, r"the x is \('a', 'b'\); pass a number"),
        ({"x": (13, math.nan), "y": (47, 48)}, "the x is .*; pass a number"),
        ({"lon": (1, 2, 3), "lat": (47, 48)}, "the lon is .*; pass a number"),
        ({"lat": slice(47, 48)}, "the lat is slice.*; pass a number"),
        ({"x": {}, "y": ()}, "the x is .*; pass a number"),
        ({"x": (False, True), "y": (47, 48)}, "the x is .*; pass a number"),
        ({"geopolygon": 5}, "geopolygon= is a int.*GeoJSON"),
        ({"geopolygon": {"type": "Feature", "geometry": None}}, "geopolygon= is a dict"),
    ],
)
def test_metres_are_no_degrees_and_numbers_no_geometries(terms: dict[str, Any], says: str) -> None:
    with pytest.raises(CubeError, match=says):
        parse_area(terms)


@pytest.mark.parametrize("values", [np.array([13, 14]), [np.float32(13), np.int64(14)]], ids=repr)
def test_ranges_of_numbers_of_all_kinds(values: Any) -> None:
    area = parse_area({"x": values, "y": (47, 48)})
    assert area is not None
    assert tuple(area.boundingbox) == (13, 47, 14, 48)


def test_a_geometry_without_a_system_is_in_degrees() -> None:
    area = parse_area({"geopolygon": Geometry(shapely.box(13, 47, 14, 48), None)})
    assert area is not None
    assert area.crs == "EPSG:4326"
