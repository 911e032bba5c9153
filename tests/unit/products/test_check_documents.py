"""Documents of older versions are told from those that are wrong; `test_verification.py` tries the faults."""

from __future__ import annotations

import json
import math
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from datacube.model import Dataset
from odc.geo.geom import Geometry, box

from odc_cleansat.models.registry import get_model
from odc_cleansat.products import accept, evidence, verify
from odc_cleansat.products.product import MaskProduct
from odc_cleansat.scenes.files import SceneFiles
from unit.products.tampering import Forger


def found(folder: Path) -> dict[str, tuple[bool | None, str]]:
    return {c.name: (c.right, c.detail) for c in verify(folder, pixels=False).checks}


def as_once(forger: Forger, footprint: Geometry) -> None:
    """Write the footprint of the scene, and its corners in longitudes and latitudes, as was done once."""
    lonlat = footprint.to_crs("EPSG:4326", math.inf)
    forger.eo3["geometry"] = json.loads(json.dumps(footprint.json))
    forger.item |= {"geometry": lonlat.json, "bbox": list(lonlat.boundingbox)}


def test_a_footprint_of_an_older_version_is_no_tampering(product: Path) -> None:
    forger = Forger(product)
    west, south, _, north = Geometry(forger.eo3["geometry"], "EPSG:32633").boundingbox
    as_once(forger, box(west, south, west + 4200, north, "EPSG:32633"))
    forger.say(cleansat__note="of the scene")
    forger.finish()
    said = found(product)
    assert said["documents"][0] is None
    assert "has the form that older versions wrote" in said["documents"][1]
    assert "cleansat:note is of the scene" in said["documents"][1]
    assert said["layers"][0] is None
    assert "wider than the data" in said["layers"][1]
    assert verify(product, pixels=False).right is None
    as_once(forger, box(west, south, west + 1000, north, "EPSG:32633"))
    forger.finish()
    assert found(product)["layers"][0] is False


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("view__azimuth", "x", "which is no angle"),
        ("view__azimuth", [100.0], "which is no angle"),
        ("view__off_nadir", 1e9, "which is no angle"),
        ("eo__platform", "/entinel-2", "not as Sentinel-2 is called"),
        ("eo__platform", None, "not as Sentinel-2 is called"),
        ("view__azimuth", "100.5", ""),
        ("eo__platform", "sentinel-2b", ""),
    ],
)
def test_what_the_scene_says_has_at_least_its_form(
    product: Path, name: str, value: Any, said: str
) -> None:
    forger = Forger(product)
    key = name.replace("__", ":")
    forger.properties[key] = forger.item["properties"][key.replace("eo:platform", "platform")] = (
        value
    )
    forger.finish()
    right, detail = found(product)["documents"]
    assert right is (None if said else True)
    assert said in detail


def test_where_the_model_is_not_here_documents_have_to_agree(
    product: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = get_model("unet-mobilenetv2-l2a")
    monkeypatch.setattr(evidence, "get_model", lambda _: model)
    forger = Forger(product)
    right, said = found(product)["documents"]
    assert right is None
    assert "the weights of unet-mobilenetv2-l2a here are not those of the product" in said
    forger.item["properties"]["cleansat:offset"] = 0
    forger.finish()
    right, said = found(product)["documents"]
    assert right is False
    assert "cleansat:offset is -1000 in EO3, 0 in STAC" in said


def test_verdicts_beside_a_product_are_no_part_of_it(product: Path) -> None:
    accept(product, by="me")
    assert found(product)["files"] == (
        True,
        "6 files match their checksums, and there are no others",
    )


def test_what_an_index_says_is_compared_with_the_file(product: Path) -> None:
    document: dict[str, Any] = dict(MaskProduct(product).document)
    path = MaskProduct(product).document_file
    assert verify(MaskProduct(path, document), pixels=False).right is True
    other = {**document, "properties": {**document["properties"], "eo:cloud_cover": 0.0}}
    checks = verify(MaskProduct(path, other), pixels=False).checks
    assert "properties.eo:cloud_cover is" in checks[1].detail
    assert "0.0 in the index" in checks[1].detail


@pytest.mark.parametrize(
    ("form", "right"),
    [
        ({"stac_version": "1.0.1"}, None),
        ({"stac_version": "one"}, False),
        ({"stac_version": None}, False),
        ({"stac_extensions": ["https://stac-extensions.github.io/mlm/v1.2.0/schema.json"]}, None),
        ({"stac_extensions": ["https://stac-extensions.github.io/sar/v1.0.0/schema.json"]}, False),
        ({"stac_extensions": ["mlm"]}, False),
        ({"stac_extensions": []}, False),
        ({"stac_extensions": "mlm"}, False),
    ],
    ids=str,
)
def test_what_no_version_has_written_is_wrong(
    product: Path, form: dict[str, Any], right: bool | None
) -> None:
    """An older form is not compared, but whatever has no form at all is wrong."""
    forger = Forger(product)
    forger.item |= form
    forger.finish()
    assert found(product)["documents"][0] is right


def test_a_scene_that_the_datacube_knows_tells_the_time(product: Path, scene: Dataset) -> None:
    """Some hours leave the day in the label, and no file of the product tells."""
    files = SceneFiles.of_dataset(scene)
    assert verify(MaskProduct(product, scene=files), pixels=False).right is True
    forger = Forger(product)
    told = forger.properties["datetime"]
    moment = datetime.fromisoformat(told) if isinstance(told, str) else told
    forger.say(datetime=(moment + timedelta(hours=3)).isoformat())
    forger.finish()
    said = {c.name: c for c in verify(MaskProduct(product, scene=files), pixels=False).checks}
    assert said["documents"].right is False
    assert "that of the scene in the datacube" in said["documents"].detail
