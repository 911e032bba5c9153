"""Footprints of masks in a file for programs for maps, read by GDAL."""

from __future__ import annotations

import datetime
from pathlib import Path

import fiona
import pystac
import pytest
from shapely.geometry import box, mapping, shape

from odc_cleansat.catalog.footprints import FORMATS, write_footprints
from odc_cleansat.errors import OutputError


def item(name: str, **properties: object) -> pystac.Item:
    place = box(13.66, 47.8, 13.69, 47.9)
    day = datetime.datetime(2024, 6, 15, 10, 10, 31, tzinfo=datetime.UTC)
    found = pystac.Item(name, mapping(place), list(place.bounds), day, {"title": name, **properties})  # fmt: skip
    found.add_asset("ucl", pystac.Asset("s3://bucket/a_ucl.tif", roles=["data"]))
    found.add_asset("thumbnail", pystac.Asset("s3://bucket/a.png", roles=["thumbnail"]))
    return found


@pytest.mark.parametrize("suffix", [*FORMATS, ".GPKG"])
def test_each_kind_of_file(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"masks{suffix}"
    masks = [item("a", **{"cleansat:cloud_percent": 12.5, "cleansat:list": [1]}), item("b")]
    write_footprints(masks, path)
    with fiona.open(path) as layer:
        assert layer.crs.to_epsg() == 4326
        rows = {row.properties["name"]: row for row in layer}
    assert set(rows) == {"a", "b"}
    assert shape(rows["a"].geometry).equals(box(13.66, 47.8, 13.69, 47.9))
    assert rows["a"].properties["cloud_percent"] == 12.5
    assert rows["b"].properties["cloud_percent"] is None  # unknown is not 0
    assert rows["a"].properties["ucl"] == "s3://bucket/a_ucl.tif"
    assert not {"thumbnail", "list"} & set(rows["a"].properties)


def test_only_the_same_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "masks.gpkg"
    write_footprints([item("a")], path, request="june")
    write_footprints([item("a"), item("b")], path, request="june")
    with pytest.raises(OutputError, match="is another map of footprints"):
        write_footprints([item("a")], path, request="july")
    path.write_bytes(b"mine")
    with pytest.raises(OutputError, match="is no map of footprints"):
        write_footprints([item("a")], path, request="june")
    assert path.read_bytes() == b"mine"
    write_footprints([item("a")], path, request="june", overwrite=True)
    assert list(tmp_path.iterdir()) == [path]
