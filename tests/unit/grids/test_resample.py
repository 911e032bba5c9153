"""Bands resampled to the model grid."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox
from odc.geo.xr import wrap_xr

from odc_cleansat.grids.resample import covers, divide_pixels, divisions, mean_of_blocks, warp
from odc_cleansat.scenes.files import Band, parts_of
from odc_cleansat.scenes.reflectance import to_model_grid

from .helpers import band, target


@pytest.mark.parametrize("shift", [7, 10, 15])
def test_pixels_beside_the_model_grid_are_not_blurred(shift: float) -> None:
    """Averages would leave half of the contrast or less."""
    scene = band(30, shift)
    found = to_model_grid([scene], target(scene), None, 0)
    assert found.std() > 0.7 * scene.data.values.std()


@pytest.mark.parametrize(
    ("size", "crs"), [(30, "EPSG:32633"), (20, "EPSG:3857"), (10, "EPSG:3857")]
)
def test_even_ground_with_gaps_stays_even(size: float, crs: str) -> None:
    """Kernels with negative weights must not make anything of the edge of a gap."""
    scene = band(size, 7, crs)
    pixels = np.where(scene.data.values > 0.25, np.nan, 0.2).astype("float32")
    full = Band(scene.data.copy(data=pixels), scene.grid)
    found = to_model_grid([full], target(full), None, 0)
    assert np.isfinite(found).mean() > 0.5
    np.testing.assert_allclose(found[np.isfinite(found)], 0.2, atol=1e-5)


@pytest.mark.parametrize(
    ("size", "shift", "crs"),
    [(30, 7, "EPSG:32633"), (40, 7, "EPSG:32633"), (20, 7, "EPSG:32633"), (20, 0, "EPSG:3857"), (30, 0, "EPSG:3857")],
)  # fmt: skip
def test_a_part_of_a_scene_has_all_that_decides(size: float, shift: float, crs: str) -> None:
    scene = band(size, shift, crs)
    whole = target(scene)
    part = whole[12:25, 9:20]
    near = parts_of([scene], part)
    assert near is not None
    assert near[0].data.size < scene.data.size
    expected = to_model_grid([scene], whole, None, 0)[:, 12:25, 9:20]
    # Coordinates of another projection are exact to a millionth of a pixel.
    found = to_model_grid(near, part, None, 0)
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-5)


@pytest.mark.parametrize("axis", ["y", "x"])
@pytest.mark.parametrize(("size", "shift"), [(20, 0), (30, 7)])
def test_rows_and_columns_may_run_either_way(axis: str, size: float, shift: float) -> None:
    scene = band(size, shift)
    flipped = scene.data.isel({axis: slice(None, None, -1)})
    grid = scene.grid.flipy() if axis == "y" else scene.grid.flipx()
    np.testing.assert_array_equal(
        to_model_grid([Band(xr.DataArray(flipped), grid)], target(scene), None, 0),
        to_model_grid([scene], target(scene), None, 0),
    )


def north(columns: np.ndarray) -> Band:
    """A scene at 70 degrees, where a pixel of a geographic grid is a third as wide as it is high: 7 by 20 m."""
    grid = GeoBox((200, columns.size), Affine(0.00018, 0, 20, 0, -0.00018, 70), "EPSG:4326")
    pixels = np.broadcast_to(columns, grid.shape).astype("float32")
    return Band(wrap_xr(pixels, grid, nodata=float("nan")), grid)


def test_narrow_pixels_of_the_far_north_are_not_aliased() -> None:
    scene = north(np.where(np.arange(600) // 2 % 2, 0.1, 0.3))
    found = to_model_grid([scene], target(scene, 20), None, 0)
    # Stripes of 14 m; in pixels of 30 m they are grey.
    np.testing.assert_allclose(found, 0.2, atol=0.03)


def test_a_part_of_a_scene_of_the_far_north_has_all_that_decides() -> None:
    scene = north(np.random.default_rng(0).uniform(0.1, 0.3, 600))
    whole = target(scene, 20)
    near = parts_of([scene], whole[30:34, 40:44])
    assert near is not None
    expected = to_model_grid([scene], whole, None, 0)[:, 30:34, 40:44]
    found = to_model_grid(near, whole[30:34, 40:44], None, 0)
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-5)


def test_the_mean_of_blocks_is_that_of_the_valid_pixels() -> None:
    """Also where the target reaches beyond the source."""
    grid = GeoBox((5, 6), Affine(10, 0, 0, 0, -10, 0), "EPSG:32633")
    values = np.arange(30, dtype="float32").reshape(grid.shape)
    values[0, 0] = np.nan
    coarse = GeoBox((3, 4), Affine(20, 0, 0, 0, -20, 0), "EPSG:32633")
    found = np.empty(coarse.shape, dtype="float32")
    mean_of_blocks(values, grid, coarse, found)
    expected = [[(1 + 6 + 7) / 3, 5.5, 7.5, np.nan], [15.5, 17.5, 19.5, np.nan], [24.5, 26.5, 28.5, np.nan]]  # fmt: skip
    np.testing.assert_allclose(found, expected)
    np.testing.assert_allclose(warp(values[None], grid, coarse, "average")[0], expected)


def test_pixels_are_cut_where_that_makes_them_fit() -> None:
    def grid(size: float, shift: float = 0) -> GeoBox:
        return GeoBox((60, 60), Affine(size, 0, shift, 0, -size, 0), "EPSG:32633")

    thirty = grid(30)
    assert [divisions(grid(size), thirty) for size in (10, 15, 20, 30, 60)] == [1, 1, 2, 1, 2]
    assert divisions(grid(20, shift=7), thirty) is None
    assert divide_pixels(grid(20), 2).shape == (120, 120)
    assert divide_pixels(grid(20), 2).extent.boundingbox == grid(20).extent.boundingbox
    assert covers(thirty, grid(20))
    assert not covers(grid(20), thirty)
