"""Mask products are found, and read when they are asked."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

import pytest
from datacube.model import Dataset
from odc.geo.geobox import GeoBox

from odc_cleansat import get_model
from odc_cleansat.errors import CubeError, OutputError
from odc_cleansat.products.product import DOCUMENT, MaskProduct, MaskProductError
from odc_cleansat.products.verification import verify
from unit.products.helpers import one, uuid_of


def test_products_are_found_below(product: Path, written: Path) -> None:
    hidden = product.parent / ".cleansat-x"
    shutil.copytree(product, hidden / product.name)
    assert [each.folder.path for each in MaskProduct.find(product.parent)] == [product]
    document = one(product, "*.odc-metadata.yaml")
    assert [each.document_file for each in MaskProduct.find(document)] == [document]
    assert verify(document, pixels=False).right


def test_a_product_tells_of_itself(written: Path, scene: Dataset) -> None:
    product = MaskProduct(written)
    document = one(written, "*.odc-metadata.yaml")
    assert product.name == document.name.removesuffix(DOCUMENT)
    assert product.document_file == document
    assert str(product.id) == uuid_of(written)
    assert product.label == product.name
    assert product.model == get_model().name
    assert product.day == "2024-06-15T10:10:31Z"
    assert (product.indexed, product.scene) == (False, None)
    assert product.record["cleansat"]["scene"]["id"] == str(scene.id)
    assert product.stac_item["id"] == str(product.id)
    with product.open_layer("ucl") as file:
        assert GeoBox.from_rio(file) == product.grid
        assert file.name == product.layer_file("ucl")


def test_an_indexed_product_is_read_from_its_document(written: Path, scene: Dataset) -> None:
    document = one(written, "*.odc-metadata.yaml")
    product = MaskProduct(document.as_uri(), {"id": uuid_of(written), "label": "of the index"})
    assert product.indexed
    assert product.label == "of the index"
    assert product.has_document()
    assert product.folder.path == written
    assert not MaskProduct(f"{document.as_uri()}x", product.document).has_document()
    with pytest.raises(CubeError, match="is no mask"):
        MaskProduct.of_dataset(scene)


def test_what_is_no_product_is_told(product: Path, tmp_path: Path) -> None:
    with pytest.raises(MaskProductError, match=r"no mask product in .*give the folder"):
        _ = MaskProduct(tmp_path / "nowhere").document
    assert not MaskProduct(tmp_path / "nowhere").is_intact()
    assert MaskProduct(tmp_path / "nowhere").intact_document() is None
    with pytest.raises(MaskProductError, match=rf"no mask product .*such as {product}"):
        _ = MaskProduct(tmp_path).name
    one(product, "*.stac-item.json").write_text("[]")
    with pytest.raises(MaskProductError, match="holds no document"):
        _ = MaskProduct(product).stac_item
    one(product, "*.proc-info.yaml").unlink()
    with pytest.raises(MaskProductError, match=r"proc-info.yaml is missing"):
        _ = MaskProduct(product).record
    shutil.copy(one(product, f"*{DOCUMENT}"), product / f"other{DOCUMENT}")
    with pytest.raises(MaskProductError, match="several mask products"):
        _ = MaskProduct(product).id


@pytest.mark.parametrize("kind", ["folder", "circle"])
def test_a_document_that_is_no_file_is_told(product: Path, kind: str) -> None:
    document = one(product, f"*{DOCUMENT}")
    document.unlink()
    document.mkdir() if kind == "folder" else document.symlink_to(document)
    with pytest.raises(MaskProductError, match="cannot be read"):
        _ = MaskProduct(product).document
    with contextlib.suppress(OutputError):
        assert not MaskProduct(product).is_intact()
