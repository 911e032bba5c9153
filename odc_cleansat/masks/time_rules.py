"""What the other dates say of a mask: the rules of :func:`~odc_cleansat.refine`, on arrays of one window.

The reference of a date is the median of the same ground on clear dates around it. The clear ground of a date scales
its near infrared to the reference, so that haze and the height of the sun do not count.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from scipy import ndimage

from ..classes import CLOUDS, CloudClass
from ..errors import ReflectanceWarning, tell
from ..scenes.packing import Packing
from .ground import MEDIAN, MIDDLE_HALF, Ground

BANDS = ("blue", "red", "nir")
"""Bands that the rules look at, by canonical name."""

DAYS = 45.0
"""How far the dates of a reference may be from a date, days."""

DARKER = -0.25
"""Logarithm of near infrared over the reference, below which ground is as dark as in shadow: 22 % darker."""

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

_CLOUDY = np.isin(np.arange(256), CLOUDS)
"""Whether each code is a kind of cloud."""

_REFLECTANCE = Packing(1, 0, None, "")


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
        packing, values = self.packing(band, date), self.bands[band][date]
        found = _as_reflectance(values, packing)
        gone = self.codes[date] == CloudClass.NODATA
        found[gone if packing.nodata is None else gone | (values == packing.nodata)] = np.nan
        return found

    def packing(self, band: str, date: int) -> Packing:
        """Return how the numbers of a band become reflectance, on a date that can be used."""
        packing = self.packings[band][date]
        assert packing is not None
        return packing

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
    references = _References(series)
    for date in series.dates():
        near = series.near(date)
        if near and series.usable(date) and (codes[date] != CloudClass.NODATA).any():
            codes[date] = _refined(series, date, codes[date], references, near)
    return codes


# --- one date against its reference ---------------------------------------------------


def _refined(
    series: Series, date: int, codes: np.ndarray, references: _References, near: Sequence[int]
) -> np.ndarray:
    """Return the classes of a date, from its reference."""
    clear = references.clear[date]
    if np.count_nonzero(clear) < _LEAST_GROUND:
        return codes
    own, ground = {"nir": series.reflectance("nir", date)}, {}
    ground["nir"], count = references.median("nir", near, spread=True)
    darkness = np.log(_positive(own["nir"]) / _positive(ground["nir"]))
    known = clear & np.isfinite(darkness)
    if known.sum() < _LEAST_GROUND or abs(shift := np.median(darkness[known])) > _FAR:
        return codes
    for band in ("blue", "red"):
        own[band] = series.reflectance(band, date)
        ground[band], _ = references.median(band, near)
    excess = {band: own[band] - ground[band] for band in BANDS}
    haze = _middle(excess["blue"][known])
    if _is_offset(haze) and _is_offset(haze, *(_middle(excess[b][known]) for b in ("red", "nir"))):
        _tell_of_offset(series, date)
        return codes
    (darkness,) = _means(series.smoothing, darkness - shift)
    plain = (ground["blue"] < _BRIGHT_GROUND) & (count >= _SEVERAL)
    found = _against_ground(codes, darkness, plain)
    as_ground = _CLOUDY[codes] & (np.abs(darkness) < -DARKER) & plain
    if as_ground.any():
        (blue,) = _means(series.smoothing, excess["blue"])
        found[as_ground & (blue - haze < _BRIGHTER)] = CloudClass.CLEAR
    bare = (found == CloudClass.CLEAR) & (darkness >= DARKER) & plain
    found[_veil(excess["blue"], excess["red"], 5 * series.smoothing, bare)] = CloudClass.THIN_CLOUD
    return found


def _middle(values: np.ndarray) -> float:
    """Return the median without what is NaN."""
    return float(np.nanmedian(values))


def _is_offset(*haze: float) -> bool:
    """Whether bands of the clear ground differ from the reference by the offset of baseline 04.00, all to one side."""
    same_side = abs(np.sign(haze).sum()) == len(haze)
    return bool(same_side and (np.abs(np.abs(haze) - 0.1) < _OFFSET_LEEWAY).all())


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


def _against_ground(codes: np.ndarray, darkness: np.ndarray, plain: np.ndarray) -> np.ndarray:
    """Return the classes of shadow that is not dark, and of cloud that is; NaN changes nothing."""
    found: np.ndarray = codes.copy()
    found[(codes == CloudClass.SHADOW) & (darkness >= DARKER)] = CloudClass.CLEAR
    found[_CLOUDY[codes] & (darkness < DARKER) & plain] = CloudClass.SHADOW
    return found


def _veil(blue: np.ndarray, red: np.ndarray, side: int, bare: np.ndarray) -> np.ndarray:
    """Return which bare ground is bluer than it was by as much as under a thin veil, and evenly so."""
    (mean,) = _means(side, blue)
    found: np.ndarray = bare & (mean > _VEIL[0]) & (mean < _VEIL[1])
    if found.any():
        square, mean_red = _means(side, blue**2, red)
        even = square - mean**2 < (_VEIL_UNEVEN * mean) ** 2
        found &= even & (mean_red < _VEIL_RED * mean)
    return found


def _positive(values: np.ndarray) -> np.ndarray:
    """Reflectance of which there is a logarithm. Dark water may be 0 or below."""
    found: np.ndarray = np.maximum(values, np.float32(1e-3))
    return found


def _as_reflectance(values: np.ndarray, packing: Packing) -> np.ndarray:
    """Return numbers as float32 reflectance."""
    found: np.ndarray = values.astype("float32")
    found += np.float32(packing.offset)
    found *= np.float32(packing.scale)
    return found


class _References:
    """What the bands were on the clear dates around one."""

    def __init__(self, series: Series) -> None:
        """Look for clear ground in all dates of a window."""
        self._series = series
        self.clear = (series.codes == CloudClass.CLEAR) | (series.codes == CloudClass.WATER)
        self._packings = {band: self._packing(band) for band in BANDS}
        self._grounds = {band: Ground(partial(self._read, band)) for band in BANDS}

    def median(
        self, band: str, dates: Sequence[int], *, spread: bool = False
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the median of some dates, float32 reflectance, NaN where none is clear; and how many are.

        With `spread` it is NaN, too, where dates disagree: where the middle half of them has a great range.
        """
        count, found = self._grounds[band].ranked(
            dates, (*MEDIAN, *(MIDDLE_HALF if spread else ()))
        )
        low, high, *ends = (_as_reflectance(each, self._packings[band]) for each in found)
        low += high
        low /= 2
        low[count == 0] = np.nan
        if ends:
            first, last = map(_positive, ends)
            with np.errstate(invalid="ignore"):
                low[np.log(last / first) > _UNSTEADY] = np.nan
        return low, count

    def _packing(self, band: str) -> Packing:
        """Return how the values of a band that are put in order become reflectance."""
        series = self._series
        usable = filter(series.usable, range(len(series.codes)))
        packings = [series.packing(band, date) for date in usable]
        ways = {(packing.scale, packing.offset) for packing in packings}
        if len(ways) == 1 and packings[0].scale > 0 and series.bands[band].dtype.kind in "ui":
            return packings[0]
        return _REFLECTANCE

    def _read(self, band: str, date: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the values of a date, and which are clear ground. Integers of one scale are put in order as they are."""
        if self._packings[band] is _REFLECTANCE:
            values = self._series.reflectance(band, date)
            return values, self.clear[date] & np.isfinite(values)
        values, nodata = self._series.bands[band][date], self._series.packing(band, date).nodata
        known = self.clear[date]
        return values, known if nodata is None else known & (values != nodata)


def _means(side: int, *planes: np.ndarray) -> Iterator[np.ndarray]:
    """Give the means over squares of the pixels with a value; NaN where the pixel itself has none."""
    of, share = None, None
    for values in planes:
        known = np.isfinite(values)
        if of is None or not np.array_equal(known, of):
            of = known
            share = ndimage.uniform_filter(known.astype("float32"), side, mode="constant")
            np.maximum(share, np.float32(1e-6), out=share)
        total = ndimage.uniform_filter(np.where(known, values, 0), side, mode="constant")
        yield np.where(known, total / share, np.nan)


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
    masked = _CLOUDY[codes] | (codes == CloudClass.SHADOW)
    open_sky = np.zeros(codes.shape, bool)
    for mask, share in zip(masked, open_sky, strict=True):
        share[:] = (
            ndimage.uniform_filter(mask.astype("float32"), series.surroundings) < _CLEAR_AROUND
        )
    open_sky &= codes != CloudClass.NODATA
    seen, hidden = (np.zeros(codes.shape[1:], "uint16") for _ in range(2))
    counted: set[int] = set()
    for date in series.dates():
        here = open_sky[date] & masked[date]
        if here.any():
            around = {*series.near(date), date}
            for i in around - counted:
                seen += open_sky[i]
                hidden += open_sky[i] & masked[i]
            for i in counted - around:
                seen -= open_sky[i]
                hidden -= open_sky[i] & masked[i]
            counted = around
            codes[date][here & _usual(seen, hidden)] = CloudClass.CLEAR
    return codes


def _usual(seen: np.ndarray, masked: np.ndarray) -> np.ndarray:
    """Whether ground is masked on most of the dates that count, and these are enough."""
    found: np.ndarray = (seen >= _FEWEST) & (masked > _USUAL * seen)
    return found
