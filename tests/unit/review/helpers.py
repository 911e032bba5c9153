"""What the tests of reviews share."""

from __future__ import annotations

import io
import json
import re
import shutil
import time
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from affine import Affine
from matplotlib.image import imread
from odc.geo.geobox import GeoBox
from odc.geo.xr import wrap_xr

from odc_cleansat import CloudClass
from odc_cleansat.review.comparison import Comparison
from odc_cleansat.review.desk import Desk

GRID = GeoBox.from_bbox(
    (399960, 5290000, 411960, 5300000), "EPSG:32633", resolution=100, tight=True
)


DAYS = np.array(["2024-06-05T10:10", "2024-06-15T10:10"], dtype="datetime64[ns]")


def made_up(grid: GeoBox = GRID, **changed: np.ndarray) -> xr.Dataset:
    """Random reflectance and classes."""
    rng = np.random.default_rng(0)
    planes: dict[str, np.ndarray] = {
        band: (rng.random(grid.shape) / 4).astype("float32") for band in ("red", "green", "blue")
    }
    planes["scl"] = rng.integers(0, 12, grid.shape).astype("uint8")
    planes["ucl"] = rng.integers(0, 4, grid.shape).astype("uint8")
    planes["ucl_confidence"] = rng.integers(30, 101, grid.shape).astype("uint8")
    return xr.Dataset({name: wrap_xr(plane, grid) for name, plane in {**planes, **changed}.items()})


def two_dates() -> xr.Dataset:
    later = made_up()
    later["ucl"] = xr.full_like(later.ucl, CloudClass.CLOUD)
    return xr.concat([made_up(), later], "time").assign_coords(time=DAYS)


def layer(comparison: Comparison, key: str, date: int = 0) -> Any:
    return next(each for each in comparison.frames[date].layers if each.key == key)


def alike(one: Comparison, two: Comparison) -> None:
    for a, b in zip(one.frames, two.frames, strict=True):
        np.testing.assert_array_equal(a.rgb, b.rgb)
        assert (a.time, a.agreement) == (b.time, b.agreement)
        for x, y in zip(a.layers, b.layers, strict=True):
            np.testing.assert_array_equal(x.codes, y.codes)
            assert (x.key, x.name, x.percent, x.gaps) == (y.key, y.name, y.percent, y.gaps)


def drawn(comparison: Comparison) -> np.ndarray:
    picture: np.ndarray = imread(io.BytesIO(comparison._repr_png_()))
    return picture[..., :3]


CLEAR, CLOUD, SHADOW = (int(c) for c in (CloudClass.CLEAR, CloudClass.CLOUD, CloudClass.SHADOW))


UTM = GeoBox((320, 320), Affine(20, 0, 399960, 0, -20, 5300040), "EPSG:32633")


def page_data(path: Path) -> dict[str, Any]:
    """The data in a page."""
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', path.read_text(), re.DOTALL)  # fmt: skip
    found: dict[str, Any] = json.loads(text)
    return found


def product(masks: Path, month: str) -> Path:
    (document,) = masks.rglob(f"*_2024-{month}-*.odc-metadata.yaml")
    return document.parent


def copies(masks: Path, folder: Path, count: int) -> Path:
    """Copies of the masks of june and july in turn, each with an id of its own."""
    for i in range(count):
        source = product(masks, "06" if i % 2 else "07")
        copy = Path(shutil.copytree(source, folder / f"{i:02d}"))
        for verdict in copy.glob("*.verdict.json"):
            verdict.unlink()
        document = next(copy.glob("*.odc-metadata.yaml"))
        text = re.sub(r"(?m)^id: .*", f"id: {uuid.UUID(int=i + 1)}", document.read_text())
        document.write_text(text)
    return folder


def inspected(desk: Desk) -> dict[str, Any]:
    """All rows, when every mask was inspected."""
    end = time.monotonic() + 60
    while (found := desk.since(0))["waiting"]:
        assert time.monotonic() < end
        time.sleep(0.01)
    return found
