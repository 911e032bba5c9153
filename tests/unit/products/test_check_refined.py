"""`verify` on refined masks whose record, lineage or pixels were changed."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox
from odc.geo.xr import wrap_xr

from odc_cleansat.products import check_refined
from odc_cleansat.products.evidence import UnprovenError, WrongError
from odc_cleansat.products.product import MaskProduct
from odc_cleansat.products.provenance import software
from odc_cleansat.products.refined import ALGORITHM, VERSION, refined_id

from .test_refined import ONE, THREE, TWO


def evidence(**changes: Any) -> Any:
    """What a refined mask says of itself: the mask of one scene, compared with another."""
    record = {
        "algorithm": {"name": ALGORITHM, "version": VERSION, "hindsight": True},
        "scene": {"id": "a"},
        "mask": str(ONE),
        "references": [{"scene": "b", "mask": str(TWO)}],
    }
    lineage = {
        "level2": ["a"],
        "mask": [str(ONE)],
        "reference_scene": ["b"],
        "reference_mask": [str(TWO)],
    }
    found = {
        "record": record,
        "document": {"lineage": lineage},
        "product": SimpleNamespace(id=refined_id(ONE, [TWO], hindsight=True)),
    }
    return SimpleNamespace(**{**found, **changes})


def test_a_product_without_a_document_is_no_refined_one(tmp_path: Path) -> None:
    assert not check_refined.is_refined(MaskProduct(tmp_path))


def test_an_id_that_follows() -> None:
    assert "masks of 2 dates" in check_refined.look_at_identity(evidence())


def test_an_id_of_other_dates() -> None:
    other = SimpleNamespace(id=refined_id(ONE, [THREE], hindsight=True))
    with pytest.raises(WrongError, match="from the masks of all dates follows"):
        check_refined.look_at_identity(evidence(product=other))


def test_a_lineage_that_names_fewer_dates() -> None:
    document = {"lineage": {"level2": ["a"], "mask": [str(ONE)]}}
    with pytest.raises(WrongError, match="the lineage is not that of the processing record"):
        check_refined.look_at_identity(evidence(document=document))


@pytest.mark.parametrize(
    ("change", "error"), [({"name": "another"}, WrongError), ({"version": "0"}, UnprovenError)]
)
def test_another_algorithm(change: dict[str, str], error: type[Exception]) -> None:
    found = evidence()
    found.record["algorithm"] |= change
    with pytest.raises(error, match="algorithm"):
        check_refined.look_at_identity(found)


def layers(
    codes: list[int], percent: list[int], properties: dict[str, float], monkeypatch: Any
) -> Any:
    monkeypatch.setattr(check_refined, "check_raster", lambda *_: None)
    monkeypatch.setattr(check_refined, "LAYERS", ())
    monkeypatch.setattr(check_refined, "wrong_pictures", lambda _: [])
    monkeypatch.setattr(check_refined, "wrong_footprint", lambda _: [])
    return SimpleNamespace(
        codes=np.array([codes], "uint8"), confidence=np.array([percent], "uint8"),
        document={"properties": properties},
    )  # fmt: skip


SHARES = {
    "cleansat:clear_percent": 50.0,
    "cleansat:thin_cloud_percent": 50.0,
    "cleansat:data_percent": 100.0,
    "eo:cloud_cover": 50.0,
}


def test_layers_with_the_shares_that_the_document_says(monkeypatch: pytest.MonkeyPatch) -> None:
    said = check_refined.look_at_layers(layers([1, 6], [90, 255], SHARES, monkeypatch))
    assert "shares that it says" in said


@pytest.mark.parametrize(
    ("codes", "percent", "message"),
    [
        ([1, 1], [90, 90], "cleansat:clear_percent is 100.00 in the pixels, 50.0"),
        ([1, 3], [90, 90], r"codes of which the document says nothing: \[3\]"),
        ([0, 1], [90, 90], "ucl_confidence has data where ucl has none"),
    ],
)
def test_layers_that_are_other(
    codes: list[int], percent: list[int], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(WrongError, match=message):
        check_refined.look_at_layers(layers(codes, percent, SHARES, monkeypatch))


def remade(codes: list[int], told: list[int], numpy: str) -> Any:
    """A mask with other classes than the one that is made again, by another numpy perhaps."""
    layers = {
        "ucl": wrap_xr(
            np.array([codes], "uint8"),
            GeoBox((1, len(codes)), Affine.scale(20, -20), "EPSG:32633"),
            nodata=0,
        )
    }
    layers["ucl_confidence"] = layers["ucl"] * 0
    return SimpleNamespace(
        dates=SimpleNamespace(masks=lambda: xr.Dataset(layers)),
        grid=layers["ucl"].odc.geobox, codes=np.array([told], "uint8"),
        confidence=np.zeros((1, len(codes)), "uint8"), versions={**software(), "numpy": numpy},
    )  # fmt: skip


def test_pixels_that_are_alike_are_proved_by_the_same_packages_alone() -> None:
    same, other = [1] * 1000, [1] * 998 + [3] * 2
    here = software()["numpy"]
    assert "100.0000 %" in check_refined.look_at_pixels(remade(same, same, here))
    with pytest.raises(WrongError, match=r"99\.8000 % .* does not follow from them"):
        check_refined.look_at_pixels(remade(same, other, here))
    with pytest.raises(UnprovenError, match="with other versions of numpy"):
        check_refined.look_at_pixels(remade(same, other, "0.1"))
    with pytest.raises(WrongError):
        check_refined.look_at_pixels(remade(same, [3] * 1000, "0.1"))
