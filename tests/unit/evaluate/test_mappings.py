"""Codes of other masks as classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from odc_cleansat import CloudClass
from odc_cleansat.errors import CleansatError, GapWarning
from odc_cleansat.evaluate.confusion import Question
from odc_cleansat.evaluate.mappings import (
    MAPPINGS,
    ClassMapping,
    get_mapping,
    is_mapping,
)
from odc_cleansat.evaluate.rasters import tell_unknown


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
        ("dea-s2cloudless", (0, 1, 2, 255), (0, 1, 2, 0)),
        ("cld", (0, 39, 40, 100, 101, 255), (1, 1, 2, 2, 0, 0)),
        ("clp", (0, 101, 102, 255), (1, 1, 2, 2)),
        ("0..64=clear,65..100=cloud,255=nodata", (0, 64, 65, 100, 255), (1, 1, 2, 2, 0)),
        # clear, aerosol only, cloud and adjacent, shadow, snow, water and aerosol, cirrus, cloud and shadow, no data
        (
            "hls-fmask",
            (0, 0xC0, 0x06, 0x08, 0x10, 0xA0, 0x01, 0x0A, 255),
            (1, 1, 2, 3, 4, 5, 6, 2, 0),
        ),
        ("bit3=shadow,bit1=cloud,0=clear", (0, 8, 2, 10, 1, 9), (1, 3, 2, 3, 0, 0)),
        ("0=clear, 10=thin cloud,3=Shadow", (0, 10, 3, 1), (1, 6, 3, 0)),
    ],
)
def test_mappings(name: str, values: tuple[int, ...], expected: tuple[int, ...]) -> None:
    mapping = get_mapping(name)
    for dtype in ("uint8", "int16", "float32"):
        found = mapping.apply(np.array(values, dtype))
        assert found.dtype == np.uint8
        assert found.tolist() == list(expected)


def test_bits_and_ranges_of_wide_types() -> None:
    values = np.array([0, 1 << 10, 1 << 11, 3 << 10, 1 << 9, 1 << 10 | 1])
    for dtype in ("uint16", "int32", "float32"):
        assert get_mapping("qa60").apply(values.astype(dtype)).tolist() == [1, 2, 6, 2, 0, 0]
    assert get_mapping("bit31=cloud").apply(np.array([1 << 31, 1 << 30], "uint32")).tolist() == [
        2,
        0,
    ]
    chance = np.array([0, 0.39, 0.4, 1, 1.2, -0.1, np.nan, np.inf], "float32")
    assert get_mapping("probability").apply(chance).tolist() == [1, 1, 2, 2, 0, 0, 0, 0]


def test_values_that_a_mapping_does_not_name() -> None:
    mapping = get_mapping("fmask")
    assert mapping.unknown(np.array([0, 1, 5, 9, 7, 9, 255], "uint8"), 255).tolist() == [7, 9]
    assert mapping.unknown(np.array([np.nan, 2.5, 0], "float32")).tolist() == [2.5]
    # What a file declares to be no data is so only if the mapping does not know it better.
    assert get_mapping("fmask4").unknown(np.array([0, 4], "uint8"), 0).size == 0
    assert get_mapping("fmask4").apply(np.array([0, 255], "uint8")).tolist() == [1, 0]
    with pytest.warns(GapWarning, match=r"x.tif holds 7, 9, which the mapping fmask does not name"):
        tell_unknown(mapping, {9, 7}, "x.tif")
    tell_unknown(mapping, (), "x.tif")
    tell_unknown(get_mapping("ucl"), {255}, "x.tif")


def test_the_text_of_a_mapping_is_a_mapping() -> None:
    for name, mapping in MAPPINGS.items():
        again = get_mapping(mapping.text)
        assert is_mapping(mapping.text), name
        assert again.text == mapping.text
        values = np.arange(-1, 5000) / 2
        np.testing.assert_array_equal(again.apply(values), mapping.apply(values))
        assert again.unknown(values).tolist() == mapping.unknown(values).tolist()


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
        ("bit32=cloud", "'bit32' is not a number .* from bit0 to bit31"),
        ("-1=cloud", "'-1' is not a number"),
        ("0..50=clear,40..100=cloud", "two ranges overlap"),
        ("100..40=cloud", "goes down"),
        ("nowhere.yaml", "cannot read the mapping nowhere.yaml"),
    ],
)
def test_mappings_that_make_no_sense(spec: str, message: str) -> None:
    with pytest.raises(CleansatError, match=message):
        get_mapping(spec)


def test_a_custom_class_mapping_is_a_value() -> None:
    mine = ClassMapping("mine", {1: CloudClass.CLOUD})
    assert get_mapping(mine) is mine
