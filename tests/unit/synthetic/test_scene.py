"""Facts about the simulated scenes: truth, encoding, grids, reproducibility."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import rasterio

from odc_cleansat.classes import CloudClass
from odc_cleansat.errors import CleansatError, SceneError
from odc_cleansat.synthetic import sky as synthetic
from odc_cleansat.synthetic.land import BANDS
from odc_cleansat.synthetic.scene import SimulatedScene

NATIVE = {**BANDS, "SCL": 20, "truth": 10}
SCENE = SimulatedScene(shape=(300, 420), seed=3, cloud_cover=0.3)


@pytest.fixture(scope="module")
def layers():
    return SCENE.read()


@pytest.fixture(scope="module")
def wide():
    """A scene of 12 x 15 km, wide enough for statistics."""
    return SimulatedScene(shape=(1200, 1500), seed=1)


@pytest.fixture(scope="module")
def wide_layers(wide):
    return wide.read()


def same(one, other):
    return set(one) == set(other) and all(np.array_equal(one[k], other[k]) for k in one)


def repeated(values, factor):
    return np.kron(values, np.ones((factor, factor), values.dtype))


# --- reproducible ---------------------------------------------------------------------


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


# --- truth ----------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("cover", [0.1, 0.3, 0.7])
def test_the_cloud_cover_is_roughly_what_was_asked_for(seed, cover):
    truth = SimulatedScene(shape=(600, 480), seed=seed, cloud_cover=cover).read()["truth"]
    assert np.mean(truth == CloudClass.CLOUD) == pytest.approx(cover, abs=0.03)


@pytest.mark.parametrize(("cover", "expected"), [(0, CloudClass.CLEAR), (1, CloudClass.CLOUD)])
def test_the_extremes_of_cloud_cover_are_exact(cover, expected):
    truth = replace(SCENE, cloud_cover=cover).read()["truth"]
    assert np.unique(truth).tolist() == [expected]


def test_truth_holds_only_classes_of_the_ucl(layers):
    assert set(np.unique(layers["truth"])) == {
        CloudClass.CLEAR,
        CloudClass.CLOUD,
        CloudClass.SHADOW,
    }


@pytest.mark.parametrize(
    ("azimuth", "down", "right"), [(180, -1, 0), (0, 1, 0), (90, 0, -1), (135, -1, -1)]
)
def test_shadow_lies_on_the_side_away_from_the_sun(azimuth, down, right):
    # At 45 degrees a cloud at 1000 m casts its shadow 1000 m away: 100 pixels.
    scene = SimulatedScene(
        shape=(600, 720), seed=5, sun_azimuth=azimuth, sun_elevation=45, cloud_height=1000
    )
    truth = scene.read()["truth"]
    cloud, shadow = truth == CloudClass.CLOUD, truth == CloudClass.SHADOW
    reach = round(100 / np.hypot(down, right))

    def agreement(sign):
        moved = np.roll(cloud, (sign * down * reach, sign * right * reach), axis=(0, 1))
        # What np.roll brings in from the other side is no shadow of this scene's clouds, and
        # shadow below a cloud is cloud.
        inside = np.s_[110:-110, 110:-110]
        expected, seen = (moved & ~cloud)[inside], shadow[inside]
        return (expected & seen).sum() / (expected | seen).sum()

    assert agreement(+1) > 0.85
    assert agreement(-1) < 0.5


def test_a_lower_sun_throws_the_shadow_farther():
    high, low = (
        replace(SCENE, shape=(600, 600), sun_azimuth=180, sun_elevation=e, cloud_height=1000)
        for e in (60, 30)
    )
    cloud = high.read()["truth"] == CloudClass.CLOUD
    for scene, reach in ((high, 58), (low, 173)):
        truth = scene.read()["truth"]
        assert np.array_equal(truth == CloudClass.CLOUD, cloud)  # the sun moves no cloud
        moved = np.roll(cloud, -reach, axis=0)[:-180]
        seen = (truth == CloudClass.SHADOW)[:-180]
        assert seen[moved & ~cloud[:-180]].mean() > 0.85


# --- spectra --------------------------------------------------------------------------


def test_clouds_are_bright_and_white_and_shadow_is_dark_and_blue(wide, wide_layers):
    truth = wide_layers["truth"]
    blue = wide_layers["B02"].astype(float) + wide.offset
    red = wide_layers["B04"].astype(float) + wide.offset
    swir = repeated(wide_layers["B11"], 2).astype(float) + wide.offset
    cloud, shadow, clear = (
        truth == c for c in (CloudClass.CLOUD, CloudClass.SHADOW, CloudClass.CLEAR)
    )
    assert np.median(blue[cloud]) > 4 * np.median(blue[clear])
    assert np.median(blue[cloud] / red[cloud]) == pytest.approx(1, abs=0.1)
    assert 0.6 < np.median(swir[cloud] / red[cloud]) < 0.9
    dim_blue = np.median(blue[shadow]) / np.median(blue[clear])
    dim_swir = np.median(swir[shadow]) / np.median(swir[clear])
    assert dim_swir < dim_blue < 0.8


def test_land_has_water_and_vegetation(wide, wide_layers):
    def reflectance(name):
        return wide_layers[name].astype(float) + wide.offset

    clear = wide_layers["SCL"]
    near, red = reflectance("B8A"), reflectance("B04")[::2, ::2]
    assert np.median(near[clear == 4] / np.maximum(red[clear == 4], 1)) > 3
    assert np.median(reflectance("B12")[clear == 6]) < 100


# --- encoding -------------------------------------------------------------------------


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


# --- the simulated SCL ----------------------------------------------------------------


def test_scl_finds_ten_to_fifty_percent_of_the_shadow():
    found = total = 0
    for seed in range(4):
        layers = SimulatedScene(shape=(900, 840), seed=seed).read()
        shadow = layers["truth"] == CloudClass.SHADOW
        found += (repeated(layers["SCL"], 2) == 3)[shadow].sum()
        total += shadow.sum()
    assert 0.1 < found / total < 0.5


def test_scl_misses_thin_clouds_and_calls_some_roofs_cloud(wide_layers):
    cloud = wide_layers["truth"] == CloudClass.CLOUD
    scl = repeated(wide_layers["SCL"], 2)
    assert 0.6 < np.isin(scl, (8, 9, 10))[cloud].mean() < 0.97
    assert (scl == 9)[cloud].mean() > 0.3
    assert 0 < np.isin(scl, (8, 9))[wide_layers["truth"] == CloudClass.CLEAR].mean() < 0.03
    assert set(np.unique(scl)) <= set(range(12))


# --- as a Dataset ---------------------------------------------------------------------


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


# --- on disk --------------------------------------------------------------------------


@pytest.mark.parametrize("offset", [-1000, 0])
def test_written_files_equal_what_is_in_memory(tmp_path, offset):
    scene = SimulatedScene(
        shape=(996, 126),
        seed=2,
        swath_edge=True,
        epsg=32748,
        origin=(600000, 9300000),
        offset=offset,
    )
    seen = []
    folder = scene.write(tmp_path / "deep" / "scene", progress=lambda *rows: seen.append(rows))
    assert {p.name for p in folder.iterdir()} == {f"{n}.tif" for n in NATIVE} | {"scene.json"}
    assert [p.name for p in folder.parent.iterdir()] == ["scene"]
    for name, values in scene.read().items():
        with rasterio.open(folder / f"{name}.tif") as file:
            assert np.array_equal(file.read(1), values), name
            assert file.crs.to_epsg() == 32748
            assert file.transform == scene.geobox(NATIVE[name]).affine
            assert file.nodata == 0
            assert file.profile["tiled"]
            assert file.compression.name == "deflate"
    assert seen[-1] == (996, 996)
    assert seen == sorted(set(seen))
    document = json.loads((folder / "scene.json").read_text())
    assert document["simulated"] is True
    assert document["offset"] == offset
    assert document["shape"] == [996, 126]
    assert document["datetime"] == scene.datetime
    assert (float(document["processing_baseline"]) >= 4) == (offset == -1000)


def test_an_interrupted_write_leaves_nothing(tmp_path):
    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        SCENE.write(tmp_path / "scene", progress=stop)
    assert list(tmp_path.iterdir()) == []


def test_an_existing_scene_is_not_overwritten(tmp_path):
    (tmp_path / "scene").mkdir()
    (tmp_path / "scene" / "mine.txt").write_text("keep")
    with pytest.raises(SceneError, match="exists already"):
        SCENE.write(tmp_path / "scene")
    assert [p.name for p in (tmp_path / "scene").iterdir()] == ["mine.txt"]


# --- errors ---------------------------------------------------------------------------


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
