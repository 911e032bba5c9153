"""Masks beside the documents of their scenes."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from datacube.model import Dataset
from fakes import brightness_engine

from odc_cleansat.products import check_scene
from odc_cleansat.products.job import MaskJob
from odc_cleansat.products.product import MaskProduct
from odc_cleansat.products.verification import Verification, verify
from odc_cleansat.scenes import band_folder
from odc_cleansat.scenes.files import SceneFiles
from odc_cleansat.scenes.read import read_scene
from odc_cleansat.storage.eo3 import MASK_PRODUCT
from odc_cleansat.synthetic.scene import SimulatedScene
from unit.products.tampering import SCENE_CASES, Forger


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a product whose scene has no document but its folder."""
    folder = tmp_path_factory.mktemp("honest")
    scene = SimulatedScene(shape=(360, 300), seed=1, swath_edge=True).write(folder / "june")
    with brightness_engine():
        made = MaskJob.of_scene(read_scene(str(scene)), folder / "masks").run()
    return Path(made).parent


@pytest.fixture
def forger(honest: Path, tmp_path: Path, fast_network: None) -> Forger:
    """A product in another folder, with a copy of its scene where the first is named."""
    shutil.copytree(honest, tmp_path / MASK_PRODUCT / honest.name)
    forger = Forger(tmp_path / MASK_PRODUCT / honest.name)
    june = next(each for each in honest.parents if (each / "june").is_dir()) / "june"
    shutil.copytree(june, tmp_path / "june")
    for band in [*forger.own["scene"]["bands"].values(), forger.own["scene"]["scl"]]:
        band["uri"] = str(tmp_path / "june" / Path(band["uri"]).name)
    return forger


def of(report: Verification, name: str) -> tuple[bool | None, str]:
    found = {check.name: check for check in report.checks}[name]
    return found.right, found.detail


@pytest.mark.parametrize("trusted", [False, True])
def test_a_true_mask_beside_its_scene(forger: Forger, trusted: bool) -> None:
    forger.finish()
    right, said = of(verify(forger.folder, fetch_scenes=trusted), "pixels")
    assert right is True
    assert said.endswith("it says of the scene what the scene says of itself")


@pytest.mark.parametrize("trusted", [False, True])
@pytest.mark.parametrize("case", SCENE_CASES)
def test_what_the_scene_says_otherwise(forger: Forger, case: str, trusted: bool) -> None:
    SCENE_CASES[case](forger)
    forger.finish()
    right, said = of(verify(forger.folder, fetch_scenes=trusted), "pixels")
    assert right is not True
    assert "of the scene is" in said or "in the scene" in said


def test_another_scene_at_its_place_proves_nothing(forger: Forger) -> None:
    """The bands that the mask is of are the same; another one is missing."""
    SCENE_CASES["the label of the scene"](forger)
    forger.finish()
    scene = forger.folder.parents[1] / "june"
    named = {Path(each["uri"]).name for each in forger.own["scene"]["bands"].values()}
    more = next(path for path in scene.glob("*.tif") if path.name not in {*named, "SCL.tif"})
    more.unlink()
    right, said = of(verify(forger.folder), "pixels")
    assert right is True
    assert said.endswith("such as name and angles, could not be compared")


@pytest.mark.parametrize("case", SCENE_CASES)
def test_what_the_datacube_says_otherwise(product: Path, scene: Dataset, case: str) -> None:
    files = SceneFiles.of_dataset(scene)
    forger = Forger(product)
    SCENE_CASES[case](forger)
    forger.finish()
    right, said = of(verify(MaskProduct(product, scene=files), pixels=False), "documents")
    assert right is not True
    assert "of the scene is" in said or "in the scene" in said


def test_of_an_item_there_may_be_two_documents(product: Path, scene: Dataset) -> None:
    """Which of them is true is not known."""
    files = SceneFiles.of_dataset(scene)
    forger = Forger(product)
    forger.say(cleansat__source="https://example.org/item.json")
    forger.finish()
    assert of(verify(MaskProduct(product, scene=files), pixels=False), "documents")[0] is True
    assert files.document is not None
    other = replace(files, document={**files.document, "label": "S2A_33UVP_20240605"})
    right, said = of(verify(MaskProduct(product, scene=other), pixels=False), "documents")
    assert right is None
    assert "S2A_33UVP_20240605 in the scene" in said


@pytest.mark.parametrize("trap", ["pipe", "link"])
def test_nothing_is_read_without_end(
    forger: Forger, monkeypatch: pytest.MonkeyPatch, trap: str
) -> None:
    """Neither a pipe among the bands nor a link to a device is read."""
    forger.finish()
    path = forger.folder.parents[1] / "june" / "B05.tif"
    path.unlink(missing_ok=True)
    os.mkfifo(path) if trap == "pipe" else path.symlink_to("/dev/zero")
    monkeypatch.setattr(check_scene, "content_id", lambda scene: pytest.fail("it is read"))
    right, said = of(verify(forger.folder), "pixels")
    assert right is True
    assert said.endswith("could not be compared")


def test_no_picture_of_a_stranger_is_opened(
    forger: Forger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any file of the folder may be a list of other files, which GDAL would open."""
    opened: list[str] = []
    whole = forger.folder.parents[1] / "june"
    real = band_folder.open_file
    monkeypatch.setattr(
        band_folder,
        "open_file",
        lambda path, **more: opened.append(str(path)) or real(path, **more),
    )
    forger.finish()
    assert of(verify(forger.folder), "pixels")[0] is True
    assert opened == []
    assert of(verify(forger.folder, fetch_scenes=True), "pixels")[0] is True
    assert str(whole) in opened[0]
