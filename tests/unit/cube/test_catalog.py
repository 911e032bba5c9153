"""A store of masks without a database: what `mask` enters, and what people ask of it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import odc.stac
import pytest
import xarray as xr

from odc_cleansat import open_catalog
from odc_cleansat.catalog.table import ItemTable
from odc_cleansat.cube.catalog import Catalog, enter_scene
from odc_cleansat.errors import CubeError, GapWarning
from odc_cleansat.products.job import MaskJob
from odc_cleansat.products.product import DOCUMENT
from odc_cleansat.scenes.read import read_scene
from odc_cleansat.scenes.scene import Scene
from odc_cleansat.storage.eo3 import read_document
from odc_cleansat.synthetic.scene import SimulatedScene

DAYS = ("2024-06-05", "2024-06-15", "2024-07-05")
GRID = {"output_crs": "EPSG:32633", "resolution": 20}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Scene]]:
    """A store with the masks of three dates, into which nothing is entered."""
    root = tmp_path_factory.mktemp("store")
    scenes = []
    for day in DAYS:
        folder = SimulatedScene(shape=(300, 300), datetime=f"{day}T10:10:31Z").write(
            root / "scenes" / day
        )
        scene = read_scene(str(folder), None)
        MaskJob.of_scene(scene, root).run()
        scenes.append(scene)
    return root, scenes


@pytest.fixture
def store(made: tuple[Path, list[Scene]], tmp_path: Path) -> Path:
    root = tmp_path / "masks"
    shutil.copytree(made[0], root)
    return root


def documents(root: Path) -> list[Path]:
    return sorted(
        path for path in root.rglob(f"*{DOCUMENT}") if path.parents[5].name == "s2_l2a_ucl"
    )


@pytest.fixture
def catalog(store: Path, made: tuple[Path, list[Scene]]) -> Catalog:
    found = open_catalog(store)
    for document, scene in zip(documents(store), made[1], strict=True):
        found.add(document, scene.dataset)
    return found


def test_search_gives_items_that_others_read(catalog: Catalog, store: Path) -> None:
    items = catalog.search(time="2024-06")
    assert [str(item.datetime)[:10] for item in items] == ["2024-06-15", "2024-06-05"]
    assert {path for item in items for path in [item.assets["ucl"].href]} <= {
        path.as_uri() for path in store.rglob("*_ucl.tif")
    }
    found = odc.stac.load(items, bands=["ucl"])
    truth = catalog.recall(time="2024-06", like=found.odc.geobox)
    np.testing.assert_array_equal(found.ucl.transpose("time", ...), truth.ucl)
    assert len(catalog.search("s2_l2a")) == 3
    with pytest.raises(CubeError, match="are from 2024-06-05 to 2024-07-05"):
        catalog.search(time="2023")


def test_it_loads_as_a_datacube_does(catalog: Catalog, no_inference: None) -> None:
    loaded = catalog.load(measurements=["red", "ucl"], **GRID)
    recalled = catalog.recall(like=loaded.odc.geobox)
    assert dict(loaded.sizes) == {"time": 3, "y": 150, "x": 150}
    xr.testing.assert_equal(loaded.ucl.drop_vars("offset", errors="ignore"), recalled.ucl)
    picture = catalog.composite(measurements=["red"], **GRID, options={"method": "median"})
    assert "red" in picture
    assert np.isfinite(picture.red).any()
    refined = catalog.refine(measurements=["ucl"], **GRID)
    assert refined.ucl.shape == loaded.ucl.shape


def test_it_may_be_moved(catalog: Catalog, store: Path, tmp_path: Path) -> None:
    before = catalog.recall(**GRID)
    store.rename(tmp_path / "elsewhere")
    xr.testing.assert_equal(open_catalog(tmp_path / "elsewhere").recall(**GRID), before)


def test_entering_again_changes_nothing(
    catalog: Catalog, store: Path, made: tuple[Path, list[Scene]]
) -> None:
    before = {path.name for path in store.rglob("*.parquet")}
    catalog.add(documents(store)[0], made[1][0].dataset)
    assert {path.name for path in store.rglob("*.parquet")} == before


def test_a_mask_and_its_scene_are_looked_up_once(
    store: Path, made: tuple[Path, list[Scene]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each list of a folder is a request, where the store is a bucket; and what was just written is known."""
    catalog = open_catalog(store)
    pairs = list(zip(documents(store), made[1], strict=True))
    catalog.add(pairs[0][0], pairs[0][1].dataset)
    listed: list[str] = []
    names = ItemTable._names
    monkeypatch.setattr(
        ItemTable, "_names", lambda table: (listed.append(str(table._folder)), names(table))[1]
    )
    monkeypatch.setattr(
        "odc_cleansat.catalog.table.read_part", lambda *_: pytest.fail("read again")
    )
    catalog.add(pairs[1][0], pairs[1][1].dataset)
    assert len(listed) == len(set(listed)) == 3
    assert len(catalog.search()) == len(catalog.search("s2_l2a")) == 2


def test_a_mask_names_its_scene(store: Path, made: tuple[Path, list[Scene]]) -> None:
    """Whether the scene is given, or the catalogue knows it."""
    catalog = open_catalog(store)
    (given, known), scenes = documents(store)[:2], made[1]
    catalog.add(given, scenes[0].dataset)
    enter_scene(catalog.dc, scenes[1].dataset)
    catalog.add(known)
    for document, scene in zip((given, known), scenes, strict=False):
        id_ = read_document(document).id
        mask = open_catalog(store).dc.index.datasets.get(id_, include_sources=True)
        assert mask.sources["level2"].id == scene.dataset.id


def test_a_store_of_masks_alone(store: Path) -> None:
    catalog = open_catalog(store)
    assert catalog.update() == (3, 0)
    assert len(catalog.recall(**GRID).time) == 3
    with pytest.raises(CubeError, match="masks but no scenes"):
        catalog.load(**GRID)
    assert catalog.update() == (0, 0)


def test_update_follows_the_store(catalog: Catalog, store: Path) -> None:
    first = documents(store)[0]
    kept = store.parent / "kept"
    shutil.move(str(first.parent), kept)
    assert catalog.update() == (0, 1)
    assert len(catalog.search()) == 2
    assert len(list((store / "s2_l2a_ucl" / "items").iterdir())) == 1
    shutil.move(str(kept), first.parent)
    assert catalog.update() == (1, 0)
    assert len(catalog.search()) == 3
    collection = json.loads((store / "s2_l2a_ucl" / "collection.json").read_text())
    assert collection["extent"]["temporal"]["interval"][0] == [
        "2024-06-05T10:10:31Z",
        "2024-07-05T10:10:31Z",
    ]


def test_an_item_without_files_is_a_gap(catalog: Catalog, store: Path) -> None:
    shutil.rmtree(documents(store)[0].parent)
    with pytest.warns(GapWarning):
        found = catalog.recall(**GRID)
    assert not found.ucl[0].any()
    assert found.ucl[1:].any(dim=("y", "x")).all()


def test_a_document_that_cannot_be_read_stops_nobody(store: Path) -> None:
    documents(store)[1].write_text("id: [")
    with pytest.warns(GapWarning, match="cannot index"):
        assert open_catalog(store).update() == (2, 0)
    assert repr(open_catalog(store)) == f"Catalog({str(store)!r})"
