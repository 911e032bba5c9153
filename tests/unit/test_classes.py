"""One enumeration, and everything that derives from it."""

from __future__ import annotations

import copy
import json
import pickle

import numpy as np
import pytest
import xarray as xr
from datacube.utils.masking import describe_variable_flags, make_mask
from odc.algo import enum_to_bool, mask_cleanup

from odc_cleansat import CloudClass
from odc_cleansat.classes import (
    SCL_TO_UCL,
    FlagsDefinition,
    class_percent,
    flags_definition,
    scl_to_ucl,
    stac_classes,
    ucl_attrs,
)
from odc_cleansat.storage.eo3 import product_definition


@pytest.fixture
def ucl() -> xr.DataArray:
    codes = np.array([[0, 1, 2, 3], [6, 3, 2, 1]], dtype="uint8")
    return xr.DataArray(codes, dims=("y", "x"), attrs=ucl_attrs())


def test_codes_follow_fmask_where_they_can() -> None:
    fmask = {"NODATA": 0, "CLEAR": 1, "CLOUD": 2, "SHADOW": 3, "SNOW": 4, "WATER": 5}
    assert {c.name: int(c) for c in CloudClass if c.name in fmask} == fmask


def test_product_definition_says_the_same() -> None:
    (ucl,) = (m for m in product_definition("s2_l2a_ucl")["measurements"] if m["name"] == "ucl")
    assert ucl["flags_definition"] == flags_definition()
    assert ucl["nodata"] == CloudClass.NODATA


def test_the_tools_of_the_ecosystem_take_it_as_it_is(ucl: xr.DataArray) -> None:
    cloudy = enum_to_bool(ucl, ["cloud", "shadow"])
    np.testing.assert_array_equal(cloudy, [[False, False, True, True], [False, True, True, False]])
    shadow = make_mask(ucl, ucl="shadow")
    np.testing.assert_array_equal(
        shadow, [[False, False, False, True], [False, True, False, False]]
    )
    assert "thin_cloud" in str(describe_variable_flags(ucl)["values"].iloc[0])
    assert mask_cleanup(cloudy, [("dilation", 1)]).sum() > cloudy.sum()


def test_cf_flags_match_the_values(ucl: xr.DataArray) -> None:
    pairs = dict(zip(ucl.attrs["flag_values"], ucl.attrs["flag_meanings"].split(), strict=True))
    assert pairs == {int(c): c.label for c in CloudClass}


def test_stac_classes() -> None:
    classes = stac_classes()
    assert [c["value"] for c in classes] == list(range(7))
    assert [c["name"] for c in classes if c.get("nodata")] == ["nodata"]
    assert all(len(c["color_hint"]) == 6 for c in classes)


def test_colours_are_all_different() -> None:
    assert len({c.colour for c in CloudClass}) == len(CloudClass)


@pytest.mark.parametrize(
    ("scl", "expected"),
    [(0, "nodata"), (1, "nodata"), (3, "shadow"), (4, "clear"), (8, "cloud"), (9, "cloud"),
     (10, "thin_cloud"), (11, "clear")],
)  # fmt: skip
def test_scl_as_cloud_classes(scl: int, expected: str) -> None:
    assert CloudClass(int(scl_to_ucl(np.array([scl]))[0])).label == expected


def test_unknown_scl_is_nodata() -> None:
    np.testing.assert_array_equal(scl_to_ucl(np.array([12, 200, 300, -4], "int16")), 0)
    assert set(SCL_TO_UCL) == set(range(12))


def test_percent_leaves_nodata_out() -> None:
    percent = class_percent(np.array([0, 0, 1, 1, 1, 2], dtype="uint8"))
    assert percent[CloudClass.CLEAR] == pytest.approx(75)
    assert percent[CloudClass.CLOUD] == pytest.approx(25)
    assert CloudClass.NODATA not in percent


def test_percent_of_nothing_is_nan() -> None:
    assert np.isnan(list(class_percent(np.zeros(4, "uint8")).values())).all()


def test_flags_are_a_mapping_and_their_own_text() -> None:
    """NetCDF takes the text, Zarr what `item` returns, and the tools of datacube the mapping."""
    made = FlagsDefinition(flags_definition())
    assert isinstance(made, str)
    assert made == flags_definition()
    assert not (made != flags_definition())  # noqa: SIM202 - that is another method
    assert made != flags_definition([CloudClass.CLEAR])
    assert made.item() == {**made} == flags_definition()
    assert len(made) == 1
    assert json.loads(str.__str__(made)) == made
    for again in (
        FlagsDefinition(made),
        pickle.loads(pickle.dumps(made)),
        copy.deepcopy(made),
    ):
        assert again == made
        assert hash(again) == hash(made)
    assert np.array(made).dtype.kind == "U", "netCDF4 writes no other kind of text"
