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

from odc_cleansat import CloudClass
from odc_cleansat.products import check_pixels
from odc_cleansat.products.check_pixels import look_at_pixels
from odc_cleansat.products.evidence import Evidence, UnprovenError, WrongError
from odc_cleansat.products.product import MaskProduct
from odc_cleansat.products.verification import verify
from unit.products.helpers import one, read_yaml, stored
from unit.products.tampering import Forger

ANOTHER = "with openvino 0 in f32"
"""A way to make a mask that is not the product's own."""


@pytest.fixture(scope="module")
def again(written: Path) -> xr.Dataset:
    """The mask, made again from its scene."""
    mask, way = check_pixels.make_again(Evidence(MaskProduct(written)))
    assert not way
    for name, layer in stored(written).items():
        np.testing.assert_array_equal(mask[name], layer)
    return mask


@pytest.fixture
def made(again: xr.Dataset) -> xr.Dataset:
    """A copy of that, which may be changed."""
    return again.copy(deep=True)


@pytest.fixture
def compare(written: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """Compare the product, with a lower confidence if that is said, with other pixels, made in a way."""

    def call(mask: xr.Dataset, way: str, less: int = 0) -> tuple[str, float]:
        monkeypatch.setattr(check_pixels, "make_again", lambda _: (mask, way))
        evidence = Evidence(MaskProduct(written))
        lower = np.maximum(evidence.confidence.astype("int16") - less, 0)
        evidence.confidence = np.where(evidence.codes > 0, lower, 255).astype("uint8")
        try:
            return look_at_pixels(evidence), evidence.equal or 0
        except (UnprovenError, WrongError) as error:
            return f"{type(error).__name__}: {error}", evidence.equal or 0

    return call


def turned(mask: xr.Dataset, where: np.ndarray) -> xr.Dataset:
    """With the next class at some pixels, and the probabilities that belong to it."""
    other = mask.copy(deep=True)
    codes = mask.ucl_code.values
    place = np.searchsorted(codes, other.ucl.values[where])
    other.ucl.values[where] = codes[(place + 1) % len(codes)]
    other.ucl_probability.values[:, where] = np.roll(mask.ucl_probability.values[:, where], 1, 0)
    return other


@pytest.mark.parametrize("way", ["", ANOTHER])
def test_equal_pixels_are_a_proof_whatever_the_product_says_of_its_engine(
    made, compare, way: str
) -> None:  # type: ignore[no-untyped-def]
    said, equal = compare(made, way)
    assert said.startswith("100.0000 % of the pixels are equal")
    assert equal == 1


@pytest.mark.parametrize("other", ["cloud", "shadow"])
def test_one_pixel_of_another_class_has_to_be_about_as_likely(made, compare, other: str) -> None:  # type: ignore[no-untyped-def]
    """Shadow of a probability of 0.5 has a confidence of 33 %, and clear one of 84 %: only the likelihood counts."""
    known = list(made.ucl_class.values)
    hardly = (made.ucl.values == CloudClass.CLEAR) & (made.ucl_confidence.values == 84)
    row, column = np.argwhere(hardly)[0]
    made.ucl[row, column] = made.ucl_code.values[known.index(other)]

    def told(clear: float, likelier: float) -> str:
        of_class = {"clear": clear, other: likelier}
        made.ucl_probability[:, row, column] = [of_class.get(each, 0.0) for each in known]
        return compare(made, "")[0]

    assert told(0.494, 0.506).startswith("99.99")
    assert told(0.4, 0.6).startswith("UnprovenError")
    assert told(np.nan, np.nan).startswith("UnprovenError")


def test_of_another_precision_unsure_pixels_may_differ_but_then_nothing_is_proved(
    made, compare
) -> None:  # type: ignore[no-untyped-def]
    """In haze bf16 turns some hundredths of the pixels, all of them unsure ones."""
    data = made.ucl.values > 0
    sure = 100 * made.ucl_probability.max("ucl_class").values >= check_pixels.SURE
    unsure = turned(made, data & ~sure)
    said, equal = compare(unsure, ANOTHER)
    assert 0.95 < equal < 0.995
    assert said.startswith("UnprovenError")
    assert "100.0000 % of those of which it is at least 70 % sure" in said
    assert compare(unsure, "")[0].startswith("WrongError")
    some = sure & data & (np.indices(sure.shape)[0] % 50 == 0)
    assert compare(turned(made, some), ANOTHER)[0].startswith("WrongError")


def test_the_confidence_is_compared(made, compare) -> None:  # type: ignore[no-untyped-def]
    for less, kind in ((1, "100.0000"), (4, "UnprovenError"), (20, "WrongError")):
        assert compare(made, ANOTHER, less)[0].startswith(kind)


def test_data_where_the_product_has_none(made, compare) -> None:  # type: ignore[no-untyped-def]
    made.ucl.values[:10] = 0
    made.ucl_confidence.values[:10] = 255
    made.ucl_probability.values[:, :10] = np.nan
    assert compare(made, ANOTHER)[0].startswith("WrongError")


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
