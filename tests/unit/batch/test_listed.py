"""Runs on a list of STAC items: masks are made and found again without a datacube; parts; what is no scene."""

from __future__ import annotations

import copy
import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pystac
import pytest
import rasterio
from conftest import Recorder
from eopf_product import NAME, SCENE, write_product
from stac_server import StacServer, serving

import odc_cleansat
from odc_cleansat.batch import Request, execute, plan, run
from odc_cleansat.batch.listed import survey_list
from odc_cleansat.batch.tasks import ListedTask
from odc_cleansat.batch.worker import WrittenMask, make_mask
from odc_cleansat.cube.item_file import ItemFile, Wanted
from odc_cleansat.cube.stac_list import item_row
from odc_cleansat.errors import CubeError, ReflectanceWarning
from odc_cleansat.products import reject
from odc_cleansat.products.job import MaskJob
from odc_cleansat.scenes.read import read_scene
from odc_cleansat.scenes.stac import item_scene, parse_item
from unit.archive import written
from unit.item_lists import Document, scene_items, write_list

if TYPE_CHECKING:
    from distributed import Client

NOBODY = "tcp://127.0.0.1:1"
"""No scheduler listens there."""


@pytest.fixture(scope="module")
def items(tmp_path_factory: pytest.TempPathFactory) -> list[Document]:
    return scene_items(tmp_path_factory.mktemp("items"), 6)


def wanted(path: Path | str, root: Path, **settings: object) -> Request:
    return Request(None, root, items=path, index=False, **settings)  # type: ignore[arg-type]


def test_masks_are_made_and_a_second_run_does_nothing(
    items: list[Document], scheduler: str, tmp_path: Path
) -> None:
    root = tmp_path / "masks"
    other, bare = copy.deepcopy(items[0]), copy.deepcopy(items[0])
    other |= {"id": "LC08_191026", "collection": "landsat-c2-l2"}
    other["properties"]["platform"] = "landsat-8"
    bare |= {"id": "bare", "assets": {"B02": bare["assets"]["B02"]}}
    gone = copy.deepcopy(items[0]) | {"id": "gone"}
    gone["assets"]["SCL"]["href"] = str(tmp_path / "SCL.tif")
    path = write_list(tmp_path / "items.parquet", [*items[:3], other, bare, gone])
    # One is written and not entered, as after a kill.
    document = Path(MaskJob.of_scene(item_scene(parse_item(items[0], "")), root).run())
    before = document.stat().st_mtime_ns
    recorder = Recorder()
    report = run(None, wanted(path, root), scheduler=scheduler, retries=0, reporter=recorder)
    assert recorder.history[f"Reading the list {path}"] == [(6, 6)]
    assert (report.masked, report.meanwhile, report.left) == (2, 1, 0)
    said = {each.label: each for each in report.failures}
    assert list(said) == ["LC08_191026", "bare", "gone"]
    assert "platform is landsat-8" in said["LC08_191026"].reason
    assert "the scene lacks green (B03)" in said["bare"].reason
    assert "SCL.tif" in said["gone"].reason
    assert [each.stage for each in said.values()] == ["plan", "plan", "mask"]
    assert {each.mask for each in said.values()} == {None}
    assert document.stat().st_mtime_ns == before
    catalog = odc_cleansat.open_catalog(root)
    assert written(root) == len(catalog.search()) == 3
    assert {each.properties["title"] for each in catalog.search("s2_l2a")} == {
        "scene-1", "scene-2", "scene-3"
    }  # fmt: skip

    path = write_list(tmp_path / "again.parquet", items[:3])
    again = plan(None, wanted(path, root))
    assert (again.scenes, again.masked, again.missing, again.failures) == (3, 3, (), ())
    assert execute(None, again, scheduler=NOBODY).masked == 0
    # Another model, offset or way is another mask; and what has gone counts as missing.
    assert plan(None, wanted(path, root, refine=False)).masked == 0
    assert plan(None, wanted(path, root, offset=0)).masked == 0
    next(document.parent.glob("*.tif")).unlink()
    assert len(plan(None, wanted(path, root)).missing) == 1


def test_a_worker_sees_that_reviewers_have_rejected_a_mask(
    items: list[Document], tmp_path: Path
) -> None:
    item = parse_item(items[0], "")
    document = MaskJob.of_scene(item_scene(item), tmp_path).run()
    for rejected in (False, True):
        if rejected:
            reject(document, "a lake", by="bob")
        made = make_mask(ListedTask(item_row(item), tmp_path, None, None, 0, {}, ""))
        assert isinstance(made, WrittenMask)
        assert (made.found, made.rejected) == (True, rejected)


@pytest.mark.parametrize("form", ["v2", "v3", "geozarr"])
def test_items_whose_assets_are_zarr(form: str, tmp_path: Path) -> None:
    """Assets are the product and a group of it, as catalogues have them; the mask is that of the product itself."""
    product = write_product(tmp_path, form)
    place, moment = SCENE.geobox().geographic_extent, datetime.datetime(2024, 6, 15, 10, 10, 31)
    item = pystac.Item(NAME, place.json, list(place.boundingbox), moment, {})
    for key, path in (("SR_10m", "/measurements/reflectance/r10m"), ("product", "")):
        asset = pystac.Asset(f"{product}{path}", media_type="application/vnd+zarr", roles=["data"])
        item.add_asset(key, asset)
    request = wanted(
        write_list(tmp_path / "items.parquet", [item.to_dict(transform_hrefs=False)]),
        tmp_path / "masks",
    )
    found = plan(None, request)
    assert (len(found.missing), found.failures) == (1, ())
    (row,) = ItemFile(tmp_path / "items.parquet").rows(Wanted({}))
    made = make_mask(ListedTask(row, request.root, None, None, 0, {}, ""))
    assert isinstance(made, WrittenMask), made
    odc_cleansat.open_catalog(request.root).add(made.document, made.scene)
    assert plan(None, request).masked == 1
    alone = MaskJob.of_scene(read_scene(str(product)), tmp_path / "alone").run()
    masks = [next(Path(each).parent.glob("*_ucl.tif")) for each in (made.document, alone)]
    pixels = [rasterio.open(each).read(1) for each in masks]
    np.testing.assert_array_equal(*pixels)
    assert (pixels[0] != 0).all()


def test_the_item_decides_the_offset_of_a_known_scene(
    items: list[Document], scheduler: str, tmp_path: Path
) -> None:
    """The catalogue's own document of a scene has no offsets of bands."""
    item = copy.deepcopy(items[0])
    del item["properties"]["s2:processing_baseline"]
    for asset in item["assets"].values():
        asset["raster:bands"] = [{"scale": 0.0001, "offset": -0.1, "data_type": "uint16"}]
    path = write_list(tmp_path / "items.parquet", [item])
    root = tmp_path / "masks"
    assert run(None, wanted(path, root), scheduler=scheduler).masked == 1
    assert plan(None, wanted(path, root)).masked == 1
    for asset in item["assets"].values():
        del asset["raster:bands"]
    write_list(path, [item])
    with pytest.warns(ReflectanceWarning, match="^1 of 1 scenes: "):
        plan(None, wanted(path, tmp_path / "others"))


def test_limit_parts_and_filters(items: list[Document], tmp_path: Path) -> None:
    path = write_list(tmp_path / "items.parquet", items)
    found = plan(None, wanted(path, tmp_path, limit=2))
    assert (len(found.missing), found.postponed) == (2, 4)
    every = plan(None, wanted(path, tmp_path)).missing
    assert found.missing == every[:2]
    parts = [plan(None, wanted(path, tmp_path, part=(k, 3))).missing for k in (1, 2, 3)]
    assert sorted(each for part in parts for each in part) == sorted(every)
    few = wanted(path, tmp_path, query={"time": ("2024-06-02", "2024-06-05")}, max_cloud=40)
    assert plan(None, few).missing == every[1:4]
    assert not list(tmp_path.glob("s2_l2a*"))


def test_those_to_be_done_come_in_another_order(items: list[Document], tmp_path: Path) -> None:
    """So two runs that began together do not do the same side by side."""
    path = write_list(tmp_path / "items.parquet", items)
    catalog = odc_cleansat.open_catalog(tmp_path / "masks")
    request, listed = wanted(path, tmp_path), ItemFile(path)
    every = [each.scene.id for each in survey_list(listed, request, catalog)]
    among = set(every[1:])
    orders = {
        tuple(each.scene.id for each in survey_list(listed, request, catalog, among=among))
        for _ in range(20)
    }
    assert len(orders) > 1
    assert {frozenset(each) for each in orders} == {frozenset(among)}


def test_secrets_of_addresses_are_told_to_nobody(
    items: list[Document], client: Client, tmp_path: Path
) -> None:
    with serving(StacServer()) as server:
        server.folders["bands"] = Path(items[0]["assets"]["B02"]["href"]).parent
        item = copy.deepcopy(items[0])
        for asset in item["assets"].values():
            name = Path(asset["href"]).name
            asset["href"] = f"{server.url}/bands/{name}?sig=tiger1234567"
        bad = copy.deepcopy(item) | {"id": "bad"}
        bad["assets"]["SCL"]["href"] = f"{server.url}/nothing/SCL.tif?sig=tiger1234567"
        path = write_list(tmp_path / "items.parquet", [item, bad])
        recorder = Recorder()
        failures = tmp_path / "failures.jsonl"
        report = run(
            None, wanted(path, tmp_path / "masks"), scheduler=client.scheduler.address, retries=0,
            reporter=recorder, failures=failures,
        )  # fmt: skip
    assert report.masked == 1
    (failure,) = report.failures
    assert "SCL.tif" in failure.reason
    said = [failure.reason, failures.read_text(), *recorder.lines, *recorder.history]
    assert not [text for text in said if "tiger" in text]
    written = [each for each in (tmp_path / "masks").rglob("*.*") if each.is_file()]
    assert {each.suffix for each in written} >= {".parquet", ".yaml", ".json"}
    assert not [each for each in written if b"tiger" in each.read_bytes()]
    (scene,) = odc_cleansat.open_catalog(tmp_path / "masks").search("s2_l2a")
    assert scene.assets["red"].href == f"{server.url}/bands/B04.tif"


@pytest.mark.parametrize(
    ("product", "settings", "said"),
    [
        ("s2_l2a", {"items": "x.parquet", "index": False}, "pass one of product= and items="),
        (None, {}, "pass one of product= and items="),
        (None, {"items": "x.parquet"}, "in no datacube; pass index=False"),
    ],
)
def test_requests_that_contradict_themselves(
    product: str | None, settings: dict[str, object], said: str
) -> None:
    with pytest.raises(CubeError, match=said):
        Request(product, "masks", **settings)  # type: ignore[arg-type]
