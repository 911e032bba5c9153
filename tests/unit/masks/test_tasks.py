"""The tasks of a classification: which class wins, its percent, and what a block needs."""

from __future__ import annotations

import dataclasses
import itertools
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import xarray as xr
from odc.geo.geobox import GeoBox
from odc.geo.xr import wrap_xr

from odc_cleansat import CloudClass, classify, get_model
from odc_cleansat.classes import CLOUDS
from odc_cleansat.grids.windows import Tiling
from odc_cleansat.masks import tasks
from odc_cleansat.masks.options import Options
from odc_cleansat.masks.tasks import (
    BLOCK,
    Monitor,
    block_layers,
    block_slices,
    confidence_of,
    decide_classes,
    window_probabilities,
    windows_of_block,
)
from odc_cleansat.models.inference import current_check
from odc_cleansat.scenes.files import Band, parts_of

from .helpers import SIX

CLEAR, CLOUD, SHADOW = CloudClass.CLEAR, CloudClass.CLOUD, CloudClass.SHADOW
SNOW, THIN = CloudClass.SNOW, CloudClass.THIN_CLOUD
GRID = GeoBox.from_bbox((399960, 5298240, 401760, 5300040), "EPSG:32633", resolution=30)


def decided(
    *pixels: tuple[float, ...],
    classes: tuple[CloudClass, ...] = (CLEAR, CLOUD, SHADOW),
    thresholds: dict[CloudClass, float] | None = None,
) -> tuple[list[int], list[int]]:
    """Codes and percent of pixels, each given by its probabilities."""
    planes = np.array(pixels, dtype="float32").T[:, np.newaxis]
    valid = np.ones(planes.shape[1:], dtype=bool)
    codes, percent = decide_classes(planes, valid, classes, thresholds or {})
    assert codes.dtype == percent.dtype == np.uint8
    return codes[0].tolist(), percent[0].tolist()


# --- the likeliest class --------------------------------------------------------------


@pytest.mark.parametrize("classes", list(itertools.permutations((CLEAR, CLOUD, SHADOW, SNOW))))
def test_the_likeliest_wins_by_a_hundredth_wherever_it_stands(
    classes: tuple[CloudClass, ...],
) -> None:
    pixels = np.full((4, 4), 0.2475) + 0.01 * np.eye(4)
    codes, percent = decided(*map(tuple, pixels), classes=classes)
    assert codes == [int(c) for c in classes]
    assert percent == [26] * 4


@pytest.mark.parametrize("classes", list(itertools.permutations((CLEAR, CLOUD, SHADOW))))
def test_the_smallest_difference_decides(classes: tuple[CloudClass, ...]) -> None:
    for low, high in itertools.permutations(range(3), 2):
        pixel = [0.0, 0.0, 0.0]
        pixel[low] = 0.4
        pixel[high] = float(np.nextafter(np.float32(0.4), np.float32(1)))
        codes, _ = decided(tuple(pixel), classes=classes)
        assert codes == [classes[high]]


def test_of_equals_the_first_wins() -> None:
    third = 1 / 3
    for classes in itertools.permutations((CLEAR, CLOUD, SHADOW)):
        assert decided((third,) * 3, classes=classes) == ([int(classes[0])], [33])
    assert decided((0.2, 0.4, 0.4))[0] == [CLOUD]


# --- thresholds -----------------------------------------------------------------------


def test_a_threshold_is_reached_by_what_equals_it() -> None:
    below = float(np.nextafter(np.float32(0.25), np.float32(0)))
    above = float(np.nextafter(np.float32(0.25), np.float32(1)))
    pixels = [(0.7, 0.05, p) for p in (below, 0.25, above)]
    codes, percent = decided(*pixels, thresholds={SHADOW: 0.25})
    assert codes == [CLEAR, SHADOW, SHADOW]
    assert percent == [70, 25, 25]


def test_below_its_threshold_a_class_is_nowhere() -> None:
    """Not where it is by far the likeliest, and whatever the order of the classes."""
    for order in itertools.permutations(((CLEAR, 0.04), (CLOUD, 0.06), (SHADOW, 0.9))):
        classes, pixel = zip(*order, strict=True)
        assert decided(pixel, classes=classes, thresholds={SHADOW: 0.91})[0] == [CLOUD]
        assert decided(pixel, classes=classes, thresholds={SHADOW: 0.9})[0] == [SHADOW]


def test_of_several_that_reach_theirs_the_likeliest_wins() -> None:
    both = {CLOUD: 0.2, SHADOW: 0.3}
    pixels = [(0.35, 0.33, 0.32), (0.35, 0.32, 0.33), (0.5, 0.21, 0.29), (0.6, 0.19, 0.21)]
    assert decided(*pixels, thresholds=both)[0] == [CLOUD, SHADOW, CLOUD, CLEAR]


def test_a_threshold_of_nothing_is_always_reached() -> None:
    assert decided((1.0, 0.0, 0.0), thresholds={SHADOW: 0})[0] == [SHADOW]
    assert decided((0.0, 0.0, 1.0), thresholds={SHADOW: 1})[0] == [SHADOW]


def test_a_class_below_its_threshold_leaves_the_pixel_to_one_without_probability() -> None:
    almost = float(np.nextafter(np.float32(1), np.float32(0)))
    assert decided((0.0, 0.0, almost), thresholds={SHADOW: 1}) == ([CLEAR], [0])


# --- percent --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("probability", "percent"),
    [(0.504, 50), (0.506, 51), (0.994, 99), (0.996, 100), (0.999999, 100), (1.0, 100)],
)
def test_percent_is_rounded(probability: float, percent: int) -> None:
    rest = (1 - probability) / 2
    for place in range(3):
        pixel = [rest] * 3
        pixel[place] = probability
        assert decided(tuple(pixel))[1] == [percent]


def test_halves_of_a_percent_go_to_the_even_number() -> None:
    # These are exact in binary: 12.5, 37.5 and 62.5 percent.
    pixels = [(0.8, 0.0, 0.125), (0.6, 0.0, 0.375), (0.3, 0.0, 0.625)]
    assert decided(*pixels, thresholds={SHADOW: 0.1}) == ([SHADOW] * 3, [12, 38, 62])


def test_percent_of_cloud_is_that_of_either_kind() -> None:
    classes = (CLEAR, CLOUD, THIN, SHADOW)
    pixels = [(0.3, 0.36, 0.3, 0.04), (0.3, 0.3, 0.36, 0.04), (0.4, 0.3, 0.2, 0.1), (0.1, 0.2, 0.2, 0.5)]  # fmt: skip
    codes, percent = decided(*pixels, classes=classes)
    assert codes == [CLOUD, THIN, CLEAR, SHADOW]
    assert percent == [66, 66, 40, 50]


def test_percent_lies_on_the_curve_of_its_class() -> None:
    planes = np.array(
        [(0.6, 0.2, 0.1, 0.1), (0.2, 0.3, 0.3, 0.2), (0.1, 0.1, 0.3, 0.5), (0.0, 0.0, 0.0, 1.0)],
        dtype="float32",
    ).T[:, np.newaxis]  # fmt: skip
    curves = (
        ("clear", ((0.0, 0.8), (0.5, 0.9), (1.0, 1.0))),
        ("cloud", ((0.0, 0.0), (1.0, 0.5))),
        ("shadow", ((0.6, 0.2), (1.0, 0.9))),
    )
    valid = np.ones((1, 4), dtype=bool)
    codes, percent = decide_classes(planes, valid, (CLEAR, CLOUD, THIN, SHADOW), {}, curves)
    assert codes.tolist() == [[CLEAR, CLOUD, SHADOW, SHADOW]]
    assert percent.tolist() == [[92, 30, 20, 90]]  # below its first point a curve goes on level


def test_confidence_of_classes_that_are_not_the_likeliest() -> None:
    pixel = np.array([0.5, 0.3, 0.1, 0.1], "float32")
    planes = np.broadcast_to(pixel[:, np.newaxis, np.newaxis], (4, 1, 7)).copy()
    planes[:, 0, 6] = np.nan
    codes = np.array([[CLEAR, CLOUD, THIN, SHADOW, SNOW, 0, CLEAR]], "uint8")
    classes = (CLEAR, CLOUD, THIN, SHADOW)
    assert confidence_of(codes, planes, classes).tolist() == [[50, 40, 40, 10, 0, 255, 255]]
    curves = (("clear", ((0.0, 0.8), (1.0, 1.0))),)
    percent = confidence_of(codes, planes, classes, curves)
    assert percent.tolist() == [[90, 40, 40, 10, 0, 255, 255]]


# --- nodata ---------------------------------------------------------------------------


def test_where_there_are_no_data_there_is_no_class_and_no_percent() -> None:
    planes = np.full((3, 2, 3), 1 / 3, dtype="float32")
    planes[0, :, 0], planes[:, 1, 2] = 0.9, np.nan
    valid = np.array([[True, False, True], [False, True, False]])
    with np.errstate(all="raise"):
        codes, percent = decide_classes(planes, valid, (CLEAR, CLOUD, SHADOW), {CLOUD: 0.3})
    assert codes.tolist() == [[2, 0, 2], [0, 2, 0]]
    assert percent.tolist() == [[33, 255, 33], [255, 33, 255]]


# --- windows --------------------------------------------------------------------------


def bands(value: float = 0.1, grid: GeoBox = GRID) -> list[Band]:
    values = np.full(grid.shape, value, dtype="float32")
    return [Band(wrap_xr(values.copy(), grid), grid) for _ in SIX]


@pytest.mark.usefixtures("fake_engine")
def test_a_window_is_what_the_engine_says_of_its_pixels() -> None:
    options, monitor = Options(get_model()), Monitor(None)
    cloudy = bands(0.6)
    found = window_probabilities(options, cloudy, GRID, monitor)
    assert found is not None
    assert found.shape == (len(get_model().classes), *GRID.shape)
    assert found.dtype == np.float32
    assert (found.argmax(axis=0) == 1).all()
    assert monitor.done == 1
    cloudy[2].data.values[:] = np.nan
    assert window_probabilities(options, cloudy, GRID, monitor) is None
    assert window_probabilities(options, None, GRID, monitor) is None
    assert monitor.done == 3


def test_scale_and_offset_make_reflectance(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def engine(reflectance: np.ndarray) -> np.ndarray:
        seen.append(reflectance)
        return np.zeros((1, len(get_model().classes), *reflectance.shape[2:]), dtype="float32")

    monkeypatch.setattr("odc_cleansat.masks.tasks.get_engine", lambda *_: engine)
    for options in (
        Options(get_model(), offset=-1000, scale=1e-4),
        Options(get_model(), scale=5e-5),
    ):
        window_probabilities(options, bands(3000), GRID)
    np.testing.assert_allclose(seen[0], 0.2, rtol=1e-5)
    np.testing.assert_allclose(seen[1], 0.15, rtol=1e-5)


def test_progress_counts_windows() -> None:
    steps: list[tuple[int, int]] = []
    monitor = Monitor(lambda *n: steps.append(n), total=2)
    for _ in range(2):
        window_probabilities(Options(get_model()), None, GRID, monitor)
    assert steps == [(0, 2), (1, 2), (1, 2), (2, 2)]


@pytest.mark.usefixtures("fake_engine")
def test_progress_may_end_the_work_while_the_network_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Engines that can be broken off ask what the window gave them."""
    calls: list[tuple[int, int]] = []

    def stop(done: int, total: int) -> None:
        calls.append((done, total))
        if len(calls) == 2:
            raise TimeoutError("enough")

    def engine(batch: np.ndarray) -> np.ndarray:
        check = current_check()
        assert check is not None
        check()
        pytest.fail("the network runs on")

    monkeypatch.setattr(tasks, "get_engine", lambda *_: engine)
    monitor = Monitor(stop, total=1)
    with pytest.raises(TimeoutError, match="enough"):
        window_probabilities(Options(get_model()), bands(0.6), GRID, monitor)
    assert calls == [(0, 1), (0, 1)]
    assert current_check() is None


@pytest.mark.usefixtures("fake_engine")
def test_the_offset_is_judged_by_the_visible_bands() -> None:
    """The darkest of blue, green and red; the three behind them are darker."""
    monitor = Monitor(None)
    grid = GeoBox.from_bbox((399960, 5294040, 405960, 5300040), "EPSG:32633", resolution=30)
    scene = [*bands(0.12, grid)[:3], *bands(0.0, grid)[:3]]
    window_probabilities(Options(get_model()), scene, grid, monitor)
    assert "no pixel is darker than a reflectance of 0.12" in " ".join(monitor.complaints())


@pytest.mark.usefixtures("fake_engine")
@pytest.mark.parametrize(("processors", "most"), [(1, 1), (2, 1), (6, 3)])
def test_pixels_of_few_windows_are_in_memory_at_a_time(
    monkeypatch: pytest.MonkeyPatch, processors: int, most: int
) -> None:
    lock, at_once, seen = threading.Lock(), 0, []
    original = tasks.to_model_grid

    def read(*args: Any, **options: Any) -> np.ndarray:
        nonlocal at_once
        with lock:
            at_once += 1
            seen.append(at_once)
        time.sleep(0.02)
        found = original(*args, **options)
        with lock:
            at_once -= 1
        return found

    monkeypatch.setattr(tasks, "to_model_grid", read)
    monkeypatch.setattr(tasks, "available_cpus", lambda: processors)
    options, monitor, scene = Options(get_model()), Monitor(None), bands(0.6)
    with ThreadPoolExecutor(8) as pool:
        made = [pool.submit(window_probabilities, options, scene, GRID, monitor) for _ in range(12)]
    assert all(each.result() is not None for each in made)
    assert max(seen) == most


# --- blocks ---------------------------------------------------------------------------


def test_windows_of_a_block_are_those_of_the_scene_that_touch_it() -> None:
    model = dataclasses.replace(get_model(), tiling=Tiling((96, 96), 32, whole=0))
    scene = GeoBox.from_bbox((399960, 5289960, 412560, 5300040), "EPSG:32633", resolution=20)
    area, whole = windows_of_block(model, scene, scene)
    assert area is not None
    assert len(whole) > 8
    rows, columns = area[0].shape
    assert (rows * 30, columns * 30) >= (10080, 12600)
    for block in (scene[:60, :60], scene[200:300, 100:500], scene[-1:, -1:]):
        part, found = windows_of_block(model, scene, block)
        assert part is not None
        assert part[1].extent.contains(block.extent)
        assert {window for window, _ in found} <= {window for window, _ in whole}
        for window, grid in found:
            assert window.box.shape == grid.shape
    away = scene.translate_pix(5000, 0)
    assert windows_of_block(model, scene, away) == (None, [])


def test_a_block_beyond_the_scene_or_one_of_its_bands_is_nodata() -> None:
    options = Options(get_model())
    names = ["ucl", "ucl_confidence", "ucl_probability"]
    away = GRID.translate_pix(500, 0)
    assert parts_of(bands(), away) is None
    for area in (None, windows_of_block(options.model, GRID, GRID)[0]):
        layers = block_layers(options, area, [], None, GRID, names)
        assert list(layers) == names
        assert (layers["ucl"] == 0).all()
        assert (layers["ucl_confidence"] == 255).all()
        assert np.isnan(layers["ucl_probability"]).all()
        assert layers["ucl_probability"].shape == (len(options.model.classes), *GRID.shape)


def test_a_block_has_data_where_all_bands_have() -> None:
    options = Options(get_model(), thresholds=((CLOUD, 0.3),))
    area, ((window, _),) = windows_of_block(options.model, GRID, GRID)
    scene = bands()
    scene[4].data.values[5:9, 7:20] = np.nan
    answer = np.broadcast_to(
        np.array([0.5, 0.3, 0.1, 0.1], "float32")[:, np.newaxis, np.newaxis],
        (4, *window.box.shape),
    )
    layers = block_layers(options, area, [(window, answer)], scene, GRID, ["ucl", "ucl_confidence"])
    gone = np.zeros(GRID.shape, dtype=bool)
    gone[5:9, 7:20] = True
    np.testing.assert_array_equal(layers["ucl"], np.where(gone, 0, int(CLOUD)))
    np.testing.assert_array_equal(
        layers["ucl_confidence"], np.where(gone, 255, 40)
    )  # of either kind


def test_blocks_follow_the_chunks_of_the_scene() -> None:
    chunked = [Band(b.data.chunk(y=25, x=40), b.grid) for b in bands()]
    rows, columns = block_slices(chunked, GRID)
    assert [(s.start, s.stop) for s in rows] == [(0, 25), (25, 50), (50, 60)]
    assert [(s.start, s.stop) for s in columns] == [(0, 40), (40, 60)]


@pytest.mark.parametrize("factor", [0.5, 1, 3, 40])
def test_blocks_of_another_grid_cover_it_once_and_read_little(factor: float) -> None:
    grid = GeoBox.from_bbox((3e5, 5e6, 4e5, 5.1e6), "EPSG:32633", resolution=10)
    scene = [Band(wrap_xr(np.broadcast_to(np.uint16(1), grid.shape), grid), grid)]
    output = GeoBox.from_bbox((2e5, 4.9e6, 5e5, 5.2e6), "EPSG:32633", resolution=10 * factor)
    rows, columns = block_slices(scene, output)
    for slices, size in ((rows, output.shape[0]), (columns, output.shape[1])):
        assert slices[0].start == 0
        assert slices[-1].stop == size
        assert all(a.stop == b.start for a, b in itertools.pairwise(slices))
        assert max(s.stop - s.start for s in slices) <= BLOCK
    parts = [parts_of(scene, output[y, x]) for y in rows for x in columns]
    read = [part[0].data.shape for part in parts if part is not None]
    assert read
    assert max(max(shape) for shape in read) < 1.2 * BLOCK


# --- in a scene -----------------------------------------------------------------------


@pytest.mark.usefixtures("fake_engine")
def test_layers_of_a_scene_agree(simulated: xr.Dataset, fake_mask: xr.Dataset) -> None:
    found = classify(simulated[SIX], offset=-1000, confidence=True, probabilities=True)
    probability = found.ucl_probability
    assert probability.dims == ("ucl_class", "y", "x")
    assert list(probability.ucl_class.values) == ["clear", "cloud", "shadow", "thin_cloud"]
    assert list(probability.ucl_code.values) == [1, 2, 3, 6]
    valid = found.ucl.values != 0
    assert np.isnan(probability.values[:, ~valid]).all()
    total = probability.values[:, valid].sum(axis=0)
    assert total.max() <= 1.0001  # light takes some away
    plain = classify(simulated[SIX], offset=-1000, probabilities=True, refine=False)
    np.testing.assert_allclose(plain.ucl_probability.values[:, valid].sum(axis=0), 1, atol=1e-4)
    planes = probability.values[:, valid]
    codes = found.ucl.values[valid]
    np.testing.assert_array_equal(probability.ucl_code.values[planes.argmax(axis=0)], codes)
    xr.testing.assert_identical(found[["ucl", "ucl_confidence"]], fake_mask)
    assert set(probability.ucl_code.values) == set(codes)
    bare = dataclasses.replace(get_model(), calibration=())
    uncalibrated = classify(simulated[SIX], model=bare, offset=-1000, confidence=True)
    xr.testing.assert_identical(uncalibrated.ucl, found.ucl)
    share = np.where(np.isin(codes, CLOUDS), planes[1] + planes[3], planes.max(axis=0))
    percent = uncalibrated.ucl_confidence.values[valid]
    np.testing.assert_array_equal(np.rint(100 * share), percent)
    for label, curve in get_model().calibration:
        here = codes == CloudClass[label.upper()]
        share[here] = np.interp(share[here], *np.array(curve).T)
    np.testing.assert_array_equal(np.rint(100 * share), found.ucl_confidence.values[valid])


@pytest.mark.usefixtures("fake_engine")
@pytest.mark.parametrize("shadow", [0.2, 0.5, 0.8])
def test_thresholds_in_a_scene(simulated: xr.Dataset, shadow: float) -> None:
    found = classify(
        simulated[SIX], offset=-1000, probabilities=True, thresholds={"shadow": shadow}
    )
    valid = found.ucl.values != 0
    probability = found.ucl_probability.sel(ucl_class=found.ucl_class != "shadow")
    dark = found.ucl_probability.sel(ucl_class="shadow").values[valid]
    codes = found.ucl.values[valid]
    np.testing.assert_array_equal(codes == CloudClass.SHADOW, dark >= np.float32(shadow))
    likeliest = probability.ucl_code.values[probability.values[:, valid].argmax(axis=0)]
    rest = dark < np.float32(shadow)
    np.testing.assert_array_equal(codes[rest], likeliest[rest])
    assert set(probability.ucl_code.values) <= set(codes)
