"""Simulated scenes: reproducible, encoded like the real ones, on their grids."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from odc_cleansat.classes import CloudClass
from odc_cleansat.errors import CleansatError, SceneError
from odc_cleansat.synthetic import sky as synthetic
from odc_cleansat.synthetic.land import BANDS
from odc_cleansat.synthetic.scene import SimulatedScene

from .helpers import NATIVE, SCENE, repeated, same


@pytest.mark.parametrize("height", [6, 54, 126, 294])
@pytest.mark.parametrize("swath_edge", [False, True])
def test_strips_equal_the_whole(height, swath_edge):
    scene = replace(SCENE, swath_edge=swath_edge)
    whole = scene.read()
    strips = [scene.read(slice(top, min(top + height, 300))) for top in range(0, 300, height)]
    joined = {name: np.concatenate([strip[name] for strip in strips]) for name in whole}
    assert same(whole, joined)


def test_the_same_parameters_give_the_same_pixels(layers):
    assert same(layers, SimulatedScene(shape=(300, 420), seed=3, cloud_cover=0.3).read())


def test_another_seed_gives_other_land_and_other_clouds(layers):
    other = replace(SCENE, seed=4).read()
    assert np.mean(layers["B04"] != other["B04"]) > 0.9
    assert np.mean(layers["truth"] != other["truth"]) > 0.1


def test_another_date_gives_other_clouds_over_the_same_land(layers):
    other = replace(SCENE, datetime="2024-07-05T10:10:31Z").read()
    assert np.mean(layers["truth"] != other["truth"]) > 0.1
    clear, cloudless = (replace(SCENE, datetime=day, cloud_cover=0).read() for day in (
        "2024-06-15", "2024-07-05"
    ))  # fmt: skip
    assert all(np.array_equal(clear[name], cloudless[name]) for name in BANDS)


def test_neighbouring_scenes_of_one_seed_continue_each_other():
    left, top = SCENE.origin
    scene = replace(SCENE, cloud_cover=0)
    south_east = replace(scene, origin=(left + 1200, top - 600)).read()
    whole = scene.read()
    assert np.array_equal(whole["B03"][60:, 120:], south_east["B03"][:240, :300])
    assert np.array_equal(whole["B12"][30:, 60:], south_east["B12"][:120, :150])


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("cover", [0.1, 0.3, 0.7])
def test_the_cloud_cover_is_roughly_what_was_asked_for(seed, cover):
    truth = SimulatedScene(shape=(600, 480), seed=seed, cloud_cover=cover).read()["truth"]
    assert np.mean(truth == CloudClass.CLOUD) == pytest.approx(cover, abs=0.03)


@pytest.mark.parametrize(("cover", "expected"), [(0, CloudClass.CLEAR), (1, CloudClass.CLOUD)])
def test_the_extremes_of_cloud_cover_are_exact(cover, expected):
    truth = replace(SCENE, cloud_cover=cover).read()["truth"]
    assert np.unique(truth).tolist() == [expected]


def test_the_offset_shifts_dn_and_leaves_reflectance(layers):
    plain = replace(SCENE, offset=0).read()
    for name in BANDS:
        dark = plain[name] == 1
        difference = layers[name].astype(int) - plain[name].astype(int)
        assert set(np.unique(difference[~dark])) == {1000}, name
    assert np.array_equal(layers["truth"], plain["truth"])
    assert np.array_equal(layers["SCL"], plain["SCL"])


def test_types_and_the_valid_range(layers):
    for name, values in layers.items():
        assert values.dtype == (np.uint16 if name in BANDS else np.uint8), name
        assert values.min() >= 1, name


@pytest.mark.parametrize(("coarse", "fine"), [(name, NATIVE[name]) for name in NATIVE])
def test_each_layer_stands_on_its_native_grid(layers, coarse, fine):
    assert layers[coarse].shape == (3000 // fine, 4200 // fine)


def test_beyond_the_swath_every_layer_is_nodata(layers):
    edged = replace(SCENE, swath_edge=True).read()
    outside = edged["truth"] == CloudClass.NODATA
    assert 0.05 < outside.mean() < 0.5
    assert outside[0].sum() < outside[-1].sum()  # the edge is slanted
    for name, values in edged.items():
        assert np.array_equal(repeated(values == 0, NATIVE[name] // 10), outside), name
        inside = values != 0
        assert np.array_equal(values[inside], layers[name][inside]), name


@pytest.mark.parametrize("resolution", [10, 20, 30])
def test_dataset_has_the_grid_and_the_conventions(resolution):
    ds = SCENE.to_xarray(resolution)
    assert ds.odc.geobox == SCENE.geobox(resolution)
    assert ds.odc.geobox.extent.boundingbox == SCENE.geobox(10).extent.boundingbox
    assert ds.odc.crs.epsg == 32633
    assert set(ds.data_vars) == set(NATIVE)
    assert ds.attrs["simulated"] is True
    assert ds.attrs["seed"] == 3
    assert ds.time.values.tolist() == [np.datetime64("2024-06-15T10:10:31", "ns").astype(int)]
    for name, band in ds.data_vars.items():
        assert band.dims == ("time", "y", "x")
        assert band.attrs["nodata"] == 0
        assert band.attrs["units"] == "1"
        assert band.dtype == ("uint16" if name in BANDS else "uint8")


def test_dataset_at_10_m_repeats_the_coarser_layers(layers):
    ds = SCENE.to_xarray()
    for name, values in layers.items():
        assert np.array_equal(ds[name].values[0], repeated(values, NATIVE[name] // 10)), name


@pytest.mark.parametrize(("resolution", "factor"), [(20, 2), (30, 3)])
def test_dataset_averages_bands_and_votes_on_classes(layers, resolution, factor):
    ds = replace(SCENE, swath_edge=True).to_xarray(resolution)
    valid = ds.truth.values[0] != 0
    assert valid.any()
    assert not valid.all()
    rows, columns = valid.shape

    def blocks(name):
        fine = repeated(layers[name], NATIVE[name] // 10)
        return fine.reshape(rows, factor, columns, factor).swapaxes(1, 2).reshape(rows, columns, -1)

    for name in ("B02", "B11", "B09"):
        got, expected = ds[name].values[0], blocks(name).mean(-1)
        assert np.all(got[~valid] == 0)
        assert np.abs(got - expected)[valid].max() <= 0.5, name
    for name in ("truth", "SCL"):
        votes = np.stack([(blocks(name) == code).sum(-1) for code in range(12)])
        # The first of equal numbers of votes is the lowest code.
        assert np.array_equal(ds[name].values[0][valid], votes.argmax(0)[valid]), name


@pytest.mark.parametrize(
    ("parameter", "value", "hint"),
    [
        ("shape", (100, 120), "multiples of 6"),
        ("shape", (0, 120), "multiples of 6"),
        ("shape", 600, "multiples of 6"),
        ("epsg", 4326, "UTM"),
        ("epsg", 32661, "UTM"),
        ("epsg", 32700, "UTM"),
        ("origin", (399960.0, 5300050.0), "multiples of 60"),
        ("seed", -1, "positive"),
        ("cloud_cover", 1.1, "0..1"),
        ("cloud_cover", -0.1, "0..1"),
        ("cloud_cover", float("nan"), "0..1"),
        ("sun_azimuth", float("inf"), "degrees"),
        ("sun_elevation", 5, "above 5"),
        ("sun_elevation", 91, "up to 90"),
        ("cloud_height", -1.0, "15000"),
        ("offset", 1000, "-1000"),
        ("datetime", "yesterday", "ISO 8601"),
    ],
)
def test_a_wrong_parameter_is_named_with_its_rule(parameter, value, hint):
    with pytest.raises(SceneError, match=parameter) as error:
        SimulatedScene(**{parameter: value})
    assert repr(value) in str(error.value)
    assert hint in str(error.value)
    assert isinstance(error.value, CleansatError)


@pytest.mark.parametrize("rows", [slice(0, 10), slice(3, 12), slice(12, 12), slice(0, 60, 2)])
def test_a_strip_off_the_60_m_grid_is_refused(rows):
    with pytest.raises(SceneError, match="multiples of 6"):
        SCENE.read(rows)


def test_grids_that_do_not_fit_are_refused():
    with pytest.raises(SceneError, match="40 m"):
        SCENE.geobox(40)
    with pytest.raises(SceneError, match="60 m"):
        SCENE.to_xarray(60)


def test_thresholds_are_public_and_recorded():
    attrs = SCENE.to_xarray(30).attrs
    assert attrs["cloud_opacity_threshold"] == synthetic.CLOUD_OPACITY
    assert attrs["shadow_attenuation_threshold"] == synthetic.SHADOW_ATTENUATION
