"""Rows of a catalogue: addresses inside are relative, and documents are those of the datacube."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from odc_cleansat.catalog.index import open_index
from odc_cleansat.catalog.items import absolute, base_of, relative_to, row_of
from odc_cleansat.catalog.parts import DOCUMENT
from odc_cleansat.storage.folder import Folder

from .made import mask, with_masks


def test_a_row_holds_what_a_datacube_asks(tmp_path: Path) -> None:
    dataset = mask(with_masks(open_index(tmp_path)), tmp_path, "m")
    row = row_of(dataset, Folder(tmp_path))
    properties = row["properties"]
    assert row["id"] == str(dataset.id)
    assert row["collection"] == "s2_l2a_ucl"
    assert row["assets"]["ucl"]["href"] == "m/m_ucl.tif"
    assert properties["catalog:uri"] == "m/m.odc-metadata.yaml"
    assert properties["catalog:begin"] == dataset.time.begin.timestamp()
    assert properties["catalog:west"] == pytest.approx(13.663, abs=1e-3)
    assert properties["catalog:south"] == pytest.approx(47.828, abs=1e-3)
    assert properties["catalog:archived"] == 0
    assert json.loads(properties[DOCUMENT])["extent"] == json.loads(
        json.dumps(dataset.metadata_doc["extent"])
    )


def test_the_item_beside_the_document_counts(tmp_path: Path) -> None:
    dataset = mask(with_masks(open_index(tmp_path)), tmp_path, "m")
    plain = row_of(dataset, Folder(tmp_path))
    beside = {
        **plain,
        "properties": {"datetime": "2024-06-15T10:10:31Z", "title": "beside", "list": [{"a": 1}]},
        "assets": {"ucl": {"href": "m_ucl.tif", "roles": ["data"], "proj:shape": [100, 100]},
                   "model": {"href": "https://example.org/net", "roles": ["mlm:model"]}},
    }  # fmt: skip
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "m.stac-item.json").write_text(json.dumps(beside))
    row = row_of(dataset, Folder(tmp_path))
    assert row["properties"]["title"] == "beside"
    assert "list" not in row["properties"]
    assert row["assets"] == {
        "ucl": {"href": "m/m_ucl.tif", "roles": ["data"], "proj:shape": [100, 100]}
    }
    (tmp_path / "m" / "m.stac-item.json").write_text(json.dumps({**beside, "id": "of another"}))
    assert row_of(dataset, Folder(tmp_path))["properties"]["title"] == "m"


def test_addresses(tmp_path: Path) -> None:
    root = Folder(tmp_path)
    inside = (tmp_path / "a" / "b.tif").as_uri()
    assert relative_to(base_of(root), inside) == "a/b.tif"
    assert absolute(root, "a/b.tif") == inside
    for outside in ("https://example.org/a.tif", "s3://bucket/a.tif", "/data/a.tif", ""):
        assert relative_to(base_of(root), outside) == outside
        assert absolute(root, outside) == outside
    bucket = Folder("memory://bucket/masks")
    assert relative_to(base_of(bucket), "memory://bucket/masks/a.tif") == "a.tif"
    assert (
        relative_to(base_of(bucket), "memory://bucket/masks-2/a.tif")
        == "memory://bucket/masks-2/a.tif"
    )
    assert absolute(bucket, "a.tif") == "memory://bucket/masks/a.tif"
