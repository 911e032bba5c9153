"""A scene in any of its forms: EO3 documents, items and folders, on disk and over HTTP."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import Cube
from stac_server import StacServer, serving

from odc_cleansat.errors import SceneError
from odc_cleansat.products.job import MaskJob
from odc_cleansat.scenes.read import read_scene


def test_an_eo3_document_is_the_dataset_that_is_indexed(cube: Cube) -> None:
    dataset = cube.scenes["june"]
    scene = read_scene(str(dataset.local_path))
    assert scene.dataset.id == dataset.id
    assert MaskJob.of_scene(scene, cube.folder / "products").id == cube.masks["june"].id


def test_a_folder_of_bands_is_the_same_scene(cube: Cube) -> None:
    scene = read_scene(str(cube.folder / "june"))
    assert scene.label == "june"
    assert MaskJob.of_scene(scene, cube.folder / "products").id == cube.masks["june"].id


def test_an_eo3_document_over_http(cube: Cube) -> None:
    with serving(StacServer()) as server:
        server.folders["scenes"] = cube.folder / "scenes"
        name = cube.scenes["june"].local_path.name
        assert read_scene(f"{server.url}/scenes/{name}").dataset.id == cube.scenes["june"].id


@pytest.mark.parametrize(
    ("name", "region"),
    [
        ("odc-tools/ga_s2am_ard_3-2-1_49JFM_2016-12-14_final.odc-metadata.yaml", "49JFM"),
        ("odc-tools/S2B_T37MGP_20240710T073012_L2A_C1-odc-metadata.yaml", "37MGP"),
        ("odc-tools/S2A_28QCH_20200714_0_L2A.odc-metadata.json", "28QCH"),
        ("datacube-core/ga_s2am_ard_3_final.yaml", "53JNN"),
        ("datacube-core/s2_africa_dataset.yaml", "37MCQ"),
    ],
)
def test_real_eo3_documents(name: str, region: str, metadata: Path, tmp_path: Path) -> None:
    job = MaskJob.of_scene(read_scene(str(metadata / name)), tmp_path)
    assert f"/{region}/" in str(job.folder)
    assert set(job.bands) == {"blue", "green", "red", "nir", "swir16", "swir22"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("no: [document", "neither JSON nor YAML"),
        ("- a list", "holds no document"),
        ('{"type": "Collection", "id": "x"}', "is Collection"),
        ('{"type": "Feature", "id": "x"}', "no STAC item"),
        ("$schema: https://schemas.opendatacube.org/dataset\nid: 1", "lacks crs, grids"),
        (
            '{"$schema": "https://schemas.opendatacube.org/dataset", "id": 1, "crs": "epsg:4326", '
            '"grids": {}, "measurements": {}, "properties": {}}',
            "lacks datetime among its properties",
        ),
    ],
)
def test_documents_that_are_no_scene(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "document.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SceneError, match=message):
        read_scene(str(path))


def test_what_is_not_there(tmp_path: Path, server: StacServer) -> None:
    with pytest.raises(SceneError, match="there is no"):
        read_scene(str(tmp_path / "x.json"))
    with pytest.raises(SceneError, match="cannot read"):
        read_scene(f"{server.url}/items/x")
