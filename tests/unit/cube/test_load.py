"""`load`: scenes with their masks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr
from conftest import Cube
from dask.distributed import Client
from datacube.utils.masking import make_mask
from odc.algo import enum_to_bool

from odc_cleansat import CloudClass
from odc_cleansat.cube.load import load
from odc_cleansat.errors import CubeError, GapWarning

from .helpers import BOTH, HOME, indexed, of_home, rejected


def test_two_zones_of_one_day(cube: Cube) -> None:
    """Indexed in one zone, computed in the other, put together by solar day."""
    how = {"like": BOTH, "group_by": "solar_day", "time": "2024-06-15"}
    found = load(cube.dc, "s2_l2a", measurements=["scl", "ucl"], **how)
    assert found.sizes["time"] == 1
    alone = {
        name: load(cube.dc, datasets=[cube.scenes[name]], measurements="ucl", like=BOTH).ucl[0]
        for name in ("june", "west")
    }
    data = {name: ucl != CloudClass.NODATA for name, ucl in alone.items()}
    assert (data["west"] & ~data["june"]).sum() > 1000
    assert (data["west"] & data["june"]).sum() > 1000
    ucl = found.ucl[0]
    np.testing.assert_array_equal(ucl != CloudClass.NODATA, data["west"] | data["june"])
    for name, other in (("june", "west"), ("west", "june")):
        only = data[name] & ~data[other]
        np.testing.assert_array_equal(ucl.values[only], alone[name].values[only])
    lazy = load(cube.dc, "s2_l2a", measurements=["ucl"], dask_chunks={"x": 64, "y": 64}, **how)
    assert lazy.ucl.chunks is not None
    np.testing.assert_array_equal(lazy.ucl, found.ucl)


def test_distributed(cube: Cube, client: Client) -> None:
    lazy = load(
        cube.dc, "s2_l2a", measurements=["ucl"], like=HOME, time="2024-06-15",
        group_by="solar_day", dask_chunks={"x": 120, "y": 150},
    )  # fmt: skip
    found = client.compute(lazy).result()
    data = indexed(cube, "june") != CloudClass.NODATA
    np.testing.assert_array_equal(found.ucl[0].values[data], indexed(cube, "june")[data])


def test_all_measurements_by_default(cube: Cube) -> None:
    found = load(cube.dc, datasets=of_home(cube)[:1], like=HOME)
    assert list(found.data_vars) == [*cube.scenes["june"].product.measurements, "ucl"]
    assert (enum_to_bool(found.ucl, ["cloud"]) == (found.ucl == CloudClass.CLOUD)).all()
    assert (make_mask(found.ucl, ucl="shadow") == (found.ucl == CloudClass.SHADOW)).all()


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"product": "s2"}, "no product 's2'; it has s2_l2a, s2_l2a_ucl"),
        ({"time": "1999"}, "no dataset of s2_l2a matches time='1999'"),
        ({"x": (10, 11), "y": (0, 1)}, "s2_l2a has datasets, but none that matches the query in this area"),
        ({"x": (179, -179), "y": (0, 1)}, "none that matches the query in this area"),
        ({"measurements": ["red", "ultraviolet"]}, "no measurement 'ultraviolet'; it has coastal"),
        ({"measurements": []}, "measurements is empty"),
        ({"like": None}, "no output grid.*EPSG:32632, EPSG:32633"),
        ({"ucl": "perhaps"}, "choose from auto, indexed, computed"),
        ({"min_clear": 60}, "from 0 to 1"),
        ({"datasets": []}, "datasets= is empty"),
        ({"colour": "red"}, "cannot be understood"),
        ({"group_by": "week"}, "choose time or solar_day"),
        ({"resampling": "cubicc"}, "resampling 'cubicc' is unknown; choose from nearest"),
        ({"like": None, "output_crs": "EPSG:99999", "resolution": 20}, "no coordinate system"),
        ({"like": None, "output_crs": "EPSG:32633", "resolution": 0}, "the resolution is 0"),
        ({"like": None, "output_crs": "EPSG:32633", "resolution": 0.0002}, "check the resolution"),
        ({"like": HOME, "x": (13, 14), "y": (47, 48)}, "an area cannot go with like"),
        ({"like": HOME, "resolution": 10}, "resolution cannot go with like"),
    ],
)  # fmt: skip
def test_bad_queries(cube: Cube, how: dict[str, Any], message: str) -> None:
    query = {"product": "s2_l2a", "like": HOME, "measurements": ["ucl"], **how}
    if query["like"] is None or ("x" in query and "like" not in how):
        del query["like"]
    with pytest.raises(CubeError, match=message):
        load(cube.dc, query.pop("product"), **query)


def test_a_product_without_the_bands(cube: Cube) -> None:
    with pytest.raises(ValueError, match="lacks blue"):
        load(cube.dc, "s2_l2a_ucl", like=HOME)


def test_the_result_is_like_that_of_dc_load(cube: Cube) -> None:
    how = {"datasets": of_home(cube)[:1], "like": HOME, "measurements": ["red"]}
    found, plain = load(cube.dc, **how), cube.dc.load(**how)
    xr.testing.assert_equal(found.drop_vars("offset"), plain)
    assert found.odc.geobox == plain.odc.geobox
    assert {"units", "nodata"} <= set(found.red.attrs)


def test_scenes_whose_mask_was_rejected_are_left_out(cube: Cube) -> None:
    how = {"datasets": of_home(cube), "like": HOME[:50, :50], "measurements": ["scl"]}
    with rejected(cube.masks["june"]):
        with pytest.warns(GapWarning, match="1 of 2 scenes are left out: 1 rejected by reviewers"):
            found = load(cube.dc, **how)
        assert [str(time)[:10] for time in found.time.values] == ["2024-07-05"]
        assert load(cube.dc, include_rejected=True, **how).sizes["time"] == 2
    assert load(cube.dc, **how).sizes["time"] == 2
    with pytest.raises(CubeError, match="none of the 2 scenes is left: 2 not accepted by anyone"):
        load(cube.dc, only_accepted=True, **how)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"resolution": "20"}, r"the resolution is '20'; pass a number other than 0"),
        ({"resolution": 0}, "the resolution is 0"),
        ({"resolution": float("nan")}, "the resolution is nan"),
        ({"resolution": (20, 0)}, r"the resolution is \(20, 0\)"),
        ({"resolution": None}, "output_crs= needs resolution="),
        ({"align": "x"}, "align is 'x'; pass a pair"),
        ({"lat": (47, 95), "lon": (13, 14)}, "from latitude 47 to 95"),
        ({"time": ()}, "time= holds 0 times"),
        ({"time": ("2024", "2025", "2026")}, "time= holds 3 times"),
        ({"time": 2024}, "time= holds 2024, which is no time"),
        ({"time": (np.datetime64("NaT"), "2024")}, "which is no time"),
    ],
)  # fmt: skip
def test_what_dc_load_takes_is_checked_before_anything_is_read(
    cube: Cube, no_inference: None, how: dict[str, Any], message: str
) -> None:
    grid = {"output_crs": "EPSG:32633", "resolution": 20}
    with pytest.raises(CubeError, match=message):
        load(cube.dc, "s2_l2a", measurements=["red", "ucl"], **grid | how)


@pytest.mark.parametrize("size", [np.float32(300), np.int16(300), [-300, 300], (-300.0, 300.0)])
def test_sizes_of_pixels_in_all_forms(cube: Cube, size: Any) -> None:
    how: dict[str, Any] = {
        "datasets": [cube.scenes["june"]],
        "measurements": ["red"],
        "output_crs": "EPSG:32633",
    }
    assert load(cube.dc, resolution=size, **how).odc.geobox.resolution.yx == (-300, 300)


def test_arguments_that_make_no_sense(cube: Cube) -> None:
    how: dict[str, Any] = {"datasets": [cube.scenes["june"]], "measurements": ["red"]}
    with pytest.raises(CubeError, match="'nonsense' is no coordinate system"):
        load(cube.dc, x=(0, 1), y=(0, 1), crs="nonsense", **how)
    like = load(cube.dc, like=HOME, **how).red
    assert load(cube.dc, geobox=like, **how).odc.geobox == HOME
