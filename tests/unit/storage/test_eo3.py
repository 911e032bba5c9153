"""EO3 documents and product definitions."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from conftest import Cube

from odc_cleansat.storage.eo3 import (
    SCENE_PRODUCT,
    acquisition_time,
    native_grid,
    native_grids,
    product_definition,
    read_document,
    scene_product,
)
from odc_cleansat.storage.reader import DocumentError


def test_the_lineage_that_datacube_nests_is_no_hindrance(cube: Cube) -> None:
    mask = cube.dc.index.datasets.get(cube.masks["june"].id, include_sources=True)
    assert "source_datasets" in mask.metadata_doc["lineage"]
    assert read_document(mask.metadata_doc).id == mask.id


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ({"datetime": "2024-06-15T10:10:31Z"}, datetime(2024, 6, 15, 10, 10, 31)),
        ({"datetime": "2024-06-15T12:10:31+02:00"}, datetime(2024, 6, 15, 10, 10, 31)),
        ({"datetime": datetime(2024, 6, 15)}, datetime(2024, 6, 15)),
        ({"datetime": "1970-01-01", "cleansat:datetime_placeholder": True}, None),
        ({}, None),
    ],
)
def test_the_acquisition_time(properties: dict[str, Any], expected: datetime | None) -> None:
    assert acquisition_time(properties) == expected


def test_a_scene_without_some_bands_has_a_product_of_its_own() -> None:
    whole = product_definition(SCENE_PRODUCT)
    assert scene_product(m["name"] for m in whole["measurements"]) == whole
    some = scene_product(["scl", "blue"])
    assert some["name"] == some["metadata"]["product"]["name"] == "s2_l2a_b02_scl"
    assert [m["name"] for m in some["measurements"]] == ["blue", "scl"]


def test_the_grid_of_a_measurement_is_the_one_that_it_names() -> None:
    fine, coarse = (
        (rows, 8, [side, 0, 399960, 0, -side, 5300040, 0, 0, 1])
        for rows, side in ((6, 10), (3, 20))
    )
    document = {
        "crs": "EPSG:32633",
        "grids": {
            name: {"shape": [rows, columns], "transform": transform}
            for name, (rows, columns, transform) in (("default", fine), ("g20m", coarse))
        },
        "measurements": {"red": {"path": "B04.tif"}, "scl": {"path": "SCL.tif", "grid": "g20m"}},
    }
    assert native_grid(document, "red").shape == (6, 8)
    assert native_grid(document, "red").crs.epsg == 32633
    assert native_grid(document, "scl").resolution.x == 20
    with pytest.raises(DocumentError):
        native_grid(document, "blue")


@pytest.mark.parametrize(
    "moment",
    [" ", "2024-13-45", [1], {}, datetime.max.replace(tzinfo=timezone(-timedelta(hours=9)))],
)
def test_what_is_no_time(moment: Any) -> None:
    if isinstance(moment, (list, dict)):
        assert acquisition_time({"datetime": moment}) is None
    else:
        with pytest.raises(DocumentError, match="not as it should be"):
            acquisition_time({"datetime": moment})


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"crs": "EPSG:32633", "grids": None},
        {"crs": "EPSG:32633", "grids": {"default": {}}},
        {"crs": "EPSG:32633", "grids": {"default": {"shape": [2, 3], "transform": ["x"] * 6}}},
        {"crs": "EPSG:32633", "grids": {"default": {"shape": [2, -3], "transform": [20, 0, 0, 0, -20, 0]}}},
        {"crs": "nonsense", "grids": {"default": {"shape": [2, 3], "transform": [20, 0, 0, 0, -20, 0]}}},
    ],
    ids=str,
)  # fmt: skip
def test_documents_without_a_grid(document: dict[str, Any]) -> None:
    for read in (native_grids, lambda each: native_grid(each, "ucl")):
        with pytest.raises(DocumentError, match="EO3 document"):
            read(document)
