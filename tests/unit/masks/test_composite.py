"""`composite` against the simulated ground without clouds, and against the same by hand."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import date, datetime, timezone
from pathlib import Path

import cloudpickle
import dask
import numpy as np
import pytest
import xarray as xr
from affine import Affine
from conftest import read_folder
from odc.algo import enum_to_bool
from odc.geo.geobox import GeoBox
from odc.geo.xr import wrap_xr, xr_coords
from scipy.ndimage import distance_transform_edt

from odc_cleansat import CloudClass, classify
from odc_cleansat.classes import confidence_attrs, ucl_attrs
from odc_cleansat.errors import CleansatError, SceneError
from odc_cleansat.masks.composite import CLEAR, MARGIN, METHODS, composite
from odc_cleansat.masks.reduce import REACH
from odc_cleansat.synthetic.scene import SimulatedScene

BANDS = ["B02", "B04", "B08", "B11"]
DATES = [f"2024-{month:02d}-{day}T10:10:31Z" for month in (6, 7, 8) for day in (11, 21)]


def simulate(date: str, **options: object) -> xr.Dataset:
    """The same land at 20 m, its east outside the swath, with the truth as its mask."""
    made = SimulatedScene(shape=(480, 600), seed=1, swath_edge=True, datetime=date, **options)  # type: ignore[arg-type]
    scene = made.to_xarray(20)
    return scene[["B02", "B03", "B04", "B08", "B11", "B12", "SCL"]].assign(
        ucl=scene.truth.assign_attrs(ucl_attrs())
    )


def join(scenes: list[xr.Dataset]) -> xr.Dataset:
    return xr.concat(scenes, "time", join="exact", combine_attrs="drop_conflicts")


@pytest.fixture(scope="module")
def series() -> xr.Dataset:
    """Six dates, a quarter of each clouded."""
    return join([simulate(each) for each in DATES])


@pytest.fixture(scope="module")
def ground() -> xr.Dataset:
    """What a composite should show."""
    return simulate(DATES[0], cloud_cover=0).isel(time=0)


def error(found: xr.Dataset, ground: xr.Dataset) -> float:
    """Mean difference from the ground, digital numbers, over the pixels with data."""
    differences = [
        np.abs(found[b].values.astype("float64") - ground[b].values)[
            (found[b].values != 0) & (ground[b].values != 0)
        ]
        for b in BANDS
    ]
    return float(np.mean(np.concatenate(differences)))


def little(
    codes: list[list[int]],
    values: list[list[float]],
    dtype: str = "uint16",
    nodata: float | None = 0,
    dates: list[str] | None = None,
) -> xr.Dataset:
    """A row of pixels, far apart, for each date: codes and values of one band."""
    grid = GeoBox((1, len(codes[0])), Affine(20, 0, 399960, 0, -20, 5300040), "EPSG:32633")
    coords = dict(xr_coords(grid))
    days = dates or [f"2024-06-{day:02d}" for day in range(1, len(codes) + 1)]
    coords["time"] = xr.DataArray(np.array(days, dtype="datetime64[ns]"), dims="time")
    dims = ("time", "y", "x")
    attrs = {"grid_mapping": "spatial_ref"} | ({} if nodata is None else {"nodata": nodata})
    band = np.array(values, dtype=dtype)[:, np.newaxis]
    ucl = np.array(codes, dtype="uint8")[:, np.newaxis]
    return xr.Dataset({"red": (dims, band, attrs), "ucl": (dims, ucl, ucl_attrs())}, coords=coords)


# --- what it is for -------------------------------------------------------------------


# Measured, in digital numbers: without a mask 247; with the true mask median 4.3, geomedian 4.3 and
# best 0.6; with the masks of `classify` 1.6, 1.7 and 1.4. The truth leaves out thinner veils.
@pytest.mark.parametrize("method", METHODS)
def test_shows_the_ground(series: xr.Dataset, ground: xr.Dataset, method: str) -> None:
    unmasked = error(series[BANDS].median("time"), ground)
    assert unmasked > 100
    found = composite(series, method=method)
    assert error(found, ground) < 7
    in_swath = ground.B02.values != 0
    assert np.mean(found.B02.values[in_swath] != 0) > 0.99


def test_shows_the_ground_with_masks_of_the_network(series: xr.Dataset, ground: xr.Dataset) -> None:
    scene = series.assign(classify(series, offset=-1000, confidence=True))
    for method in METHODS:
        assert error(composite(scene, method=method), ground) < 7


def test_a_margin_helps(series: xr.Dataset, ground: xr.Dataset) -> None:
    with_margin, without = (error(composite(series, dilation=m), ground) for m in (MARGIN, None))
    assert with_margin < 0.6 * without


# --- the same by hand -----------------------------------------------------------------


def by_hand(scene: xr.Dataset, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Which observations are used and which have data, with numpy and distances in pixels."""
    ucl = scene.ucl.values
    observed = (ucl != 0) & np.all([scene[b].values != 0 for b in scene if b[0] == "B"], axis=0)
    hidden = np.isin(ucl, (2, 3, 6))
    near = np.array([distance_transform_edt(~each) <= radius for each in hidden])
    return observed & ~near, observed


@pytest.mark.parametrize(
    ("dilation", "radius"), [(None, 0), (MARGIN, 3), ({"cloud": 100, "shadow": 100}, 5)]
)
def test_counts(series: xr.Dataset, dilation: dict[str, float] | None, radius: float) -> None:
    scene = series.copy(deep=True)
    scene["B11"].values[1, 20:40, 20:40] = 0
    found = composite(scene, dilation=dilation)
    used, observed = by_hand(scene, radius)
    assert used.sum() < observed.sum() < observed.size
    for name, mask in (("clear_count", used), ("observation_count", observed)):
        assert found[name].dtype == np.uint16
        np.testing.assert_array_equal(found[name], mask.sum(axis=0))
    assert found.clear_share.dtype == np.float32
    with np.errstate(invalid="ignore"):
        share = used.sum(axis=0) / observed.sum(axis=0)
    np.testing.assert_allclose(found.clear_share, share, rtol=1e-6)
    assert np.isnan(found.clear_share.values).any()


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


# --- one pixel at a time --------------------------------------------------------------


def test_never_clear_is_nodata() -> None:
    scene = little([[2, 0, 1], [3, 0, 2], [6, 1, 1]], [[10, 20, 30], [11, 21, 31], [12, 22, 32]])
    for method in METHODS:
        found = composite(scene, method=method, dilation=None)
        assert found.red.values.tolist() == [[0, 22, 32 if method == "best" else 31]]
        assert found.clear_count.values.tolist() == [[0, 1, 2]]
        assert found.observation_count.values.tolist() == [[3, 1, 3]]
        np.testing.assert_allclose(found.clear_share, [[0, 1, 2 / 3]], rtol=1e-6)
        assert found.red.attrs["nodata"] == 0
    assert np.isnat(found.best_time.values).tolist() == [[True, False, False]]


def test_no_data_is_not_an_observation() -> None:
    """Nor is it clear where the mask says so but a band has none."""
    scene = little([[0, 1], [0, 1]], [[10, 0], [11, 0]])
    for method in METHODS:
        found = composite(scene, method=method)
        assert (found.red.values == 0).all()
        assert (found.clear_count.values == 0).all()
        assert (found.observation_count.values == 0).all()
        assert np.isnan(found.clear_share.values).all()


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
        datetime(2024, 6, 15, tzinfo=timezone.utc),
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


def test_what_counts_as_clear() -> None:
    scene = little([[4, 5, 6, 9], [1, 1, 1, 1]], [[10, 10, 10, 10], [20, 20, 20, 20]])

    def counts(clear: object = CLEAR) -> list[int]:
        found = composite(scene, clear=clear, dilation=None)  # type: ignore[arg-type]
        return list(found.clear_count.values[0])

    assert counts() == [2, 2, 1, 1]
    assert counts("clear") == [1, 1, 1, 1]
    assert counts(["clear", "thin_cloud"]) == [1, 1, 2, 1]
    # Cloud that counts as clear hides nothing around it either.
    found = composite(scene, clear=["clear", "thin_cloud"])
    assert found.clear_count.values.tolist() == [[1, 1, 2, 1]]
    found = composite(scene, dilation={"cloud": 20})
    assert found.clear_count.values.tolist() == [[2, 1, 1, 1]]


def test_min_observations(series: xr.Dataset) -> None:
    found = {n: composite(series, min_observations=n) for n in (1, 3)}
    few = found[1].clear_count.values < 3
    assert 0 < few.mean() < 0.5
    for band in BANDS:
        expected = np.where(few, 0, found[1][band])
        np.testing.assert_array_equal(found[3][band], expected)
    xr.testing.assert_identical(found[1].clear_count, found[3].clear_count)


@pytest.mark.parametrize("method", METHODS)
def test_one_date(series: xr.Dataset, method: str) -> None:
    scene = series.isel(time=[2])
    found = composite(scene, method=method)
    used, _ = by_hand(scene, 3)
    for band in BANDS:
        np.testing.assert_array_equal(found[band], np.where(used[0], scene[band].values[0], 0))
    assert set(np.unique(found.clear_count)) == {0, 1}


@pytest.mark.parametrize("method", METHODS)
def test_the_order_of_dates_does_not_matter(series: xr.Dataset, method: str) -> None:
    xr.testing.assert_identical(
        composite(series, method=method),
        composite(series.isel(time=[3, 0, 5, 1, 4, 2]), method=method),
    )


# --- reflectance, names, grids --------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_reflectance(series: xr.Dataset, method: str) -> None:
    scene = series[[*BANDS, "ucl"]].copy()
    for band in BANDS:
        scene[band] = ((scene[band].astype("float32") - 1000) / 10000).where(scene[band] != 0)
    found, expected = composite(scene, method=method), composite(series[[*scene]], method=method)
    for band in BANDS:
        assert found[band].dtype == np.float32
        reflectance = ((expected[band].astype("float32") - 1000) / 10000).where(expected[band] != 0)
        difference = np.abs(found[band] - reflectance).values
        np.testing.assert_array_equal(np.isnan(difference), np.isnan(reflectance.values))
        # Where observations lie on one line, the geomedian is free between the middle two.
        share = 0.995 if method == "geomedian" else 1
        assert np.mean(difference[~np.isnan(difference)] < 6e-5) >= share
    xr.testing.assert_equal(found.clear_share, expected.clear_share)


def test_which_bands(series: xr.Dataset) -> None:
    counts = {"clear_count", "observation_count", "clear_share"}
    scene = series.rename(B04="nbart_red", B08="NIR").drop_vars(["B03", "B11", "B12"])
    scene["ndvi"] = (scene.NIR - 1.0 * scene.nbart_red) / (scene.NIR + 1.0 * scene.nbart_red)
    assert set(composite(scene)) == {"B02", "nbart_red", "NIR"} | counts
    assert set(composite(scene, bands=["ndvi", "B02"])) == {"ndvi", "B02"} | counts
    assert set(composite(scene, bands="ndvi", method="best")) == {"ndvi", "best_time"} | counts


@pytest.mark.parametrize("method", METHODS)
def test_what_comes_out(series: xr.Dataset, method: str) -> None:
    before = series.copy(deep=True)
    found = composite(series, method=method)
    xr.testing.assert_identical(series, before)
    assert found.odc.geobox == series.odc.geobox
    assert found.spatial_ref.attrs == series.spatial_ref.attrs
    assert set(found.coords) == {"y", "x", "spatial_ref"}
    for layer in found.data_vars.values():
        assert layer.dims == ("y", "x")
        assert layer.odc.geobox == series.odc.geobox
    for band in BANDS:
        assert series[band].attrs.items() <= found[band].attrs.items()
    assert found.attrs["time_coverage_start"].startswith("2024-06-11T10:10:31")
    assert found.attrs["time_coverage_end"].startswith("2024-08-21T10:10:31")
    if method == "best":
        assert found.best_time.dtype == series.time.dtype


@pytest.mark.parametrize(
    "grid",
    [
        GeoBox((6, 8), Affine(0.0003, 0, -114, 0, -0.0003, 51), "EPSG:4326"),
        GeoBox((6, 8), Affine(30.0, 0, -1e6, 0, -30, -3e6), "EPSG:3577"),
        GeoBox((6, 8), Affine(30.0, 0, 4e5, 0, 30, 5e6), "EPSG:32633"),
        GeoBox((6, 8), Affine(21.0, -21, 4e5, -21, -21, 5e6), "EPSG:32633"),
        GeoBox((1, 1), Affine(20.0, 0, 4e5, 0, -20, 5e6), "EPSG:32633"),
    ],
    ids=["degrees", "Albers", "flipped", "rotated", "one pixel"],
)
@pytest.mark.parametrize("method", METHODS)
def test_any_grid(grid: GeoBox, method: str) -> None:
    times = np.array(["2024-06-01", "2024-06-02"], dtype="datetime64[ns]")
    values = np.arange(2 * grid.shape[0] * grid.shape[1], dtype="uint16").reshape(2, *grid.shape)
    scene = xr.Dataset(
        {
            "red": wrap_xr(values + 1, grid, time=times, nodata=0),
            "ucl": wrap_xr(np.ones(values.shape, "uint8"), grid, time=times, **ucl_attrs()),
        }
    )
    found = composite(scene, method=method)
    assert found.odc.geobox == grid
    assert found.red.odc.geobox == grid
    assert found.red.dims == grid.dimensions
    expected = values[1] + 1 if method == "best" else np.rint((values[0] + values[1]) / 2 + 1)
    np.testing.assert_array_equal(found.red, expected)


def test_degrees_with_dims_y_and_x() -> None:
    """As stackstac and rioxarray name them."""
    grid = GeoBox((6, 8), Affine(0.0003, 0, -114, 0, -0.0003, 51), "EPSG:4326")
    times = np.array(["2024-06-01"], dtype="datetime64[ns]")
    scene = xr.Dataset(
        {
            "red": wrap_xr(np.full((1, 6, 8), 7, "uint16"), grid, time=times, nodata=0),
            "ucl": wrap_xr(np.ones((1, 6, 8), "uint8"), grid, time=times, **ucl_attrs()),
        }
    ).rename(latitude="y", longitude="x")
    found = composite(scene, method="best")
    assert found.red.dims == ("y", "x")
    assert found.odc.geobox == scene.odc.geobox


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("shape", [(1, 1), (5, 9), (70, 60)])
def test_a_date_without_cloud_loses_nothing(shape: tuple[int, int], lazy: bool) -> None:
    """In odc-algo, dilation of an empty mask in memory marks the corner, or fails."""
    grid = GeoBox(shape, Affine(20, 0, 4e5, 0, -20, 5e6), "EPSG:32633")
    times = np.array(["2024-06-01"], dtype="datetime64[ns]")
    scene = xr.Dataset(
        {
            "red": wrap_xr(np.full((1, *shape), 7, "uint16"), grid, time=times, nodata=0),
            "ucl": wrap_xr(np.ones((1, *shape), "uint8"), grid, time=times, **ucl_attrs()),
        }
    )
    found = composite(scene.chunk(y=30, x=20) if lazy else scene, method="best")
    assert (found.red.values == 7).all()
    assert (found.clear_count.values == 1).all()


def test_other_order_of_dims(series: xr.Dataset) -> None:
    xr.testing.assert_identical(composite(series.transpose("x", "time", "y")), composite(series))


@pytest.mark.parametrize("resolution", [10, 20])
def test_margin_is_in_metres(resolution: int) -> None:
    side = 400 // resolution
    grid = GeoBox(
        (side, side), Affine(float(resolution), 0, 4e5, 0, -resolution, 5e6), "EPSG:32633"
    )
    codes = np.ones((1, side, side), "uint8")
    middle = slice(side // 2 - 20 // resolution, side // 2 + 20 // resolution)
    codes[:, middle, middle] = CloudClass.SHADOW
    times = np.array(["2024-06-01"], dtype="datetime64[ns]")
    scene = xr.Dataset(
        {
            "red": wrap_xr(np.full(codes.shape, 7, "uint16"), grid, time=times, nodata=0),
            "ucl": wrap_xr(codes, grid, time=times, **ucl_attrs()),
        }
    )

    def width(**metres: float) -> float:
        row = composite(scene, dilation=metres).clear_count.values[side // 2]
        return float((row == 0).sum() * resolution)

    assert width(shadow=60) == 40 + 2 * 60
    assert width(cloud=60) == 40


# --- dask -----------------------------------------------------------------------------

CHUNKS = [
    {"time": 1, "y": 50, "x": 70},
    {"time": 4, "y": 31, "x": 160},
    {"time": -1, "y": 120, "x": 40},
]


@pytest.mark.parametrize("chunks", CHUNKS)
@pytest.mark.parametrize("method", METHODS)
def test_lazy_gives_the_same(series: xr.Dataset, method: str, chunks: dict[str, int]) -> None:
    scene = series[[*BANDS, "ucl"]]
    scene = scene.assign(
        ucl_confidence=(90 + series.SCL % 3).astype("uint8").assign_attrs(confidence_attrs())
    ).isel(y=slice(120), x=slice(80, 240))
    lazy = composite(scene.chunk(chunks), method=method)
    assert all(dask.is_dask_collection(layer.data) for layer in lazy.data_vars.values())
    xr.testing.assert_identical(lazy.compute(), composite(scene, method=method))


@pytest.mark.parametrize("method", METHODS)
def test_a_chunk_needs_no_more_than_its_surroundings(series: xr.Dataset, method: str) -> None:
    seen: list[tuple[int, ...]] = []

    def note(block: np.ndarray) -> np.ndarray:
        seen.append(block.shape)
        return block

    scene = series[[*BANDS, "ucl"]].chunk(time=1, y=60, x=60)
    for band in BANDS:
        scene[band].data = scene[band].data.map_blocks(note, meta=np.empty(0, "uint16"))
    corner = composite(scene, method=method).isel(y=slice(0, 60), x=slice(0, 60))
    corner.compute(scheduler="synchronous")
    # Bands of the chunk itself and, as an observation has all bands, nothing of its neighbours.
    assert seen == [(1, 60, 60)] * len(seen)
    assert len(seen) == len(BANDS) * len(DATES)


def test_can_be_sent_to_workers(series: xr.Dataset) -> None:
    scene = series[[*BANDS, "ucl"]].isel(x=slice(0, 60), y=slice(0, 50)).chunk(time=1, x=30)
    for method in METHODS:
        lazy = composite(scene, method=method)
        xr.testing.assert_identical(cloudpickle.loads(cloudpickle.dumps(lazy)), lazy)


# --- what it refuses ------------------------------------------------------------------

Change = Callable[[xr.Dataset], object]


def without_crs(scene: xr.Dataset) -> xr.Dataset:
    bare = scene.drop_vars("spatial_ref").drop_attrs()
    return bare.drop_encoding()


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda s: s.drop_vars("ucl"), {}, "no `ucl`"),
        (lambda s: s.isel(time=0), {}, "expand_dims"),
        (lambda s: s.isel(time=slice(0)), {}, "one date or more"),
        (lambda s: s.assign(ucl=s.ucl.isel(time=0)), {}, "one date or more"),
        (lambda s: s.assign(ucl=s.ucl.astype("float32")), {}, "float32, but class codes"),
        (lambda s: s[["ucl", "SCL"]], {}, "lacks Sentinel-2 bands; it has ucl, SCL"),
        (lambda s: s, {"bands": ["B02", "red"]}, "lacks red; it has B02"),
        (lambda s: s, {"bands": []}, "lacks Sentinel-2 bands"),
        (lambda s: s.B02, {}, "not of DataArray"),
        (lambda s: s.assign(B02=s.B02.isel(time=0)), {}, "B02 has the dims .* one grid"),
        (
            lambda s: s.assign(B02=s.B02.rename(y="y2", x="x2").isel(y2=slice(0, 9))),
            {},
            "B02 has the dims .* one grid",
        ),
        (
            lambda s: s.assign(ucl_confidence=s.ucl.isel(time=0)),
            {"method": "best"},
            "ucl_confidence has the dims",
        ),
        (lambda s: s.assign(B02=s.B02 > 0), {}, "B02 is bool"),
        (lambda s: s.assign(B02=s.B02.assign_attrs(nodata=-999)), {}, "cannot hold .* -999"),
        (without_crs, {}, "coordinate system"),
        (lambda s: s.isel(x=[0, 1, 3, 7, 20]), {}, "evenly spaced"),
        (
            lambda s: xr.concat(
                [s, s.assign_coords(x=s.x + 7)], "time", join="outer", fill_value=0
            ),
            {},
            "dates on different grids",
        ),
        (lambda s: s.drop_vars("time"), {"method": "best"}, "needs dates"),
        (
            lambda s: s.assign_coords(offset=("time", [0, 0, -1000, 0, 0, 0])),
            {},
            "different offsets .-1000, 0.",
        ),
        (
            lambda s: s.assign_coords(offset=("time", [np.nan] * 6)),
            {},
            "different offsets .nan.",
        ),
    ],
)
def test_scenes_it_refuses(
    series: xr.Dataset, change: Change, options: dict[str, object], message: str
) -> None:
    with pytest.raises(SceneError, match=message):
        composite(change(series), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "mean"}, "no method 'mean'; choose from median, geomedian, best"),
        ({"clear": ["clear", "haze"]}, "clear is clear, haze; name one or more of"),
        ({"clear": "nodata"}, "clear is nodata"),
        ({"clear": []}, "clear is empty"),
        ({"dilation": {"water": 60}}, "cannot dilate 'water'"),
        ({"dilation": {"cloud": -1}}, "metres, 0 or more"),
        ({"dilation": {"cloud": float("nan")}}, "metres, 0 or more"),
        ({"min_observations": 0}, "1 or more"),
        ({"target": "2024-06-15"}, "a median has no target date"),
        ({"method": "best", "target": "midsummer"}, "'midsummer' is not a date"),
        ({"method": "best", "target": 5}, "5 is not a date"),
        ({"method": "best", "target": np.datetime64("NaT")}, "is not a date"),
    ],
)
def test_options_it_refuses(series: xr.Dataset, options: dict[str, object], message: str) -> None:
    with pytest.raises(CleansatError, match=message):
        composite(series, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("lazy", [False, True])
def test_geomedian_without_its_library(
    series: xr.Dataset, lazy: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "geomad", None)
    scene = series.chunk() if lazy else series
    with pytest.raises(CleansatError, match="`pip install geomad`, or use method='median'"):
        composite(scene, method="geomedian")
    composite(scene, method="median")


def test_offsets_do_not_matter_to_reflectance(series: xr.Dataset) -> None:
    scene = series[["B02", "ucl"]].assign(B02=series.B02.where(series.B02 != 0) / 10000)
    scene = scene.assign_coords(offset=("time", [0, 0, -1000, 0, 0, 0]))
    assert "offset" not in composite(scene).coords
    composite(series.assign_coords(offset=("time", [-1000] * 6)))


# --- the mask under the ecosystem's own tools -----------------------------------------


def concat(ucl: xr.DataArray, folder: Path) -> xr.DataArray:
    return xr.concat([ucl.isel(time=[i]) for i in range(3)], "time")


def isel(ucl: xr.DataArray, folder: Path) -> xr.DataArray:
    return ucl.isel(time=1, y=slice(5, 60), x=slice(None, None, 2))


def lazy(ucl: xr.DataArray, folder: Path) -> xr.DataArray:
    return ucl.chunk(time=1, y=50, x=50)


def zarr(ucl: xr.DataArray, folder: Path) -> xr.DataArray:
    pytest.importorskip("zarr", reason="zarr is not installed")
    ucl.to_dataset().to_zarr(folder / "ucl.zarr", consolidated=False)
    return xr.open_zarr(folder / "ucl.zarr", consolidated=False).ucl


def netcdf(ucl: xr.DataArray, folder: Path) -> xr.DataArray:
    """NetCDF holds no nested attributes, so that the flags are taken off and put back."""
    plain = ucl.copy()
    del plain.attrs["flags_definition"]
    plain.to_dataset().to_netcdf(folder / "ucl.nc", engine="scipy")
    back = xr.load_dataset(folder / "ucl.nc", engine="scipy", decode_coords="all")
    # The classic format, which needs no further library, has signed bytes only.
    return back.ucl.astype("uint8").assign_attrs(ucl_attrs())


@pytest.mark.parametrize("path", [concat, isel, lazy, zarr, netcdf])
def test_masking_tools(
    series: xr.Dataset,
    path: Callable[[xr.DataArray, Path], xr.DataArray],
    tmp_path: Path,
) -> None:
    from datacube.utils.masking import describe_variable_flags, make_mask

    ucl = path(series.ucl, tmp_path)
    labels = describe_variable_flags(ucl).loc["ucl", "values"]
    assert labels == {str(int(c)): c.label for c in CloudClass}
    codes = np.asarray(ucl.values)
    for label, code in (("cloud", 2), ("shadow", 3), ("nodata", 0), ("clear", 1)):
        assert (codes == code).any()
        for mask in (enum_to_bool(ucl, [label]), make_mask(ucl, ucl=label)):
            assert mask.dtype == bool
            assert dask.is_dask_collection(mask.data) == dask.is_dask_collection(ucl.data)
            np.testing.assert_array_equal(mask.values, codes == code)
    np.testing.assert_array_equal(
        enum_to_bool(ucl, ["cloud", "shadow"]).values, (codes == 2) | (codes == 3)
    )
    assert enum_to_bool(ucl, ["cloud"]).odc.geobox == ucl.odc.geobox


def test_netcdf_refuses_the_flags_definition(series: xr.Dataset, tmp_path: Path) -> None:
    """Of any product of the Open Data Cube; when this fails, the way round can go."""
    with pytest.raises(TypeError, match="flags_definition"):
        series.ucl.to_dataset().to_netcdf(tmp_path / "ucl.nc", engine="scipy")


@pytest.mark.parametrize("method", METHODS)
def test_a_composite_can_be_saved(series: xr.Dataset, method: str, tmp_path: Path) -> None:
    found = composite(series, method=method)
    # The classic format has no unsigned 16 bit integers.
    classic = found.map(lambda v: v.astype("int32") if v.dtype == np.uint16 else v)
    classic.to_netcdf(tmp_path / "composite.nc", engine="scipy")
    back = xr.load_dataset(tmp_path / "composite.nc", engine="scipy", decode_coords="all")
    assert back.odc.geobox == series.odc.geobox
    for name in found:
        np.testing.assert_array_equal(back[name], found[name])


# --- real scenes ----------------------------------------------------------------------


def test_calgary(shared: Path) -> None:
    """Seven dates over farmland, from snow to summer, clouds on each."""
    folders = sorted((shared / "calgary").iterdir())
    dates = [
        read_folder(f, "B02 B03 B04 B08").assign_coords(time=np.datetime64(f.name, "ns"))
        for f in folders
    ]
    series = xr.concat(dates, "time", join="exact")
    series = series.isel(latitude=slice(300, 600), longitude=slice(100, 400))
    masks = classify(series, confidence=True)
    series = series.assign(
        masks.assign_coords(latitude=series.latitude, longitude=series.longitude)
    )
    for method in METHODS:
        found = composite(series, method=method, target="2020-06-25" if method == "best" else None)
        assert found.odc.geobox == series.odc.geobox
        assert np.mean(found.B04.values == 0) < 0.002
        # Cloud, and the snow of the first date, are brighter in red than anything else here.
        bright = series.B04.values > 3000
        assert bright.mean() > 0.1
        assert np.mean(found.B04.values > 3000) < 0.1 * bright.mean()
    assert 0.5 < found.clear_share.values.mean() < 0.9
