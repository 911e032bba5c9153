"""Lists of the scenes of a STAC API: what stands in a row, masks without and with a datacube, what cannot be masked."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator
from pathlib import Path

import pystac
import pytest
import shapely
from datacube import Datacube
from stac_server import StacServer, serving, write_item

from odc_cleansat.cube.index import add_dataset, add_product
from odc_cleansat.cube.stac_list import StacRow, search_stac
from odc_cleansat.errors import CleansatError, CubeError, SceneError
from odc_cleansat.products.job import MaskJob
from odc_cleansat.storage.eo3 import MASK_PRODUCT, product_definition
from odc_cleansat.synthetic.scene import SimulatedScene

BOX = (13.0, 47.0, 15.0, 49.0)


@pytest.fixture(scope="module")
def bands(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stac")
    return SimulatedScene(shape=(120, 180)).write(folder / "bands")


@pytest.fixture
def api(bands: Path, tmp_path: Path) -> Iterator[StacServer]:
    """Three items: one as it should be, one of level 1C, one without date or tile."""
    with serving(StacServer()) as server:
        server.folders["bands"] = bands
        for name, properties in (
            ("good", {}),
            ("early", {"processing:level": "L1C"}),
            ("bare", {"grid:code": None, "eo:cloud_cover": None}),
        ):
            server.add(write_item(tmp_path / f"{name}.json", bands, **properties), "bands")
        server.items[2]["properties"]["eo:cloud_cover"] = 0
        yield server


def test_rows_of_items(api: StacServer) -> None:
    good, early, bare = search_stac(BOX, "2024-06", api=api.url)
    assert isinstance(good, StacRow)
    moment = datetime.datetime(2024, 6, 15, 10, 10, 31)
    assert (good.label, good.product, good.time) == ("good", "sentinel-2-l2a", moment)
    assert (good.region, good.cloud_cover, good.masks) == ("33UVP", 12.5, ())
    assert good.footprint.equals(shapely.geometry.shape(api.items[0]["geometry"]))
    assert good.problem == bare.problem == bare.region == ""
    assert "is of level 1C" in early.problem
    assert len({good.id, early.id, bare.id}) == 3
    assert not any(".tif" in request for request in api.requests)
    with pytest.raises(SceneError, match="is of level 1C"):
        early.scene()


@pytest.mark.usefixtures("fast_network")
def test_a_row_is_masked_and_its_mask_is_known(api: StacServer, tmp_path: Path) -> None:
    (row,) = search_stac(BOX, "2024-06", api=api.url, limit=1)
    scene = row.scene()
    assert scene.dataset.id == row.id
    document = MaskJob.of_scene(scene, tmp_path / "masks").run()
    with Datacube(raw_config={"default": {"index_driver": "memory"}}) as dc:
        assert search_stac(BOX, "2024-06", api=api.url, limit=1, dc=dc) == [row]
        add_product(dc, product_definition(MASK_PRODUCT))
        mask = add_dataset(dc, document)
        known, _, other = search_stac(BOX, "2024-06", api=api.url, dc=dc)
    assert [each.id for each in known.masks] == [mask.id]
    assert other.masks == ()
    assert known.scene().label == "good"


def test_only_those_in_the_area(api: StacServer) -> None:
    """The bounds of the area touch all items, the area itself one that is elsewhere."""
    elsewhere = json.loads(json.dumps(api.items[0]))
    elsewhere["id"] = "elsewhere"
    elsewhere["geometry"] = shapely.box(14.5, 48.5, 14.6, 48.6).__geo_interface__
    elsewhere["bbox"] = [14.5, 48.5, 14.6, 48.6]
    api.items.append(elsewhere)
    area = shapely.MultiPolygon([shapely.box(14.4, 48.4, 14.7, 48.7), shapely.box(13, 47, 13.1, 47.1)])  # fmt: skip
    assert [row.label for row in search_stac(area, "2024-06", api=api.url, limit=1)] == [
        "elsewhere"
    ]
    assert len(search_stac(BOX, "2024-06", api=api.url, limit=2)) == 2


def test_across_the_antimeridian(api: StacServer) -> None:
    torn = [[[179.5, 1.0], [-179.5, 1.0], [-179.5, 2.0], [179.5, 2.0], [179.5, 1.0]]]
    api.items[0]["geometry"] = {"type": "Polygon", "coordinates": torn}
    api.items[0]["bbox"] = [-180, 1.0, 180, 2.0]
    (row,) = search_stac((179.0, 0.0, 179.9, 3.0), "2024-06", api=api.url)
    assert sorted(part.bounds[::2] for part in row.footprint.geoms) == [
        (-180.0, -179.5),
        (179.5, 180.0),
    ]


def test_refused_in_words(api: StacServer) -> None:
    with pytest.raises(CubeError, match="is searched in an area"):
        search_stac(None, "2024-06", api=api.url)
    with pytest.raises(CleansatError, match="has no item of sentinel-2-l2a"):
        search_stac(BOX, "2023", api=api.url)
    with pytest.raises(CleansatError, match="cannot be reached"):
        search_stac(BOX, "2024", api="http://127.0.0.1:1")


def test_a_row_without_footprint_is_not_in_an_area(api: StacServer) -> None:
    api.items[0]["geometry"] = None
    assert pystac.Item.from_dict(api.items[0]).geometry is None
    found = search_stac(BOX, "2024-06", api=api.url)
    assert [row.label for row in found] == ["early", "bare"]
