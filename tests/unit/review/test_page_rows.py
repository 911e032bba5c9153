"""Rows of a page: pictures, and what is left of a mask that cannot be read."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from odc_cleansat import CloudClass
from odc_cleansat.products.product import MaskProduct
from odc_cleansat.products.verdict_files import reject
from odc_cleansat.review.inspection import inspect_mask
from odc_cleansat.review.page_rows import block_means, pictures
from odc_cleansat.review.review_page import page
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
