"""Presets on stored masks."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from odc.geo.geobox import GeoBox
from odc.geo.xr import wrap_xr

from odc_cleansat import CloudClass
from odc_cleansat.errors import CleansatError, SceneError
from odc_cleansat.masks.presets import PRESETS, Preset, apply_preset, get_preset

GRID = GeoBox.from_bbox((400000, 5000000, 400600, 5000400), "EPSG:32633", resolution=20)


def mask(codes: np.ndarray, percent: np.ndarray | int = 99, grid: GeoBox = GRID) -> xr.Dataset:
    codes = codes.astype("uint8")
    confidence = np.where(codes == 0, 255, percent).astype("uint8")
    return xr.Dataset(
        {
            "ucl": wrap_xr(codes, grid, nodata=0, units="1"),
            "ucl_confidence": wrap_xr(confidence, grid, nodata=255),
        }
    )


def clear() -> np.ndarray:
    return np.ones(GRID.shape, dtype="uint8")


def test_uncertain_pixels_change_class() -> None:
    codes = np.array([[1, 1, 2, 2, 6, 6, 3, 3, 0, 4, 5]])
    percent = np.array([[59, 60, 69, 70, 69, 70, 79, 80, 255, 1, 1]])
    preset = Preset("mine", "", least_clear=60, least_cloud=70, least_shadow=80)
    found = apply_preset(mask(codes, percent, GRID[:1, :11]), preset)
    assert found.ucl.values.tolist() == [[2, 1, 1, 2, 1, 6, 1, 3, 0, 4, 5]]
    assert found.ucl.dtype == np.uint8
    np.testing.assert_array_equal(
        found.ucl_confidence.values[0], [59, 60, 69, 70, 69, 70, 79, 80, 255, 1, 1]
    )


def test_metres_become_pixels_and_never_grow_into_nodata() -> None:
    codes = clear()
    codes[10, 10], codes[10, 20] = CloudClass.CLOUD, CloudClass.SHADOW
    codes[:, 12], codes[:, 22] = CloudClass.NODATA, CloudClass.WATER
    preset = Preset("mine", "", cloud_dilation=60, shadow_dilation=40)
    found = apply_preset(mask(codes), preset).ucl.values
    y, x = np.indices(codes.shape)
    cloud = (np.hypot(y - 10, x - 10) <= 3) & (codes == 1)
    shadow = (np.hypot(y - 10, x - 20) <= 2) & (codes == 1)
    expected = np.where(cloud, 2, np.where(shadow, 3, codes))
    np.testing.assert_array_equal(found, expected)
    coarse = GeoBox(GRID.shape, GRID.affine * GRID.affine.scale(3), GRID.crs)
    assert (apply_preset(mask(codes, grid=coarse), preset).ucl.values == 2).sum() == 5


def test_doubtful_clear_grows_too() -> None:
    """Widening comes after sorting, so that a stray doubtful cloud does not grow before it is dropped."""
    codes = clear()
    codes[10, 10] = CloudClass.CLOUD
    percent = np.full(GRID.shape, 99)
    percent[10, 10] = 40
    preset = Preset("mine", "", least_cloud=50, cloud_dilation=60)
    assert (apply_preset(mask(codes, percent), preset).ucl.values == 1).all()


@pytest.mark.parametrize("name", PRESETS)
def test_eager_lazy_and_over_time_are_the_same(name: str) -> None:
    rng = np.random.default_rng(3)
    days = []
    for _ in range(3):
        codes = rng.choice([0, 1, 1, 1, 1, 1, 2, 3], size=GRID.shape)
        days.append(mask(codes, rng.integers(34, 101, size=GRID.shape)))
    eager = [apply_preset(day, name) for day in days]
    stack = xr.concat(days, dim="time", coords="minimal", compat="override").assign_coords(
        time=np.array(["2024-06-01", "2024-06-02", "2024-06-03"], "datetime64[ns]")
    )
    lazy = apply_preset(stack.chunk({"time": 1, "y": 7, "x": 11}), name)
    assert lazy.ucl.chunks is not None
    assert lazy.ucl.dtype == np.uint8
    together = apply_preset(stack, name)
    for i, day in enumerate(eager):
        np.testing.assert_array_equal(lazy.ucl.isel(time=i).values, day.ucl.values)
        np.testing.assert_array_equal(together.ucl.isel(time=i).values, day.ucl.values)
        np.testing.assert_array_equal(day.ucl.values == 0, days[i].ucl.values == 0)
    assert lazy.odc.geobox == GRID


def test_attributes_say_what_was_done() -> None:
    stored = mask(clear())
    found = apply_preset(stored, "balanced")
    assert found.ucl.attrs == {**stored.ucl.attrs, "preset": "balanced"}
    assert "preset" not in stored.ucl.attrs
    with pytest.raises(SceneError, match="has the preset balanced already"):
        apply_preset(found, "conservative")


def test_what_cannot_be_done() -> None:
    with pytest.raises(
        CleansatError, match=r"no preset 'wild'.*balanced, conservative, permissive"
    ):
        apply_preset(mask(clear()), "wild")
    with pytest.raises(SceneError, match="has no ucl"):
        apply_preset(mask(clear())[["ucl_confidence"]], "balanced")
    with pytest.raises(SceneError, match="needs ucl_confidence"):
        apply_preset(mask(clear())[["ucl"]], Preset("mine", "", least_cloud=50))
    only_metres = Preset("mine", "", cloud_dilation=20)
    assert apply_preset(mask(clear())[["ucl"]], only_metres).ucl.attrs["preset"] == "mine"
    nowhere = xr.Dataset({"ucl": (("y", "x"), clear())})
    with pytest.raises(SceneError, match="no coordinate system"):
        apply_preset(nowhere, only_metres)
    with pytest.raises(CleansatError, match="101 is not percent"):
        Preset("mine", "", least_cloud=101)
    assert get_preset(only_metres) is only_metres
