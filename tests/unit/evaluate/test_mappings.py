"""Codes of other masks as classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from odc_cleansat import CloudClass
from odc_cleansat.errors import CleansatError
from odc_cleansat.evaluate.confusion import Question
from odc_cleansat.evaluate.mappings import ClassMapping, get_mapping


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("ucl", (0, 1, 2, 3, 4, 5, 6, 7), (0, 1, 2, 3, 4, 5, 6, 0)),
        ("scl", (0, 1, 2, 3, 4, 8, 9, 10, 11, 12), (0, 0, 1, 3, 1, 2, 2, 6, 1, 0)),
        ("fmask", (0, 1, 2, 3, 4, 5, 255), (0, 1, 2, 3, 4, 5, 0)),
        ("fmask4", (0, 1, 2, 3, 4, 255), (1, 5, 3, 4, 2, 0)),
        ("cloudsen12", (0, 1, 2, 3, 99), (1, 2, 6, 3, 0)),
        ("omnicloudmask", (0, 1, 2, 3), (1, 2, 6, 3)),
        ("s2cloudless", (0, 1, 255), (1, 2, 0)),
        ("ukis-csmask", (0, 1, 2, 3), (1, 2, 3, 0)),
        ("on-cloud-n", (0, 1, 255), (1, 2, 0)),
        ("shadow-label", (0, 1, 255), (1, 3, 0)),
        ("0=clear, 10=thin cloud,3=Shadow", (0, 10, 3, 1), (1, 6, 3, 0)),
    ],
)
def test_mappings(name: str, values: tuple[int, ...], expected: tuple[int, ...]) -> None:
    mapping = get_mapping(name)
    for dtype in ("uint8", "int16", "float32"):
        found = mapping.apply(np.array(values, dtype))
        assert found.dtype == np.uint8
        assert found.tolist() == list(expected)


def test_values_that_are_no_code_are_no_data() -> None:
    found = get_mapping("cloudsen12").apply(np.array([np.nan, np.inf, -1, 0.5, 256, 1]))
    assert found.tolist() == [0, 0, 0, 0, 0, 2]
    assert get_mapping("on-cloud-n").apply(np.array([True, False])).tolist() == [2, 1]


@pytest.mark.parametrize(
    ("name", "questions"),
    [
        ("ucl", set(Question)),
        ("cloudsen12", set(Question)),
        ("s2cloudless", {Question.CLOUD}),
        ("on-cloud-n", {Question.CLOUD}),
        ("shadow-label", {Question.SHADOW}),
        ("0=clear,1=snow", set()),
    ],
)
def test_what_a_mapping_can_answer(name: str, questions: set[Question]) -> None:
    assert get_mapping(name).questions == questions


def test_mappings_from_files(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("7: cloud\n8: thin cloud\n9: nodata\n")
    (tmp_path / "a.json").write_text('{"7": "cloud", "8": "thin_cloud"}')
    for name in ("a.yaml", "a.json"):
        assert get_mapping(str(tmp_path / name)).codes == {7: 2, 8: 6}


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("slc", "no mapping 'slc'.*ucl, scl"),
        ("1=fog", "no class 'fog'"),
        ("a=cloud", "'a' is not a number"),
        ("300=cloud", "'300' is not a number from 0 to 255"),
        ("nowhere.yaml", "cannot read the mapping nowhere.yaml"),
    ],
)
def test_mappings_that_make_no_sense(spec: str, message: str) -> None:
    with pytest.raises(CleansatError, match=message):
        get_mapping(spec)


def test_a_custom_class_mapping_is_a_value() -> None:
    mine = ClassMapping("mine", {1: CloudClass.CLOUD})
    assert get_mapping(mine) is mine
