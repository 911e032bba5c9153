"""Lists of scenes with their masks: what stands in a row, where and when, limits, the antimeridian, other indexes."""

from __future__ import annotations

import datetime
from pathlib import Path
from uuid import UUID

import pytest
import shapely
from conftest import Cube
from datacube import Datacube
from odc.geo.geom import Geometry

from odc_cleansat.cube import scene_list
from odc_cleansat.cube.index import add_dataset, add_product
from odc_cleansat.cube.scene_list import MaskRow, SceneRow, list_scenes, mask_states, percent_of
from odc_cleansat.errors import CubeError
from odc_cleansat.grids.footprint import lonlat_footprint
from odc_cleansat.models.registry import DEFAULTS
from odc_cleansat.products import accept
from odc_cleansat.products.job import MaskJob
from odc_cleansat.scenes.band_folder import open_scene, write_scene_document
from odc_cleansat.storage.eo3 import MASK_PRODUCT, product_definition
from odc_cleansat.synthetic.scene import SimulatedScene

from .mask_archive import GRIDS, MaskArchive


def names(cube: Cube, rows: list[SceneRow]) -> list[str]:
    of_id = {scene.id: name for name, scene in cube.scenes.items()}
    return [of_id[row.id] for row in rows]


def test_a_row_tells_the_scene_and_its_masks(cube: Cube) -> None:
    rows = list_scenes(cube.dc, "s2_l2a")
    assert names(cube, rows)[0] == "july"
    assert set(names(cube, rows)) == {"june", "july", "west"}
    for name, row in zip(names(cube, rows), rows, strict=True):
        scene = cube.scenes[name]
        properties = scene.metadata_doc["properties"]
        assert row.label == scene.metadata_doc["label"]
        assert (row.product, row.region) == ("s2_l2a", properties["odc:region_code"])
        assert row.time == scene.center_time.replace(tzinfo=None)
        assert row.cloud_cover == percent_of(properties, "eo:cloud_cover")
        exact = lonlat_footprint(scene.extent).geom
        assert row.footprint.symmetric_difference(exact).area < 1e-3 * exact.area
        if name == "west":
            assert row.masks == ()
            continue
        mask = cube.masks[name]
        (found,) = row.masks
        cover = mask.metadata_doc["properties"]["eo:cloud_cover"]
        assert found == MaskRow(mask.id, DEFAULTS[0], cover, mask.uri, light=True)


def test_where_and_when(cube: Cube) -> None:
    def listed(**how: object) -> set[str]:
        return set(names(cube, list_scenes(cube.dc, "s2_l2a", **how)))  # type: ignore[arg-type]

    assert listed(time="2024-07") == {"july"}
    assert listed(time=(datetime.datetime(2024, 6, 1), datetime.datetime(2024, 6, 30))) == {
        "june",
        "west",
    }
    west = cube.scenes["west"].extent.to_crs("EPSG:4326")
    left = west.boundingbox.left
    sliver = (left - 0.1, 47.0, left + 0.001, 48.0)
    assert listed(area=sliver) == {"west"}
    assert listed(area=shapely.box(*sliver).__geo_interface__) == {"west"}
    assert listed(area=west, time="2024-06") == {"june", "west"}
    assert listed(area=(20, 20, 21, 21)) == set()
    (row,) = list_scenes(cube.dc, "s2_l2a", time="2024-07")
    assert len(row.masks) == 1


def test_the_latest_of_those_inside(cube: Cube) -> None:
    assert names(cube, list_scenes(cube.dc, "s2_l2a", limit=1)) == ["july"]
    # The bounds of the area hold july, which is the latest, and its two parts do not.
    west, july = (
        cube.scenes[name].extent.to_crs("EPSG:4326").boundingbox for name in ("west", "july")
    )
    parts = [
        shapely.box(west.left, july.bottom, west.left + 0.01, july.top),
        shapely.box(july.right + 0.1, july.bottom, july.right + 0.2, july.top),
    ]
    area = shapely.MultiPolygon(parts)
    assert names(cube, list_scenes(cube.dc, "s2_l2a", area=area, limit=1)) == ["west"]


def test_refused_in_words(cube: Cube) -> None:
    with pytest.raises(CubeError, match=r"has no product 's2_l3a'.* Did you mean 's2_l2a'\?"):
        list_scenes(cube.dc, "s2_l3a")
    bow = shapely.Polygon([(0, 0), (1, 1), (1, 0), (0, 1)])
    with pytest.raises(CubeError, match=r"no polygon: Self-intersection.* Draw it anew"):
        list_scenes(cube.dc, "s2_l2a", area=bow)
    with pytest.raises(CubeError, match="cannot be understood; write a day"):
        list_scenes(cube.dc, "s2_l2a", time="Easter")
    assert [r.masks for r in list_scenes(cube.dc, "s2_l2a", masks_product="none")] == [()] * 3


def test_across_the_antimeridian(archive: MaskArchive) -> None:
    fiji = archive.masks["fiji"].id
    (row,) = list_scenes(archive.dc, MASK_PRODUCT, area=(179.5, -18, -179.5, -17))
    assert row.id == fiji
    exact = lonlat_footprint(GRIDS["fiji"].extent).geom
    assert row.footprint.equals(exact)
    assert all(-180 <= x <= 180 for x in row.footprint.bounds[::2])
    all_of_them = {row.id for row in list_scenes(archive.dc, MASK_PRODUCT)}
    assert {archive.masks[name].id for name in ("east", "west", "later", "fiji")} == all_of_them


def test_outlines_of_any_form() -> None:
    square = [[0.0, 0.0, 7.0], [9000.0, 0.0, 7.0], [9000.0, 9000.0, 7.0], [0.0, 0.0, 7.0]]
    hole = [[6000.0, 1000.0], [7000.0, 1000.0], [7000.0, 2000.0], [6000.0, 1000.0]]
    flat = [corner[:2] for corner in square]
    outlines = scene_list._Outlines()
    for system, form, coordinates in (
        ("EPSG:32633", "Polygon", [flat, hole]),
        ("EPSG:4326", "Polygon", [[[1, 1], [2, 1], [2, 2], [1, 1]]]),
        ("EPSG:32633", "Polygon", [square]),
        ("EPSG:32633", "MultiPolygon", [[flat], [[[x + 2e4, y] for x, y in hole]]]),
    ):
        outline = {"type": form, "coordinates": coordinates}
        outlines.add({"spatial_reference": system, "valid_data": outline})
    holed, degrees, plain, several = outlines.footprints()
    exact = Geometry(shapely.Polygon(flat), "EPSG:32633").to_crs("EPSG:4326").geom
    assert plain.equals_exact(exact, 1e-9)
    assert degrees.equals(shapely.Polygon([(1, 1), (2, 1), (2, 2)]))
    assert len(holed.interiors) == 1
    assert len(several.geoms) == 2
    assert scene_list._Outlines().footprints() == []


def test_what_reviewers_say(cube: Cube, tmp_path: Path) -> None:
    products = [Path(cube.masks[name].local_path).parent for name in ("june", "july")]
    copy = tmp_path / products[0].name
    copy.mkdir()
    for file in products[0].iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    accept(copy, by="ada")
    mask = cube.masks["june"]
    accepted = MaskRow(mask.id, "", None, (copy / Path(mask.local_path).name).as_uri())
    nowhere = MaskRow(UUID(int=1), "", None, None)
    states, unread = mask_states([accepted, nowhere])
    assert states == {mask.id: "accepted", UUID(int=1): "unreviewed"}
    assert unread == {}


def test_clouds_of_properties() -> None:
    assert percent_of({"a": "12.5"}, "a") == 12.5
    assert [percent_of({"a": value}, "a") for value in (None, "many", float("nan"))] == [None] * 3
    assert percent_of({}, "a") is None


def test_an_index_in_memory(tmp_path: Path) -> None:
    with Datacube(raw_config={"default": {"index_driver": "memory"}}) as dc:
        for product in ("s2_l2a", MASK_PRODUCT):
            add_product(dc, product_definition(product))
        scenes = []
        for day in ("2024-06-01", "2024-07-01"):
            scene = SimulatedScene(shape=(120, 120), datetime=f"{day}T10:10:31Z")
            document = write_scene_document(open_scene(scene.write(tmp_path / day)), tmp_path)
            scenes.append(add_dataset(dc, document))
        mask = add_dataset(dc, MaskJob(scenes[0], tmp_path / "masks").run())
        rows = list_scenes(dc, "s2_l2a")
        assert [row.id for row in rows] == [scenes[1].id, scenes[0].id]
        assert [[each.id for each in row.masks] for row in rows] == [[], [mask.id]]
        assert [row.id for row in list_scenes(dc, "s2_l2a", time="2024-06")] == [scenes[0].id]
