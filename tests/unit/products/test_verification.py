"""`verify` finds every fault of a product, and none in a good one."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
import rasterio
import yaml
from odc.geo.geobox import GeoBox
from odc.geo.xr import wrap_xr

from odc_cleansat.products import verification as verifying
from odc_cleansat.products.product import DOCUMENT
from odc_cleansat.products.verification import CHECKS, verify
from odc_cleansat.products.write import write_layer
from unit.products.helpers import grid, one, uuid_of


def test_a_good_product_is_right(written: Path) -> None:
    report = verify(written)
    assert [check.name for check in report.checks] == list(CHECKS)
    assert [check.right for check in report.checks] == [True] * 5
    assert report.right
    assert report.equal == 1
    assert "in the same way" in report.checks[-1].detail


def test_of_another_precision_only_sure_pixels_have_to_be_the_same(
    written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In haze bf16 turns some hundredths of the pixels, all of them unsure ones."""
    codes, sure = (
        rasterio.open(one(written, f"*_{name}.tif")).read(1) for name in ("ucl", "ucl_confidence")
    )
    other = {"name": "openvino", "precision": "of another machine", "version": "0"}

    def pixels(made: np.ndarray) -> verifying.Check:
        monkeypatch.setattr(verifying, "_make_again", lambda _: (made, other))
        return verify(written).checks[-1]

    turned = np.where((codes > 0) & (sure < verifying.SURE), codes % 3 + 1, codes)
    assert (turned != codes).mean() > 0.005
    found = pixels(turned)
    assert found.right
    assert "100.0000 % of those of which it is at least 70 % sure" in found.detail
    turned = codes.copy()
    turned[(sure >= verifying.SURE) & (sure <= 100) & (np.indices(codes.shape)[0] % 50 == 0)] = 6
    found = pixels(turned)
    assert found.right is False
    assert "less than 99.5 %" in found.detail


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
        codes[codes == 2] = 1
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


def test_another_version_or_precision_is_held_to_less(product: Path) -> None:
    """Classes in single and in half precision differ in one pixel of a thousand."""
    record = yaml.safe_load(one(product, "*.proc-info.yaml").read_text())
    own = record["cleansat"]["engine"]["precision"]
    for version in record["software_versions"]:
        if version["name"] == "openvino":
            version["version"] = "2020.1"
    record["cleansat"]["engine"]["precision"] = "f32"
    one(product, "*.proc-info.yaml").write_text(yaml.safe_dump(record))
    report = verify(product)
    assert report.checks[-1].right is True
    assert "with openvino in f32" in report.checks[-1].detail
    assert report.equal is not None
    assert report.equal == 1 if own == "f32" else 0.995 < report.equal < 1
    record["cleansat"]["engine"]["precision"] = "of another processor"
    one(product, "*.proc-info.yaml").write_text(yaml.safe_dump(record))
    assert verify(product).equal == 1
