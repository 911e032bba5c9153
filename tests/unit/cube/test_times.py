"""The times of a query: which moments dates and times stand for."""

from __future__ import annotations

import datetime
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from conftest import Cube
from datacube.api.query import Query as DatacubeQuery

from odc_cleansat.cube.load import load
from odc_cleansat.cube.query import Query, search
from odc_cleansat.cube.times import search_time, times_of
from odc_cleansat.errors import CubeError

from .helpers import BOTH, HOME

FIRST, LAST = datetime.datetime(2024, 6, 1), datetime.datetime(2024, 6, 15)
EAST = datetime.timezone(datetime.timedelta(hours=10))


@pytest.mark.parametrize(
    "time",
    [
        ("2024-06-01", "2024-06-15"),
        "2024-06-01/2024-06-15",
        [FIRST.date(), LAST.date()],
        (FIRST, LAST),
        (pd.Timestamp(FIRST), pd.Timestamp(LAST, tz="UTC")),
        (np.datetime64("2024-06-01"), np.datetime64("2024-06-15")),
        np.array(["2024-06-01", "2024-06-15"], dtype="datetime64[ns]"),
        pd.DatetimeIndex([FIRST, LAST]),
    ],
    ids=repr,
)
def test_the_last_of_two_dates_counts_to_its_end(time: Any) -> None:
    asked = DatacubeQuery(time=search_time(time)).search["time"]
    assert asked.begin.replace(tzinfo=None) == FIRST
    assert asked.end.replace(tzinfo=None) == LAST + datetime.timedelta(hours=24, microseconds=-1)


@pytest.mark.parametrize(
    ("time", "last"),
    [
        (pd.Timestamp("2024-06-15"), "2024-06-15T23:59:59.999999"),
        (np.datetime64("2024-06"), "2024-06-30T23:59:59.999999"),
        ((None, np.datetime64("2024")), "2024-12-31T23:59:59.999999"),
        ("2024-06-01/2024-06", "2024-06-30T23:59:59.999999"),
        ((FIRST, datetime.datetime(2024, 6, 15, 10, 10)), "2024-06-15T10:10:00.999999"),
        ((FIRST, datetime.datetime(2024, 6, 15, tzinfo=EAST)), "2024-06-14T14:00:00.999999"),
        ("2024-06-15T00:00", "2024-06-15T00:00:59.999999"),
    ],
    ids=repr,
)
def test_how_far_a_time_reaches(time: Any, last: str) -> None:
    asked = DatacubeQuery(time=search_time(time)).search["time"].end
    utc = asked.astimezone(datetime.UTC).replace(tzinfo=None)
    assert utc == datetime.datetime.fromisoformat(last)


@pytest.mark.parametrize("group_by", ["time", "solar_day"])
@pytest.mark.parametrize("kind", ["floored", "text"])
def test_like_with_dates_brings_all_of_their_days(cube: Cube, group_by: str, kind: str) -> None:
    """Also the scenes of the last."""
    like = xr.DataArray(
        np.arange(2), dims="time", coords={"time": pd.to_datetime(["2024-06-15", "2024-07-05"])}
    )
    if kind == "text":
        like = like.assign_coords(time=["2024-06-15", "2024-07-05"])
    query = Query.of("s2_l2a", {}, grid=BOTH, like=like, group_by=group_by)
    every = {scene.id for scene in cube.scenes.values()}
    assert {scene.id for scene in search(cube.dc, query)} == every
    later = Query.of("s2_l2a", {}, grid=BOTH, like=like.isel(time=slice(1, 2)), group_by=group_by)
    assert {scene.id for scene in search(cube.dc, later)} == {cube.scenes["july"].id}


def test_dates_given_to_load_include_the_last(cube: Cube) -> None:
    dates = (datetime.datetime(2024, 7, 1), datetime.datetime(2024, 7, 5))
    found = load(cube.dc, "s2_l2a", time=dates, measurements=["scl"], like=HOME[:9, :9])
    assert found.time.values.astype("datetime64[D]").astype(str).tolist() == ["2024-07-05"]


def test_times_that_are_none() -> None:
    like = xr.DataArray([1], dims="time", coords={"time": ["in June"]})
    with pytest.raises(CubeError, match=r"no times but <U7, such as .*in June.*time="):
        times_of(like)


@pytest.mark.parametrize(
    ("time", "words"),
    [
        ("soon", "the time 'soon' cannot be understood; write a day"),
        ("2024-13", "cannot be understood; write a day"),
        ("2024/2024/2024", "holds 3 times; pass one, or the first and the last"),
        ("2024-06-01/2024-07-01/2024-08-01", "holds 3 times; pass one, or the first and the last"),
        (" ", "cannot be understood; write a day"),
        ("2024-06-10/2024-06-01", "is after the last, 2024-06-01; write the earlier one first"),
    ],
)
def test_text_that_is_no_time_is_told_what_to_write(time: str, words: str) -> None:
    with pytest.raises(CubeError, match=words):
        search_time(time)


@pytest.mark.parametrize("time", ["2024", "2024-06-05T10:10:31Z", "2024-06-05 10:10"])
def test_text_that_is_a_time_stays_as_it_is(time: str) -> None:
    assert search_time(time) == time
