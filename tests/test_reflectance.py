"""Band names and the radiometric offset."""

from __future__ import annotations

import warnings

import pytest

from odc_cleansat.errors import ReflectanceWarning, SceneError
from odc_cleansat.reflectance import find_bands, resolve_offset


@pytest.mark.parametrize(
    ("available", "blue", "nir"),
    [
        (["B02", "B08"], "B02", "B08"),
        (["b02", "b08"], "b02", "b08"),
        (["blue", "nir"], "blue", "nir"),
        (["nbart_blue", "nbart_nir_1"], "nbart_blue", "nbart_nir_1"),
        (["band_02", "band_8a"], "band_02", "band_8a"),
        (["B02", "B8A", "B08"], "B02", "B08"),
        (["B02", "B8A"], "B02", "B8A"),
    ],
)
def test_bands_under_any_name(available: list[str], blue: str, nir: str) -> None:
    assert find_bands(available, ("blue", "nir")) == {"blue": blue, "nir": nir}


def test_missing_bands_are_named_and_so_is_what_was_found() -> None:
    with pytest.raises(SceneError, match=r"lacks swir16 \(B11\), swir22 \(B12\).*it has B02, B03"):
        find_bands(["B02", "B03"], ("blue", "swir16", "swir22"))


@pytest.mark.parametrize(
    ("properties", "explicit", "value"),
    [
        ({"s2:processing_baseline": "05.10"}, None, -1000),
        ({"s2:processing_baseline": "04.00"}, None, -1000),
        ({"s2:processing_baseline": "03.01"}, None, 0),
        ({"s2:processing_baseline": "02.12"}, None, 0),
        ({"s2:processing_baseline": "05.10", "earthsearch:boa_offset_applied": True}, None, 0),
        ({"s2:processing_baseline": "05.10", "earthsearch:boa_offset_applied": False}, None, -1000),
        ({"s2:processing_baseline": "05.10"}, 0, 0),
        ({}, -1000, -1000),
    ],
)
def test_the_first_source_that_answers_wins(
    properties: dict[str, object], explicit: float | None, value: int
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        offset = resolve_offset(properties, explicit)
    assert offset.value == value
    assert offset.source


def test_no_answer_is_a_warning() -> None:
    with pytest.warns(ReflectanceWarning, match="offset=-1000"):
        assert resolve_offset({}).value == 0


def test_a_broken_baseline_is_an_error() -> None:
    with pytest.raises(SceneError, match=r"'five'.*05\.10"):
        resolve_offset({"s2:processing_baseline": "five"})
