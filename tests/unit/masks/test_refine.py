import tracemalloc
import warnings
from importlib import import_module
from random import Random

import dask.array as da
import numpy as np
import pytest
import xarray as xr
from affine import Affine
from hypothesis import given
from odc.geo.geobox import GeoBox
from odc.geo.xr import xr_coords
from strategies import randoms, tried

from odc_cleansat import refine
from odc_cleansat.classes import CloudClass, ucl_attrs
from odc_cleansat.errors import CleansatError, GapWarning, ReflectanceWarning, SceneError
from odc_cleansat.grids.cells import with_context
from odc_cleansat.masks.refine import refine_dates

CLEAR, CLOUD, SHADOW, THIN = 1, 2, 3, 6
SPOT = np.s_[40:60, 40:60]
FALSE = np.s_[100:120, 60:80]
DAYS = ("2024-06-01", "2024-06-11", "2024-06-21", "2024-07-01")


def scene(shape: tuple[int, int] = (160, 130), days: tuple[str, ...] = DAYS) -> xr.Dataset:
    """A series at 30 m across the corner of four cells: on its second date a shadow, and one that is none."""
    grid = GeoBox(shape, Affine(30, 0, 499200 - 2400, 0, -30, 4999680 + 2400), "EPSG:32633")
    texture = np.random.default_rng(0).uniform(0.7, 1.3, shape)
    coords = {**xr_coords(grid), "time": np.array(days, "datetime64[ns]")}
    dims = ("time", "y", "x")
    attrs = {"grid_mapping": "spatial_ref"}
    made = xr.Dataset(coords=coords)
    for name, value in (("blue", 600), ("red", 800), ("nir", 3000)):
        made[name] = dims, np.stack([texture * value] * len(days)).astype("uint16"), attrs
    codes = np.full((len(days), *shape), CLEAR, "uint8")
    made["ucl"] = dims, codes, {**ucl_attrs(list(CloudClass)[:4]), **attrs}
    made.ucl.values[1][SPOT] = made.ucl.values[1][FALSE] = SHADOW
    made.nir.values[1][SPOT] //= 2
    return made


def test_masks_get_better_and_the_rest_of_the_scene_stays():
    made = scene()
    found = refine(made)
    assert (found.ucl.values[1][42:58, 42:58] == SHADOW).all()
    assert (found.ucl.values[1][FALSE] == CLEAR).all()
    assert found.ucl.dtype == "uint8"
    assert found.ucl.attrs["refined"] == "hindsight"
    assert "thin_cloud" in found.ucl.attrs["flag_meanings"]
    xr.testing.assert_equal(found.nir, made.nir)
    assert (made.ucl.values[1][FALSE] == SHADOW).all(), "the scene given is not changed"


def test_confidence_says_where_the_class_is_another():
    made = scene()
    made["ucl_confidence"] = made.ucl.copy(data=np.full(made.ucl.shape, 90, "uint8"))
    found = refine(made)
    changed = found.ucl.values != made.ucl.values
    assert changed.any()
    assert found.ucl_confidence.dtype == "uint8"
    np.testing.assert_array_equal(found.ucl_confidence.values, np.where(changed, 255, 90))


def test_dask_gives_the_same_lazily():
    made = scene()
    lazy = refine(made.chunk({"time": 1, "y": 50, "x": 70}))
    assert lazy.ucl.chunks is not None
    assert len(lazy.ucl.chunks[1]) == 2
    np.testing.assert_array_equal(lazy.ucl.values, refine(made).ucl.values)


def test_order_of_dates_and_of_dims_do_not_count():
    made = scene()
    mixed = made.isel(time=[2, 0, 3, 1]).transpose("y", "x", "time")
    found = refine(mixed)
    assert found.ucl.dims == ("y", "x", "time")
    np.testing.assert_array_equal(
        found.sortby("time").transpose("time", "y", "x").ucl.values, refine(made).ucl.values
    )


def test_reflectance_gives_the_same_as_digital_numbers():
    made = scene()
    bands = {name: (made[name] / 1e4).astype("float32") for name in ("blue", "red", "nir")}
    np.testing.assert_array_equal(refine(made.assign(bands)).ucl, refine(made).ucl)


def test_each_date_has_its_offset():
    made = scene()
    mixed = made.assign({n: made[n] + np.array([0, 1000, 0, 0], "uint16")[:, None, None]
                         for n in ("blue", "red", "nir")})  # fmt: skip
    mixed = mixed.assign_coords(offset=("time", [0.0, -1000, 0, 0]))
    for name in ("blue", "red", "nir"):
        mixed[name].attrs = made[name].attrs
    np.testing.assert_array_equal(refine(mixed).ucl, refine(made).ucl)


def test_fused_offsets_and_lonely_dates_are_left_alone_with_a_word():
    made = scene().assign_coords(offset=("time", [0.0, np.nan, 0, 0]))
    with pytest.warns(GapWarning, match=r"1 of 4 masks stay as they are, .*: 2024-06-11\."):
        found = refine(made)
    np.testing.assert_array_equal(found.ucl[1], made.ucl[1])
    for one in (scene().isel(time=[1]), scene(days=("2022-01-01", "2023-01-01", "2024-01-01"))):
        with pytest.warns(GapWarning, match="no other date within 45 days can be compared"):
            np.testing.assert_array_equal(refine(one).ucl, one.ucl)


def test_in_near_real_time_the_first_date_has_nothing_before_it():
    with pytest.warns(GapWarning, match=r"1 of 4 .* within 45 days before them .*: 2024-06-01"):
        found = refine(scene(), hindsight=False)
    assert found.ucl.attrs["refined"] == "earlier"
    assert (found.ucl[1].values[FALSE] == CLEAR).all()


def test_of_many_lonely_dates_five_are_named():
    days = tuple(f"{year}-06-01" for year in range(2015, 2022))
    one = scene((40, 40), days)
    with pytest.warns(
        GapWarning, match=r"^7 of 7 .*: (2\d\d\d-06-01, ){4}2019-06-01 and 2 more\.$"
    ):
        refine(one)
    with pytest.warns(GapWarning, match=r"^5 of 5 .* 2019-06-01\.$"):
        refine(one.isel(time=slice(5)))


def test_times_of_day_count():
    """Half a day apart or less is the same date; a forgotten offset is told with its moment."""
    close = scene((100, 100), ("2024-06-01T10:00", "2024-06-01T21:59"))
    with pytest.warns(GapWarning, match="2 of 2"):
        refine(close)
    apart = scene((100, 100), ("2024-06-01T10:00", "2024-06-01T22:01"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        refine(apart)
    for name in ("blue", "red", "nir"):
        apart[name].values[1] += 1000
    with pytest.warns() as said:
        refine(apart.isel(time=[1, 0]), hindsight=False)
    assert [each.category for each in said] == [GapWarning, ReflectanceWarning]
    assert "the ground of 2024-06-01T22:01:00 differs" in str(said[1].message)


@pytest.mark.parametrize(("metres", "expected"), [(30, (3, 65)), (20, (5, 97)), (60, (1, 33))])
def test_squares_are_90_and_1920_metres_wide(monkeypatch, metres, expected):
    seen = []
    module = import_module("odc_cleansat.masks.refine")
    monkeypatch.setattr(module, "refine_window", lambda made: seen.append(made) or made.codes)
    made = scene((20, 20))
    grid = GeoBox((20, 20), Affine(metres, 0, 499200, 0, -metres, 4999680), "EPSG:32633")
    refine(made.assign_coords(xr_coords(grid)))
    assert {(each.smoothing, each.surroundings) for each in seen} == {expected}
    assert seen[0].days.tolist() == [19875, 19885, 19895, 19905]
    assert len({id(each.told) for each in seen}) == 1


def test_classes_are_those_of_before_and_thin_cloud():
    made = scene((100, 100))
    found = refine(made).ucl.attrs
    assert found["flag_values"] == [0, 1, 2, 3, 6]
    assert found["flag_meanings"] == "nodata clear cloud shadow thin_cloud"
    del made.ucl.attrs["flag_values"]
    assert list(refine(made).ucl.attrs["flag_values"]) == [0, 1, 2, 3, 4, 5, 6]


def test_an_extent_that_reaches_far_enough_gives_the_same_classes():
    made = scene((700, 130))
    whole = refine(made).ucl
    # Rows 80 to 336 are a cell.
    part = refine(made.isel(y=slice(80 - 32, 336 + 32))).ucl
    np.testing.assert_array_equal(part.values[:, 32:-32], whole.values[:, 80:336])


@pytest.fixture(scope="module")
def wide() -> tuple[xr.Dataset, np.ndarray]:
    """A series of nine cells and more, with shadow and cloud here and there, and its refined classes."""
    made = scene((960, 940), DAYS)
    random = np.random.default_rng(1)
    for codes, nir in zip(made.ucl.values, made.nir.values, strict=True):
        for _ in range(200):
            y, x = (int(random.integers(0, side - 30)) for side in codes.shape)
            spot = np.s_[y : y + 24, x : x + 24]
            codes[spot] = random.choice([CLOUD, SHADOW])
            if random.random() < 0.5:
                nir[spot] //= 2
    found = refine(made).ucl.values
    assert 0.01 < np.mean(found != made.ucl.values) < 0.3
    return made, found


@tried(8)
@given(random=randoms)
def test_any_area_with_its_surroundings_in_any_chunks_has_the_same_classes(
    wide: tuple[xr.Dataset, np.ndarray], random: Random
) -> None:
    made, expected = wide
    grid = made.odc.geobox
    # What lies around an area has to be there: from 112 rows and columns on there are whole cells.
    y, x = (random.randint(112, 860) for _ in range(2))
    height, width = (random.randint(1, min(250, 880 - first)) for first in (y, x))
    around, inside = with_context(grid[y : y + height, x : x + width])
    offset = ~grid.affine * around.affine * (0.5, 0.5)
    column, row = (round(each - 0.5) for each in offset)
    given_dates = made.isel(y=slice(max(row, 0), row + around.shape[0]), x=slice(max(column, 0), column + around.shape[1]))  # fmt: skip
    if random.random() < 0.7:
        given_dates = given_dates.chunk({d: random.randint(40, 400) for d in ("y", "x")} | {"time": random.randint(1, 4)})  # fmt: skip
    found = refine(given_dates).ucl
    rows, columns = (
        part.start + min(first, 0) for part, first in zip(inside, (row, column), strict=True)
    )
    part = found.values[:, rows : rows + height, columns : columns + width]
    np.testing.assert_array_equal(part, expected[:, y : y + height, x : x + width])


def test_the_graph_grows_with_the_blocks_and_the_cells_alone() -> None:
    made = scene((960, 940)).chunk({"time": 1, "y": 240, "x": 235})
    graph = dict(refine(made).ucl.__dask_graph__())
    blocks = 4 * 4 * 4 * len(DAYS)
    assert len(graph) < 3 * blocks + 4 * 4 * 5


@tried(6)
@given(random=randoms)
def test_each_array_in_chunks_of_its_own_has_the_same_classes(
    wide: tuple[xr.Dataset, np.ndarray], random: Random
) -> None:
    made, expected = wide
    given_dates = made.copy()
    for name in ("blue", "red", "nir", "ucl"):
        if random.random() < 0.8:
            chunks = {d: random.randint(100, 960) for d in ("y", "x")}
            given_dates[name] = made[name].chunk({"time": random.randint(1, 4), **chunks})
    np.testing.assert_array_equal(refine(given_dates).ucl.values, expected)


def test_most_of_the_blocks_are_never_in_memory_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neighbours share strips, and blocks do not stay. In which order dask takes them varies a little."""
    module = import_module("odc_cleansat.masks.refine")
    monkeypatch.setattr(module, "refine_window", lambda series: series.codes)
    assert most_memory(600, 4800) < 0.5 * 10 * 7 * 600 * 4800


def most_memory(rows: int, columns: int) -> int:
    """Most bytes that are in use while a series of 10 dates is refined from blocks that are made."""
    grid = GeoBox((rows, columns), Affine(30, 0, 499200, 0, -30, 4999680), "EPSG:32633")
    days = np.datetime64("2024-06-01", "ns") + np.arange(10) * np.timedelta64(5, "D")
    made = xr.Dataset(coords={**xr_coords(grid), "time": days})
    for name, dtype in (("blue", "uint16"), ("red", "uint16"), ("nir", "uint16"), ("ucl", "uint8")):
        values = da.ones((10, rows, columns), dtype=dtype, chunks=(1, 500, 500)).map_blocks(np.copy)
        made[name] = ("time", "y", "x"), values, {"grid_mapping": "spatial_ref"}
    lazy = refine(made).ucl.data.sum(dtype="uint8")
    tracemalloc.start()
    try:
        lazy.compute(scheduler="synchronous")
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.drop_vars("ucl"), "add it, e.g."),
        (lambda s: s.drop_vars("nir"), "lacks nir"),
        (lambda s: s.isel(time=0), "refining needs uint8 codes of dates"),
        (lambda s: s.rename(time="date"), "uint8 with the dims {'date': 4"),
        (lambda s: s.isel(y=slice(0)), "'y': 0"),
        (lambda s: s.isel(x=0), "uint8 with the dims {'time': 4, 'y': 160}"),
        (lambda s: s.ucl, "refined in an xarray.Dataset"),
        (lambda s: s.assign(ucl=s.ucl.astype("int16")), "`ucl` is int16"),
        (lambda s: s.assign(ucl=s.ucl.astype("int8")), "`ucl` is int8"),
        (lambda s: s.assign_coords(time=[1, 2, 3, 4]), "refining needs dates"),
        (lambda s: s.assign(red=s.red > 0), "red is bool with the dims"),
        (lambda s: s.assign(ucl=s.ucl.astype("float32")), "`ucl` is float32"),
        (lambda s: s.drop_vars("time"), "refining needs dates"),
        (lambda s: s.assign_coords(time=[np.datetime64("NaT", "ns"), *s.time.values[1:]]), "without gaps"),
        (lambda s: s.assign(nir=s.nir.isel(time=0)), "nir is uint16 with the dims"),
        (lambda s: s.drop_vars("spatial_ref").drop_attrs(), "no grid with a coordinate system"),
        (lambda s: s.isel(y=[0, 1, 5, 6]), "not evenly spaced"),
    ],
)  # fmt: skip
def test_what_cannot_be_refined_is_said(change, message):
    with pytest.raises(SceneError, match=message):
        refine(change(scene()))


@pytest.mark.parametrize("chunks", [None, {"time": 1, "y": 80}], ids=["at once", "lazy"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.assign({n: s[n].astype("float32") for n in ("blue", "red", "nir")}), "above 2, so they are no reflectance"),
        (lambda s: s.assign({n: s[n] / 100.0 for n in ("blue", "red", "nir")}), "scale=1/100 if they are percent"),
        (lambda s: s.assign({n: (s[n] // 20).astype("uint8") for n in ("blue", "red", "nir")}), "uint8, which cannot hold"),
        (lambda s: s.assign(ucl=s.ucl.where(s.ucl != SHADOW, np.uint8(9))), "`ucl` holds 9, which are no codes"),
        (lambda s: s.assign_coords(offset=("time", ["a"] * 4)), "the coordinate `offset` is <U1; give digital numbers"),
    ],
)  # fmt: skip
def test_numbers_of_another_scale_and_codes_of_others_are_refused(change, message, chunks):
    made = change(scene())
    with pytest.raises(SceneError, match=message):
        refine(made if chunks is None else made.chunk(chunks)).compute()


def test_only_some_dates_are_refined_and_warned_of():
    made = scene(days=("2024-01-01", *DAYS[1:]))
    made.ucl.values[2][FALSE] = SHADOW
    found = refine_dates(made, [1])  # and no word on the first, which is alone
    assert (found.ucl.values[1][FALSE] == CLEAR).all()
    np.testing.assert_array_equal(found.ucl[2], made.ucl[2])


def test_masks_are_refined_once():
    with pytest.raises(SceneError, match="refined by time already"):
        refine(refine(scene()))
    with pytest.raises(CleansatError, match="hindsight is 'yes'"):
        refine(scene(), hindsight="yes")  # type: ignore[arg-type]


def test_the_result_can_be_composited():
    from odc_cleansat import composite

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = composite(refine(scene()), dilation=None)
    assert int(found.clear_count.min()) == 3
    assert int(found.clear_count.values[FALSE].min()) == 4
