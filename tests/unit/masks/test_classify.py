"""`classify`: nodata, grids, dates, and the ways to hold a scene."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox
from odc.geo.xr import wrap_xr, xr_reproject

from odc_cleansat import CloudClass, classify, get_model
from odc_cleansat.errors import LightWarning, ModelError, ReflectanceWarning, SceneError
from odc_cleansat.scenes.angles import Angles
from odc_cleansat.synthetic.scene import SimulatedScene

from .helpers import SIX, onto, refused

pytestmark = pytest.mark.usefixtures("fake_engine")


def test_nodata_is_never_a_class_and_a_zero_in_one_band_is_data() -> None:
    scene = SimulatedScene(shape=(720, 900), seed=1, swath_edge=True).to_xarray(20).isel(time=0)
    scene["B11"].values[100:120, 50:70] = 0
    found = classify(scene, offset=-1000, confidence=True)
    missing = np.all([scene[b].values == 0 for b in SIX], axis=0)
    assert not missing[100:120, 50:70].all()
    assert 0.05 < missing.mean() < 0.9
    np.testing.assert_array_equal(found.ucl.values == CloudClass.NODATA, missing)
    np.testing.assert_array_equal(found.ucl_confidence.values == 255, missing)


def test_a_dark_pixel_is_data_when_no_nodata_is_declared(simulated: xr.Dataset) -> None:
    scene = simulated[SIX].copy(deep=True)
    for band in scene.data_vars.values():
        del band.attrs["nodata"]
    scene["B12"].values[10:20, 10:20] = 0
    scene = scene.copy(deep=True)
    for band in scene.data_vars.values():
        band.values[40:50, 40:50] = 0
    found = classify(scene, offset=-1000).ucl.values
    assert (found[10:20, 10:20] != CloudClass.NODATA).all()
    assert (found[40:50, 40:50] == CloudClass.NODATA).all()


def test_reflectance_with_nan(simulated: xr.Dataset, fake_mask: xr.Dataset) -> None:
    expected = fake_mask.ucl
    scene = ((simulated[SIX].astype("float32") - 1000) / 10000).where(simulated[SIX] != 0)
    scene["B02"].values[5:9, 5:9] = np.nan
    scene["B03"].values[20:22, 20:22] = np.inf
    found = classify(scene).ucl
    holes = np.zeros(found.shape, dtype=bool)
    holes[5:9, 5:9] = holes[20:22, 20:22] = True
    assert (found.values[holes] == CloudClass.NODATA).all()
    assert np.mean(found.values[~holes] == expected.values[~holes]) > 0.99


def test_what_comes_out(simulated: xr.Dataset) -> None:
    found = classify(simulated, offset=-1000, confidence=True, refine=False)
    assert set(found.data_vars) == {"ucl", "ucl_confidence"}
    assert set(found.coords) == set(simulated.coords)
    for name, nodata in (("ucl", 0), ("ucl_confidence", 255)):
        assert found[name].dtype == np.uint8
        assert found[name].dims == ("y", "x")
        assert found[name].attrs["nodata"] == nodata
        assert found[name].odc.geobox == simulated.odc.geobox
    percent = found.ucl_confidence.values
    assert percent.min() >= 33
    assert percent.max() <= 100


def test_time_is_kept_and_dates_are_independent(
    simulated: xr.Dataset, fake_mask: xr.Dataset
) -> None:
    other = SimulatedScene(shape=(720, 900), seed=1, datetime="2024-07-01T10:10:31Z").to_xarray(20)
    series = xr.concat([simulated.expand_dims("time"), other], "time", join="override")
    series = series.assign_coords(time=[np.datetime64("2024-06-15", "ns"), other.time.values[0]])
    steps: list[tuple[int, int]] = []
    found = classify(series, offset=-1000, progress=lambda *n: steps.append(n))
    assert found.ucl.dims == ("time", "y", "x")
    np.testing.assert_array_equal(found.time, series.time)
    np.testing.assert_array_equal(found.ucl[0], fake_mask.ucl)
    np.testing.assert_array_equal(found.ucl[1], classify(other.isel(time=0), offset=-1000).ucl)
    assert steps[-1][0] == steps[-1][1]


def test_a_lazy_scene_gives_the_same(simulated: xr.Dataset, fake_mask: xr.Dataset) -> None:
    lazy = simulated.chunk({"y": 100, "x": 170})
    found = classify(lazy, offset=-1000, confidence=True)
    assert found.ucl.chunks is not None
    assert found.ucl.dtype == found.ucl_confidence.dtype == np.uint8
    xr.testing.assert_identical(found.compute(), fake_mask)


@pytest.mark.parametrize("crs", ["EPSG:3857", "EPSG:4326", "EPSG:32632"])
def test_other_output_grids(simulated: xr.Dataset, fake_mask: xr.Dataset, crs: str) -> None:
    """Classes on another grid are those of the scene's own grid, seen there."""
    own = fake_mask.ucl
    grid = simulated.odc.geobox.to_crs(crs)
    found = classify(simulated, offset=-1000, geobox=grid).ucl
    assert found.odc.geobox == grid
    expected = xr_reproject(own, grid, resampling="nearest")
    both = (found.values != 0) & (expected.values != 0)
    assert both.mean() > 0.7
    assert np.mean(found.values[both] == expected.values[both]) > 0.97
    # Outside the scene there is no data, whatever the network says of the padding.
    assert np.mean((found.values == 0) == (expected.values == 0)) > 0.99


@pytest.mark.parametrize("crs", ["EPSG:3857", "EPSG:4326"])
def test_scenes_that_are_not_in_utm(simulated: xr.Dataset, fake_mask: xr.Dataset, crs: str) -> None:
    own = fake_mask.ucl
    grid = simulated.odc.geobox.to_crs(crs)
    scene = onto(simulated[SIX], grid, "nearest")
    found = classify(scene, offset=-1000, geobox=simulated.odc.geobox).ucl
    both = (found.values != 0) & (own.values != 0)
    assert both.mean() > 0.9
    assert np.mean(found.values[both] == own.values[both]) > 0.95


def test_flipped_axes(simulated: xr.Dataset, fake_mask: xr.Dataset) -> None:
    expected = fake_mask.ucl
    found = classify(simulated.isel(y=slice(None, None, -1)), offset=-1000).ucl
    np.testing.assert_array_equal(found.values[::-1], expected.values)


def test_columns_from_east_to_west(simulated: xr.Dataset, fake_mask: xr.Dataset) -> None:
    expected = fake_mask.ucl
    found = classify(simulated.isel(x=slice(None, None, -1)), offset=-1000).ucl
    np.testing.assert_array_equal(found.values[:, ::-1], expected.values)


def test_a_rotated_grid(simulated: xr.Dataset) -> None:
    own = simulated.odc.geobox
    expected = classify(simulated, offset=-1000, refine=False).ucl.values
    turned = GeoBox(
        (360, 450), own.affine * Affine.translation(60, 40) * Affine.rotation(20), own.crs
    )
    scene = xr.Dataset(
        {
            n: wrap_xr(
                xr_reproject(simulated[n], turned, resampling="nearest").values, turned, nodata=0
            )
            for n in SIX
        }
    )
    found = classify(scene, offset=-1000, geobox=own, refine=False).ucl.values
    seen = found != CloudClass.NODATA
    assert seen.mean() > 0.6
    assert np.mean(found[seen] == expected[seen]) > 0.96


@pytest.mark.parametrize(
    ("bounds", "crs", "pixel"),
    [
        ((600000, 5000000, 601000, 5001000), "EPSG:32633", 20),
        ((-60, 10, -59.9, 10.1), "EPSG:4326", 0.001),
        ((170, -80, 180, -70), "EPSG:4326", 0.1),
        ((-1.3e7, -1.3e7, -1e5, -1e5), "EPSG:3571", 1e5),  # its corners are beyond the Earth
    ],
)
def test_an_area_outside_the_scene_has_no_data(
    simulated: xr.Dataset, bounds: tuple[float, ...], crs: str, pixel: float
) -> None:
    grid = GeoBox.from_bbox(bounds, crs, resolution=pixel)
    found = classify(simulated, offset=-1000, geobox=grid, confidence=True)
    assert (found.ucl == CloudClass.NODATA).all()
    assert (found.ucl_confidence == 255).all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (7, 3)])
def test_tiny_scenes(simulated: xr.Dataset, shape: tuple[int, int]) -> None:
    scene = simulated.isel(y=slice(50, 50 + shape[0]), x=slice(60, 60 + shape[1]))
    found = classify(scene, offset=-1000).ucl
    assert found.shape == shape
    assert (found.values != CloudClass.NODATA).all()


def test_unknown_model(simulated: xr.Dataset) -> None:
    with pytest.raises(ModelError, match="no model 'x'"):
        classify(simulated, model="x")


def test_nothing_but_nodata(simulated: xr.Dataset) -> None:
    refused(xr.zeros_like(simulated), "no pixel has data")


def test_bands_on_grids_of_their_own_are_as_good_as_on_one() -> None:
    """20 m bands repeated to 10 m have the same area average, so the answer is the same."""
    scene = SimulatedScene(shape=(720, 900), seed=1, swath_edge=True).to_xarray(10).isel(time=0)
    half = scene.odc.geobox.zoom_out(2)
    own = {b: scene[b] for b in SIX[:4]} | {
        b: wrap_xr(scene[b].values[1::2, 1::2], half, nodata=0) for b in SIX[4:]
    }
    for grid in (scene.odc.geobox, half):
        expected = classify(scene[SIX], offset=-1000, geobox=grid, refine=False).ucl
        found = classify(own, offset=-1000, geobox=grid, refine=False).ucl
        np.testing.assert_array_equal(found.values, expected.values)
    assert classify(own, offset=-1000).ucl.odc.geobox == scene.odc.geobox


def test_files_as_rioxarray_opens_them(tmp_path: Path) -> None:
    import rioxarray

    simulation = SimulatedScene(shape=(600, 720), seed=1)
    simulation.write(tmp_path / "scene")
    scene = simulation.to_xarray(10).isel(time=0)
    light = Angles(150, 45)  # which these files do not tell
    expected = classify(scene, offset=-1000, refine=light).ucl
    for chunks in (None, {"x": 256, "y": 256}):
        opened = {
            b: rioxarray.open_rasterio(tmp_path / "scene" / f"{b}.tif", chunks=chunks) for b in SIX
        }
        found = classify(opened, offset=-1000, refine=light).ucl
        assert (found.chunks is None) == (chunks is None)
        np.testing.assert_array_equal(found.values, expected.values)
    with rasterio.open(tmp_path / "scene" / "B02.tif") as file:
        profile = {**file.profile, "count": 6}
    with rasterio.open(tmp_path / "all.tif", "w", **profile) as joined:
        joined.write(np.stack([scene[b].values for b in SIX]))
    several = rioxarray.open_rasterio(tmp_path / "all.tif")
    refused(several, r"numbered .* name them")
    found = classify(several.assign_coords(band=SIX), offset=-1000, refine=light).ucl
    np.testing.assert_array_equal(found.values, expected.values)


def test_the_result_fits_into_the_scene() -> None:
    """Slices of geographic coordinates differ from a grid's by rounding, and would align to nothing."""
    own = SimulatedScene(shape=(360, 360), seed=1).to_xarray(20).isel(time=0)[SIX[:4]]
    degrees = own.odc.geobox.to_crs("EPSG:4326", resolution=0.0003)
    scene = onto(own, degrees, "nearest").isel(latitude=slice(31, 201), longitude=slice(17, 211))
    for renamed in (scene, scene.rename(latitude="y", longitude="x")):
        for grid in (None, renamed.odc.geobox):
            found = classify(renamed, offset=-1000, geobox=grid).ucl
            assert found.dims == renamed.B02.dims
            assert (renamed.assign(ucl=found).ucl.values == found.values).all()
            assert found.odc.geobox == renamed.odc.geobox


def test_bands_of_several_dates_as_a_mapping(simulated: xr.Dataset) -> None:
    stack = xr.concat([simulated[SIX], simulated[SIX]], "time")
    expected = classify(simulated, offset=-1000, refine=False).ucl
    found = classify({b: stack[b] for b in SIX}, offset=-1000, refine=False).ucl
    np.testing.assert_array_equal(found.values, np.stack([expected.values] * 2))
    refused({**{b: stack[b] for b in SIX}, "B11": simulated.B11}, "differ in shape")


def test_a_warning_names_the_line_that_called(simulated: xr.Dataset) -> None:
    with pytest.warns(ReflectanceWarning, match="the offset 0 looks wrong") as said:
        classify(simulated)
    assert [each.filename for each in said] == [__file__]


def test_what_bands_say_and_cannot_be_true_is_told_once(simulated: xr.Dataset) -> None:
    """As stackstac rescales scenes whose `raster:bands` lack the offset of their baseline."""
    bare = simulated[SIX].drop_attrs(deep=False)
    scene = (bare.astype("float32") / 10_000).where(bare != 0)
    fields = np.array(None, dtype=object)
    fields[()] = {"scale": 0.0001}
    stated = {"s2:processing_baseline": "05.10", "raster:bands": ((), fields)}
    with pytest.warns(ReflectanceWarning, match=r"stackstac has added the offset 0 .*\.$") as said:
        found = classify(scene.assign_coords(stated), refine=False).ucl
    assert [each.filename for each in said] == [__file__]
    plain = classify(bare, offset=-1000, refine=False).ucl
    assert np.mean(found.values == plain.values) > 0.999


def test_digital_numbers_passed_as_reflectance(simulated: xr.Dataset) -> None:
    refused(simulated[SIX].astype("float32"), "scale=1/10000")


@pytest.mark.parametrize(
    ("crs", "bounds", "pixel"),
    [
        ("EPSG:4326", (-180, -90, 180, 90), 0.05),
        ("EPSG:6933", (-1.7e7, -7.3e6, 1.7e7, 7.3e6), 5000),
        ("EPSG:32601", (0, 5_000_000, 900_000, 6_000_000), 5000),
    ],
)
def test_a_scene_in_the_midst_of_the_world(
    simulated: xr.Dataset, crs: str, bounds: tuple[float, ...], pixel: float
) -> None:
    grid = GeoBox.from_bbox(bounds, crs, resolution=pixel)
    found = classify(simulated, offset=-1000, geobox=grid).ucl
    seen = int((found != CloudClass.NODATA).sum())
    assert (seen > 0) == (crs != "EPSG:32601")


def test_output_resolution(simulated: xr.Dataset, fake_mask: xr.Dataset) -> None:
    found = classify(simulated, resolution=60, offset=-1000).ucl
    assert found.odc.geobox.boundingbox == simulated.odc.geobox.boundingbox
    assert abs(found.odc.geobox.resolution.x) == 60
    middle = fake_mask.ucl.values[1::3, 1::3]
    both = (found.values != 0) & (middle != 0)
    assert np.mean(found.values[both] == middle[both]) > 0.97
    with pytest.raises(SceneError, match="not both"):
        classify(simulated, resolution=60, geobox=simulated.odc.geobox, offset=-1000)


def test_light_refines_by_default_and_says_by_what(
    simulated: xr.Dataset, fake_mask: xr.Dataset
) -> None:
    plain = classify(simulated, offset=-1000, confidence=True, refine=False)
    assert "light" not in plain.ucl.attrs
    assert fake_mask.ucl.attrs["light"] == "sun_azimuth, sun_elevation"
    changed = plain.ucl.values != fake_mask.ucl.values
    assert set(plain.ucl.values[changed]) == {CloudClass.SHADOW}
    assert changed.mean() > 0.05
    same = ~changed & (plain.ucl.values != CloudClass.SHADOW)
    assert (fake_mask.ucl_confidence.values == plain.ucl_confidence.values)[same].mean() > 0.95


def test_what_light_changes_has_the_least_confidence_of_its_class(
    simulated: xr.Dataset, fake_mask: xr.Dataset
) -> None:
    bare = replace(get_model(), calibration=())
    plain, refined = (
        classify(simulated, model=bare, offset=-1000, confidence=True, refine=each)
        for each in (False, True)
    )
    changed = plain.ucl.values != refined.ucl.values
    assert changed.mean() > 0.05
    assert refined.ucl_confidence.values[changed].max() <= 50
    # A curve says how often such pixels are right.
    cleared = changed & (refined.ucl.values == CloudClass.CLEAR)
    assert cleared.mean() > 0.05
    assert fake_mask.ucl_confidence.values[cleared].max() <= 84
    assert dict(get_model().calibration)["clear"][1] == (0.5, 0.84)


def test_light_does_not_depend_on_the_part_or_the_chunks(
    simulated: xr.Dataset, fake_mask: xr.Dataset
) -> None:
    lazy = simulated.chunk({"y": 90, "x": 200})
    part = np.s_[37:200, 51:333]
    found = classify(
        lazy, offset=-1000, confidence=True, geobox=simulated.odc.geobox[part]
    ).compute()
    for name in ("ucl", "ucl_confidence"):
        np.testing.assert_array_equal(found[name].values, fake_mask[name].values[part])


def test_angles_of_stackstac_and_of_the_time(simulated: xr.Dataset) -> None:
    bare = simulated[SIX].drop_attrs(deep=False)
    stated = {"view:sun_azimuth": 150.0, "view:sun_elevation": 45.0}
    expected = classify(bare, offset=-1000, refine=Angles(150, 45)).ucl
    found = classify(bare.assign_coords(stated), offset=-1000).ucl
    np.testing.assert_array_equal(found.values, expected.values)
    assert found.attrs["light"] == "view:sun_azimuth, view:sun_elevation"
    timed = bare.assign_coords(time=np.datetime64("2024-06-15T10:10:31", "ns"))
    assert classify(timed, offset=-1000).ucl.attrs["light"] == "time and place"
    for nothing in (
        bare.drop_vars("time"),
        bare.assign_coords(time=np.datetime64("2024-06-15", "ns")),
    ):
        found = classify(nothing, offset=-1000).ucl
        assert found.attrs["light"].startswith("none: neither angles nor a time")
        plain = classify(nothing, offset=-1000, refine=False).ucl
        np.testing.assert_array_equal(found.values, plain.values)


def test_wrong_angles_give_the_plain_answer_and_a_word(simulated: xr.Dataset) -> None:
    bare = simulated[SIX].drop_attrs(deep=False)
    plain = classify(bare, offset=-1000, refine=False).ucl
    stated = {"view:sun_azimuth": 330.0, "view:sun_elevation": 45.0}  # at ten in the morning
    with pytest.warns(
        LightWarning, match="not used: view:sun_azimuth.*from where it stood"
    ) as said:
        found = classify(bare.assign_coords(stated), offset=-1000).ucl
    assert [each.filename for each in said] == [__file__]
    np.testing.assert_array_equal(found.values, plain.values)
    refused(bare, "the sun is 95 degrees from the vertical", refine=Angles(150, 95))
    refused(bare, "'150' is no number of degrees", refine=Angles("150", 45))  # type: ignore[arg-type]
    refused(bare, "pass true, false or Angles", refine="time")
    with pytest.warns(
        LightWarning, match="refine is used, and cannot be right: .* where it stood"
    ) as said:
        classify(bare, offset=-1000, refine=Angles(330, 45))
    assert [each.filename for each in said] == [__file__]


def test_each_date_has_its_own_light(simulated: xr.Dataset) -> None:
    bare = simulated[SIX].drop_attrs(deep=False).drop_vars("time")
    times = np.array(["2024-06-15T10:10:31", "2024-12-15T10:10:31"], "datetime64[ns]")
    series = xr.concat([bare, bare], "time").assign_coords(
        time=times,
        **{
            "view:sun_azimuth": ("time", [150.0, 160.0]),
            "view:sun_elevation": ("time", [62.0, 17.0]),
        },
    )
    found = classify(series, offset=-1000).ucl
    assert (found[0].values != found[1].values).any()
    for i, date in enumerate((series.isel(time=0), series.isel(time=1))):
        np.testing.assert_array_equal(found[i].values, classify(date, offset=-1000).ucl.values)
