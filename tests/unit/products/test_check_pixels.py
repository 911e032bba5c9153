"""When a mask that is made again proves the product, refutes it, or does neither."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import xarray as xr
import yaml
from affine import Affine

from odc_cleansat.products import check_pixels
from odc_cleansat.products.check_pixels import look_at_pixels
from odc_cleansat.products.evidence import Evidence, UnprovenError, WrongError
from odc_cleansat.products.product import MaskProduct
from odc_cleansat.products.verification import verify
from unit.products.helpers import one, read_yaml, stored
from unit.products.tampering import Forger

ANOTHER = "with openvino 0 in f32"
"""A way to make a mask that is not the product's own."""


def made(written: Path) -> xr.Dataset:
    """The product's own pixels as if they had been made again, each class as likely as its confidence."""
    mask = stored(written)
    share = mask.ucl_confidence.values / 100
    codes = np.array([1, 2, 3], "uint8")
    probability = np.where(codes[:, None, None] == mask.ucl.values, share, (1 - share) / 2)
    return mask.assign_coords(ucl_code=("ucl_class", codes)).assign(
        ucl_probability=(("ucl_class", "y", "x"), probability.astype("float32"))
    )


@pytest.fixture
def compare(written: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """Compare the product with other pixels, made in a way."""

    def call(mask: xr.Dataset, way: str) -> tuple[str, float]:
        monkeypatch.setattr(check_pixels, "make_again", lambda _: (mask, way))
        evidence = Evidence(MaskProduct(written))
        try:
            return look_at_pixels(evidence), evidence.equal or 0
        except (UnprovenError, WrongError) as error:
            return f"{type(error).__name__}: {error}", evidence.equal or 0

    return call


def turned(mask: xr.Dataset, where: np.ndarray) -> xr.Dataset:
    other = mask.copy(deep=True)
    other.ucl.values[where] = other.ucl.values[where] % 3 + 1
    return other


@pytest.mark.parametrize("way", ["", ANOTHER])
def test_equal_pixels_are_a_proof_whatever_the_product_says_of_its_engine(
    written, compare, way: str
) -> None:  # type: ignore[no-untyped-def]
    said, equal = compare(made(written), way)
    assert said.startswith("100.0000 % of the pixels are equal")
    assert equal == 1


def test_one_pixel_of_another_class_has_to_be_about_as_likely(written, compare) -> None:  # type: ignore[no-untyped-def]
    mask = made(written)
    row, column = np.argwhere((mask.ucl_confidence.values > 60) & (mask.ucl.values == 1))[0]
    other = turned(mask, (np.indices(mask.ucl.shape) == [[[row]], [[column]]]).all(0))
    other.ucl_probability[:, row, column] = [0.494, 0.506, 0]
    assert compare(other, "")[0].startswith("99.99")
    other.ucl_probability[:, row, column] = [0.4, 0.6, 0]
    assert compare(other, "")[0].startswith("UnprovenError")
    other.ucl_probability[:, row, column] = np.nan
    assert compare(other, "")[0].startswith("UnprovenError")


def test_of_another_precision_unsure_pixels_may_differ_but_then_nothing_is_proved(
    written, compare
) -> None:  # type: ignore[no-untyped-def]
    """In haze bf16 turns some hundredths of the pixels, all of them unsure ones."""
    mask = made(written)
    sure = mask.ucl_confidence.values >= check_pixels.SURE
    unsure = turned(mask, (mask.ucl.values > 0) & ~sure)
    said, equal = compare(unsure, ANOTHER)
    assert 0.95 < equal < 0.995
    assert said.startswith("UnprovenError")
    assert "100.0000 % of those of which it is at least 70 % sure" in said
    assert compare(unsure, "")[0].startswith("WrongError")
    some = sure & (mask.ucl.values > 0) & (np.indices(sure.shape)[0] % 50 == 0)
    assert compare(turned(mask, some), ANOTHER)[0].startswith("WrongError")


def test_the_confidence_is_compared(written, compare) -> None:  # type: ignore[no-untyped-def]
    mask = made(written)
    percent = mask.ucl_confidence.values
    for less, kind in ((1, "100.0000"), (4, "UnprovenError"), (20, "WrongError")):
        mask.ucl_confidence.values[:] = np.where(
            percent <= 100, np.maximum(percent.astype("int16") - less, 0), 255
        )
        assert compare(mask, ANOTHER)[0].startswith(kind)
        mask.ucl_confidence.values[:] = percent
        percent = percent.copy()


def test_data_where_the_product_has_none(written, compare) -> None:  # type: ignore[no-untyped-def]
    mask = made(written)
    mask.ucl.values[:10] = 0
    mask.ucl_confidence.values[:10] = 255
    assert compare(mask, ANOTHER)[0].startswith("WrongError")


def test_the_recorded_engine_is_taken_where_it_can_be_had(product: Path) -> None:
    path = one(product, "*.proc-info.yaml")
    record = yaml.safe_load(path.read_text())
    with rasterio.open(one(product, "*_ucl.tif")) as file:
        assert file.count == 1
    own = record["cleansat"]["engine"]["precision"]
    record["cleansat"]["engine"]["precision"] = "f32"
    for version in record["software_versions"]:
        if version["name"] == "openvino":
            version["version"] = "2020.1"
    path.write_text(yaml.safe_dump(record))
    report = verify(product)
    assert " in f32" in report.checks[-1].detail
    assert report.equal is not None
    assert report.equal > 0.995
    assert report.checks[-1].right is (True if own == "f32" else None)
    record["cleansat"]["engine"]["precision"] = "of another processor"
    path.write_text(yaml.safe_dump(record))
    report = verify(product)
    assert report.equal == 1
    assert "there is no precision 'of another processor'" in report.checks[1].detail


@pytest.mark.parametrize(
    ("changed", "right", "said"),
    [
        ({"uri": "SCL.tiff"}, None, "cannot read"),
        ({"band": 7}, None, "cannot read"),
        ({"uri": "/etc/hostname"}, None, "is not opened"),
        ({"uri": "far.tif"}, False, "is of another place"),
    ],
    ids=str,
)
def test_an_scl_that_is_none_of_the_scene(
    product: Path, changed: dict[str, Any], right: bool | None, said: str, tmp_path: Path
) -> None:
    scl = Path(read_yaml(one(product, "*.proc-info.yaml"))["cleansat"]["scene"]["scl"]["uri"][7:])
    with rasterio.open(scl) as file:
        profile = file.profile | {"transform": Affine.translation(5e5, 0) * file.transform}
        with rasterio.open(tmp_path / "far.tif", "w", **profile) as far:
            far.write(file.read())
    forger = Forger(product)
    if not changed.get("uri", "/").startswith("/"):
        changed = {"uri": str((tmp_path if right is False else scl.parent) / changed["uri"])}
    forger.own["scene"]["scl"] |= changed
    forger.finish()
    pixels = verify(product).checks[-1]
    assert pixels.right is right
    assert said in pixels.detail
