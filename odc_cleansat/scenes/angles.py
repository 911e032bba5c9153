"""Where the sun and the satellite stand over a scene: from its metadata, else from time and place."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any, NamedTuple

from ..arguments import is_number

LOWEST_SUN = 10.0
"""Degrees above the horizon below which shadows are too long to be traced back to a cloud."""

_FAR = 10.0, 20.0
"""Degrees aside and in height between the sun of the metadata and that of time and place from which on one of them is
wrong. A time that is wrong by a quarter of an hour makes 4 degrees. A wrong height only scales the heights of clouds."""

_ALIKE = 8.0
"""Degrees within which two suns are the same."""

_OVERPASS = 8.5, 13.5
"""Local solar time, hours, at which Sentinel-2 takes images. It descends across the equator at half past ten."""

_POLAR = 65.0
"""Degrees of latitude beyond which its local time is any."""

_HIGHEST_SUN = 5.0
"""Degrees from the vertical. In the forenoon, when Sentinel-2 passes, the sun is 11 degrees from it or more. A value in
radians is below 1.6."""

_STEEPEST_VIEW = 20.0
"""Degrees from the vertical. At the edge of the swath Sentinel-2 looks 12 degrees aside."""

_SUN = (
    ("view:sun_azimuth", "view:sun_elevation", True),
    ("eo:sun_azimuth", "eo:sun_elevation", True),
    ("s2:mean_solar_azimuth", "s2:mean_solar_zenith", False),
    ("sun_azimuth", "sun_elevation", True),
)
"""Properties with azimuth and height of the sun, and whether the height is that above the horizon."""

_VIEW = (
    ("view:azimuth", "view:incidence_angle"),
    ("eo:azimuth", "view:incidence_angle"),
    ("view:azimuth", "view:off_nadir"),
    ("eo:azimuth", "eo:off_nadir"),
    ("view_azimuth", "view_zenith"),
)
"""Properties with azimuth and zenith of the satellite. An ``off_nadir`` of 0 without azimuth is only a default."""


NAMES = tuple(
    dict.fromkeys(
        [
            *(name for *names, _ in _SUN for name in names),
            *(name for names in _VIEW for name in names),
            *("datetime", "cleansat:datetime_placeholder", "cleansat:simulated", "simulated"),
        ]
    )
)
"""The properties of a scene that tell its angles."""


@dataclass(frozen=True)
class Angles:
    """Where the sun and the satellite stand, as seen from the ground."""

    sun_azimuth: float
    """Direction towards the sun, degrees clockwise from north."""

    sun_zenith: float
    """Angle of the sun from the vertical, degrees, 0 to 90."""

    view_azimuth: float | None = None
    """Direction towards the satellite, degrees clockwise from north; None if it is not known."""

    view_zenith: float | None = None
    """Angle of the satellite from the vertical, degrees; None if it is not known."""

    source: str = "argument"
    """What told the angles."""

    def as_dict(self) -> dict[str, Any]:
        """Return the fields that are known, as JSON has them."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    def fault(self) -> str | None:
        """Say why the angles cannot be used, as the end of a sentence; None if they can."""
        known = (self.sun_azimuth, self.sun_zenith, self.view_azimuth, self.view_zenith)
        for number, each in enumerate(known):
            if not (is_number(each) or (number > 1 and each is None)):
                return f"{each!r:.100} is no number of degrees"
        azimuths = [each for each in (self.sun_azimuth, self.view_azimuth) if each is not None]
        if any(not -360 <= each <= 360 for each in azimuths):
            return f"an azimuth of {' or '.join(f'{each:g}' for each in azimuths)} degrees is no direction"
        if not 0 <= self.sun_zenith < 90:
            return f"the sun is {self.sun_zenith:g} degrees from the vertical, which is below the horizon"
        if self.sun_zenith < _HIGHEST_SUN:
            return (
                f"the sun is {self.sun_zenith:g} degrees from the vertical, as it never is when Sentinel-2 passes; angles are in "
                "degrees"
            )
        if self.view_zenith is not None and not 0 <= self.view_zenith <= _STEEPEST_VIEW:
            return f"Sentinel-2 never looks {self.view_zenith:g} degrees aside"
        return None


class Found(NamedTuple):
    """What was found out about the angles of a scene."""

    angles: Angles | None
    """The angles; None if there are none that can be used."""

    reason: str = ""
    """Why there are none."""

    wrong: bool = False
    """Whether the scene says something that cannot be true, of which the caller should know."""


def find_angles(properties: Mapping[str, Any], place: tuple[float, float] | None = None) -> Found:
    """Find the angles of a scene.

    The sun is, in this order: ``view:sun_*``, ``eo:sun_*`` or ``s2:mean_solar_*`` of the properties; else it follows from
    time and place. Where both are known, they are compared, and none is used if they are far apart. The satellite is
    known from ``view:azimuth`` and ``view:incidence_angle`` only.

    Parameters
    ----------
    properties
        Of the dataset or the STAC item, with its ``datetime``, in UTC without a time zone. Midnight sharp is a date
        without a time.
    place
        Longitude and latitude, degrees, of the middle of the scene.
    """
    moment = _known_time(properties)
    computed = None if moment is None or place is None else sun_at(moment, *place)
    stated = _stated_sun(properties)
    if stated is None:
        assumed = _assumed_time(computed, moment, place)
        if computed is None or assumed:
            return Found(None, assumed or "neither angles nor a time of day are known")
        found = _with_view(computed, properties)
        return _usable(found, wrong=found is not computed)
    finite = math.isfinite(stated.sun_azimuth) and math.isfinite(stated.sun_zenith)
    if finite and computed is not None and not _simulated(properties):
        # Some datasets have the zenith in place of the elevation.
        turned = replace(
            stated,
            sun_zenith=90 - stated.sun_zenith,
            source=f"{stated.source}, the elevation for the zenith",
        )
        if sum(_apart(turned, computed)) < min(_ALIKE, sum(_apart(stated, computed))):
            stated = turned
        if fault := _contradiction(stated, computed, moment):
            return Found(None, fault, wrong=True)
    return _usable(_with_view(stated, properties), wrong=True)


def contradiction(
    angles: Angles, properties: Mapping[str, Any], place: tuple[float, float] | None
) -> str | None:
    """Say how angles differ from those of time and place; None if they do not, or time or place are not known.

    Parameters
    ----------
    angles
        Those that are claimed.
    properties, place
        See :func:`find_angles`.
    """
    moment = _known_time(properties)
    if moment is None or place is None or _simulated(properties):
        return None
    computed = sun_at(moment, *place)
    if _assumed_time(computed, moment, place):
        return None
    return _contradiction(angles, computed, moment)


def _contradiction(stated: Angles, computed: Angles, moment: datetime | None) -> str | None:
    """Say how a sun differs from that of time and place; None if it does not."""
    aside, higher = _apart(stated, computed)
    if aside <= _FAR[0] and higher <= _FAR[1]:
        return None
    return (
        f"{stated.source}: that sun is {max(aside, higher):.0f} degrees from where it stood at "
        f"{moment:%Y-%m-%d %H:%M} UTC"
    )


def stated_light(properties: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    """Return the properties that tell the angles, as JSON and dictionaries take them."""
    found = {name: properties[name] for name in NAMES if properties.get(name) is not None}
    return tuple(
        (name, value if isinstance(value, int | float | str) else str(value))
        for name, value in found.items()
    )


def recorded_angles(document: Mapping[str, Any]) -> dict[str, float]:
    """Return the angles in a ``scene.json`` as properties of EO3.

    Parameters
    ----------
    document
        It may have ``sun_azimuth`` and ``sun_elevation``, ``view_azimuth`` and ``view_zenith``, degrees.
    """
    found: dict[str, float] = {}
    for names, properties in ((_SUN[-1][:2], _SUN[1][:2]), (_VIEW[-1], _VIEW[1])):
        values = _numbers(document, *names)
        if values is not None and all(abs(each) <= 360 for each in values):
            found |= dict(zip(properties, values, strict=True))
    return found


def _stated_sun(properties: Mapping[str, Any]) -> Angles | None:
    """Return the sun that properties state, wherever it is; None if they do not."""
    for azimuth, height, elevation in _SUN:
        values = _numbers(properties, azimuth, height)
        if values is not None:
            zenith = 90 - values[1] if elevation else values[1]
            return Angles(values[0], zenith, source=f"{azimuth}, {height}")
    return None


def _with_view(sun: Angles, properties: Mapping[str, Any]) -> Angles:
    """Return the angles with those of the satellite, if properties state them."""
    for names in _VIEW:
        values = _numbers(properties, *names)
        if values is not None:
            source = f"{sun.source}; {', '.join(names)}"
            return Angles(sun.sun_azimuth, sun.sun_zenith, *values, source)
    return sun


def _usable(angles: Angles, wrong: bool) -> Found:
    """Return angles if they can be used, else the reason."""
    if fault := angles.fault():
        return Found(None, f"{angles.source}: {fault}", wrong=wrong)
    if angles.sun_zenith > 90 - LOWEST_SUN:
        height = 90 - angles.sun_zenith
        return Found(None, f"{angles.source}: the sun is {height:.0f} degrees high, too low for it")
    return Found(angles)


def sun_at(moment: datetime, longitude: float, latitude: float) -> Angles:
    """Return the sun over a place, computed with astral to a tenth of a degree.

    Parameters
    ----------
    moment
        UTC, with or without its time zone.
    longitude, latitude
        Degrees.
    """
    from astral import Observer
    from astral.sun import azimuth, zenith

    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    observer = Observer(latitude, longitude)
    return Angles(
        round(float(azimuth(observer, aware)), 3),
        round(float(zenith(observer, aware, with_refraction=False)), 3),
        source="time and place",
    )


def _known_time(properties: Mapping[str, Any]) -> datetime | None:
    """Return the time; None for a placeholder, and for a date without a time of day."""
    moment = properties.get("datetime")
    if isinstance(moment, str):
        with contextlib.suppress(ValueError):
            moment = datetime.fromisoformat(moment.replace("Z", "+00:00"))
    if not isinstance(moment, datetime) or properties.get("cleansat:datetime_placeholder"):
        return None
    if moment.tzinfo is not None:
        moment = moment.astimezone(UTC)
    return None if (moment.hour, moment.minute, moment.second) == (0, 0, 0) else moment


def _assumed_time(
    computed: Angles | None, moment: datetime | None, place: tuple[float, float] | None
) -> str:
    """Say why Sentinel-2 was not there at that time; empty if it may have been."""
    if computed is None or moment is None or place is None or abs(place[1]) >= _POLAR:
        return ""
    hour = (moment.hour + moment.minute / 60 + place[0] / 15) % 24
    if _OVERPASS[0] <= hour <= _OVERPASS[1]:
        return ""
    return f"{computed.source}: {hour:.0f} h of local time is not when Sentinel-2 passes"


def _simulated(properties: Mapping[str, Any]) -> bool:
    """Whether the scene has a sun of its own."""
    return bool(properties.get("cleansat:simulated") or properties.get("simulated"))


def _apart(one: Angles, other: Angles) -> tuple[float, float]:
    """Return by how many degrees two suns are apart aside, on the sky, and in height."""
    turn = abs((one.sun_azimuth - other.sun_azimuth + 180) % 360 - 180)
    low = max(one.sun_zenith, other.sun_zenith)
    return turn * abs(math.sin(math.radians(low))), abs(one.sun_zenith - other.sun_zenith)


def _numbers(properties: Mapping[str, Any], *names: str) -> tuple[float, float] | None:
    """Return two properties that are numbers; None if one of them is not."""
    values = []
    for name in names:
        value = properties.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            return None
        try:
            values.append(float(value))
        except ValueError:
            return None
    return values[0], values[1]
