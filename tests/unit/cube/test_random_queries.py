"""The same pixel has the same class, whatever is asked: over scenes of two zones, with several offsets and gaps."""

from collections.abc import Callable, Iterator
from functools import lru_cache
from random import Random
from typing import Any

import numpy as np
import pytest
import xarray as xr
from conftest import Cube
from fakes import brightness_engine
from hypothesis import given
from odc.geo.geobox import GeoBox
from strategies import randoms, tried

from odc_cleansat import load, recall
from odc_cleansat.errors import CubeError
from odc_cleansat.masks import on_demand

from .helpers import BOTH, HOME

pytestmark = pytest.mark.filterwarnings("ignore::odc_cleansat.errors.CleansatWarning")

GRIDS = {
    "east": HOME.zoom_to(resolution=40),
    "both": BOTH,
    "west": GeoBox.from_bbox((845200, 5296000, 852000, 5303000), "EPSG:32632", resolution=40),
    "degrees": GeoBox.from_bbox((13.65, 47.78, 13.74, 47.84), "EPSG:4326", resolution=0.0005),
}
"""Grids of two zones and in degrees, over the overlap of scenes of two zones."""

Whole = Callable[[str, Any, str], xr.DataArray]


@pytest.fixture(scope="module")
def whole(cube: Cube) -> Whole:
    """All dates on a whole grid, dims ``(time, y, x)``."""

    @lru_cache
    def found(grid: str, refine: Any, group_by: str) -> xr.DataArray:
        every = load(cube.dc, "s2_l2a", like=GRIDS[grid], measurements=["ucl"], refine=refine,
                     group_by=group_by)  # fmt: skip
        codes: xr.DataArray = every.ucl
        return codes

    return found


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    """The scene from the west has no mask. It gets one by brightness, on demand."""
    with brightness_engine():
        on_demand.clear_cache()
        yield
        on_demand.clear_cache()


@tried(6)
@given(random=randoms)
def test_load_gives_a_pixel_the_same_class(cube: Cube, whole: Whole, random: Random) -> None:
    """A date that is not found has no data there."""
    name, refine = random.choice([*GRIDS]), random.choice([True, "time", "earlier"])
    group_by = random.choice(["time", "solar_day"])
    expected, area = whole(name, refine, group_by), some_area(GRIDS[name], random)
    first, last = random.choice([(6, 7), (7, 7), (6, 6)])
    how: dict[str, Any] = {"time": (f"2024-{first:02}-01", f"2024-{last:02}-28")}
    if random.random() < 0.5:
        how["dask_chunks"] = {"y": random.randint(9, 60), "x": random.randint(9, 60)}
    if random.random() < 0.1:
        on_demand.clear_cache()
    try:
        found = load(cube.dc, "s2_l2a", like=GRIDS[name][area], measurements=["ucl"], refine=refine,
                     group_by=group_by, **how).ucl  # fmt: skip
        codes = dict(zip(map(str, found.time.values), found.values, strict=True))
    except CubeError as error:
        assert "none that matches the query in this area" in str(error)  # noqa: PT017
        codes = {}
    # Of several scenes of a day the first has the time.
    part = 10 if group_by == "solar_day" else None
    days = {each[:part]: values for each, values in codes.items()}
    for time, values in zip(map(str, expected.time.values), expected.values, strict=True):
        if first <= int(time[5:7]) <= last:
            there = days.pop(time[:part], np.zeros_like(values[area]))
            np.testing.assert_array_equal(there, values[area], f"{name} {refine} {how} {area}")
    assert not days


def some_area(grid: GeoBox, random: Random) -> tuple[slice, slice]:
    """Rows and columns of a part of a grid."""
    rows, columns = (
        slice(first, min(first + random.randint(1, 70), side))
        for side in grid.shape
        for first in [random.randrange(side)]
    )
    return rows, columns


@tried(6)
@given(random=randoms)
def test_recall_gives_a_pixel_the_same_class(cube: Cube, random: Random) -> None:
    grid = GRIDS[random.choice([*GRIDS])]
    how = random.choice(["nearest", "mode", "any_cloud"])
    area = some_area(grid, random)
    masks = [*cube.masks.values()]
    every = recall(cube.dc, like=grid, datasets=masks, how=how).ucl.values
    part = recall(cube.dc, like=grid[area], datasets=masks, how=how).ucl.values
    np.testing.assert_array_equal(part, every[:, *area])
