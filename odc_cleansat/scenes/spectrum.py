"""Do the bands of a scene fit each other? What no ground, water or cloud reflects is looked for, pixel by pixel.

A band at a tenth of its reflectance can be reflectance by itself, and so can one with an offset of its own. Beside the
other bands it cannot, and neither can two that were swapped. A scene at half or twice its reflectance looks like any other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np

FEWEST, MANY = 1000, 3000
"""Least number of pixels that can tell, and of all pixels where a scene is judged as a whole.

Smaller pieces of real scenes may be all deep shadow."""

_SAMPLE = 500
"""Rows and columns of a piece that are looked at."""

FAINTER, BRIGHTER = 0.3, 3.0
"""Ratios of a visible band to the darker, and to the brighter, of both others, beyond which a pixel is odd.

Of the pixels of real scenes and of their parts at most 71 % and 22 % are, where blue was corrected too far."""

STEADIER = 0.65
"""Ratio of the deviation of red to that of blue below which they are swapped. Over land it is 0.77 at least."""

DIMMEST = 0.1
"""Reflectance that the brightest pixels of land are above, in some band."""

DULL = 0.3
"""Reflectance below which ground is no cloud."""

BRIGHT = 0.7
"""Reflectance of all bands that only cloud and snow have, which are white."""

_VISIBLE = ("blue", "green", "red")

Planes = Mapping[str, np.ndarray]
"""Reflectance by the name of its band, ``(n,)`` float32."""


@dataclass(frozen=True)
class Sign:
    """What is seldom or never so in a scene whose bands are right."""

    text: str
    """What is so, for people; ``{share}`` stands for the percent of the pixels that can tell."""

    bands: tuple[str, ...]
    """The bands that it is about."""

    judge: Callable[[Planes], tuple[np.ndarray, np.ndarray]]
    """Returns which pixels can tell, and which of these are odd, ``(n,)`` bool."""

    share: float = 0.9
    """Share of the pixels that can tell from which the scene is doubted."""

    least: float = 0.01
    """Share of all pixels that have to be able to tell."""

    fewest: int = FEWEST
    """How many pixels there have to be at all."""


def _faint(band: str) -> Sign:
    def judge(planes: Planes) -> tuple[np.ndarray, np.ndarray]:
        darker = np.minimum(*(planes[other] for other in others))
        bright = darker > 0.05
        return bright, bright & (planes[band] < FAINTER * darker)

    others = [each for each in _VISIBLE if each != band]
    return Sign(
        f"{band} is less than a third of {others[0]} and of {others[1]} in {{share}} % of the pixels that are not dark",
        _VISIBLE, judge,
    )  # fmt: skip


def _glaring(band: str) -> Sign:
    def judge(planes: Planes) -> tuple[np.ndarray, np.ndarray]:
        bright = planes[band] > 0.08
        brighter = np.maximum(*(planes[other] for other in others))
        return bright, bright & (planes[band] > BRIGHTER * brighter)

    others = [each for each in _VISIBLE if each != band]
    return Sign(
        f"{band} is more than three times {others[0]} and {others[1]} in {{share}} % of the pixels that are not dark",
        _VISIBLE, judge,
    )  # fmt: skip


def _raised(band: str) -> Sign:
    def judge(planes: Planes) -> tuple[np.ndarray, np.ndarray]:
        brighter = np.maximum(*(planes[other] for other in others))
        dark = brighter < (0.12 if band == "green" else 0.08)
        return dark, dark & (planes[band] > brighter + 0.06)

    others = [each for each in _VISIBLE if each != band]
    return Sign(
        f"{band} is brighter by 0.06 than {others[0]} and {others[1]} in {{share}} % of the pixels where these are dark",
        _VISIBLE, judge,
    )  # fmt: skip


def _dim(planes: Planes) -> tuple[np.ndarray, np.ndarray]:
    """Plants in a scene without any pixel that is bright in any band."""
    some = np.max(list(planes.values()), axis=0) > DIMMEST
    odd = ~some & (planes["nir"] > 1.5 * planes["red"]) & (planes["nir"] > 0.008)
    return some | odd, odd


def _landsat(planes: Planes) -> tuple[np.ndarray, np.ndarray]:
    """Plants in a scene that is as bright as cloud everywhere."""
    least = np.min(list(planes.values()), axis=0)
    odd = (least > BRIGHT) & (planes["nir"] > 1.3 * planes["red"])
    return (least < BRIGHT) | odd, odd


def _red_as_nir(planes: Planes) -> tuple[np.ndarray, np.ndarray]:
    """Plants whose infrared stands in red."""
    red = planes["red"]
    brighter = np.maximum(planes["blue"], planes["green"])
    return np.isfinite(red), (red > 0.1) & (red > 2.5 * brighter) & (planes["nir"] < 0.7 * red)


def _compare(
    name: str, other: str, low: float, ratio: float, *, above: bool
) -> Callable[[Planes], tuple[np.ndarray, np.ndarray]]:
    """Judge whether a band is above, or below, another one times a ratio; pixels above `low` in the brighter tell."""

    def judge(planes: Planes) -> tuple[np.ndarray, np.ndarray]:
        tells = planes[name if above else other] > low
        limit = ratio * planes[other]
        return tells, tells & (planes[name] > limit if above else planes[name] < limit)

    return judge


def _nir_in_dark(planes: Planes) -> tuple[np.ndarray, np.ndarray]:
    nir, grey = planes["nir"], planes["green"] < 0.15
    tells = grey & (nir > 0.08)
    return tells, tells & (nir > 8 * planes["swir16"])


def _nir_in_bright(planes: Planes) -> tuple[np.ndarray, np.ndarray]:
    darker = np.minimum(planes["green"], planes["red"])
    tells = darker > 0.1
    return tells, tells & (planes["nir"] < 0.25 * darker)


DIM = Sign(
    f"no pixel has a reflectance above {DIMMEST:g} in any band, though a good part of the scene is as green as plants",
    ("red", "nir"), _dim, share=0.99, least=0.3, fewest=MANY,
)  # fmt: skip
"""Of a scene at a tenth of its reflectance."""

LANDSAT = Sign("", (*_VISIBLE, "nir"), _landsat, share=0.99, least=0.05)
"""Of a scene in numbers of Landsat, of which 0.2 is to be taken off."""

SIGNS = (
    *(make(band) for band in _VISIBLE for make in (_faint, _glaring, _raised)),
    Sign("swir22 is brighter than swir16 by 40 % in {share} % of the pixels, as only fire is",
         ("swir16", "swir22"), _compare("swir22", "swir16", 0.06, 1.4, above=True), share=0.05),
    Sign("swir22 is less than a fifth of swir16 in {share} % of the pixels that are not dark",
         ("swir16", "swir22"), _compare("swir22", "swir16", 0.06, 0.2, above=False), share=0.5),
    Sign("nir is less than a quarter of swir16 in {share} % of the pixels that are not dark",
         ("nir", "swir16"), _compare("nir", "swir16", 0.08, 0.25, above=False), share=0.5),
    Sign("nir is more than eight times swir16 in {share} % of the pixels of dark ground",
         ("green", "nir", "swir16"), _nir_in_dark, share=0.5),
    Sign("nir is less than a quarter of green and of red in {share} % of the bright pixels",
         ("green", "red", "nir"), _nir_in_bright),
    Sign("red is far brighter than blue, green and nir in {share} % of the pixels, as plants are in nir alone",
         (*_VISIBLE, "nir"), _red_as_nir, share=0.02),
)  # fmt: skip
"""Of single bands. Ratios and shares lie beyond those of 540 real and simulated scenes and their parts."""

_ALL = (DIM, LANDSAT, *SIGNS)


def _changes(values: np.ndarray) -> int:
    """Return how many of some values, ``(n,)``, are not as the one before."""
    return int(np.count_nonzero(np.diff(values)))


@dataclass
class SpectrumCheck:
    """Judge whether the bands of a scene fit each other.

    Feed it the scene piece by piece with :meth:`add`. A scene without pixels that can tell, such as one of nothing but
    water or cloud, is not judged.
    """

    names: Sequence[str]
    """Names of the bands."""

    pixels: int = 0
    """Sampled pixels with data in all bands."""

    _counts: np.ndarray = field(default_factory=lambda: np.zeros((len(_ALL), 2), dtype="int64"))
    """Of each sign: pixels that can tell, and odd ones."""

    _same: dict[tuple[str, str], int | None] = field(default_factory=dict)
    """Two bands that were the same so far, and how many of their darker pixels are not as the one before; None if they differ.

    Cloud may be equally white in two bands, or clipped."""

    _land: np.ndarray = field(default_factory=lambda: np.zeros(5))
    """Of the pixels of land: number, sums of blue and red, and of their squares."""

    def add(self, pixels: np.ndarray) -> None:
        """Count a piece of the scene.

        Parameters
        ----------
        pixels
            ``(C, h, w)`` floating-point reflectance of the bands on one grid, NaN for no data.
        """
        step = max(1, round((pixels[0].size / _SAMPLE**2) ** 0.5))
        part = pixels[:, ::step, ::step]
        part = part[:, np.isfinite(part).all(axis=0)]
        planes = dict(zip(self.names, part, strict=True))
        self.pixels += part.shape[1]
        for row, sign in zip(self._counts, _ALL, strict=True):
            if planes.keys() >= set(sign.bands):
                row += [np.count_nonzero(each) for each in sign.judge(planes)]
        self._add_same(planes)
        self._add_land(planes)

    def _add_same(self, planes: Planes) -> None:
        for pair in combinations(planes, 2):
            one, other = (planes[name] for name in pair)
            if self._same.get(pair, 0) is not None:
                same = np.array_equal(one, other)
                self._join(pair, _changes(one[one < DULL]) if same else None)

    def _join(self, pair: tuple[str, str], changes: int | None) -> None:
        known = self._same.get(pair, 0)
        self._same[pair] = None if known is None or changes is None else known + changes

    def _add_land(self, planes: Planes) -> None:
        if planes.keys() >= {*_VISIBLE, "nir"}:
            green = planes["green"]
            land = (green < 0.2) & (planes["nir"] > 1.2 * green)
            sums = [values[land].astype("float64") for values in (planes["blue"], planes["red"])]
            self._land += [
                np.count_nonzero(land), *(v.sum() for v in sums), *((v**2).sum() for v in sums)
            ]  # fmt: skip

    def merge(self, other: SpectrumCheck) -> None:
        """Add what was counted elsewhere in the scene."""
        self.pixels += other.pixels
        self._counts += other._counts
        self._land += other._land
        for pair, changes in other._same.items():
            self._join(pair, changes)

    def twins(self) -> tuple[str, str] | None:
        """Return two bands that are the same in all pixels, though these vary; None if there are none."""
        return next((pair for pair, n in self._same.items() if n is not None and n >= FEWEST), None)

    def is_landsat(self) -> bool:
        """Return whether the scene has plants, and is as bright as cloud everywhere, as in numbers of Landsat."""
        return self._shown(LANDSAT) is not None

    def complaint(self) -> str | None:
        """Return what hardly can be, in a whole sentence but for the first word; None if nothing is odd."""
        if (shown := self._shown(DIM)) is not None:
            return f"{shown}, as if all bands were at a tenth of their reflectance. Pass scale= that fits."
        found = next((text for sign in SIGNS if (text := self._shown(sign)) is not None), None)
        if found is None and self._is_swapped():
            found = "blue varies much more than red over land, where red does"
        if found is None:
            return None
        return (
            f"{found}, as if a band had another scale or offset than the others, or were swapped with another. See that each "
            "file is the band that it is taken for, and bring all bands to reflectance alike."
        )

    def _shown(self, sign: Sign) -> str | None:
        """Return what a sign says of the scene; None if the scene does not show it."""
        tells, odd = self._counts[_ALL.index(sign)].tolist()
        enough = self.pixels >= sign.fewest and tells >= max(FEWEST, sign.least * self.pixels)
        if not enough or odd < sign.share * tells:
            return None
        return sign.text.format(share=f"{100 * odd / tells:.0f}")

    def _is_swapped(self) -> bool:
        """Return whether red varies so little, beside blue, that each is the other."""
        number, *sums = self._land.tolist()
        if self.pixels < MANY or number < max(FEWEST, 0.1 * self.pixels):
            return False
        means = np.array(sums) / number
        blue, red = means[2:] - means[:2] ** 2
        return bool(red < STEADIER**2 * blue)
