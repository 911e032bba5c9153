"""Cloud and shadow are taken out of scenes, whatever object holds them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from eopf_product import write_product
from odc.geo.xr import wrap_xr

from odc_cleansat import CloudClass, apply_preset, classify, mask_clouds
from odc_cleansat.errors import CleansatError, SceneError
from odc_cleansat.synthetic.scene import SimulatedScene

MODEL = {"model": "unet-mobilenetv2-l2a", "precision": "f32"}
SIX = ["B02", "B03", "B04", "B08", "B11", "B12"]
HIDDEN = (CloudClass.CLOUD, CloudClass.SHADOW, CloudClass.NODATA)


@pytest.fixture(scope="module")
def scene() -> xr.Dataset:
    found = SimulatedScene(shape=(300, 300), seed=3, offset=0, cloud_cover=0.4)
    return found.to_xarray(20).isel(time=0, drop=True)


@pytest.fixture(scope="module")
def hidden(scene: xr.Dataset) -> np.ndarray:
    mask = apply_preset(classify(scene, confidence=True, **MODEL), "balanced")
    found = np.isin(mask.ucl.values, HIDDEN)
    assert 0.1 < found.mean() < 0.9
    return found


def test_digital_numbers(scene: xr.Dataset, hidden: np.ndarray) -> None:
    clean = mask_clouds(scene, **MODEL)
    assert list(clean.data_vars) == list(scene.data_vars)
    for name in SIX:
        assert clean[name].dtype == scene[name].dtype
        assert clean[name].attrs["nodata"] == 0
        np.testing.assert_array_equal(clean[name], np.where(hidden, 0, scene[name]))
    xr.testing.assert_identical(clean.SCL, scene.SCL)
    assert clean.odc.geobox == scene.odc.geobox


def test_reflectance_with_a_time(scene: xr.Dataset, hidden: np.ndarray) -> None:
    reflectance = (scene[SIX] / 10000).astype("float32")
    dates = xr.concat([reflectance, reflectance], xr.DataArray([0, 1], dims="time", name="time"))
    dates = dates.assign_coords(time=np.array(["2024-06-01", "2024-06-11"], "M8[ns]"))
    clean = mask_clouds(dates.odc.assign_crs(scene.odc.geobox.crs), **MODEL)
    assert clean.B04.dtype == "float32"
    for date in range(2):
        np.testing.assert_array_equal(np.isnan(clean.B11.isel(time=date)), hidden)
    # The order of dims is the user's.
    turned = mask_clouds(
        dates.transpose("y", "x", "time").odc.assign_crs(scene.odc.geobox.crs), **MODEL
    )
    assert turned.B04.dims == ("y", "x", "time")
    np.testing.assert_array_equal(turned.B04.transpose("time", "y", "x"), clean.B04)


def test_a_stack_of_bands(scene: xr.Dataset, hidden: np.ndarray) -> None:
    stack = (scene[SIX] / 10000).astype("float32").to_dataarray("band")
    stack = stack.odc.assign_crs(scene.odc.geobox.crs).assign_attrs(spec="mine")
    clean = mask_clouds(stack, **MODEL)
    assert clean.dims == stack.dims
    assert clean.attrs == stack.attrs
    assert list(clean.band.values) == SIX
    expected = np.where(hidden, np.nan, stack.values)
    np.testing.assert_array_equal(clean.values, expected)


def test_bands_that_each_stand_on_a_grid_of_their_own() -> None:
    found = SimulatedScene(shape=(300, 300), seed=3, offset=0, cloud_cover=0.4)
    bands = {
        name: wrap_xr(values, found.geobox(3000 // values.shape[0]), nodata=0)
        for name, values in found.read().items()
        if name in SIX
    }
    assert len({band.shape for band in bands.values()}) == 2
    clean = mask_clouds(bands, **MODEL)
    assert isinstance(clean, dict)
    for name, band in clean.items():
        mask = classify(bands, confidence=True, geobox=bands[name].odc.geobox, **MODEL)
        codes = apply_preset(mask, "balanced").ucl.values
        np.testing.assert_array_equal(band, np.where(np.isin(codes, HIDDEN), 0, bands[name]))


def test_a_mask_that_is_there_is_taken(scene: xr.Dataset) -> None:
    codes = xr.full_like(scene.SCL, CloudClass.CLEAR).rename("ucl")
    codes[5, 7] = CloudClass.THIN_CLOUD
    codes[5, 8] = CloudClass.SNOW
    given = scene.assign(ucl=codes, ucl_confidence=xr.full_like(codes, 100))
    clean = mask_clouds(given, "balanced")
    assert int((clean.B04 != scene.B04).sum()) >= 1
    assert clean.B04[5, 7] == 0
    assert clean.B04[100, 100] == scene.B04[100, 100]
    xr.testing.assert_identical(clean.ucl, given.ucl)
    with pytest.raises(SceneError, match="would do nothing"):
        mask_clouds(given, offset=-1000)


def test_what_has_no_value_for_nodata_gets_one(scene: xr.Dataset) -> None:
    bare = scene[SIX].map(lambda band: band.drop_attrs())
    clean = mask_clouds(bare.odc.assign_crs(scene.odc.geobox.crs), **MODEL)
    assert {clean[name].attrs["nodata"] for name in SIX} == {0}


def test_it_is_lazy_where_the_scene_is(scene: xr.Dataset) -> None:
    lazy = mask_clouds(scene.chunk(x=64, y=64), **MODEL)
    assert lazy.B04.chunks is not None
    xr.testing.assert_equal(lazy.compute(), mask_clouds(scene, **MODEL))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.assign_attrs(platform="landsat-8"), "not of Sentinel-2"),
        (lambda s: (s[SIX] // 40).astype("uint8"), "8-bit|values|reflectance"),
        (lambda s: s[["B02", "B03"]], "lacks|missing"),
        (lambda s: s.B04.values, "a scene is"),
    ],
)
def test_what_is_not_sentinel_2_is_refused(
    scene: xr.Dataset, change: Callable[[xr.Dataset], object], message: str
) -> None:
    with pytest.raises(SceneError, match=message):
        mask_clouds(change(scene))  # type: ignore[type-var]


def test_a_preset_that_is_not_known(scene: xr.Dataset) -> None:
    with pytest.raises(CleansatError, match="Did you mean 'balanced'"):
        mask_clouds(scene, "balancd", **MODEL)


@pytest.mark.parametrize("form", ["v2", "v3"])
def test_the_bands_of_a_zarr_product(form: str, tmp_path: Path) -> None:
    """Each on its own grid; where the red band has the fill value, all have no data."""
    tree = xr.open_datatree(
        write_product(tmp_path, form, holes=slice(100, 140)), engine="zarr", chunks=None
    )
    clean = mask_clouds(tree, **MODEL)
    assert (clean["b02"].shape, clean["b11"].shape) == ((240, 300), (120, 150))
    assert np.isnan(clean["b02"].values[102:138]).all()
    assert np.isnan(clean["b11"].values[51:69]).all()
    assert np.isfinite(clean["b02"].values[:90]).any()
