"""Searches of a catalogue, beside those of a real Postgres where it matters."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pytest
from datacube import Datacube
from datacube.model import Not, Range

from odc_cleansat.catalog.datasets import matches
from odc_cleansat.catalog.index import open_index
from odc_cleansat.storage.eo3 import MASK_PRODUCT

from .made import mask, with_masks


@pytest.fixture
def dc(tmp_path: Path) -> Datacube:
    found = with_masks(open_index(tmp_path))
    days = {"a": "2024-06-15", "b": "2024-07-01", "c": "2024-08-01"}
    found.index.datasets.add_all(
        [
            mask(found, tmp_path, name, day, **{"eo:cloud_cover": 10.0 * i})
            for i, (name, day) in enumerate(days.items())
        ]
    )
    found.index.datasets.add_all([mask(found, tmp_path, "west", "2024-06-15", 31)])
    return found


def labels(dc: Datacube, **query: Any) -> list[str]:
    found = dc.find_datasets(product=MASK_PRODUCT, **query)
    assert [each.time.begin for each in found] == sorted(
        (each.time.begin for each in found), reverse=True
    )
    return sorted(each.metadata_doc["label"] for each in found)


def test_time_and_place(dc: Datacube) -> None:
    assert labels(dc) == ["a", "b", "c", "west"]
    assert labels(dc, time="2024-06") == ["a", "west"]
    assert labels(dc, time=("2024-06-20", "2024-12-31")) == ["b", "c"]
    assert labels(dc, lon=(13, 14), lat=(47, 48)) == ["a", "b", "c"]
    assert labels(dc, lon=(1, 2), lat=(47, 48)) == ["west"]
    assert labels(dc, lon=(13, 14), lat=(10, 20)) == []
    assert labels(dc, limit=1) == ["c"]


def test_other_fields(dc: Datacube) -> None:
    assert labels(dc, cloud_cover=(5, 11)) == ["b"]
    assert labels(dc, region_code="31UVP") == ["west"]
    assert labels(dc, region_code=["31UVP", "none", "others"]) == ["west"]
    with pytest.raises(Exception, match="nonsense"):
        labels(dc, nonsense=1)


def test_ids_and_what_there_is(dc: Datacube, tmp_path: Path) -> None:
    a, unknown = mask(dc, tmp_path, "a"), mask(dc, tmp_path, "z")
    datasets = dc.index.datasets
    assert datasets.has(a.id)
    assert list(datasets.bulk_has([unknown.id, a.id])) == [False, True]
    assert [each.id for each in datasets.bulk_get([unknown.id, a.id])] == [a.id]
    assert datasets.get(unknown.id) is None
    found = datasets.get(a.id)
    assert found.uri == a.uri
    assert found.metadata_doc == {**found.metadata_doc, "label": "a"}
    assert found.time == a.time
    assert found.extent.json == a.extent.json
    assert list(datasets.get_locations(a.id)) == [a.uri]
    assert len(list(datasets.get_all_dataset_ids())) == 4
    june = [datetime.datetime(2024, month, 1, tzinfo=datetime.UTC) for month in (6, 7)]
    assert datasets.count(product=MASK_PRODUCT, time=Range(*june)) == 2
    assert datasets.temporal_extent([a.id]) == (a.time.begin, a.time.end)


def test_fields_without_documents_are_those_of_documents(dc: Datacube) -> None:
    rows = list(
        dc.index.datasets.search_returning(["id", "uri", "time", "label"], product=MASK_PRODUCT)
    )
    for row in rows:
        dataset = dc.index.datasets.get(row.id)
        assert (row.uri, row.label) == (dataset.uri, dataset.metadata_doc["label"])
        assert (row.time.begin, row.time.end) == (dataset.time.begin, dataset.time.end)
    parts = {"properties": ["properties"]}
    (row,) = dc.index.datasets.search_returning(
        ["id"], parts, product=MASK_PRODUCT, region_code="31UVP"
    )
    assert row.properties["eo:cloud_cover"] == 12.5


def test_archived_datasets(dc: Datacube, tmp_path: Path) -> None:
    a = mask(dc, tmp_path, "a")
    dc.index.datasets.archive([a.id])
    assert labels(dc) == ["b", "c", "west"]
    assert dc.index.datasets.get(a.id).is_archived
    found = list(dc.index.datasets.search(product=MASK_PRODUCT, archived=True))
    assert [each.id for each in found] == [a.id]
    assert dc.index.datasets.count(product=MASK_PRODUCT, archived=None) == 4
    dc.index.datasets.restore([a.id])
    assert sorted(labels(dc)) == ["a", "b", "c", "west"]


def test_changes(dc: Datacube, tmp_path: Path) -> None:
    from datacube.utils.changes import allow_any

    a = mask(dc, tmp_path, "a", **{"eo:cloud_cover": 77.0})
    with pytest.raises(ValueError, match="Unsafe"):
        dc.index.datasets.update(a)
    assert labels(dc, cloud_cover=(70, 80)) == []
    dc.index.datasets.update(a, {("properties", "eo:cloud_cover"): allow_any})
    assert labels(dc, cloud_cover=(70, 80)) == ["a"]
    with pytest.raises(ValueError, match="Unknown dataset"):
        dc.index.datasets.update(mask(dc, tmp_path, "z"))


def test_what_was_made_of_what(dc: Datacube, tmp_path: Path) -> None:
    a = dc.index.datasets.get(mask(dc, tmp_path, "a").id)
    derived = mask(dc, tmp_path, "derived")
    derived.sources = {"level2": a}
    dc.index.datasets.add(derived)
    assert [each.id for each in dc.index.datasets.get_derived(a.id)] == [derived.id]
    again = dc.index.datasets.get(derived.id, include_sources=True)
    assert again.sources["level2"].id == a.id


NOON = datetime.datetime(2024, 6, 15, 12, tzinfo=datetime.UTC)


@pytest.mark.parametrize(
    ("found", "term", "expected"),
    [
        (5, 5, True), (5, 6, False), (None, 5, False), (5, [4, 5], True), (5, [], False),
        (5, Not(5), False), (5, Not(4), True), (None, Not(4), True),
        (5, Range(5, 6), True), (5, Range(None, 4), False), (5, Range(4, None), True),
        (Range(1, 3), Range(3, 4), True), (Range(1, 3), Range(4, 5), False), (Range(1, 3), 2, True), (Range(1, 3), 4, False),
        (NOON, datetime.date(2024, 6, 15), True), (NOON, datetime.date(2024, 6, 16), False),
    ],
)  # fmt: skip
def test_terms(found: Any, term: Any, expected: bool) -> None:
    assert matches(found, term) is expected
