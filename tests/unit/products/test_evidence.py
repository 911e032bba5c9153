"""What `verify` reads of a product, and how it compares documents."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from odc_cleansat.products.evidence import MISSING, Evidence, WrongError, differences, differs
from odc_cleansat.products.product import MaskProduct

UTC = datetime.UTC
ID = "6f34c6f4-13d6-43c0-8e4e-42b6c13203af"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": (1, 2)}, {"a": [1.0, 2]}),
        (1 / 3, 0.3333333333),
        (UUID(ID), ID),
        (datetime.datetime(2024, 6, 15, tzinfo=UTC), datetime.datetime(2024, 6, 15)),
        ({}, {}),
    ],
)
def test_values_that_documents_write_in_several_ways_are_equal(one: Any, other: Any) -> None:
    assert not differs(one, other)
    assert not differs(other, one)


@pytest.mark.parametrize(
    ("one", "other", "found"),
    [
        ({"a": {"b": 1}}, {"a": {"b": 2}}, [("a.b", 1, 2)]),
        ({"a": [1, {"b": 1}]}, {"a": [1, {"b": 2}]}, [("a[1].b", 1, 2)]),
        ({"a": 1}, {"b": 1}, [("a", 1, MISSING), ("b", MISSING, 1)]),
        ([1], [1, 2], [("", [1], [1, 2])]),
        (1, True, [("", 1, True)]),
        (1, "1", [("", 1, "1")]),
        ({"a": None}, {}, [("a", None, MISSING)]),
        (1, 1.0000001, [("", 1, 1.0000001)]),
    ],
)
def test_every_difference_is_named(one: Any, other: Any, found: list[Any]) -> None:
    assert list(differences(one, other)) == found


def test_no_file_outside_the_folder_is_read(written: Path) -> None:
    product = MaskProduct(written)
    outside = {"path": str(written / f"{written.name}_ucl_confidence.tif")}
    measurements = {**product.document["measurements"], "ucl": outside}
    product.document = {**product.document, "measurements": measurements}
    with pytest.raises(WrongError, match="the file of ucl is /"):
        _ = Evidence(product).codes
