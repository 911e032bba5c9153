"""The days in names of files, by which a mask of another scene is found out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Set
from contextlib import suppress
from datetime import date, datetime, timedelta

from ..errors import SceneError

_MOMENT = re.compile(r"(?<!\d)((?:19|20)\d{5,6})T\d{6}(?!\d)")
"""A time of day follows a day, which is year, month and day, or the year and the number of the day in it."""

_DAY = re.compile(r"(?<!\d)((?:19|20)\d\d)(-?)([01]\d)\2([0-3]\d)(?!\d|T\d{6})")
"""A day by itself: ``2024-06-15`` or ``20240615``."""


def moments_in_name(path: str) -> frozenset[date]:
    """Return the days of the points in time in the name of a file, like ``20240615T100031``.

    Parameters
    ----------
    path
        Path, URL or name. Folders do not count.
    """
    return frozenset(_moments(_name(path)))


def days_in_name(path: str) -> frozenset[date]:
    """Return all days in the name of a file, with a time of day or without.

    Parameters
    ----------
    path
        Path, URL or name. Folders do not count.
    """
    return frozenset((*_moments(_name(path)), *_days(_name(path))))


def check_days(path: str, scene: Set[date]) -> None:
    """Raise if a mask is named after other days than its scene.

    Parameters
    ----------
    path
        Path or URL of the mask.
    scene
        Days of the scene; nothing is known if there are none. A name may have the local day, so that the day before
        and the day after are right, too.

    Raises
    ------
    SceneError
        If the name has days, and none is near one of the scene.
    """
    found = days_in_name(path)
    if not found or not scene:
        return
    if all(abs(one - other) > timedelta(days=1) for one in found for other in scene):
        raise SceneError(
            f"{path} is a mask of another scene: its name says {_text(found)}, and the scene is of {_text(scene)}. "
            "Name the mask of this scene, or rename the file if the day is another."
        )


def _name(path: str) -> str:
    return path.partition("?")[0].rstrip("/").rpartition("/")[2]


def _moments(name: str) -> Iterator[date]:
    for match in _MOMENT.finditer(name):
        form = "%Y%m%d" if len(match[1]) == 8 else "%Y%j"
        with suppress(ValueError):  # other digits
            yield datetime.strptime(match[1], form).date()


def _days(name: str) -> Iterator[date]:
    for match in _DAY.finditer(name):
        with suppress(ValueError):
            yield date(int(match[1]), int(match[3]), int(match[4]))


def _text(days: Set[date]) -> str:
    return " and ".join(f"{day:%Y-%m-%d}" for day in sorted(days))
