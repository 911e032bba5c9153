"""Arguments on reading: all forms that `dc.load` takes, and what is refused before anything is read."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr
from conftest import Cube
from rasterio.enums import Resampling

from odc_cleansat.cube.load import load
from odc_cleansat.errors import CubeError

from .helpers import HOME


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"dask_chunks": {"latitude": 10}}, "dask_chunks has latitude; the dims are time, y, x"),
        ({"resampling": ["bilinear"]}, r"resampling \['bilinear'\] is unknown"),
        ({"resampling": {"red": "wrong", "*": Resampling.cubic}}, "resampling 'wrong' is unknown"),
        ({"fuse_func": "nothing.there"}, "fuse_func is 'nothing.there', which workers cannot import"),
        ({"fuse_func": lambda one, other: None}, "which workers cannot import"),
        ({"fuse_func": 5}, "fuse_func is 5"),
        ({"fuse_func": "math.pi"}, "which is no function"),
        ({"patch_url": 5}, "patch_url is 5; pass a function"),
        ({"progress_cbk": 5}, "progress_cbk is 5; pass a function"),
        ({"driver": "rio"}, "the driver cannot be chosen"),
    ],
)  # fmt: skip
def test_what_cannot_be_used(
    cube: Cube, no_inference: None, how: dict[str, Any], message: str
) -> None:
    with pytest.raises(CubeError, match=message):
        load(cube.dc, "s2_l2a", measurements=["red", "ucl"], like=HOME[:9, :9], **how)


@pytest.mark.parametrize("method", [Resampling.bilinear, 1, {"*": Resampling.bilinear}])
def test_methods_of_resampling_in_all_forms_of_dc_load(cube: Cube, method: Any) -> None:
    how: dict[str, Any] = {"datasets": [cube.scenes["june"]], "measurements": ["red"]}
    how |= {"like": HOME[:60, :60].zoom_out(1.5)}
    xr.testing.assert_equal(
        load(cube.dc, resampling=method, **how), load(cube.dc, resampling="bilinear", **how)
    )


@pytest.mark.parametrize(
    "fuser", ["numpy.copyto", np.copyto, {"red": "numpy.copyto"}, {"red": None}]
)
def test_functions_that_fuse_in_all_forms_of_dc_load(cube: Cube, fuser: Any) -> None:
    how: dict[str, Any] = {
        "datasets": [cube.scenes["june"]],
        "measurements": ["red"],
        "like": HOME[:9, :9],
    }
    assert load(cube.dc, fuse_func=fuser, **how).red.shape == (1, 9, 9)
