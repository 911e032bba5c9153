"""Products of a catalogue, and the STAC documents that tell of them."""

from __future__ import annotations

import json
from pathlib import Path

import pystac
import pytest

from odc_cleansat.catalog.index import open_index
from odc_cleansat.cube.index import add_product
from odc_cleansat.errors import CubeError
from odc_cleansat.storage.eo3 import product_definition

from .made import mask, with_masks


def test_products_are_there_when_it_is_opened_again(tmp_path: Path) -> None:
    dc = with_masks(open_index(tmp_path))
    add_product(dc, product_definition("s2_l2a"))
    names = [each.name for each in open_index(tmp_path).index.products.get_all()]
    assert names == ["s2_l2a", "s2_l2a_ucl"]
    found = open_index(tmp_path).index.products.get_by_name("s2_l2a_ucl")
    assert found.definition == dc.index.products.get_by_name("s2_l2a_ucl").definition
    # Not a copy each time, of which five were made for each mask that is added.
    assert dc.index.products.get_by_name("s2_l2a") is dc.index.products.get_by_name("s2_l2a")


def test_pystac_reads_it(tmp_path: Path) -> None:
    dc = with_masks(open_index(tmp_path))
    dc.index.datasets.add_all([mask(dc, tmp_path, "m")])
    dc.index.products.describe()
    catalog = pystac.Catalog.from_file(str(tmp_path / "catalog.json"))
    (collection,) = catalog.get_children()
    assert isinstance(collection, pystac.Collection)
    assert collection.id == "s2_l2a_ucl"
    assert collection.extent.spatial.bboxes[0] == pytest.approx(
        [13.66, 47.83, 13.69, 47.85], abs=0.01
    )
    assert str(collection.extent.temporal.intervals[0][0]).startswith("2024-06-15 10:10:31")
    href = collection.assets["items"].get_absolute_href()
    assert href is not None
    assert Path(href) == tmp_path / "s2_l2a_ucl" / "items"


def test_a_product_without_datasets_has_no_times(tmp_path: Path) -> None:
    dc = with_masks(open_index(tmp_path))
    with pytest.raises(RuntimeError, match="no datasets"):
        dc.index.products.temporal_extent("s2_l2a_ucl")


def test_a_catalogue_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    with_masks(open_index(tmp_path))
    document = json.loads((tmp_path / "catalog.json").read_text())
    (tmp_path / "catalog.json").write_text(json.dumps(document | {"cleansat:catalog_version": 2}))
    with pytest.raises(
        CubeError, match="has version 2, and this package knows 1; update odc-cleansat"
    ):
        open_index(tmp_path)


def test_a_folder_of_something_else_has_no_products(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "notes.txt").write_text("x")
    assert list(open_index(tmp_path).index.products.get_all()) == []
