"""What is found of one mask."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import rasterio
from conftest import Cube

from odc_cleansat import CloudClass, get_model
from odc_cleansat.classes import CLOUDS, class_percent, scl_to_ucl
from odc_cleansat.errors import ModelError
from odc_cleansat.evaluate.mappings import get_mapping
from odc_cleansat.products.product import MaskProduct
from odc_cleansat.review.doubt import find_doubt
from odc_cleansat.review.inspection import inspect_mask
from odc_cleansat.review.layers import thin
from odc_cleansat.review.other_masks import OtherMask
from unit.review.helpers import CLOUD, product


def test_a_look_at_a_mask(cube: Cube, masks: Path) -> None:
    (mask,) = MaskProduct.find(product(masks, "06"))
    found = inspect_mask(mask)
    assert found.gaps == []
    assert (
        found.grid.shape == found.ucl.shape == found.scl.shape == found.rgb.shape[:2] == (300, 360)
    )
    with rasterio.open(next(product(masks, "06").glob("*_ucl.tif"))) as file:
        np.testing.assert_array_equal(found.ucl, file.read(1))  # not thinned: it is small
    with rasterio.open(cube.folder / "june" / "SCL.tif") as file:
        np.testing.assert_array_equal(found.scl, scl_to_ucl(file.read(1)))
    expected = {c.label: p for c, p in class_percent(found.ucl).items()}
    for name in (each.label for each in get_model().classes):
        assert found.percent[name] == pytest.approx(expected[name], abs=0.01)
    with rasterio.open(cube.folder / "june" / "B04.tif") as file:
        red = file.read(1).reshape(300, 2, 360, 2).mean(axis=(1, 3))
    np.testing.assert_allclose(found.rgb[..., 0], (red - 1000) / 10000, atol=2e-4)
    cloudy = [np.isin(codes, [CLOUD, CloudClass.THIN_CLOUD]) for codes in (found.ucl, found.scl)]
    both = (found.ucl != 0) & (found.scl != 0)
    same = 100 * np.mean((cloudy[0] == cloudy[1])[both])
    assert found.agreement["cloud"] == pytest.approx(same)
    assert 0 < found.agreement["overall"] < same < 100
    assert found.flags == []


def test_doubt_and_flags_follow_the_curves_of_the_model(
    masks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (mask,) = MaskProduct.find(product(masks, "06"))
    found = inspect_mask(mask)
    of_mask = (found.ucl, found.confidence, found.scl, found.flags)
    assert found.doubt == find_doubt(*of_mask, get_model().calibration)
    assert found.doubt.unsure > find_doubt(*of_mask).unsure
    monkeypatch.setattr("odc_cleansat.review.flags.MANY_HARDLY", found.doubt.unsure)
    flags = inspect_mask(mask).flags
    assert [each.name for each in flags] == ["confidence"]

    def unknown(name: str) -> None:
        raise ModelError(f"there is no model {name}.")

    monkeypatch.setattr("odc_cleansat.review.inspection.get_model", unknown)
    assert inspect_mask(mask).doubt == find_doubt(*of_mask)


def test_thinned_looks_agree_on_the_same_pixels(
    masks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (mask,) = MaskProduct.find(product(masks, "06"))
    whole = inspect_mask(mask)
    monkeypatch.setattr("odc_cleansat.review.inspection.SIDE", 100)
    small = inspect_mask(mask)  # every fourth pixel
    np.testing.assert_array_equal(small.ucl, thin(whole.ucl, 4))
    np.testing.assert_array_equal(small.scl, thin(whole.scl, 4))
    assert small.percent == whole.percent
    assert small.agreement["overall"] == pytest.approx(whole.agreement["overall"], abs=3)


def test_masks_by_others(masks: Path, tmp_path: Path) -> None:
    (mask,) = MaskProduct.find(product(masks, "06"))
    own = next(Path(product(masks, "06")).glob("*_ucl.tif"))
    with rasterio.open(own) as file:
        codes, profile = file.read(1), file.profile
    strange = np.where(np.isin(codes, CLOUDS), np.uint8(9), codes)
    with rasterio.open(tmp_path / "fmask_20240615.tif", "w", **profile) as file:
        file.write(strange, 1)
    (tmp_path / "fmask_20240620.tif").write_bytes(b"x")
    names = {
        "same": (own, "ucl"),
        "cloud": (own, "1=clear,2=cloud,6=cloud,3=clear,4=clear,5=clear,0=nodata"),
        "strange": (f"{tmp_path}/fmask_{{date}}.tif", "fmask"),
        "other": (tmp_path / "fmask_20240620.tif", "fmask"),
        "none": (tmp_path / "none.tif", "fmask"),
    }
    others = [OtherMask(name, str(path), get_mapping(m)) for name, (path, m) in names.items()]
    found = inspect_mask(mask, others=others)
    same, cloud, odd = found.others
    np.testing.assert_array_equal(same.codes, found.ucl)
    assert same.agreement == {"overall": 100, "cloud": 100, "shadow": 100, "clear": 100}
    assert same.pixels == ""
    assert cloud.agreement == {"cloud": 100}
    assert not odd.codes[np.isin(found.ucl, CLOUDS)].any()
    assert odd.agreement["shadow"] == 100
    assert [gap.partition(":")[0] for gap in found.gaps if "fmask" not in gap] == ["none"]
    assert any("holds 9, which the mapping fmask does not name" in gap for gap in found.gaps)
    assert any("is a mask of another scene" in gap for gap in found.gaps)
    assert inspect_mask(mask).others == []


def test_what_is_missing_is_a_gap(masks: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(product(masks, "06"), tmp_path / "mask"))
    record = next(copy.glob("*.proc-info.yaml"))
    text = record.read_text()
    record.write_text(text.replace("/june/", "/nowhere/"))
    (mask,) = MaskProduct.find(copy)
    found = inspect_mask(mask, fetch_scenes=True)
    assert found.rgb is None
    assert found.scl is None
    assert found.agreement == {}
    assert [gap.split(":")[0] for gap in found.gaps] == ["true colour", "SCL"]
    (gap,) = inspect_mask(mask).gaps
    assert gap.startswith("scene: ")
    assert "is not opened: the mask names it" in gap
    assert gap.endswith("pass fetch_scenes=True")
    record.unlink()
    next(copy.glob("*_confidence.tif")).write_bytes(b"no raster")
    assert [gap.split(":")[0] for gap in inspect_mask(MaskProduct(copy)).gaps] == ["processing record", "scene", "confidence"]  # fmt: skip


def test_a_doubt_that_the_mask_tells_of_is_a_flag(masks: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(product(masks, "06"), tmp_path / "mask"))
    document = next(copy.glob("*.odc-metadata.yaml"))
    said = "the offset 0 looks wrong: no pixel is darker."
    text = document.read_text()
    document.write_text(
        text.replace("\nproperties:\n", f"\nproperties:\n  cleansat:reflectance_doubt: '{said}'\n")
    )
    (flag,) = inspect_mask(MaskProduct(copy)).flags
    assert (flag.name, flag.text) == ("reflectance", said)
