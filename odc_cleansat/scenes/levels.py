"""Can the values of each band be reflectance? What cannot is refused, what hardly can is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..errors import SceneError
from .packing import Packing
from .spectrum import SpectrumCheck

BRIGHT, BRIGHTEST = 2.0, 10.0
"""Reflectance that most pixels of a band cannot have: it is told, and of integers refused; the second is refused.

On 40 real scenes, of fields, cities, sea, snow and solid cloud, the median of no band is above 0.95. Floating-point
numbers may have been corrected or modelled in any way, so less is refused of them."""

TOO_BRIGHT, TOO_DARK = 5.0, -0.3
"""Reflectance beyond which no pixel can be. On the 40 real scenes all of 20 million pixels are from 0 to 1.4."""

LOW = -0.05
"""Reflectance below which hardly a pixel can be: atmospheric correction does not err by more."""

DIM = 0.002
"""Reflectance above which a scene has some pixels in some band. The dimmest of the 40 scenes has 0.023."""

PICTURE = (100, 250, 255)
"""What the greatest number of each band reaches at least, that of the brightest band, and none goes beyond in a
picture of 8 bits. A dim scene goes beyond it in some band, and water stays below the first in others."""

LIFTED = 0.7, 0.95
"""Reflectance between which the darkest pixels of most bands are in numbers of Landsat. There 0.727 is what reflects nothing.
Solid cloud is as bright, but darker in short-wave infrared: of the 40 scenes none is above 0.31 there all over."""

CUT = 0.1
"""Share of the pixels of blue that are 0 if something was taken off. Deep water is dark in infrared, and never in blue."""

FULL = 1.0
"""Reflectance at which a picture of floating-point numbers is full."""

KINDS_APART = 5.0
"""Ratio of the mean reflectance of integer bands to that of floating-point bands from which their scales differ."""

MOST, SOME, FEW = 0.5, 0.01, 0.001
"""Shares of a band's pixels: what most of them have, what refuses a scene, and what is told."""

FEWEST = 10
"""Least number of pixels that count as some or few."""

_SAMPLE = 500
"""Rows and columns of a band that are looked at."""


_COUNTS = (
    "pixels", "bright", "brightest", "impossible", "low", "dark", "lifted", "zeros", "full", "total",
)  # fmt: skip


@dataclass
class _Level:
    """The levels of one band; counts of pixels, and reflectance."""

    packing: Packing
    dtype: np.dtype
    pixels: int = 0
    bright: int = 0
    brightest: int = 0
    impossible: int = 0
    low: int = 0
    dark: int = 0
    lifted: int = 0
    zeros: int = 0
    full: int = 0
    total: float = 0.0
    top: float = -np.inf

    def add(self, reflectance: np.ndarray) -> None:
        """Count a sample of values, any shape, NaN for no data."""
        values = reflectance[np.isfinite(reflectance)]
        if values.size:
            self.pixels += values.size
            self.bright += int(np.count_nonzero(values > BRIGHT))
            self.brightest += int(np.count_nonzero(np.abs(values) > BRIGHTEST))
            self.impossible += int(np.count_nonzero((values > TOO_BRIGHT) | (values < TOO_DARK)))
            self.low += int(np.count_nonzero(values < LOW))
            self.dark += int(np.count_nonzero(values < LIFTED[0]))
            self.lifted += int(np.count_nonzero(values < LIFTED[1]))
            nothing = np.float32(self.packing.offset) * np.float32(self.packing.scale)
            self.zeros += int(np.count_nonzero(values == nothing))
            self.full += int(np.count_nonzero(values == FULL))
            self.total += float(values.sum(dtype="float64"))
            self.top = max(self.top, float(values.max()))

    def merge(self, other: _Level) -> None:
        """Add the counts of another part of the band."""
        for name in _COUNTS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.top = max(self.top, other.top)

    def has(self, count: int, share: float) -> bool:
        """Return whether a number of pixels is a share of the band, and no few stray ones."""
        return count > share * self.pixels and count >= min(FEWEST, self.pixels / 2)

    @property
    def mean(self) -> float:
        """Mean reflectance."""
        return self.total / self.pixels

    @property
    def wrapped(self) -> bool:
        """Whether the numbers look as if some had fallen below 0 and wrapped round."""
        return self.dtype.kind == "u" and self.highest > np.iinfo(self.dtype).max - 1000

    @property
    def highest(self) -> float:
        """The greatest number, to within rounding."""
        return self.top / self.packing.scale - self.packing.offset


def sample(plane: np.ndarray) -> np.ndarray:
    """Return the rows and columns of a plane, ``(y, x)`` of any dtype, that are looked at. A sample is its own sample."""
    step = max(1, round((plane.size / _SAMPLE**2) ** 0.5))
    return plane[::step, ::step]


@dataclass
class LevelCheck:
    """Judge whether the values of a scene's bands can be reflectance, each band by itself and all together.

    Feed it the scene piece by piece with :meth:`add` and :meth:`add_together`. Then :meth:`refuse` raises where they cannot be, and
    :meth:`complaints` tells where they hardly can be, or where the scene has no data without saying so. Scenes that
    are all cloud, snow, desert, water or nearly empty pass, for it looks only for what no ground has.
    """

    names: Sequence[str]
    """Names of the bands."""

    gaps: bool = False
    """Whether some pixel of some band has no data."""

    _levels: dict[str, _Level] = field(default_factory=dict)
    _undeclared: dict[float, int] = field(default_factory=dict)
    _alike: dict[float, int] = field(default_factory=dict)
    _spectrum: SpectrumCheck = field(init=False)

    def __post_init__(self) -> None:
        self._spectrum = SpectrumCheck(self.names)

    def add(self, i: int, reflectance: np.ndarray, dtype: np.dtype, packing: Packing) -> None:
        """Count a piece of a band.

        Parameters
        ----------
        i
            Which of the bands.
        reflectance
            ``(y, x)`` floating point, NaN for no data.
        dtype
            Data type of the numbers that it was made of.
        packing
            How it was made of them.
        """
        level = self._levels.setdefault(self.names[i], _Level(packing, dtype))
        level.add(sample(reflectance))

    def add_together(self, pixels: np.ndarray) -> None:
        """Count a piece of all bands.

        Parameters
        ----------
        pixels
            ``(C, h, w)`` floating-point reflectance on one grid, NaN for no data.
        """
        self._spectrum.add(pixels)

    def add_undeclared(
        self, counts: Mapping[float, int], alike: Mapping[float, int] | None = None
    ) -> None:
        """Count pixels whose number stands for no data without being declared, and those of one number in all bands."""
        for known, more in ((self._undeclared, counts), (self._alike, alike or {})):
            for number, count in more.items():
                known[number] = known.get(number, 0) + count

    def merge(self, other: LevelCheck) -> None:
        """Add what was counted elsewhere in the scene."""
        self.gaps |= other.gaps
        self.add_undeclared(other._undeclared, other._alike)
        self._spectrum.merge(other._spectrum)
        for band, level in other._levels.items():
            own = self._levels.setdefault(band, _Level(level.packing, level.dtype))
            own.merge(level)

    def refuse(self) -> None:
        """Raise if the values of a band cannot be reflectance.

        Raises
        ------
        SceneError
            If most of them are too bright, some integers impossible, they have eight bits, integers and floating-point
            numbers are not of one scale, or two bands are the same.
        """
        for band, level in self._known():
            integer = level.dtype.kind in "ui"
            bright = level.bright if integer else level.brightest
            if level.has(bright, MOST) and not level.wrapped:
                raise SceneError(_not_reflectance(band, level))
            if integer and level.has(level.impossible, SOME):
                raise SceneError(_impossible(band, level))
            if (
                level.dtype.kind in "ui"
                and level.dtype.itemsize == 1
                and level.highest <= 255
                and _assumed(level)
            ):
                raise SceneError(
                    f"{band} is {level.dtype}, which cannot hold digital numbers of Sentinel-2; this is a picture. Load the "
                    "original bands, or pass scale= and offset= that make reflectance of it."
                )
        self._refuse_kinds()
        if twins := self._spectrum.twins():
            raise SceneError(
                f"{twins[0]} and {twins[1]} are the same in all pixels, so one of them is not the band that it is taken for. "
                "Load both bands, or take a model that needs fewer (cleansat models list)."
            )
        if self._is_lifted() and all(level.dtype.kind in "ui" for _, level in self._known()):
            raise SceneError(_lifted(self._known()[0][1]))

    def _is_lifted(self) -> bool:
        """Return whether all pixels are as bright as only cloud is, and the darkest of most bands equally bright."""
        if self._spectrum.is_landsat():
            return True
        known = self._known()
        infrared = any(band.startswith("swir") for band, _ in known)
        bright = all(
            level.pixels >= 10 * FEWEST
            and not level.has(level.dark, FEW)
            and (_assumed(level) or level.packing.reflectance)
            for _, level in known
        )
        alike = sum(level.has(level.lifted, FEW) for _, level in known)
        return infrared and bright and alike >= len(known) / 2

    def _known(self) -> list[tuple[str, _Level]]:
        return [(band, level) for band, level in self._levels.items() if level.pixels]

    def _refuse_kinds(self) -> None:
        """Raise if the scene has integers and floating-point numbers of different scales."""
        means: dict[bool, list[float]] = {}
        for _, level in self._known():
            if level.pixels >= FEWEST:
                means.setdefault(level.dtype.kind == "f", []).append(level.mean)
        if len(means) < 2:
            return
        floats, integers = (sum(means[kind]) / len(means[kind]) for kind in (True, False))
        low, high = sorted([floats, integers])
        if low <= 0 or high / low > KINDS_APART:
            names = {k: [b for b, v in self._known() if (v.dtype.kind == "f") == k] for k in means}
            raise SceneError(
                f"{', '.join(names[False])} hold integers of {integers:.4f} mean reflectance, {', '.join(names[True])} "
                f"floating-point numbers of {floats:.4f}: they are of different scales. Bring all bands to reflectance, "
                "or load all as digital numbers."
            )

    def complaints(self) -> list[str]:
        """Return what hardly can be, in whole sentences but for the first word."""
        known = self._known()
        found = [
            f"{count} pixels are {number:g} in all bands, which no ground is; they are taken as no data. Declare it: "
            f"band.attrs['nodata'] = {number:g}, or {number:g} as nodata of the files."
            for number, count in self._undeclared.items()
        ]
        found += self._of_one_number()
        if self._is_lifted():
            found.append(_lifted(known[0][1]))
        for band, level in known:
            if level.has(level.bright, MOST):
                found.append(_not_reflectance(band, level))
            elif level.has(level.impossible, FEW):
                found.append(_impossible(band, level))
            elif level.has(level.low, SOME):
                found.append(_too_low(band, level))
            elif band == "blue" and level.dtype.kind in "ui" and level.has(level.zeros, CUT):
                found.append(_cut_off(level))
        highest = [
            level.highest
            for _, level in known
            if level.dtype.kind in "ui" or not level.packing.reflectance
        ]
        if known and all(level.pixels >= FEWEST for _, level in known):
            if len(highest) == len(known) and _is_picture(highest):
                found.append(
                    f"no number is above {max(highest):.0f}, as in a picture of 8 bits. Load the original bands, or pass "
                    "scale= that makes reflectance of them."
                )
            elif max(level.top for _, level in known) < DIM:
                found.append(
                    f"no pixel reflects more than {100 * max(level.top for _, level in known):.2g} % in any band, as if a "
                    f"scale had been applied twice; the scale is {known[0][1].packing.scale:g}. Pass scale=1 if the "
                    "values are reflectance."
                )
            elif len(known) > 4 and all(
                level.dtype.kind == "f" and level.top == FULL and level.has(level.full, FEW)
                for _, level in known
            ):
                found.append(
                    "the brightest pixels of every band are exactly 1, as in a picture whose contrast was stretched. Load the "
                    "original bands."
                )
        # What is wrong with a band by itself makes it odd beside the others, too.
        if not found and (odd := self._spectrum.complaint()):
            found.append(odd)
        return found

    def _of_one_number(self) -> list[str]:
        """Return what to say of pixels that have one number in all bands, which no ground has often."""
        most = max((level.pixels for _, level in self._known()), default=0)
        found = []
        for number, count in self._alike.items():
            if number == 0 and count >= FEWEST:
                found.append(
                    f"{count} pixels have a reflectance of 0 in all bands, and are taken as data. If they have none, say "
                    "so: scene.where(scene != 0), or band.attrs['nodata'] = 0."
                )
            elif number and max(SOME * most, 10 * FEWEST) <= count < MOST * most:
                found.append(
                    f"{count} pixels are {number:g} in all bands, which ground hardly is, and are taken as data. If they have "
                    f"none, say so: scene.where(scene != {number:g}), or band.attrs['nodata'] = {number:g}."
                )
        return found


def _is_picture(highest: Sequence[float]) -> bool:
    """Return whether the greatest numbers of the bands are those of a picture of 8 bits."""
    least, brightest, limit = PICTURE
    return min(highest) > least - 0.5 and brightest - 0.5 < max(highest) < limit + 0.5


def _assumed(level: _Level) -> bool:
    return level.packing.scale == 1e-4


def _not_reflectance(band: str, level: _Level) -> str:
    share = 100 * level.bright / level.pixels
    given = level.packing
    if given.reflectance:
        advice = "pass scale=1/10000 if they are Sentinel-2 digital numbers, or scale=1/100 if they are percent"
    else:
        advice = f"they were multiplied by {given.scale:g} after adding {given.offset:g}; pass scale= and offset= that fit"
    return (
        f"{share:.0f} % of the values of {band} are a reflectance above {BRIGHT:g}, so they are no reflectance, but digital numbers or "
        f"of another scale: {advice}."
    )


def _lifted(level: _Level) -> str:
    return (
        f"no pixel of any band is darker than a reflectance of {LIFTED[0]:g}, as if they were of another scale, such as the numbers "
        f"of Landsat, of which 0.2 is to be taken off; they were multiplied by {level.packing.scale:g}. Pass scale= and "
        "offset= that fit; models are made for Sentinel-2."
    )


def _cut_off(level: _Level) -> str:
    share = 100 * level.zeros / level.pixels
    return (
        f"{share:.0f} % of the values of blue are 0 where other bands are not, as if 1000 had been taken off numbers "
        "without it, and what fell below 0 cut off. Load the bands as they were."
    )


def _impossible(band: str, level: _Level) -> str:
    share = 100 * level.impossible / level.pixels
    why = (
        "digital numbers below 0 that have wrapped round, or an undeclared value for no data. Subtract in a signed type, "
        "e.g. band.astype('int32') - 1000"
        if level.wrapped
        else "an undeclared value for no data, or another scale. Replace it by NaN"
    )
    return (
        f"{share:.2g} % of the values of {band} are no reflectance, beyond {TOO_DARK:g} and {TOO_BRIGHT:g}: probably {why}, or "
        "declare it, e.g. band.attrs['nodata'] = 65535."
    )


def _too_low(band: str, level: _Level) -> str:
    share, packing = 100 * level.low / level.pixels, level.packing
    if packing.offset < 0:
        advice = f"as if the offset {packing.offset:g} ({packing.source}) had been removed already; pass offset=0 if it has"
    elif packing.reflectance:
        advice = "as if 0.1 had been taken off twice; add 0.1 to the bands if it has"
    else:
        advice = "as if 1000 had been taken off numbers without it; add 1000 to the bands if it has"
    return f"{share:.2g} % of the values of {band} are below a reflectance of {LOW:g}, {advice}."
