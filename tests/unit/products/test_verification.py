"""`verify` finds every fault of a product, and none in a good one."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
import rasterio
import yaml
from fakes import brightness_engine
from odc.geo.geobox import GeoBox
from odc.geo.xr import wrap_xr

from odc_cleansat.classes import CLOUDS
from odc_cleansat.products.job import MaskJob
from odc_cleansat.products.product import DOCUMENT
from odc_cleansat.products.verification import CHECKS, verify
from odc_cleansat.products.write import write_layer
from odc_cleansat.scenes.read import read_scene
from odc_cleansat.storage.eo3 import MASK_PRODUCT
from odc_cleansat.synthetic.scene import SimulatedScene
from unit.products.helpers import grid, one, uuid_of
from unit.products.tampering import CASES, CASES_AFTER, PIXEL_CASES, Forger


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small product of a network that answers by brightness."""
    folder = tmp_path_factory.mktemp("honest")
    scene = SimulatedScene(shape=(360, 300), seed=1, swath_edge=True)
    with brightness_engine():
        made = MaskJob.of_scene(read_scene(str(scene.write(folder / "june"))), folder).run()
    return Path(made).parent


@pytest.fixture
def forger(honest: Path, tmp_path: Path, fast_network: None) -> Forger:
    return Forger(Path(shutil.copytree(honest, tmp_path / MASK_PRODUCT / honest.name)))


def test_a_forger_who_changes_nothing_is_not_noticed(forger: Forger) -> None:
    forger.draw(*forger.layers())
    forger.finish()
    report = verify(forger.folder)
    assert {check.name: check.detail for check in report.checks if not check.right} == {}
    assert report.right is True


@pytest.mark.parametrize("case", CASES)
def test_what_is_tampered_with_is_noticed(forger: Forger, case: str) -> None:
    CASES[case](forger)
    forger.finish()
    report = verify(forger.folder, pixels=False)
    assert not report.right
    assert not any("Error(" in check.detail for check in report.checks)


@pytest.mark.parametrize("case", CASES_AFTER)
def test_files_that_are_tampered_with_are_noticed(forger: Forger, case: str) -> None:
    forger.finish()
    CASES_AFTER[case](forger)
    assert verify(forger.folder, pixels=False).checks[0].right is False


@pytest.mark.parametrize("case", PIXEL_CASES)
def test_pixels_that_are_not_of_the_scene_are_noticed(forger: Forger, case: str) -> None:
    PIXEL_CASES[case](forger)
    forger.finish()
    report = verify(forger.folder)
    assert [check.right for check in report.checks[:4]] == [True] * 4
    assert not report.right


@pytest.mark.parametrize(
    ("document", "keys", "value", "text"),
    [
        ("record", ("cleansat", "model"), None, "it lacks model"),
        ("record", ("cleansat", "scene"), 5, "a value is of another kind"),
        ("record", ("cleansat", "algorithm"), "x", "a value is of another kind"),
        ("record", ("cleansat", "scene", "bands"), {"red": 5}, "a value is of another kind"),
        ("eo3", ("grids",), None, "it lacks grids"),
        ("eo3", ("grids", "default", "transform"), [1], "a value is of another kind"),
        ("eo3", ("measurements",), ["x"], "a value is of another kind"),
        ("eo3", ("id",), 5, "a value is of another kind"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_document_is_said_in_words(
    forger: Forger, document: str, keys: tuple[str, ...], value: Any, text: str
) -> None:
    *way, last = keys
    found = getattr(forger, document)
    for key in way:
        found = found[key]
    if value is None:
        del found[last]
    else:
        found[last] = value
    forger.finish()
    said = [check.detail for check in verify(forger.folder, pixels=False).checks]
    assert any(text in each for each in said), said
    ours = re.compile(r"Error|NoneType|object|attribute|argument|<class|'\w+'$")
    assert not [each for each in said if ours.search(each)]


def test_a_good_product_is_right(written: Path) -> None:
    report = verify(written)
    assert [check.name for check in report.checks] == list(CHECKS)
    assert [check.right for check in report.checks] == [True] * 5
    assert report.right
    assert report.equal == 1
    assert "in the same way" in report.checks[-1].detail


def failed(folder: Path) -> dict[str, str]:
    return {c.name: c.detail for c in verify(folder, pixels=False).checks if c.right is False}


def change(folder: Path, pattern: str, old: str, new: str) -> None:
    path = one(folder, pattern)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_changed_and_missing_files(product: Path) -> None:
    one(product, "*_thumbnail.png").unlink()
    path = one(product, "*.proc-info.yaml")
    path.write_text(path.read_text() + "\n")
    said = failed(product)["files"]
    assert f"missing: {product.name}_thumbnail.png" in said
    assert f"not as written: {path.name}" in said


def test_no_checksums_at_all(product: Path) -> None:
    one(product, "*.sha1").unlink()
    assert ".sha1 is missing" in failed(product)["files"]


def test_an_unfinished_product(product: Path) -> None:
    one(product, "*.odc-metadata.yaml").unlink()
    assert "missing" in failed(product)["files"]
    assert "missing" in failed(product)["documents"]


def test_documents_that_disagree(product: Path) -> None:
    change(product, "*.stac-item.json", '"cleansat:offset": -1000', '"cleansat:offset": 0')
    assert "cleansat:offset is -1000 in EO3, 0 in STAC" in failed(product)["documents"]


def test_another_offset_than_that_of_the_id(product: Path) -> None:
    change(product, "*.proc-info.yaml", "value: -1000", "value: 0")
    said = failed(product)
    assert "from scene, model and parameters follows" in said["identity"]
    assert "cleansat:offset" in said["documents"]


def test_an_id_of_its_own(product: Path) -> None:
    document = yaml.safe_load(one(product, "*.odc-metadata.yaml").read_text())
    change(product, "*.odc-metadata.yaml", document["id"], str(uuid4()))
    assert set(failed(product)) == {"files", "documents", "identity"}


def test_pixels_that_were_changed(product: Path) -> None:
    path = one(product, "*_ucl.tif")
    with rasterio.open(path, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as file:
        codes = file.read(1)
        codes[np.isin(codes, CLOUDS)] = 1
        file.write(codes, 1)
    assert "cleansat:clear_percent is" in failed(product)["layers"]
    with rasterio.open(path) as file:
        values, profile = file.read(1), file.profile
    path.unlink()
    with rasterio.open(path, "w", **profile) as file:
        file.write(values, 1)
    assert "no cloud-optimised GeoTIFF" in failed(product)["layers"]
    codes_again = wrap_xr(codes, GeoBox((600, 210), grid().affine, "EPSG:32633"), nodata=0)
    write_layer(codes_again, path)
    assert "not on the grid" in failed(product)["layers"]
    with rasterio.open(one(product, "*_confidence.tif")) as file:
        gbox = GeoBox.from_rio(file)
    write_layer(wrap_xr(codes, gbox, nodata=0), path)
    assert "cleansat:clear_percent" in failed(product)["layers"]
    report = verify(product)
    assert report.equal is not None
    assert 0.5 < report.equal < 0.99
    assert "the scene has changed since" in report.checks[-1].detail


def test_documents_that_are_not_what_they_should_be(product: Path) -> None:
    one(product, "*.stac-item.json").write_text("{")
    assert "cannot be read" in failed(product)["documents"]
    one(product, "*.proc-info.yaml").write_text("cleansat: {}")
    assert "not as it should be" in failed(product)["identity"]
    change(product, f"*{DOCUMENT}", f"id: {uuid_of(product)}", "id: abc")
    assert "not as it should be" in failed(product)["documents"]


def test_a_scene_that_is_gone_is_no_fault(product: Path) -> None:
    change(product, "*.proc-info.yaml", "/june/", "/elsewhere/")
    report = verify(product)
    assert report.checks[-1].right is None
    assert "cannot be made again here" in report.checks[-1].detail
    assert report.equal is None


PLANTED = (
    "https://user:pl4nted@host/x.tif",
    "https://host/x.tif?sig=pl4nted",
    "/vsicurl/https://user:pl4nted@host/x.tif",
    "s3://key:pl4nted@bucket/x.tif",
    "postgresql://user:pl4nted@host/db",
    "Authorization: Bearer pl4nted123",
)


@pytest.mark.parametrize("secret", PLANTED)
@pytest.mark.parametrize(
    ("document", "keys"),
    [
        ("eo3", ("label",)),
        ("eo3", ("properties", "s2:processing_baseline")),
        ("eo3", ("accessories", "thumbnail", "path")),
        ("eo3", ("lineage", "level2", 0)),
        ("eo3", ("crs",)),
        ("item", ("properties", "title")),
        ("item", ("assets", "ucl", "href")),
        ("record", ("software_versions", 0, "url")),
        ("record", ("software_versions", 1, "version")),
        ("own", ("model", "name")),
        ("own", ("algorithm", "version")),
        ("own", ("scene", "bands", "red", "uri")),
    ],
    ids=str,
)
def test_what_a_report_quotes_is_without_secrets(
    forger: Forger, document: str, keys: tuple[str, ...], secret: str
) -> None:
    *above, last = keys
    part = getattr(forger, document)
    for each in above:
        part = part[each]
    part[last] = secret
    forger.finish()
    report = verify(forger.folder, pixels="bands" in keys)
    assert not report.right
    assert "pl4nted" not in str(report)
