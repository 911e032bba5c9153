"""Rows of a page: pictures, and what is left of a mask that cannot be read."""

from __future__ import annotations

import re
import shutil
import uuid
from pathlib import Path

import numpy as np
import pytest

from odc_cleansat import CloudClass
from odc_cleansat.evaluate.mappings import get_mapping
from odc_cleansat.products.product import MaskProduct
from odc_cleansat.products.verdict_files import reject
from odc_cleansat.review.inspection import inspect_mask
from odc_cleansat.review.other_masks import OtherMask
from odc_cleansat.review.page_rows import block_means, pictures
from odc_cleansat.review.review_page import PageText, page
from unit.review.helpers import page_data, product


def test_pictures_have_the_colours_of_the_classes(masks: Path) -> None:
    import io
    from base64 import b64decode

    from PIL import Image

    (mask,) = MaskProduct.find(product(masks, "06"))
    found = inspect_mask(mask)
    uri = pictures(found, 2)["ucl"]
    picture = np.asarray(Image.open(io.BytesIO(b64decode(uri.split(",")[1]))).convert("RGB"))
    assert picture.shape == (150, 180, 3)
    for c in (CloudClass.CLEAR, CloudClass.CLOUD, CloudClass.SHADOW):
        colour = [int(c.colour[i : i + 2], 16) for i in (1, 3, 5)]
        np.testing.assert_array_equal((picture == colour).all(axis=-1), found.ucl[::2, ::2] == c)


def test_masks_by_others_stand_in_the_row(masks: Path, tmp_path: Path) -> None:
    (path,) = Path(product(masks, "06")).glob("*_ucl.tif")
    other = OtherMask("theirs", str(path), get_mapping("ucl"))
    text = PageText(others=[other])
    (row,) = page_data(page(product(masks, "06"), tmp_path / "page.html", text=text))["rows"]
    (theirs,) = row["others"]
    assert theirs["name"] == "theirs"
    assert theirs["agreement"]["overall"] == 100
    assert sum(theirs["percent"].values()) == pytest.approx(100, abs=0.05)
    assert row["pictures"]["other0"] == row["pictures"]["ucl"]


def test_block_means() -> None:
    picture = np.arange(5 * 4 * 3, dtype="float32").reshape(5, 4, 3)
    small = block_means(picture, 2)
    assert small.shape == (3, 2, 3)
    np.testing.assert_allclose(small[0, 0], picture[:2, :2].mean(axis=(0, 1)))
    np.testing.assert_allclose(block_means(picture, 1), picture)


def test_a_verdict_outlives_the_pixels(masks: Path, tmp_path: Path) -> None:
    """A rejected mask that cannot be read any more is still rejected."""
    folder = Path(shutil.copytree(product(masks, "07"), tmp_path / "rejected"))
    reject(folder, "haze", "A. Reviewer")
    next(folder.glob("*_ucl.tif")).unlink()
    (row,) = page_data(page(tmp_path, tmp_path / "page.html"))["rows"]
    assert (row["state"], row["by"]) == ("rejected", "A. Reviewer")
    assert [each["note"] for each in row["verdicts"]] == ["haze"]
    assert len(row["gaps"]) == 1


def test_odd_fields_lose_no_row(masks: Path, tmp_path: Path) -> None:
    """Whatever the documents of a stranger hold, every mask has its row, without secrets."""
    odd = {
        "offset": ("cleansat:offset: ", "cleansat:offset: .nan #"),
        "share": ("cleansat:cloud_percent: ", "cleansat:cloud_percent: [1] #"),
        "date": ("datetime: ", "datetime: [x] #"),
        "path": ("path: ", "path: ../../../etc/"),
        "deep": ("properties:", "properties: " + "[" * 3000),
    }
    for name, (old, new) in odd.items():
        folder = Path(shutil.copytree(product(masks, "07"), tmp_path / "masks" / name))
        document = next(folder.glob("*.odc-metadata.yaml"))
        text = re.sub(r"(?m)^id: .*", f"id: {uuid.uuid4()}", document.read_text())
        assert old in text
        document.write_text(text.replace(old, new, 1))
    shutil.copytree(product(masks, "07"), tmp_path / "masks" / "zz")
    record = next((tmp_path / "masks" / "zz").glob("*.proc-info.yaml"))
    record.write_text(
        record.read_text().replace("label: ", "label: https://u:s3cr3t@host/?sig=s3cr3t #", 1)
    )
    written = page(tmp_path / "masks", tmp_path / "page.html", fetch_scenes=True)
    rows = page_data(written)["rows"]
    assert len(rows) == 6
    assert "s3cr3t" not in written.read_text()
    said = sorted(gap for row in rows for gap in row["gaps"])
    assert len(said) == 2, "the path and the depth; an odd share, date or offset needs no gap"
    assert any(row.get("pictures") and row["gaps"] == [] for row in rows)
