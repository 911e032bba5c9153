"""The bands of a scene: what is refused, and what is understood."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from affine import Affine
from eopf_product import write_product
from odc.geo.geobox import GeoBox
from odc.geo.xr import wrap_xr

from odc_cleansat import classify
from odc_cleansat.errors import SceneError

from .helpers import SIX, refused

pytestmark = pytest.mark.usefixtures("fake_engine")


def test_missing_bands(simulated: xr.Dataset) -> None:
    refused(simulated[SIX].drop_vars("B04"), r"lacks red \(B04\).*it has B02")


def test_bands_for_the_chosen_model(simulated: xr.Dataset) -> None:
    refused(simulated[SIX[:4]], r"swir16 \(B11\)", model="unet-efficientnetb4-l2a-6b")


def test_no_coordinate_system(simulated: xr.Dataset) -> None:
    bare = xr.Dataset({b: (("y", "x"), simulated[b].values) for b in SIX})
    refused(bare, "no coordinate system")


def test_wrong_type(simulated: xr.Dataset) -> None:
    wrong = simulated[SIX].astype("float32").assign(B02=simulated.B02 > 3)
    refused(wrong, "B02 has dtype bool")


def test_wrong_shape(simulated: xr.Dataset) -> None:
    refused(simulated.expand_dims("sensor"), r"dims \('sensor', 'y', 'x'\)")


def test_bands_of_different_shape(simulated: xr.Dataset) -> None:
    half = simulated.B11.isel(y=slice(None, None, 2), x=slice(None, None, 2))
    odd = simulated[SIX[:4]].assign(
        B11=(("y2", "x2"), half.values), B12=(("y2", "x2"), half.values)
    )
    refused(odd, "differ in shape")


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize(("columns", "says"), [(3000, "has 0 %"), (300, "has 20 %")])
def test_bands_of_different_ground(
    simulated: xr.Dataset, columns: int, says: str, lazy: bool
) -> None:
    grid = simulated.odc.geobox
    bands = {b: simulated[b].chunk() if lazy else simulated[b] for b in SIX}
    classify(bands | {"B04": simulated.B04.isel(x=slice(9, None))}, offset=-1000)
    moved = wrap_xr(simulated.B04.values, grid.translate_pix(columns + 1, 0))
    refused(bands | {"B04": moved}, rf"red does not lie where the other bands do: it {says}")


def test_empty(simulated: xr.Dataset) -> None:
    refused(simulated.isel(y=slice(0, 0)), "empty")


def test_not_a_dataset(simulated: xr.Dataset) -> None:
    refused(simulated.B02, r"array has the dims \('y', 'x'\)")
    refused([simulated.B02], "not list")
    refused({"B02": simulated.B02.values}, "not dict")


def test_a_band_with_a_time_axis_only() -> None:
    grid = GeoBox.from_bbox((0, 0, 600, 600), "EPSG:32633", resolution=20)
    line = wrap_xr(np.ones(grid.shape, "uint16"), grid)[0]
    refused(xr.Dataset(dict.fromkeys(SIX, line)), "dims")


def test_bands_of_different_times(simulated: xr.Dataset) -> None:
    scene = xr.concat([simulated[["B02", "B03", "B04", "B08"]]] * 2, "time")
    dates = np.array(["2024-06-05", "2024-06-10"], dtype="datetime64[ns]")
    bands = {str(name): band.assign_coords(time=dates) for name, band in scene.data_vars.items()}
    bands["B03"] = bands["B03"].isel(time=[1, 0])
    with pytest.raises(SceneError, match="different times"):
        classify(bands, offset=-1000)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"resolution": 0}, "not above 0"),
        ({"resolution": float("nan")}, "not above 0"),
        ({"geobox": GeoBox((0, 5), Affine(30, 0, 0, 0, -30, 0), "EPSG:32633")}, "and pixels"),
        ({"geobox": GeoBox((5, 5), Affine(30, 0, 0, 0, -30, 0), None)}, "coordinate system"),
        ({"geobox": "EPSG:32633"}, "must be a GeoBox"),
    ],
)
def test_grids_it_refuses(simulated: xr.Dataset, how: dict[str, Any], message: str) -> None:
    with pytest.raises(SceneError, match=message):
        classify(simulated, offset=-1000, **how)


@pytest.mark.parametrize("axis", ["x", "y"])
def test_rows_and_columns_that_are_missing_are_refused(simulated: xr.Dataset, axis: str) -> None:
    """Also where each band has its own grid, and where the output is to be like them."""
    gappy = simulated.isel({axis: [*range(20), *range(23, 60)]})
    message = f"the coordinate {axis} is not evenly spaced: its steps are from 20 to 80"
    for scene in (gappy, {str(name): band for name, band in gappy.data_vars.items()}):
        with pytest.raises(SceneError, match=message):
            classify(scene, offset=-1000)
    with pytest.raises(SceneError, match=f"geobox= has no grid: {message}"):
        classify(simulated, offset=-1000, geobox=gappy)


def test_a_grid_by_a_dataset_that_has_it(simulated: xr.Dataset) -> None:
    part = simulated.isel(x=slice(0, 60), y=slice(0, 60))
    found = classify(simulated, offset=-1000, geobox=part)
    assert found.odc.geobox == part.odc.geobox


@pytest.mark.parametrize("form", ["v2", "v3", "geozarr"])
def test_a_zarr_product_is_a_scene_decoded_or_not(form: str, tmp_path: Path) -> None:
    """Where one band has the fill value there is no data, though xarray makes -0.1 of it in version 3."""
    product = write_product(tmp_path, form, holes=slice(100, 140))
    found = []
    for decoded in (True, False):
        tree = xr.open_datatree(product, engine="zarr", chunks=None, mask_and_scale=decoded)
        tree.name = product.stem
        mask = classify(tree)
        assert mask.odc.geobox.resolution.x == 10
        assert "view:sun_azimuth" in mask.ucl.attrs["light"]
        missing = (mask.ucl == 0).values
        assert missing[102:138].all()
        assert not missing[:97].any()
        assert not missing[143:].any()
        found.append(mask.ucl.values)
    assert (found[0] == found[1]).mean() > 0.999


def test_a_group_of_a_zarr_product_has_the_coordinate_system_of_its_attributes(
    tmp_path: Path,
) -> None:
    product = write_product(tmp_path)
    group = xr.open_zarr(product, group="measurements/reflectance/r10m", chunks=None)
    assert classify(group).odc.geobox.crs.epsg == 32633
    plain = group.copy()
    for band in plain.data_vars.values():
        band.attrs.clear()
    refused(plain, "has no coordinate system")
