"""A scene from an EO3 document."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import Cube

from odc_cleansat.errors import SceneError
from odc_cleansat.scenes.read import read_scene
from odc_cleansat.scenes.scene import eo3_scene, unindexed_dataset


def test_eo3_documents_of_level_1c_are_refused(cube: Cube, tmp_path: Path) -> None:
    document = dict(cube.scenes["june"].metadata_doc)
    document["properties"] = {**document["properties"], "s2:product_type": "S2MSI1C"}
    path = tmp_path / "scene.odc-metadata.yaml"
    path.write_text(json.dumps(document, default=str))
    with pytest.raises(SceneError, match="level 1C"):
        read_scene(str(path))


def document(**changes: Any) -> dict[str, Any]:
    grid = {"shape": [6, 8], "transform": [10, 0, 399960, 0, -10, 5300040, 0, 0, 1]}
    return {
        "$schema": "https://schemas.opendatacube.org/dataset",
        "id": "0c1ea25a-7000-5000-8000-0dc000000009",
        "crs": "epsg:32633",
        "grids": {"default": grid},
        "measurements": {"red": {"path": "B04.tif"}, "blue": {"path": "B02.tif"}},
        "properties": {"datetime": "2024-06-15T10:10:31Z", "s2:processing_baseline": "05.10"},
        "lineage": {"source_datasets": {}},
        **changes,
    }


def test_paths_count_from_the_address_of_the_document() -> None:
    scene = eo3_scene(document(label="june"), "https://example.org/a/scene.odc-metadata.yaml")
    assert scene.label == "june"
    assert scene.files.files["red"].uri == "https://example.org/a/B04.tif"
    assert scene.files.offset().value == -1000
    assert eo3_scene(document(), "https://example.org/x.yaml").label == document()["id"]


def test_what_an_incomplete_document_lacks_is_named() -> None:
    found = document()
    del found["grids"], found["crs"]
    with pytest.raises(SceneError, match="it lacks crs, grids"):
        eo3_scene(found, "https://example.org/x.yaml")


def test_a_dataset_that_datacube_refuses() -> None:
    with pytest.raises(SceneError, match=r"x\.yaml is no valid EO3 document"):
        unindexed_dataset(document(grids={"other": {}}), "https://example.org/x.yaml")
