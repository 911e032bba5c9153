"""Attributes of Zarr groups and arrays."""

from __future__ import annotations

from typing import Any

import pytest
from affine import Affine

from odc_cleansat.scenes.zarr_attributes import product_attributes, stated_crs, stated_transform


@pytest.mark.parametrize(
    ("attrs", "crs"),
    [
        ({"proj:epsg": 32633}, "EPSG:32633"),
        ({"proj:code": "EPSG:32633", "proj:epsg": None}, "EPSG:32633"),
        ({"horizontal_CRS_code": "EPSG:32733"}, "EPSG:32733"),
        ({"proj:epsg": "null"}, None),
        ({"proj:epsg": True}, None),
        ({}, None),
    ],
)
def test_the_coordinate_system_that_attributes_state(
    attrs: dict[str, Any], crs: str | None
) -> None:
    assert stated_crs(attrs) == crs


def test_the_transform_that_attributes_state() -> None:
    affine = Affine(10, 0, 300000, 0, -10, 5000040)
    own = {"proj:shape": [4, 6], "proj:transform": [*affine]}
    assert stated_transform(own, (4, 6)) == affine
    assert stated_transform(own, (2, 6)) is None
    box = {"proj:bbox": [300000, 5000000, 300060, 5000040]}
    assert stated_transform(box, (4, 6)) == affine
    assert stated_transform(box, (4, 4)) is None
    assert stated_transform({"proj:bbox": ["a", 0, 1, 1]}, (4, 6)) is None


def test_the_root_tells_of_the_whole_product() -> None:
    nested = {"stac_discovery": {"properties": {"proj:epsg": 1}}, "other_metadata": "none"}
    assert list(product_attributes(nested)) == [nested, {"proj:epsg": 1}]
