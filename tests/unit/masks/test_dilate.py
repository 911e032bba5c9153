"""Cloud and shadow dilated by metres."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from odc.geo.geobox import GeoBox
from odc.geo.xr import wrap_xr
from scipy import ndimage

from odc_cleansat import CloudClass, classify
from odc_cleansat.classes import CLOUDS, ucl_attrs
from odc_cleansat.errors import ModelError
from odc_cleansat.masks.dilate import dilate, radius_in_pixels, widen

pytestmark = pytest.mark.usefixtures("fake_engine")


def disk(radius: int) -> np.ndarray:
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    return x**2 + y**2 <= radius**2


def test_dilation_in_metres(simulated: xr.Dataset, fake_mask: xr.Dataset) -> None:

    found = classify(simulated, dilation={"cloud": 60, "shadow": 100}, offset=-1000).ucl
    before, after = fake_mask.ucl.values, found.values
    shadow = ndimage.binary_dilation(before == 3, disk(5))
    cloud, thin = (ndimage.binary_dilation(before == each, disk(3)) for each in CLOUDS)
    clear = before == CloudClass.CLEAR
    np.testing.assert_array_equal(after[~clear], before[~clear])
    np.testing.assert_array_equal(after[clear & cloud], CloudClass.CLOUD)
    np.testing.assert_array_equal(after[clear & thin & ~cloud], CloudClass.THIN_CLOUD)
    cloudy = cloud | thin
    np.testing.assert_array_equal(after[clear & shadow & ~cloudy], CloudClass.SHADOW)
    np.testing.assert_array_equal(after[clear & ~shadow & ~cloudy], CloudClass.CLEAR)
    assert found.attrs == fake_mask.ucl.attrs
    lazy = classify(
        simulated.chunk({"y": 100}), dilation={"cloud": 60, "shadow": 100}, offset=-1000
    ).ucl
    np.testing.assert_array_equal(lazy.compute(scheduler="threads"), after)


def test_dilation_of_something_else(simulated: xr.Dataset) -> None:
    with pytest.raises(ModelError, match="choose from cloud and shadow"):
        classify(simulated, dilation={"clear": 20}, offset=-1000)


def test_a_radius_is_whole_pixels() -> None:
    grid = GeoBox.from_bbox((399960, 5298240, 401760, 5300040), "EPSG:32633", resolution=20)
    assert [radius_in_pixels(metres, grid) for metres in (0, 9, 11, 60, 71)] == [0, 0, 1, 3, 4]


@pytest.mark.parametrize("chunks", [None, {"y": 4}])
def test_thick_cloud_wins_over_thin_and_cloud_over_shadow(chunks: dict[str, int] | None) -> None:
    grid = GeoBox.from_bbox((399960, 5299900, 400260, 5300040), "EPSG:32633", resolution=20)
    codes = np.ones(grid.shape, dtype="uint8")
    codes[3, [2, 6, 10]] = CloudClass.SHADOW, CloudClass.THIN_CLOUD, CloudClass.CLOUD
    codes[3, 14], codes[0, :] = CloudClass.NODATA, CloudClass.WATER
    ucl = wrap_xr(codes, grid, **ucl_attrs())
    found = dilate(ucl if chunks is None else ucl.chunk(chunks), {"cloud": 40, "shadow": 40}, grid)
    assert (found.chunks is None) == (chunks is None)
    assert found.values[3].tolist() == [3, 3, 3, 3, 6, 6, 6, 6, 2, 2, 2, 2, 2, 1, 0]
    assert (found.values[0] == CloudClass.WATER).all()
    assert found.dtype == np.uint8
    assert found.attrs == ucl.attrs
    for wrong in ({"cloud": -1}, {"shadow": np.inf}, {"cloud": np.nan}):
        with pytest.raises(ModelError, match="pass a number of metres, 0 or more"):
            dilate(ucl, wrong, grid)


def test_an_empty_mask_is_widened_to_nothing() -> None:
    for shape in ((1, 1), (1, 5, 9)):
        mask = xr.DataArray(np.zeros(shape, dtype=bool), dims=("time", "y", "x")[-len(shape) :])
        assert not widen(mask, 3).any()
        assert not widen(mask.chunk(), 3).any()
