"""One function of the scene: the same pixel, the same class, whatever was asked and whoever works."""

from __future__ import annotations

import dataclasses
import pickle
import warnings
from importlib import import_module

import dask
import numpy as np
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from odc.geo.xr import wrap_xr

from odc_cleansat import CloudClass, classify, get_model
from odc_cleansat.errors import ModelError, SceneError
from odc_cleansat.grids.windows import Tiling
from odc_cleansat.synthetic.scene import SimulatedScene

SIX = ["B02", "B03", "B04", "B08", "B11", "B12"]
# Small windows, so that a small scene has many and areas cut through them.
MODEL = dataclasses.replace(get_model(), tiling=Tiling((96, 96), 32, whole=0))
HOW = {"model": MODEL, "offset": -1000, "precision": "f32"}


@pytest.fixture(scope="module")
def scene() -> xr.Dataset:
    """A scene of 8.4 by 10.8 km at 20 m with a swath edge, about ten windows."""
    simulated = SimulatedScene(shape=(840, 1080), seed=1, swath_edge=True)
    return simulated.to_xarray(20).isel(time=0)[SIX]


@pytest.fixture(scope="module")
def whole(scene: xr.Dataset) -> xr.Dataset:
    return classify(scene, confidence=True, **HOW)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_any_area_in_any_chunks(scene: xr.Dataset, whole: xr.Dataset, data: st.DataObject) -> None:
    height, width = scene.B02.shape
    top = data.draw(st.integers(0, height - 2), "top")
    left = data.draw(st.integers(0, width - 2), "left")
    bottom = data.draw(st.integers(top + 1, height), "bottom")
    right = data.draw(st.integers(left + 1, width), "right")
    chunks = {d: data.draw(st.integers(40, 600), f"chunk {d}") for d in ("y", "x")}
    area = scene.odc.geobox[top:bottom, left:right]
    found = classify(scene.chunk(chunks), geobox=area, **HOW).ucl
    expected = whole.ucl.values[top:bottom, left:right]
    assert np.mean(found.values == expected) >= 0.9999


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_any_area_of_any_projection(scene: xr.Dataset, data: st.DataObject) -> None:
    crs = data.draw(
        st.sampled_from(["EPSG:3857", "EPSG:4326", "EPSG:3035", "EPSG:32632", "EPSG:6933"])
    )
    pixel = data.draw(st.sampled_from([10, 25, 60, 140]), "pixel")
    bounds = scene.odc.geobox.extent.to_crs(crs).boundingbox
    size = pixel / 111_320 if crs == "EPSG:4326" else pixel
    grid = GeoBox.from_bbox(bounds, crs, resolution=size).pad(3)
    rows, columns = grid.shape
    top = data.draw(st.integers(0, rows - 2), "top")
    left = data.draw(st.integers(0, columns - 2), "left")
    area = grid[top : min(top + 150, rows), left : min(left + 130, columns)]
    expected = classify(scene, geobox=grid, **HOW).ucl.values
    found = classify(scene, geobox=area, **HOW).ucl.values
    cut = expected[top : min(top + 150, rows), left : min(left + 130, columns)]
    assert np.mean(found == cut) >= 0.9999


@pytest.mark.parametrize("scheduler", ["synchronous", "threads", "processes"])
def test_any_scheduler(scene: xr.Dataset, whole: xr.Dataset, scheduler: str) -> None:
    lazy = classify(scene.chunk({"y": 130, "x": 200}), confidence=True, **HOW)
    assert dask.is_dask_collection(lazy)
    with dask.config.set({"multiprocessing.context": "spawn", "num_workers": 2}):
        found = lazy.compute(scheduler=scheduler)
    xr.testing.assert_identical(found, whole)


def test_a_cluster(scene: xr.Dataset, whole: xr.Dataset) -> None:
    from distributed import Client, LocalCluster

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with (
            LocalCluster(
                n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0"
            ) as cluster,
            Client(cluster),
        ):
            found = classify(scene.chunk({"y": 210, "x": 300}), confidence=True, **HOW).compute()
    xr.testing.assert_identical(found, whole)


def test_dates_do_not_touch_each_other(scene: xr.Dataset, whole: xr.Dataset) -> None:
    series = xr.concat([scene, scene * 0, scene], "time").assign_coords(
        time=np.array(["2024-01-01", "2024-01-11", "2024-01-21"], "datetime64[ns]")
    )
    for name in SIX:
        series[name].attrs = scene[name].attrs
    found = classify(series, **HOW).ucl
    np.testing.assert_array_equal(found[0], whole.ucl)
    np.testing.assert_array_equal(found[1], CloudClass.NODATA)
    np.testing.assert_array_equal(found[2], whole.ucl)


def test_the_graph_is_small(scene: xr.Dataset) -> None:
    """No pixels beyond the source's, and no weights: 40 MB of them would show."""
    lazy = classify(scene.chunk({"y": 130, "x": 200}), **HOW)
    source = sum(band.nbytes for band in scene.data_vars.values())
    graph = pickle.dumps(dict(lazy.__dask_graph__()))
    assert len(graph) < 1.5 * source + 1e6


def test_every_window_is_answered_once(scene: xr.Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    classification = import_module("odc_cleansat.masks.classify")
    answered = []
    original = classification.window_probabilities

    def counted(options, parts, target, monitor):
        answered.append(target)
        return original(options, parts, target, monitor)

    monkeypatch.setattr(classification, "window_probabilities", counted)
    classify(scene.chunk({"y": 50, "x": 50}), **HOW).compute(scheduler="synchronous")
    assert len(answered) == len(set(answered)) > 4


def test_every_chunk_is_read_once(scene: xr.Dataset) -> None:
    reads: list[object] = []

    def read(block: np.ndarray, block_info: object = None) -> np.ndarray:
        reads.append(str(block_info))
        return block

    lazy = scene.chunk({"y": 130, "x": 200}).map(
        lambda b: b.copy(data=b.data.map_blocks(read, dtype=b.dtype, meta=b.data._meta))
    )
    reads.clear()
    classify(lazy, **HOW).compute(scheduler="threads")
    chunks = sum(band.data.npartitions for band in lazy[SIX].data_vars.values())
    assert len(reads) == chunks


# --- options --------------------------------------------------------------------------


def test_probabilities(scene: xr.Dataset, whole: xr.Dataset) -> None:
    found = classify(scene, confidence=True, probabilities=True, **HOW)
    probability = found.ucl_probability
    assert probability.dims == ("ucl_class", "y", "x")
    assert list(probability.ucl_class.values) == ["clear", "cloud", "shadow"]
    valid = found.ucl.values != 0
    assert np.isnan(probability.values[:, ~valid]).all()
    np.testing.assert_allclose(probability.values[:, valid].sum(axis=0), 1, atol=1e-4)
    np.testing.assert_array_equal(
        probability.values[:, valid].argmax(axis=0) + 1, found.ucl.values[valid]
    )
    percent = np.rint(100 * probability.values[:, valid].max(axis=0))
    np.testing.assert_array_equal(percent, found.ucl_confidence.values[valid])
    xr.testing.assert_identical(found[["ucl", "ucl_confidence"]], whole)


@pytest.mark.parametrize("shadow", [0.2, 0.5, 0.8])
def test_thresholds(scene: xr.Dataset, shadow: float) -> None:
    found = classify(scene, probabilities=True, thresholds={"shadow": shadow}, **HOW)
    valid = found.ucl.values != 0
    clear, cloud, dark = found.ucl_probability.values[:, valid]
    codes = found.ucl.values[valid]
    np.testing.assert_array_equal(codes == CloudClass.SHADOW, dark >= np.float32(shadow))
    np.testing.assert_array_equal(
        codes[dark < np.float32(shadow)] == CloudClass.CLOUD,
        (cloud > clear)[dark < np.float32(shadow)],
    )


@pytest.mark.parametrize(
    ("thresholds", "message"),
    [
        ({"snow": 0.5}, "no class 'snow'; it has clear, cloud, shadow"),
        ({"cloud": 1.5}, "between 0 and 1"),
        ({"clear": 0.5, "cloud": 0.5, "shadow": 0.5}, "every class"),
    ],
)
def test_thresholds_that_make_no_sense(
    scene: xr.Dataset, thresholds: dict[str, float], message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        classify(scene, thresholds=thresholds, **HOW)


def disk(radius: int) -> np.ndarray:
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    return x**2 + y**2 <= radius**2


def test_dilation_in_metres(scene: xr.Dataset, whole: xr.Dataset) -> None:
    from scipy import ndimage

    found = classify(scene, dilation={"cloud": 60, "shadow": 100}, **HOW).ucl
    before, after = whole.ucl.values, found.values
    shadow = ndimage.binary_dilation(before == 3, disk(5))
    cloud = ndimage.binary_dilation(before == 2, disk(3))
    clear = before == CloudClass.CLEAR
    np.testing.assert_array_equal(after[~clear], before[~clear])
    np.testing.assert_array_equal(after[clear & cloud], CloudClass.CLOUD)
    np.testing.assert_array_equal(after[clear & shadow & ~cloud], CloudClass.SHADOW)
    np.testing.assert_array_equal(after[clear & ~shadow & ~cloud], CloudClass.CLEAR)
    assert found.attrs == whole.ucl.attrs
    lazy = classify(scene.chunk({"y": 100}), dilation={"cloud": 60, "shadow": 100}, **HOW).ucl
    np.testing.assert_array_equal(lazy.compute(scheduler="threads"), after)


def test_dilation_of_something_else(scene: xr.Dataset) -> None:
    with pytest.raises(ModelError, match="choose from cloud and shadow"):
        classify(scene, dilation={"clear": 20}, **HOW)


def test_output_resolution(scene: xr.Dataset, whole: xr.Dataset) -> None:
    found = classify(scene, resolution=60, **HOW).ucl
    assert found.odc.geobox.boundingbox == scene.odc.geobox.boundingbox
    assert abs(found.odc.geobox.resolution.x) == 60
    middle = whole.ucl.values[1::3, 1::3]
    both = (found.values != 0) & (middle != 0)
    assert np.mean(found.values[both] == middle[both]) > 0.97
    with pytest.raises(SceneError, match="not both"):
        classify(scene, resolution=60, geobox=scene.odc.geobox, **HOW)


# --- arrays that nobody should have ---------------------------------------------------

VALUES = st.sampled_from([0.0, -0.3, 0.05, 0.3, 0.9, 1.6, 9.0, np.nan, np.inf, -np.inf])


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_odd_reflectance_is_a_class_or_nodata_and_never_an_accident(data: st.DataObject) -> None:
    """NaN, infinity, negative and saturated values, in blocks: an answer everywhere, nodata where due."""
    shape = (data.draw(st.integers(1, 70), "rows"), data.draw(st.integers(1, 70), "columns"))
    grid = GeoBox.from_bbox(
        (399960, 5300040 - 30 * shape[0], 399960 + 30 * shape[1], 5300040),
        "EPSG:32633",
        shape=shape,
    )
    bands = {}
    for name in SIX:
        values = np.full(shape, 0.1, dtype="float32")
        for _ in range(data.draw(st.integers(0, 3), "blocks")):
            y, x = (data.draw(st.integers(0, n - 1)) for n in shape)
            values[y : y + 20, x : x + 20] = data.draw(VALUES)
        bands[name] = values
    scene = xr.Dataset({name: wrap_xr(values, grid) for name, values in bands.items()})
    gone = ~np.all([np.isfinite(v) for v in bands.values()], axis=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if gone.all():
            with pytest.raises(SceneError, match="no pixel has data"):
                classify(scene, model=MODEL)
            return
        found = classify(scene, model=MODEL, confidence=True)
    np.testing.assert_array_equal(found.ucl.values == CloudClass.NODATA, gone)
    assert set(np.unique(found.ucl)) <= {0, 1, 2, 3}
    np.testing.assert_array_equal(found.ucl_confidence.values == 255, gone)
