"""Layers on other grids and of other times."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from odc.geo.xr import wrap_xr

from odc_cleansat import CloudClass
from odc_cleansat.errors import SceneError
from odc_cleansat.review.comparison import compare
from unit.review.helpers import DAYS, GRID, layer, made_up, two_dates


def test_layers_on_other_grids() -> None:
    scene = made_up()
    coarse = GRID.zoom_out(2)
    ucl = wrap_xr(np.tile(np.array([[1, 2], [3, 1]], "uint8"), (25, 30)), coarse)
    found = layer(compare(scene, ucl=ucl), "ucl")
    np.testing.assert_array_equal(found.codes, ucl.values.repeat(2, 0).repeat(2, 1))
    geographic = ucl.odc.reproject(GRID.to_crs("EPSG:4326"))
    moved = layer(compare(scene, ucl=geographic), "ucl").codes
    assert np.mean(moved == found.codes) > 0.7
    part = layer(compare(scene, ucl=scene.ucl[10:, 20:]), "ucl")
    assert (part.codes[:10] == 0).all()
    np.testing.assert_array_equal(part.codes[10:, 20:], scene.ucl.values[10:, 20:])
    rounded = scene.ucl.assign_coords(x=scene.x + 1e-7)
    np.testing.assert_array_equal(layer(compare(scene, ucl=rounded), "ucl").codes, scene.ucl.values)
    bare = xr.DataArray(scene.ucl.values, dims=("y", "x"))
    np.testing.assert_array_equal(layer(compare(scene, ucl=bare), "ucl").codes, scene.ucl.values)


def test_grids_that_do_not_fit() -> None:
    scene = made_up()
    far = wrap_xr(scene.ucl.values, GRID.translate_pix(1000, 0))
    with pytest.raises(SceneError, match="ucl lies elsewhere"):
        compare(scene, ucl=far)
    with pytest.raises(SceneError, match="no coordinate system, the scene"):
        compare(scene, ucl=xr.DataArray(scene.ucl.values[1:], dims=("y", "x")))
    with pytest.raises(SceneError, match="scene has no coordinate system"):
        compare(xr.Dataset({name: (("y", "x"), a.values) for name, a in scene.items()}))
    with pytest.raises(SceneError, match="band"):
        compare(scene.expand_dims(band=2))
    with pytest.raises(SceneError, match="style='x'"):
        compare(scene, style="x")
    with pytest.raises(SceneError, match="contaminated"):
        compare(scene, agreement="x")


def test_times() -> None:
    scene = two_dates()
    found = compare(scene)
    days = compare(scene.assign_coords(time=scene.time.dt.floor("D")))
    assert [frame.date for frame in days.frames] == ["2024-06-05", "2024-06-15"]
    assert [frame.date for frame in found.frames] == [
        "2024-06-05 10:10 UTC",
        "2024-06-15 10:10 UTC",
    ]
    assert (layer(found, "ucl", 1).codes == CloudClass.CLOUD).all()
    swapped = compare(scene, ucl=scene.ucl.isel(time=[1, 0]))
    assert (layer(swapped, "ucl", 1).codes == CloudClass.CLOUD).all()
    with pytest.raises(SceneError, match="other times"):
        compare(scene, ucl=scene.ucl.assign_coords(time=DAYS + np.timedelta64(1, "h")))
    with pytest.raises(SceneError, match="ucl has no time"):
        compare(scene, ucl=scene.ucl[0].drop_vars("time"))
    first = scene.isel(time=0)
    for one in (first, scene.isel(time=[0])):
        compare(one, ucl=first.ucl)
        compare(one, ucl=first.ucl.drop_vars("time"))
        with pytest.raises(SceneError, match="other times"):
            compare(one, ucl=scene.ucl.isel(time=1))
    twice = scene.assign_coords(time=DAYS[[0, 0]])  # two tiles of one pass, not grouped
    assert len(compare(twice, ucl=twice.ucl).frames) == 2
    with pytest.raises(SceneError, match="a time twice"):
        compare(scene, ucl=twice.ucl)
    label = xr.full_like(scene.ucl[0].drop_vars("time"), 3)
    assert (layer(compare(scene, label=label), "label", 1).codes == 3).all()


def test_unknown_codes_are_refused() -> None:
    scene = made_up()
    label = xr.full_like(scene.ucl, 255)
    with pytest.raises(SceneError, match="label holds 255"):
        compare(scene, label=label)
    found = compare(scene, label=label.assign_attrs(nodata=255))
    assert (layer(found, "label").codes == 0).all()
    masked = scene.ucl.where(scene.red > 0.1)  # floating-point, NaN for nodata
    assert (layer(compare(scene, ucl=masked), "ucl").codes[scene.red.values <= 0.1] == 0).all()
