"""One function of the scene: the same pixel, the same class, whatever was asked and whoever works."""

from __future__ import annotations

import dataclasses
import pickle
import warnings
from collections.abc import Callable
from functools import lru_cache
from importlib import import_module
from typing import TYPE_CHECKING

import dask
import numpy as np
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from odc.geo.xr import wrap_xr

from odc_cleansat import CloudClass, classify, get_model
from odc_cleansat.errors import SceneError
from odc_cleansat.grids.windows import Tiling
from odc_cleansat.masks import tasks
from odc_cleansat.synthetic.scene import SimulatedScene

from .helpers import SIX, FakeEngine

if TYPE_CHECKING:
    from distributed import Client

    from odc_cleansat.models.model import Model

# Small windows, so that a small scene has many and areas cut through them.
MODEL = dataclasses.replace(get_model(), tiling=Tiling((96, 96), 32, whole=0))
HOW = {"model": MODEL, "offset": -1000}
SMALL = dataclasses.replace(get_model("unet-mobilenetv2-l2a"), tiling=MODEL.tiling)
BY_NETWORK = {"model": SMALL, "offset": -1000, "precision": "f32", "confidence": True}


@pytest.fixture(scope="module")
def scene() -> xr.Dataset:
    """A scene of 8.4 by 10.8 km at 20 m with a swath edge, about ten windows."""
    simulated = SimulatedScene(shape=(840, 1080), seed=1, swath_edge=True)
    return simulated.to_xarray(20).isel(time=0)[SIX]


@pytest.fixture(scope="module")
def whole(scene: xr.Dataset) -> xr.Dataset:
    """Its mask by the engine without a network."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tasks, "get_engine", FakeEngine)
        found = classify(scene, confidence=True, **HOW)
    assert set(np.unique(found.ucl)) == {0, *MODEL.classes}
    return found


@pytest.fixture(scope="module")
def corner(scene: xr.Dataset) -> xr.Dataset:
    """A part of it in four windows, small enough for a network."""
    return scene.isel(y=slice(170, 420), x=slice(300, 540))


@pytest.fixture(scope="module")
def by_network(corner: xr.Dataset) -> xr.Dataset:
    """The mask of the part by a network."""
    return classify(corner, **BY_NETWORK)


@pytest.mark.usefixtures("fake_engine")
@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_any_area_in_any_chunks(scene: xr.Dataset, whole: xr.Dataset, data: st.DataObject) -> None:
    height, width = scene.B02.shape
    top = data.draw(st.integers(0, height - 2), "top")
    left = data.draw(st.integers(0, width - 2), "left")
    bottom = data.draw(st.integers(top + 1, height), "bottom")
    right = data.draw(st.integers(left + 1, width), "right")
    chunks = {d: data.draw(st.integers(60, 600), f"chunk {d}") for d in ("y", "x")}
    area = scene.odc.geobox[top:bottom, left:right]
    found = classify(scene.chunk(chunks), geobox=area, **HOW).ucl
    expected = whole.ucl.values[top:bottom, left:right]
    assert np.mean(found.values == expected) >= 0.9999


@pytest.fixture(scope="module")
def seen_on(scene: xr.Dataset) -> Callable[[str, float], xr.DataArray]:
    """The mask by the engine without a network on a grid around the scene; each grid is classified once."""

    @lru_cache
    def seen(crs: str, pixel: float) -> xr.DataArray:
        bounds = scene.odc.geobox.extent.to_crs(crs).boundingbox
        grid = GeoBox.from_bbox(bounds, crs, resolution=pixel).pad(3)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(tasks, "get_engine", FakeEngine)
            found: xr.DataArray = classify(scene, geobox=grid, **HOW).ucl
        return found

    return seen


PROJECTED = [
    ("EPSG:3857", 25),
    ("EPSG:4326", 60 / 111_320),
    ("EPSG:3035", 10),
    ("EPSG:32632", 140),
    ("EPSG:6933", 60),
]


@pytest.mark.usefixtures("fake_engine")
@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_any_area_of_any_projection(
    scene: xr.Dataset, seen_on: Callable[[str, float], xr.DataArray], data: st.DataObject
) -> None:
    whole = seen_on(*data.draw(st.sampled_from(PROJECTED), "grid"))
    grid, (rows, columns) = whole.odc.geobox, whole.shape
    top = data.draw(st.integers(0, rows - 2), "top")
    left = data.draw(st.integers(0, columns - 2), "left")
    area = grid[top : min(top + 150, rows), left : min(left + 130, columns)]
    found = classify(scene, geobox=area, **HOW).ucl.values
    cut = whole.values[top : min(top + 150, rows), left : min(left + 130, columns)]
    assert np.mean(found == cut) >= 0.9999


@pytest.mark.parametrize("scheduler", ["synchronous", "threads", "processes"])
def test_any_scheduler(corner: xr.Dataset, by_network: xr.Dataset, scheduler: str) -> None:
    lazy = classify(corner.chunk({"y": 130, "x": 200}), **BY_NETWORK)
    assert dask.is_dask_collection(lazy)
    with dask.config.set({"multiprocessing.context": "spawn", "num_workers": 1}):
        found = lazy.compute(scheduler=scheduler)
    xr.testing.assert_identical(found, by_network)


def test_a_cluster(corner: xr.Dataset, by_network: xr.Dataset, client: Client) -> None:
    lazy = classify(corner.chunk({"y": 130, "x": 200}), **BY_NETWORK)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = client.compute(lazy).result()
    xr.testing.assert_identical(found, by_network)


class HalvingEngine:
    """Answers by the place of a pixel among the 32 that five halvings make one: what a UNet does at its worst."""

    name = "fake"
    precision = "f32"

    def __init__(self, model: Model, *_: object) -> None:
        self.classes = model.classes

    def __call__(self, reflectance: np.ndarray) -> np.ndarray:
        """Return the K classes of the model, ``(N, K, H, W)`` float32."""
        row, column = np.indices(reflectance.shape[2:]) % 32
        of_class = {
            CloudClass.CLEAR: row * 0 + 0.4,
            CloudClass.CLOUD: row / 31,
            CloudClass.SHADOW: column / 31,
            CloudClass.THIN_CLOUD: row * 0,
        }
        scores = np.stack([of_class[each] for each in self.classes]).astype("float32") + 0.1
        found: np.ndarray = (scores / scores.sum(axis=0))[np.newaxis]
        return found


@pytest.mark.parametrize("model", [get_model(), MODEL], ids=["one window", "several windows"])
@pytest.mark.parametrize("cut", [(1, 0), (0, 1), (7, 16), (31, 31), (32, 5)])
def test_where_an_array_begins_does_not_move_the_halvings(
    monkeypatch: pytest.MonkeyPatch, model: Model, cut: tuple[int, int]
) -> None:
    """A scene that is cropped has the mask of the whole, but for the kernel at its new edge."""
    monkeypatch.setattr(tasks, "get_engine", HalvingEngine)
    grid = GeoBox.from_bbox((399960, 5290000, 406500, 5296000), "EPSG:32633", resolution=30)
    pixels = np.full(grid.shape, 3000, "uint16")
    scene = xr.Dataset({name: wrap_xr(pixels, grid, nodata=0) for name in SIX})
    y, x = cut
    whole, part = (
        classify(each, model=model, offset=-1000, probabilities=True)
        for each in (scene, scene.isel(y=slice(y, None), x=slice(x, None)))
    )
    assert {*np.unique(whole.ucl).tolist()} == {1, 2, 3}
    np.testing.assert_array_equal(part.ucl, whole.ucl[y:, x:])
    cloud = whole.ucl_probability.sel(ucl_class="cloud").values
    place = (np.arange(len(cloud)) - round(grid.affine.f / 30)) % 32
    assert cloud[place == 0].max() < 0.15 < 0.3 < cloud[place == 31].min()


@pytest.mark.usefixtures("fake_engine")
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


@pytest.mark.usefixtures("fake_engine")
def test_every_window_is_answered_once(scene: xr.Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    classification = import_module("odc_cleansat.masks.classify")
    answered = []
    original = classification.window_probabilities

    def counted(options, parts, target, monitor, gapless):
        answered.append(target)
        return original(options, parts, target, monitor, gapless)

    monkeypatch.setattr(classification, "window_probabilities", counted)
    classify(scene.chunk({"y": 140, "x": 180}), **HOW).compute(scheduler="synchronous")
    assert len(answered) == len(set(answered)) > 4


@pytest.mark.usefixtures("fake_engine")
@pytest.mark.parametrize("gap", [None, (0, 0), (130, 207), (419, 539)])
def test_what_windows_saw_is_not_read_again_and_gaps_are_found(
    scene: xr.Dataset, monkeypatch: pytest.MonkeyPatch, gap: tuple[int, int] | None
) -> None:
    """Blocks of a lazy scene always look for gaps by themselves."""
    full = scene.isel(x=slice(0, 350)).copy(deep=True)  # without the edge of the swath
    if gap is not None:
        place = {"y": gap[0], "x": min(gap[1], 349)}
        for band in full.data_vars.values():
            band[place] = 0
    expected = classify(full.chunk({"y": 140, "x": 100}), confidence=True, **HOW).compute()
    original, looked = tasks.has_data, []
    monkeypatch.setattr(tasks, "has_data", lambda *a: looked.append(a[1]) or original(*a))
    monkeypatch.setattr(tasks, "BLOCK", 70)
    found = classify(full, confidence=True, **HOW)
    for name in ("ucl", "ucl_confidence"):
        np.testing.assert_array_equal(found[name], expected[name])
    blocks = -(-420 // 70) * (350 // 70)
    assert not looked if gap is None else 0 < len(looked) < blocks
    assert (found.ucl == CloudClass.NODATA).sum() == (gap is not None)


@pytest.mark.usefixtures("fake_engine")
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


VALUES = [0.0, -0.3, 0.05, 0.3, 0.9, 1.6, 9.0, np.nan, np.inf, -np.inf]


def odd_scene(bands: dict[str, np.ndarray]) -> tuple[xr.Dataset, np.ndarray]:
    """A scene at 30 m of these values, and where a band has no data."""
    shape = bands["B02"].shape
    grid = GeoBox.from_bbox(
        (399960, 5300040 - 30 * shape[0], 399960 + 30 * shape[1], 5300040),
        "EPSG:32633",
        shape=shape,
    )
    gone = ~np.all([np.isfinite(v) for v in bands.values()], axis=0)
    return xr.Dataset({name: wrap_xr(values, grid) for name, values in bands.items()}), gone


def check_answers(scene: xr.Dataset, gone: np.ndarray, model: Model) -> None:
    """A class and a percent everywhere but where a band has no data."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = classify(scene, model=model, confidence=True)
    np.testing.assert_array_equal(found.ucl.values == CloudClass.NODATA, gone)
    assert set(np.unique(found.ucl)) <= {0, *model.classes}
    np.testing.assert_array_equal(found.ucl_confidence.values == 255, gone)
    assert found.ucl_confidence.values[~gone].max() <= 100


@pytest.mark.usefixtures("fake_engine")
@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_odd_reflectance_is_a_class_or_nodata_and_never_an_accident(data: st.DataObject) -> None:
    """NaN, infinity, negative and saturated values, in blocks: an answer everywhere, nodata where due."""
    shape = (data.draw(st.integers(1, 70), "rows"), data.draw(st.integers(1, 70), "columns"))
    bands = {}
    for name in SIX:
        values = np.full(shape, 0.1, dtype="float32")
        for _ in range(data.draw(st.integers(0, 3), "blocks")):
            y, x = (data.draw(st.integers(0, n - 1)) for n in shape)
            values[y : y + 20, x : x + 20] = data.draw(st.sampled_from(VALUES))
        bands[name] = values
    scene, gone = odd_scene(bands)
    if gone.all():
        with pytest.raises(SceneError, match="no pixel has data"):
            classify(scene, model=MODEL)
        return
    check_answers(scene, gone, MODEL)


@pytest.mark.parametrize("model", [None, "unet-mobilenetv2-l2a"])
def test_networks_take_odd_reflectance(model: str | None) -> None:
    """All values in all bands, in blocks of 16 pixels, some of which hold the same in all bands."""
    rng = np.random.default_rng(0)
    bands = {}
    for i, name in enumerate(SIX):
        blocks = rng.permutation(VALUES * 4)
        blocks[: len(VALUES)] = VALUES
        blocks[len(VALUES) + i] = 0.1
        bands[name] = np.kron(blocks.reshape(5, 8), np.ones((16, 16))).astype("float32")
    scene, gone = odd_scene(bands)
    assert 0.1 < gone.mean() < 0.95
    check_answers(scene, gone, get_model(model))
