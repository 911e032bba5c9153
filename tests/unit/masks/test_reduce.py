"""Median, geomedian and best pixel, against the same by hand."""

from __future__ import annotations

import sys
from datetime import UTC, date, datetime

import dask
import numpy as np
import pytest
import xarray as xr
from scipy.ndimage import distance_transform_edt

from odc_cleansat.classes import confidence_attrs
from odc_cleansat.errors import CleansatError, SceneError
from odc_cleansat.masks.composite import METHODS, composite
from odc_cleansat.masks.reduce import REACH, score_observations

from .series import BANDS, by_hand, little


@pytest.mark.parametrize("lazy", [False, True])
def test_median_of_a_few_dates(lazy: bool) -> None:
    """One date to six, in any order; of an even number the mean of the middle two."""
    values = [[900, 100, 40, 700, 10, 3], [100, 600, 20, 100, 11, 6], [500, 300, 90, 300, 0, 2]]
    values += [[0, 0, 0, 500, 0, 5], [0, 0, 0, 0, 40, 1], [0, 0, 0, 0, 0, 4]]
    scene = little([[1] * 6] * 6, values, "float32")
    found = composite(scene.chunk(time=2, x=4) if lazy else scene).red
    np.testing.assert_array_equal(found.values, [[500, 300, 40, 400, 11, 3.5]])


@pytest.mark.parametrize("lazy", [False, True])
def test_the_score_of_an_observation(lazy: bool) -> None:
    """Distance, 1 at 500 m; confidence, 1 at 100 percent; nearness, 2 on the day and 1 after 30 days."""
    codes = [[2, *[1] * 30], [1] * 31]
    scene = little(codes, codes, dates=["2024-06-15", "2024-07-15"])
    grid = scene.odc.geobox
    hidden = (scene.ucl == 2).chunk(time=1, x=10) if lazy else scene.ucl == 2
    away = score_observations(scene, hidden, None, grid)
    assert away.dtype == np.float32
    # The ground's metre is not quite the map's.
    distance = np.minimum(np.arange(31) * 20 / 500, 1)
    np.testing.assert_allclose(away[:, 0], [distance, np.ones(31)], rtol=1e-3)

    percent = np.array([[[80] * 31], [[255] * 31]], dtype="uint8")
    scene["ucl_confidence"] = (("time", "y", "x"), percent, confidence_attrs())
    sure = score_observations(scene, hidden, None, grid)
    np.testing.assert_allclose((sure - away).values[:, 0, 0], [0.8, 0], atol=1e-6)

    near = score_observations(scene, hidden, "2024-06-15", grid)
    assert near.dtype == np.float32
    np.testing.assert_allclose((near - sure).values[:, 0, 0], [2, 1], atol=1e-6)
    near = score_observations(scene, hidden, "2024-05-16", grid)
    np.testing.assert_allclose((near - sure).values[:, 0, 0], [1, 2 / 3], atol=1e-6)


def test_distances_need_no_more_of_the_mask_than_500_metres_around() -> None:
    scene = little([[1] * 400] * 2, [[7] * 400] * 2)
    seen: list[int] = []

    def note(block: np.ndarray) -> np.ndarray:
        seen.append(block.shape[2])
        return block

    hidden = (scene.ucl == 2).chunk(time=1, x=50)
    hidden.data = hidden.data.map_blocks(note, meta=np.empty((0, 0, 0), bool))
    score = score_observations(scene, hidden, None, scene.odc.geobox)
    score[:, :, 200:250].compute(scheduler="synchronous")
    assert seen == [50] * 6, "of two dates the chunk, and one on each side"


@pytest.mark.parametrize("target", ["midsummer", 5, np.datetime64("NaT", "ns")])
def test_a_target_that_is_no_date(target: object) -> None:
    with pytest.raises(CleansatError, match="is not a date"):
        composite(little([[1]], [[7]]), method="best", target=target)  # type: ignore[arg-type]


@pytest.mark.parametrize("times", [None, [1, 2]])
def test_the_best_pixel_needs_dates(times: list[int] | None) -> None:
    scene = little([[1], [1]], [[7], [8]]).drop_vars("time")
    if times:
        scene = scene.assign_coords(time=times)
    with pytest.raises(SceneError, match="needs dates"):
        composite(scene, method="best")


@pytest.mark.parametrize(("name", "package"), [("joblib.parallel", "joblib"), (None, "geomad")])
def test_the_package_that_the_geomedian_lacks(
    name: str | None, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> None:
        raise ImportError("not here", name=name)

    monkeypatch.setattr("odc.algo.xr_geomedian", fail)
    with pytest.raises(CleansatError, match=f"needs the package {package}, .*not here"):
        composite(little([[1]], [[7]]), method="geomedian")


def test_the_geomedian_of_black_is_black() -> None:
    scene = little([[1, 1]] * 3, [[0, 0]] * 3, "float32", None)
    assert composite(scene, method="geomedian").red.values.tolist() == [[0, 0]]


def test_nodata_values() -> None:
    codes = [[1, 1, 2], [1, 1, 2], [2, 1, 2]]
    values: list[list[float]] = [[-999, -5, 3], [7, 0, 4], [8, -999, 5]]
    found = composite(little(codes, values, "int16", -999), dilation=None)
    # -2.5 is rounded to even.
    assert found.red.values.tolist() == [[7, -2, -999]]
    assert found.red.dtype == np.int16
    assert found.red.attrs["nodata"] == -999
    found = composite(little(codes, values, "float32", -999), dilation=None)
    np.testing.assert_array_equal(found.red, [[7, -2.5, np.nan]])
    assert np.isnan(found.red.attrs["nodata"])
    nan = [[np.nan if v == -999 else v / 100 for v in row] for row in values]
    found = composite(little(codes, nan, "float64", None), dilation=None)
    np.testing.assert_allclose(found.red, [[0.07, -0.025, np.nan]])
    assert found.red.dtype == np.float64
    assert "nodata" not in found.red.attrs
    found = composite(little(codes, [[0, 1, 2], [3, 4, 5], [6, 7, 8]], nodata=None), dilation=None)
    assert found.red.values.tolist() == [[3, 4, 0]]
    assert found.red.attrs["nodata"] == 0


def test_best_prefers_confidence() -> None:
    scene = little([[1, 1], [1, 1], [1, 1]], [[10, 20], [11, 21], [12, 22]])
    percent = np.array([[[80, 90]], [[99, 90]], [[70, 255]]], dtype="uint8")
    scene["ucl_confidence"] = (("time", "y", "x"), percent, confidence_attrs())
    assert composite(scene, method="best").red.values.tolist() == [[11, 21]]
    assert composite(scene.drop_vars("ucl_confidence"), method="best").red.values.tolist() == [
        [12, 22]
    ]


@pytest.mark.parametrize(
    "target",
    [
        "2024-06-15",
        "2024-06-15T01:00:00Z",
        "2024-06-15T23:00:00+10:00",
        date(2024, 6, 15),
        datetime(2024, 6, 15, tzinfo=UTC),
        np.datetime64("2024-06-15"),
    ],
)
def test_best_prefers_the_target_date(target: str | date | np.datetime64) -> None:
    dates = ["2024-04-01", "2024-06-10", "2024-06-25", "2024-09-01"]
    scene = little([[1, 1], [1, 2], [1, 2], [1, 2]], [[10, 20], [11, 21], [12, 22], [13, 23]])
    scene = scene.assign_coords(time=np.array(dates, dtype="datetime64[ns]"))
    found = composite(scene, method="best", dilation=None, target=target)
    assert found.red.values.tolist() == [[11, 20]]
    assert found.best_time.values.astype("datetime64[D]").astype(str).tolist() == [
        ["2024-06-10", "2024-04-01"]
    ]


def test_median(series: xr.Dataset) -> None:
    found = composite(series)
    used, _ = by_hand(series, 3)
    for band in BANDS:
        masked = np.ma.masked_array(series[band].values, ~used)
        expected = np.rint(np.ma.median(masked, axis=0)).filled(0)
        assert found[band].dtype == np.uint16
        np.testing.assert_array_equal(found[band], expected)


def test_geomedian_is_nearest_to_all(series: xr.Dataset) -> None:
    """The sum of distances to the observations grows in whichever direction one leaves it."""
    scene = series[[*BANDS, "ucl"]].isel(y=slice(0, 40), x=slice(0, 50))
    found = composite(scene, method="geomedian")
    used, _ = by_hand(scene, 3)
    values = np.stack([scene[b].values.astype("float64") for b in BANDS])
    centre = np.stack([found[b].values.astype("float64") for b in BANDS])

    def total(point: np.ndarray) -> np.ndarray:
        distance = np.sqrt(((values - point[:, np.newaxis]) ** 2).sum(axis=0))
        return np.where(used, distance, 0).sum(axis=0)

    several = found.clear_count.values > 2
    assert several.mean() > 0.5
    for band in range(len(BANDS)):
        for step in (-20, 20):
            moved = centre.copy()
            moved[band] += step
            assert (total(moved)[several] > total(centre)[several]).all()


@pytest.mark.parametrize("scale", [1, 1e-4, 1e4])
def test_geomedian_is_as_precise_at_any_scale(series: xr.Dataset, scale: float) -> None:
    scene = series[[*BANDS, "ucl"]].isel(y=slice(0, 40), x=slice(0, 50))
    reference = composite(scene, method="geomedian")
    scaled = scene.copy()
    for band in BANDS:
        scaled[band] = scene[band].where(scene[band] != 0) * np.float32(scale)
    found = composite(scaled, method="geomedian")
    for band in BANDS:
        expected = reference[band].where(reference[band] != 0).values
        difference = np.abs(found[band].values / scale - expected)
        np.testing.assert_array_equal(np.isnan(difference), np.isnan(expected))
        # Not all: where observations lie on one line, every point between the middle two will do.
        assert np.nanmean(difference < 0.52) > 0.99


def test_best_is_one_date(series: xr.Dataset) -> None:
    found = composite(series, method="best")
    used, _ = by_hand(series, 3)
    nowhere = np.isnat(found.best_time.values)
    np.testing.assert_array_equal(nowhere, ~used.any(axis=0))
    index = np.searchsorted(series.time.values, found.best_time.values)
    index[nowhere] = 0
    assert len(np.unique(index)) > 3
    assert np.take_along_axis(used, index[np.newaxis], axis=0)[0][~nowhere].all()
    for band in BANDS:
        chosen = np.take_along_axis(series[band].values, index[np.newaxis], axis=0)[0]
        np.testing.assert_array_equal(found[band], np.where(nowhere, 0, chosen))


def test_best_is_farthest_from_cloud(series: xr.Dataset) -> None:
    found = composite(series, method="best", dilation=None)
    used, _ = by_hand(series, 0)
    hidden = np.isin(series.ucl.values, (2, 3, 6))
    far = np.array([np.minimum(20 * distance_transform_edt(~each), REACH) for each in hidden])
    far[~used] = -1
    index = np.searchsorted(series.time.values, found.best_time.values)
    clear = used.any(axis=0)
    chosen = np.take_along_axis(far, np.where(clear, index, 0)[np.newaxis], axis=0)[0]
    # The ground's metre is not quite the map's.
    np.testing.assert_allclose(chosen[clear], far.max(axis=0)[clear], rtol=1e-3)


@pytest.mark.parametrize("lazy", [False, True])
def test_geomedian_without_its_library(
    series: xr.Dataset, lazy: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "geomad", None)
    scene = series.chunk() if lazy else series
    with pytest.raises(CleansatError, match="`pip install geomad`, or use method='median'"):
        composite(scene, method="geomedian")
    composite(scene, method="median")


CHUNKS = [
    {"time": 1, "y": 50, "x": 70},
    {"time": 4, "y": 31, "x": 160},
    {"time": -1, "y": 120, "x": 40},
]


@pytest.mark.parametrize("chunks", CHUNKS)
@pytest.mark.parametrize("method", METHODS)
def test_lazy_gives_the_same(series: xr.Dataset, method: str, chunks: dict[str, int]) -> None:
    scene = series[["B02", "B11", "ucl"]]
    scene = scene.assign(
        ucl_confidence=(90 + series.SCL % 3).astype("uint8").assign_attrs(confidence_attrs())
    ).isel(y=slice(120), x=slice(80, 240))
    lazy = composite(scene.chunk(chunks), method=method)
    assert all(dask.is_dask_collection(layer.data) for layer in lazy.data_vars.values())
    found = lazy.compute(scheduler="synchronous")
    xr.testing.assert_identical(found, composite(scene, method=method))
