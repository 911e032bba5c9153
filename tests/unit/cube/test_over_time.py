from collections.abc import Callable
from functools import lru_cache
from itertools import combinations
from random import Random
from typing import Any

import numpy as np
import pytest
import xarray as xr
from conftest import Cube
from hypothesis import given
from strategies import randoms, tried

from odc_cleansat import apply_preset, load
from odc_cleansat.errors import CubeError, GapWarning, SceneError
from odc_cleansat.grids.cells import with_context
from odc_cleansat.masks.refine import refine, refine_dates

from .helpers import HOME, indexed, of_home, rejected

pytestmark = [
    pytest.mark.usefixtures("no_inference"),
    # The scene from the west has no mask, and is not asked for one.
    pytest.mark.filterwarnings("ignore:no data in ucl where 1 of:odc_cleansat.errors.GapWarning"),
]
PART = np.s_[200:260, 60:140]
AREA = HOME[PART]
"""A part in which other dates change some classes."""


def july(cube: Cube, grid: Any = HOME, **how: Any) -> xr.Dataset:
    """The second date of the place, refined by what is around it."""
    query = {"measurements": ["ucl"], "ucl": "indexed", "refine": "time", **how}
    return load(cube.dc, "s2_l2a", time="2024-07-05", like=grid, **query)


@pytest.fixture(scope="session")
def expected(cube: Cube) -> xr.Dataset:
    """All dates with the ground around, refined at once."""
    wide, inside = with_context(HOME)
    names = ["red", "blue", "nir", "ucl", "ucl_confidence"]
    every = load(cube.dc, "s2_l2a", like=wide, measurements=names, ucl="indexed", harmonized=True,
                 resampling="average")  # fmt: skip
    found: xr.Dataset = refine(every).isel(dict(zip(("y", "x"), inside, strict=True)))
    return found


def test_a_date_is_refined_by_those_that_were_not_asked_for(
    cube: Cube, expected: xr.Dataset
) -> None:
    found = july(cube, measurements=["ucl", "ucl_confidence", "red"])
    assert found.sizes["time"] == 1
    assert found.ucl.attrs["refined"] == "hindsight"
    for name in ("ucl", "ucl_confidence"):
        np.testing.assert_array_equal(found[name][0], expected[name][-1])
    changed = found.ucl.values[0] != indexed(cube, "july")
    assert 0.0005 < changed.mean() < 0.2
    assert (found.ucl_confidence.values[0][changed] == 255).all()
    plain = load(cube.dc, "s2_l2a", time="2024-07-05", like=HOME, measurements=["red"])
    xr.testing.assert_equal(found.red, plain.red)


def test_a_part_has_the_classes_of_the_whole_lazy_or_not(cube: Cube) -> None:
    whole, part = july(cube), july(cube, AREA)
    np.testing.assert_array_equal(part.ucl, whole.ucl[:, *PART])
    assert part.odc.geobox == AREA
    lazy = july(cube, AREA, dask_chunks={"x": 50})
    assert lazy.ucl.chunks == ((1,), (60,), (50, 30))
    np.testing.assert_array_equal(lazy.ucl, part.ucl)


@pytest.fixture(scope="session")
def whole_at(cube: Cube) -> Callable[[int], np.ndarray]:
    """The classes of July with pixels of so many metres."""
    return lru_cache(lambda pixel: july(cube, HOME.zoom_to(resolution=pixel)).ucl.values[0])


@tried(3)
@given(random=randoms)
def test_any_query_gives_a_pixel_the_same_class(
    cube: Cube, whole_at: Callable[[int], np.ndarray], random: Random
) -> None:
    pixel = random.choice([10, 20, 60])
    grid = HOME.zoom_to(resolution=pixel)
    y, x = (random.randrange(side - 4) for side in grid.shape)
    height, width = (
        random.randint(1, min(50, side)) for side in (grid.shape[0] - y, grid.shape[1] - x)
    )
    area = grid[y : y + height, x : x + width]
    chunks = {"y": random.randint(19, 40), "x": random.randint(19, 40)}
    how = {"dask_chunks": chunks} if random.random() < 0.5 else {}
    time = random.choice(["2024-07-05", "2024-07", ("2024-06-01", "2024-07-31")])
    found = load(cube.dc, "s2_l2a", time=time, like=area, measurements=["ucl"], ucl="indexed",
                 refine="time", **how)  # fmt: skip
    expected = whole_at(pixel)[y : y + height, x : x + width]
    np.testing.assert_array_equal(found.ucl.values[-1], expected)


FINE = HOME.zoom_to(resolution=10)[60:420, 300:]
"""It has a part of its own for each of four cells, with pixels of 10 m."""


def test_parts_share_no_pixels_so_that_memory_does_not_grow_with_the_extent(
    cube: Cube, monkeypatch: pytest.MonkeyPatch
) -> None:
    refined = []

    def spy(data: xr.Dataset, *args: Any, **how: Any) -> xr.Dataset:
        refined.append(refine_dates(data, *args, **how))
        return refined[-1]

    monkeypatch.setattr("odc_cleansat.cube.over_time.refine_dates", spy)
    july(cube, FINE, dask_chunks={"x": 100, "y": 100})
    blocks = [
        {key for key in part.ucl.__dask_graph__() if isinstance(key, tuple) and len(key) == 4}
        for part in refined
    ]
    assert len(blocks) == 4
    assert all(len(each) >= 2 * 4 for each in blocks)
    assert not any(one & other for one, other in combinations(blocks, 2))


def test_presets_reach_over_the_edges_of_parts_and_of_queries(cube: Cube) -> None:
    """What grows by 60 m does so from where the query does not reach."""
    whole = july(cube, FINE, preset="conservative").ucl[0]
    plain = july(cube, FINE, measurements=["ucl", "ucl_confidence"])
    by_hand = apply_preset(plain, "conservative").ucl[0]
    np.testing.assert_array_equal(whole[20:-20, 20:-20], by_hand[20:-20, 20:-20])
    edges = ((FINE.affine.c // 7680 + 1) * 7680, (FINE.affine.f // 7680) * 7680)
    x, y = (round(each) for each in ~FINE.affine * edges)
    assert 0 < x < FINE.shape[1]
    assert 0 < y < FINE.shape[0]
    for area in (np.s_[:y, :x], np.s_[y:, x:], np.s_[y - 9 : y + 9, :x]):
        part = july(cube, FINE[area], preset="conservative").ucl[0]
        np.testing.assert_array_equal(part, whole.values[area])


def test_dates_that_are_alone_are_told_once_for_all_parts(cube: Cube) -> None:
    with pytest.warns(GapWarning) as said:
        load(cube.dc, datasets=of_home(cube)[:1], like=FINE, measurements=["ucl"], refine="time")
    assert sum("stay as they are" in str(each.message) for each in said) == 1


def test_earlier_dates_alone(cube: Cube) -> None:
    found = july(cube, AREA, refine="earlier")
    assert found.ucl.attrs["refined"] == "earlier"
    np.testing.assert_array_equal(found.ucl, july(cube, AREA).ucl)  # there is no later date
    with pytest.warns(GapWarning, match=r"1 of 1 masks stay as they are, .* before them"):
        june = load(
            cube.dc, datasets=of_home(cube)[:1], like=AREA, measurements=["ucl"], refine="earlier"
        )
    np.testing.assert_array_equal(june.ucl[0], indexed(cube, "june")[PART])


def test_a_rejected_mask_is_nothing_to_compare_with(cube: Cube) -> None:
    with rejected(cube.masks["june"]):
        with pytest.warns(GapWarning) as said:
            found = july(cube, AREA)
        whatever = july(cube, AREA, include_rejected=True)
    assert any("1 rejected by reviewers" in str(each.message) for each in said)
    assert {each.filename for each in said if "rejected" in str(each.message)} == {july.__code__.co_filename}  # fmt: skip
    np.testing.assert_array_equal(found.ucl[0], indexed(cube, "july")[PART])
    np.testing.assert_array_equal(whatever.ucl, july(cube, AREA).ucl)
    assert (whatever.ucl != found.ucl).any()


def test_presets_and_the_share_of_clear_go_by_the_refined_masks(cube: Cube) -> None:
    plain = july(cube, measurements=["ucl", "ucl_confidence"])
    strict = july(cube, preset="conservative", measurements=["ucl"])
    by_hand = apply_preset(plain, "conservative").ucl
    middle = (slice(None), slice(20, -20), slice(20, -20))
    np.testing.assert_array_equal(strict.ucl[middle], by_hand[middle])
    clear = float((plain.ucl == 1).mean())
    assert july(cube, measurements=["red"], min_clear=clear - 0.001).sizes["time"] == 1
    with pytest.warns(GapWarning, match="none of 1 has"):
        assert july(cube, measurements=["red"], min_clear=clear + 0.001).sizes["time"] == 0


def test_scenes_of_a_day_are_one(cube: Cube) -> None:
    found = july(cube, AREA, group_by="solar_day")
    np.testing.assert_array_equal(found.ucl, july(cube, AREA).ucl)


def test_what_is_unknown_is_said(cube: Cube) -> None:
    with pytest.raises(
        CubeError,
        match=r"refine='tme' is unknown; choose from True, False, time, earlier\. Did you mean 'time'",
    ):
        july(cube, refine="tme")
    with pytest.raises(SceneError, match="lacks blue"):
        load(cube.dc, "s2_l2a_ucl", like=AREA, refine="time")
