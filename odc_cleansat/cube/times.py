"""The times of a query. The rule: a time at midnight is a date, and stands for its whole day in UTC.

No scene of Sentinel-2 is taken at midnight to the microsecond. A time without an hour comes from a date: floored,
written as ``2024-06-15``, or made with `pandas.Timestamp`. Taken for a moment, the last of them would find nothing
of its day, and nobody would be told.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from typing import Any

import numpy as np
import xarray as xr

from ..errors import CubeError

_DAY = np.timedelta64(1, "D")


def search_time(value: Any) -> Any:
    """Return a time, or the first and the last, as datacube's search takes them.

    Parameters
    ----------
    value
        What a caller passes as ``time``. It is text in ISO 8601, also ``first/last``, or a time of `datetime`, numpy or
        pandas, or a pair of these. None leaves one end open.

    Returns
    -------
    str, datetime or tuple
        The same. If the last time is at midnight, it is text for its day, to whose end datacube then searches.

    Raises
    ------
    CubeError
        If it is no time, or more than two, or the first is after the last.
    """
    if isinstance(value, str):
        first, slash, last = value.partition("/")
        if "/" in last:  # of two days pandas makes one period
            raise _too_many(value.count("/") + 1)
        texts = tuple(None if end.strip() in ("", "..") else end.strip() for end in (first, last))
        asked = texts if slash else value
        _check_texts(asked)
        return asked
    if isinstance(value, datetime.datetime | np.datetime64) and _is_time(value):
        return _moment(value), _last(value)
    ends = list(value) if isinstance(value, Iterable) else [value]
    for each in ends:
        if each is not None and not _is_time(each):
            raise CubeError(
                f"time= holds {each!r:.100}, which is no time; pass text such as '2024-06' or '2024-06-01/2024-06-15', a time "
                "of datetime, numpy or pandas, or the first and the last of them."
            )
    if not 0 < len(ends) < 3:
        raise _too_many(len(ends))
    return (_moment(ends[0]), _last(ends[-1])) if isinstance(value, Iterable) else value


def _too_many(number: int) -> CubeError:
    return CubeError(f"time= holds {number} times; pass one, or the first and the last.")


def _check_texts(asked: str | tuple[str | None, ...]) -> None:
    """Refuse what datacube cannot read as a time, or what it would find nothing between."""
    from datacube.api.query import Query

    for text in (asked,) if isinstance(asked, str) else asked:
        try:
            Query(time=text)
        except (ValueError, TypeError, AttributeError, OverflowError) as error:
            raise CubeError(
                f"the time {text!r:.60} cannot be understood; write a day, a month or a year, such as 2024-06-05, 2024-06 or "
                "2024, or the first and the last with a slash between."
            ) from error
    if isinstance(asked, str) or None in asked:
        return
    span = Query(time=asked).search["time"]
    if span.begin > span.end:
        raise CubeError(
            f"the first time, {asked[0]}, is after the last, {asked[1]}; write the earlier one first."
        )


def times_of(like: xr.Dataset | xr.DataArray) -> np.ndarray:
    """Return the times of some data, ``(n,)``, dtype datetime64[us], UTC.

    Raises
    ------
    CubeError
        If they are no times.
    """
    values = np.atleast_1d(like.time.values)
    try:
        return values.astype("datetime64[us]")
    except (TypeError, ValueError) as error:
        raise CubeError(
            f"the times of like= are no times but {values.dtype}, such as {values[0]!r}; give it times in UTC, or pass "
            "time= as well."
        ) from error


def are_dates(times: np.ndarray) -> bool:
    """Return whether all of some times, ``(n,)``, dtype datetime64[us], are at midnight."""
    return bool((times == times.astype("datetime64[D]")).all())


def range_of(times: np.ndarray, spare: datetime.timedelta) -> tuple[datetime.datetime, ...]:
    """Return the first and the last moment of some times, widened on both sides.

    Parameters
    ----------
    times
        ``(n,)``, dtype datetime64[us], UTC.
    spare
        By how much.
    """
    first, last = times.min(), times.max()
    if are_dates(times):
        last = last + _DAY - np.timedelta64(1, "us")
    return first.item() - spare, last.item() + spare


def _is_time(value: Any) -> bool:
    """Return whether something is text, a date or a time; what numpy and pandas have for no time is none."""
    return isinstance(value, str | datetime.date | np.datetime64) and bool(value == value)


def _moment(value: Any) -> Any:
    """Return a time with an hour as datacube understands it, and anything else as it is.

    It does not know numpy's times, and passes over the time zone of the last of two.
    """
    if isinstance(value, np.datetime64):
        return value.astype("datetime64[us]").item()
    if isinstance(value, datetime.datetime) and value.tzinfo:
        return value.astimezone(datetime.UTC).replace(tzinfo=None)
    return value


def _last(value: Any) -> Any:
    """Return the last of two times; text for the whole period if it has no hour."""
    if isinstance(value, np.datetime64) and np.datetime_data(value)[0] in ("Y", "M", "D"):
        return str(value)
    moment = _moment(value)
    if isinstance(moment, datetime.datetime) and moment.time() == datetime.time():
        return moment.date().isoformat()
    return moment


def begin_of(time: Any) -> datetime.datetime | None:
    """Return where a range of times of an index begins; None for a range without a beginning."""
    # Ranges of Postgres are of its own type, all others are of datacube's.
    found: datetime.datetime | None = time.lower if hasattr(time, "lower") else time.begin
    return found
