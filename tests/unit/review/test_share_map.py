"""The picture of shares: drawn of a file, and never over something else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image

from odc_cleansat.errors import OutputError
from odc_cleansat.review.share_map import check_picture, draw_shares


def shares(path: Path, *names: str) -> Path:
    with rasterio.open(
        path, "w", driver="GTiff", width=40, height=30, count=len(names), dtype="float32",
        nodata=np.nan, crs="EPSG:32633", transform=rasterio.Affine(20, 0, 0, 0, -20, 0),
    ) as file:  # fmt: skip
        for i, name in enumerate(names, 1):
            file.write(np.full((30, 40), i / len(names), "float32"), i)
            file.set_band_description(i, name)
        file.update_tags(OBSERVATIONS="12")
    return path


def test_the_scl_has_a_row_of_its_own(tmp_path: Path) -> None:
    ucl = [f"{name}_share" for name in ("cloud", "shadow", "clear")]
    sizes = []
    for i, names in enumerate((ucl, ucl + [f"scl_{name}" for name in ucl])):
        picture = tmp_path / f"{i}.png"
        draw_shares(shares(tmp_path / f"{i}.tif", *names), picture)
        with Image.open(picture) as opened:
            sizes.append(opened.height)
            pixels = np.asarray(opened.convert("RGB")).reshape(-1, 3)
            assert len(np.unique(pixels, axis=0)) > 50
    assert sizes[1] > 1.7 * sizes[0]
    check_picture(tmp_path / "0.png")  # the same kind may be replaced


def test_another_file_is_not_replaced(tmp_path: Path) -> None:
    other = tmp_path / "shares.png"
    other.write_bytes(b"mine")
    with pytest.raises(OutputError, match="is there already and is no map of shares"):
        check_picture(other)
    check_picture(other, overwrite=True)
