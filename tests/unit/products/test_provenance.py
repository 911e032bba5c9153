"""What the documents of a mask say of how it was made."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
import yaml
from datacube.model import Dataset

from odc_cleansat import CloudClass
from unit.products.helpers import one


def test_provenance_is_all_there(scene: Dataset, written: Path) -> None:
    document = yaml.safe_load(one(written, "*.odc-metadata.yaml").read_text())
    record = yaml.safe_load(one(written, "*.proc-info.yaml").read_text())
    assert document["lineage"] == {"level2": [str(scene.id)]}
    assert record["cleansat"]["scene"]["id"] == str(scene.id)
    bands = record["cleansat"]["scene"]["bands"]
    assert list(bands) == ["blue", "green", "red", "nir", "swir16", "swir22"]
    assert record["cleansat"]["scene"]["scl"]["uri"].endswith("SCL.tif")
    assert all(Path(each["uri"].removeprefix("file://")).is_file() for each in bands.values())
    assert set(record["cleansat"]["algorithm"]) == {"name", "version", "resolution", "stride", "overlap", "whole"}  # fmt: skip
    assert len(record["cleansat"]["model"]["sha256"]) == 64
    assert set(record["cleansat"]["engine"]) == {"name", "precision"}
    assert record["cleansat"]["offset"] == {"value": -1000, "source": "s2:processing_baseline is 05.10"}  # fmt: skip
    versions = {each["name"] for each in record["software_versions"]}
    assert versions >= {"odc-cleansat", "openvino", "numpy", "rasterio", "eodatasets3"}
    said = document["properties"]
    with rasterio.open(one(written, "*_ucl.tif")) as file:
        codes = file.read(1)
    assert said["cleansat:data_percent"] == pytest.approx(100 * np.mean(codes > 0), abs=0.006)
    for c in (CloudClass.CLEAR, CloudClass.CLOUD, CloudClass.SHADOW):
        share = 100 * np.mean(codes[codes > 0] == c)
        assert said[f"cleansat:{c.label}_percent"] == pytest.approx(share, abs=0.006)


def test_keys_in_the_addresses_of_a_scene_are_not_written_down(written: Path) -> None:
    from odc_cleansat.products.provenance import without_query

    assert without_query("https://x.org/a/B02.tif?sig=secret#x") == "https://x.org/a/B02.tif"
    assert without_query("s3://x/B02.tif") == "s3://x/B02.tif"
