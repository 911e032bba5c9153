"""Every place where metadata tell a processing baseline."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import pystac
import pytest
import xarray as xr
from datacube.metadata import stac2ds

from odc_cleansat.scenes.baseline import processing_level, told_baselines
from odc_cleansat.scenes.files import SceneFiles
from odc_cleansat.scenes.offset import Offset, resolve_offset
from odc_cleansat.scenes.packing import read_packing
from odc_cleansat.scenes.scene import unindexed_dataset

NEW = "S2B_MSIL2A_20240101T100319_N0510_R122_T33UWP_20240101T113000"
OLD = NEW.replace("N0510", "N0301")
STRIP = "S2B_OPER_MSI_L2A_DS_2BPS_20240101T113000_S20240101T100319_N05.10"
TYPE = {"product:type": "S2MSI2A"}


@pytest.mark.parametrize(
    ("properties", "value", "source"),
    [
        ({"id": NEW}, -1000, "baseline 05.10 in id"),
        ({"title": f"{NEW}.SAFE"}, -1000, "baseline 05.10 in title"),
        ({"label": NEW}, -1000, "baseline 05.10 in label"),
        ({"id": OLD}, 0, "baseline 03.01 in id"),
        ({"eopf:datastrip_id": STRIP}, -1000, "baseline 05.10 in eopf:datastrip_id"),
        ({"s2:tile_id": STRIP.replace("_DS_", "_TL_")}, -1000, "baseline 05.10 in s2:tile_id"),
        ({"processing:version": "05.10", **TYPE}, -1000, "processing:version is 05.10"),
        ({"processing:version": "03.01", "id": OLD}, 0, "baseline 03.01 in id"),
        ({"processorVersion": "05.09", "productType": "S2MSI2A"}, -1000, "processorVersion is 05.09"),
        ({"version": "04.00", "s2:product_type": "S2MSI2A"}, -1000, "version is 04.00"),
        ({"s2:processing_baseline": "05.10", "id": NEW}, -1000, "s2:processing_baseline is 05.10"),
    ],
)  # fmt: skip
def test_each_place(properties: dict[str, Any], value: float, source: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert resolve_offset(properties) == Offset(value, source)


@pytest.mark.parametrize(
    "properties",
    [
        {"version": "04.00"},  # of what, nobody says
        {"version": "3.2.1", **TYPE},
        {"processing:version": "1.0", **TYPE},
        {"id": "S2B_33UWP_20240101_0_L2A"},
        {"id": "S2B_MSIL2A_20240101T100319_R122_T33UWP_20240101T113000"},
        {"sentinel:datastrip_id": "S2A_OPER_MSI_L1C_DS_MTI__20161214T092514_S20161214T024317_N02.04"},
    ],
)  # fmt: skip
def test_what_tells_of_something_else(properties: dict[str, str]) -> None:
    assert list(told_baselines(properties)) == []


@pytest.mark.parametrize(
    ("properties", "value", "rival"),
    [
        ({"s2:processing_baseline": "02.12", "id": NEW}, 0, -1000),
        ({"s2:product_uri": OLD, "s2:datastrip_id": STRIP}, 0, -1000),
        ({"id": NEW, "processing:version": "03.01"}, -1000, 0),
        ({"s2:processing_baseline": "05.00", "id": NEW}, -1000, None),  # both have the offset
    ],
)
def test_two_that_differ(properties: dict[str, str], value: float, rival: float | None) -> None:
    found = resolve_offset(properties)
    assert (found.value, found.rival) == (value, rival)
    assert (", but " in found.source) == (rival is not None)


def test_level_by_the_name_of_the_item() -> None:
    assert processing_level({"id": NEW}) == "L2A"
    assert processing_level(TYPE) == "L2A"
    assert processing_level({"product:type": "S2MSI1C"}) == "L1C"


def copernicus_item(shared: Path, **properties: str) -> pystac.Item:
    """A real item in the form of the Copernicus Data Space, which names its baseline nowhere else."""
    name = "S2A_MSIL2A_20230625T234621_N0509_R073_T01WCP_20230626T022157.json"
    document = json.loads((shared / "metadata" / "stactools-sentinel2" / name).read_text())
    document["id"] = name.removesuffix(".json")
    kept = ("datetime", "platform", "constellation", "proj:epsg", "proj:code")
    document["properties"] = {k: v for k, v in document["properties"].items() if k in kept}
    document["properties"] |= properties
    for asset in document["assets"].values():
        asset.pop("raster:bands", None)
        asset["href"] = f"https://example.org/{asset['href']}"
    return pystac.Item.from_dict(document)


def test_an_item_and_the_dataset_that_is_indexed_of_it_say_the_same(shared: Path) -> None:
    item = copernicus_item(shared, **{"processing:version": "05.09"}, **TYPE)
    assert SceneFiles.of_item(item).offset() == Offset(-1000, "baseline 05.09 in id")
    (dataset,) = stac2ds([item], {"*": {"warnings": "ignore", "ignore_proj": True}})
    document = json.loads(json.dumps(dataset.metadata_doc, default=str))
    found = SceneFiles.of_dataset(unindexed_dataset(document, "https://example.org/item.json"))
    assert found.offset() == Offset(-1000, "processing:version is 05.09")
    item.id = "S2A_T01WCP_20230625"
    assert SceneFiles.of_item(item).offset() == Offset(-1000, "processing:version is 05.09")
    item.properties.pop("processing:version")
    for asset in item.assets.values():
        asset.href = f"s3://eodata/Sentinel-2/{NEW}.SAFE/{asset.href.rpartition('/')[2]}"
    assert SceneFiles.of_item(item).offset() == Offset(-1000, "baseline 05.10 in address")
    (dataset,) = stac2ds([item], {"*": {"warnings": "ignore", "ignore_proj": True}})
    document = {**json.loads(json.dumps(dataset.metadata_doc, default=str)), "label": OLD}
    found = SceneFiles.of_dataset(unindexed_dataset(document, "https://example.org/item.json"))
    assert found.offset().rival == -1000


def test_an_array_with_the_id_of_its_item() -> None:
    band = xr.DataArray([[1200, 3000]], dims=("y", "x"), coords={"id": NEW}).astype("uint16")
    assert read_packing(band, None, None).offset == -1000
    named = band.drop_vars("id").assign_coords(
        {"processing:version": "05.10", "product:type": "S2MSI2A"}
    )
    assert read_packing(named, None, None).offset == -1000
