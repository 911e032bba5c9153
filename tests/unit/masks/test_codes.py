"""Codes that are no classes are refused, at once or when a lazy mask is computed."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from odc_cleansat.classes import CloudClass
from odc_cleansat.errors import SceneError
from odc_cleansat.masks.codes import checked_codes, with_checked_codes


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int64"])
def test_all_classes_pass(dtype: str) -> None:
    codes = np.array([[*CloudClass]], dtype)
    assert checked_codes(codes) is codes


@pytest.mark.parametrize(
    ("dtype", "code"), [("uint8", 8), ("uint8", 255), ("int16", -1), ("int32", 300)]
)
def test_others_are_refused(dtype: str, code: int) -> None:
    codes = np.array([[1, 2, code]], dtype)
    message = f"`ucl` holds {code}, which are no codes of the UCL"
    with pytest.raises(SceneError, match=message):
        checked_codes(codes)
    ucl = xr.DataArray(codes, dims=("y", "x"))
    with pytest.raises(SceneError, match=message):
        with_checked_codes(ucl)
    lazy = with_checked_codes(ucl.chunk(x=1))
    with pytest.raises(SceneError, match=message):
        lazy.compute(scheduler="synchronous")
