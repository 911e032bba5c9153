"""What the other dates say of a mask: the rules of :func:`~odc_cleansat.refine`, on arrays of one window.

The reference of a date is the median of the same ground on clear dates around it. The clear ground of a date scales
its near infrared to the reference, so that haze and the height of the sun do not count.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy import ndimage

from ..classes import CLOUDS, CloudClass
from ..errors import ReflectanceWarning, tell
from ..scenes.packing import Packing

BANDS = ("blue", "red", "nir")
"""Bands that the rules look at, by canonical name."""

DAYS = 45.0
"""How far the dates of a reference may be from a date, days."""

DARKER = -0.2
"""Logarithm of near infrared over the reference, below which ground is as dark as in shadow: 18 % darker."""

SAME_DAY = 0.5
"""Days within which two dates are one: neighbouring tiles, or the same one processed twice."""

_BRIGHTER = 0.01
"""Blue reflectance above that of the ground, below which cloud is not brighter than it."""

_VEIL = (0.04, 0.2)
"""Blue reflectance that a thin veil adds at least, and at most."""

_VEIL_RED = 1.0
"""How many times its blue excess the red excess of a veil is at most. Bare soil and harvested fields add more red."""

_VEIL_UNEVEN = 0.5
"""Standard deviation of the blue excess around a pixel under a veil, at most, in means."""

_SEVERAL = 2
"""Clear dates that are needed to doubt cloud or to find a veil. One of them alone may be cloud that nobody saw."""

_BRIGHT_GROUND = 0.25
"""Blue reflectance of a reference from which cloud cannot be told from ground by its brightness: snow, salt, roofs."""

_UNSTEADY = 0.7
"""Logarithm of the range of near infrared over the middle half of the dates, above which ground is no reference."""

_OFFSET_LEEWAY = 0.015
"""Reflectance by which the ground may differ from one offset of 0.1 and still seem to have it."""

_FAR = 0.7
"""Logarithm by which the clear ground of a date may be off the reference: twice as bright, or half."""

_LEAST_GROUND = 500
"""Clear pixels of a window with a reference that are needed to scale it."""

_USUAL = 0.6
"""Share of the dates with clear surroundings on which ground that is always masked is masked."""

_FEWEST = 4
"""Dates with clear surroundings that are needed to call ground always masked."""

_CLEAR_AROUND = 0.25
"""Most masked pixels among the surroundings of a pixel that count as clear, as a share."""


@dataclass(frozen=True)
class Series:
    """The dates of one window, in the order of time."""

    bands: Mapping[str, np.ndarray]
    """Those of :data:`BANDS`: numbers of any kind, dims ``(time, y, x)``."""

    codes: np.ndarray
    """uint8 :class:`CloudClass` codes, dims ``(time, y, x)``, nodata 0."""

    days: np.ndarray
    """When each date was, days, float64, dims ``(time,)``."""

    packings: Mapping[str, Sequence[Packing | None]]
    """How the numbers of each band and date become reflectance; None for dates that cannot be used."""

    smoothing: int
    """Side of the squares over which differences are averaged, pixels, odd."""

    surroundings: int
    """Side of the squares that are the surroundings of their central pixel, pixels, odd."""

    hindsight: bool = True
    """Whether later dates count too."""

    wanted: Sequence[int] | None = None
    """Numbers of the dates to refine; None for all. The others are only compared with."""

    told: set[float] = field(default_factory=set)
    """Days of which the user has been told that they have another offset."""

    def reflectance(self, band: str, date: int) -> np.ndarray:
        """Return a band of a date, dims ``(y, x)``, float32 reflectance; NaN where there are no data."""
        packing, values = self.packings[band][date], self.bands[band][date]
        assert packing is not None
        found: np.ndarray = values.astype("float32")
        found += np.float32(packing.offset)
        found *= np.float32(packing.scale)
        gone = self.codes[date] == CloudClass.NODATA
        found[gone if packing.nodata is None else gone | (values == packing.nodata)] = np.nan
        return found

    def dates(self) -> Sequence[int]:
        """Return the numbers of the dates to refine."""
        return range(len(self.codes)) if self.wanted is None else self.wanted

    def usable(self, date: int) -> bool:
        """Return whether the numbers of a date can become reflectance."""
        return None not in [self.packings[band][date] for band in BANDS]

    def near(self, date: int) -> list[int]:
        """Return the numbers of the dates that may be a reference for a date."""
        after = self.days - self.days[date]
        close = (np.abs(after) <= DAYS) & (np.abs(after) > SAME_DAY)
        if not self.hindsight:
            close &= after < 0
        return [int(each) for each in np.flatnonzero(close) if self.usable(int(each))]


def refine_window(series: Series) -> np.ndarray:
    """Return better classes, from all dates of a window.

    Parameters
    ----------
    series
        The dates.

    Returns
    -------
    numpy.ndarray
        uint8 codes, dims ``(time, y, x)``. Where there is no reference they are as they were.

    Warns
    -----
    ReflectanceWarning
        If a date differs from the others as by a forgotten offset. It is left as it is.
    """
    codes = unmask_usual(series)
    clear = (series.codes == CloudClass.CLEAR) | (series.codes == CloudClass.WATER)
    for date in series.dates():
        near = series.near(date)
        if near and series.usable(date) and (codes[date] != CloudClass.NODATA).any():
            codes[date] = _refined(series, date, codes[date], clear, near)
    return codes


# --- one date against its reference ---------------------------------------------------


def _refined(
    series: Series, date: int, codes: np.ndarray, clear: np.ndarray, near: Sequence[int]
) -> np.ndarray:
    """Return the classes of a date, from its reference."""
    own, ground = {}, {}
    for band in BANDS:
        own[band] = series.reflectance(band, date)
        stack = [np.where(clear[i], series.reflectance(band, i), np.float32(np.nan)) for i in near]
        ground[band], count, spread = _median(np.stack(stack, axis=-1))
    ground["nir"][spread > _UNSTEADY] = np.nan  # the spread of near infrared, the last band
    darkness = np.log(_positive(own["nir"]) / _positive(ground["nir"]))
    known = clear[date] & np.isfinite(darkness)
    if known.sum() < _LEAST_GROUND or abs(shift := np.median(darkness[known])) > _FAR:
        return codes
    excess = {band: own[band] - ground[band] for band in BANDS}
    haze = {band: float(np.nanmedian(excess[band][known])) for band in BANDS}
    if _is_offset(haze):
        _tell_of_offset(series, date)
        return codes
    darkness = _mean(darkness - shift, series.smoothing)
    plain = (ground["blue"] < _BRIGHT_GROUND) & (count >= _SEVERAL)
    brightness = _mean(excess["blue"], series.smoothing) - haze["blue"]
    found = _against_ground(codes, darkness, brightness, plain)
    veil = _veil(excess["blue"], excess["red"], 5 * series.smoothing) & (darkness >= DARKER) & plain
    found[veil & (found == CloudClass.CLEAR)] = CloudClass.THIN_CLOUD
    return found


def _is_offset(haze: Mapping[str, float]) -> bool:
    """Whether all bands of the clear ground differ from the reference by the offset of baseline 04.00."""
    differences = np.array([haze[band] for band in BANDS])
    return bool((np.abs(np.abs(differences) - 0.1) < _OFFSET_LEEWAY).all()) and (
        abs(differences.sum()) > 0.2
    )


def _tell_of_offset(series: Series, date: int) -> None:
    """Tell once of a date that seems to have another offset."""
    if (day := float(series.days[date])) not in series.told:
        series.told.add(day)
        moment = np.datetime64(0, "s") + np.timedelta64(round(day * 86400), "s")
        warning = ReflectanceWarning(
            f"the ground of {moment} differs from that of the dates around it by 0.1 in every band, as by a radiometric "
            "offset of 1000; its mask is left as it is. Give each date its offset, as the coordinate `offset`."
        )
        tell(str(warning), ReflectanceWarning)


def _against_ground(
    codes: np.ndarray, darkness: np.ndarray, brightness: np.ndarray, plain: np.ndarray
) -> np.ndarray:
    """Return the classes of shadow and cloud that differ from the ground as they should not; NaN changes nothing."""
    found: np.ndarray = codes.copy()
    dark, cloud = darkness < DARKER, np.isin(codes, CLOUDS)
    found[(codes == CloudClass.SHADOW) & (darkness >= DARKER)] = CloudClass.CLEAR
    found[cloud & dark & plain] = CloudClass.SHADOW
    as_ground = np.abs(darkness) < -DARKER
    found[cloud & as_ground & (brightness < _BRIGHTER) & plain] = CloudClass.CLEAR
    return found


def _veil(blue: np.ndarray, red: np.ndarray, side: int) -> np.ndarray:
    """Return where blue is above the ground by as much as under a thin veil, and evenly so."""
    mean, square = _mean(blue, side), _mean(blue**2, side)
    even = square - mean**2 < (_VEIL_UNEVEN * mean) ** 2
    bluish = _mean(red, side) < _VEIL_RED * mean
    found: np.ndarray = (mean > _VEIL[0]) & (mean < _VEIL[1]) & even & bluish
    return found


def _positive(values: np.ndarray) -> np.ndarray:
    """Reflectance of which there is a logarithm. Dark water may be 0 or below."""
    found: np.ndarray = np.maximum(values, np.float32(1e-3))
    return found


def _median(stack: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return median, count and spread along the last axis, without what is NaN.

    The spread is the logarithm of the range of the middle half.
    """
    ordered = np.sort(stack, axis=-1)  # NaN comes last
    count = np.isfinite(ordered).sum(axis=-1, keepdims=True)
    quarter = count // 4
    places = [(count - 1) // 2, count // 2, quarter, count - 1 - quarter]
    picked = np.take_along_axis(ordered, np.maximum(np.concatenate(places, axis=-1), 0), axis=-1)
    spread = np.log(_positive(picked[..., 3]) / _positive(picked[..., 2]))
    return picked[..., :2].mean(axis=-1), count[..., 0], spread


def _mean(values: np.ndarray, side: int) -> np.ndarray:
    """Return the mean over squares of the pixels with a value; NaN where the pixel itself has none."""
    known = np.isfinite(values)
    total = ndimage.uniform_filter(np.where(known, values, 0), side, mode="constant")
    share = ndimage.uniform_filter(known.astype("float32"), side, mode="constant")
    found: np.ndarray = np.where(known, total / np.maximum(share, np.float32(1e-6)), np.nan)
    return found


# --- ground that is always masked -----------------------------------------------------


def unmask_usual(series: Series) -> np.ndarray:
    """Return codes in which clear is what is masked on most dates within 45 days although its surroundings are not.

    Parameters
    ----------
    series
        The dates.

    Returns
    -------
    numpy.ndarray
        uint8 codes, dims ``(time, y, x)``. Dates on which the surroundings are masked too stay as they were.
    """
    codes: np.ndarray = series.codes.copy()
    masked = np.isin(codes, (*CLOUDS, CloudClass.SHADOW))
    open_sky = np.zeros(codes.shape, bool)
    for mask, share in zip(masked, open_sky, strict=True):
        share[:] = (
            ndimage.uniform_filter(mask.astype("float32"), series.surroundings) < _CLEAR_AROUND
        )
    open_sky &= codes != CloudClass.NODATA
    for date in series.dates():
        here = open_sky[date] & masked[date]
        if here.any():
            around = [*series.near(date), date]
            seen = open_sky[around].sum(axis=0, dtype="uint16")
            hidden = (open_sky[around] & masked[around]).sum(axis=0, dtype="uint16")
            codes[date][here & _usual(seen, hidden)] = CloudClass.CLEAR
    return codes


def _usual(seen: np.ndarray, masked: np.ndarray) -> np.ndarray:
    """Whether ground is masked on most of the dates that count, and these are enough."""
    found: np.ndarray = (seen >= _FEWEST) & (masked > _USUAL * seen)
    return found
