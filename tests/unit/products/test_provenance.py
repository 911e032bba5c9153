"""What the documents of a mask say of how it was made."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import rasterio
import yaml
from datacube.model import Dataset

from odc_cleansat.models.registry import get_model
from odc_cleansat.products.provenance import Provenance, inherited, processing_record
from odc_cleansat.scenes.files import BandFile
from odc_cleansat.scenes.offset import Offset
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
    assert set(record["cleansat"]["algorithm"]) == {"name", "version", "resolution", "stride", "overlap", "whole", "light"}  # fmt: skip
    assert len(record["cleansat"]["model"]["sha256"]) == 64
    assert set(record["cleansat"]["engine"]) == {"name", "precision"}
    assert record["cleansat"]["offset"] == {"value": -1000, "source": "s2:processing_baseline is 05.10"}  # fmt: skip
    versions = {each["name"] for each in record["software_versions"]}
    assert versions >= {"odc-cleansat", "openvino", "numpy", "rasterio", "eodatasets3"}
    said = document["properties"]
    with rasterio.open(one(written, "*_ucl.tif")) as file:
        codes = file.read(1)
    assert said["cleansat:data_percent"] == pytest.approx(100 * np.mean(codes > 0), abs=0.006)
    for c in get_model().classes:
        share = 100 * np.mean(codes[codes > 0] == c)
        assert said[f"cleansat:{c.label}_percent"] == pytest.approx(share, abs=0.006)


def test_secrets_of_a_scene_are_not_written_down() -> None:
    secret = "s3cr3t-Kq9"
    uris = (
        f"https://x.org/a/B02.tif?sig={secret}#x",
        f"/vsicurl/https://u:{secret}@x.org/B03.tif",
        "s3://x/B04.tif",
    )
    properties = {
        "cleansat:source": f"https://host/item.json?sig={secret}",
        "odc:region_code": f"//me:{secret}@host",
        "s2:product_uri": f"https://u:{secret}@host/x",
    }
    product = SimpleNamespace(name=f"token={secret}")
    source: Any = SimpleNamespace(
        id=1, properties=properties, product=product, label=f"?sig={secret}"
    )
    provenance = Provenance(
        source, get_model(), Offset(-1000, "argument"), "torch", "f32",
        {f"b{i}": BandFile(uri, 1, 0) for i, uri in enumerate(uris)}, BandFile(uris[0], 1, 0),
    )  # fmt: skip
    record = processing_record(provenance, 20)
    said = json.dumps([record, inherited(source.properties)], default=str)
    assert secret not in said
    assert [each["uri"] for each in record["scene"]["bands"].values()] == [
        "https://x.org/a/B02.tif", "https://x.org/B03.tif", "s3://x/B04.tif",
    ]  # fmt: skip
    assert inherited(source.properties)["cleansat:source"] == "https://host/item.json"
