"""What a comparison shows: true colour and layers of classes on one grid, thinned to what is drawn."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from ..classes import CONFIDENCE_NODATA, CloudClass
from ..evaluate.confusion import Question

NODATA = 0
"""Value of every layer where there are no data."""

DARK = 0.1
"""Reflectance up to which what is seen in the other bands is dark enough for a band that was cut off at 0."""


@dataclass(frozen=True)
class Category:
    """One value of a layer, and what it looks like."""

    value: int
    """From 1; :data:`NODATA` is the same in every layer."""

    name: str
    """For people."""

    colour: str
    """Hexadecimal RGB."""

    background: bool = False
    """Whether the ground is seen through it where a layer lies over true colour."""

    rare: bool = False
    """Whether a legend lists it only where it occurs."""


@dataclass(frozen=True)
class Layer:
    """A raster of a few categories."""

    key: str
    """``scl``, ``ucl``, ``confidence``, ``label``, ``agreement-scl`` or ``agreement-label``."""

    name: str
    """For people."""

    codes: np.ndarray
    """``(h, w)`` uint8, thinned; nodata 0."""

    categories: tuple[Category, ...]
    """In the order of the legend."""

    percent: Mapping[int, float]
    """Share of each value among the pixels with data, from all pixels and not the thinned; NaN without any."""

    gaps: bool
    """Whether some pixels have no data."""

    @property
    def listed(self) -> list[Category]:
        """The categories of the legend."""
        return [c for c in self.categories if not c.rare or self.percent[c.value] > 0]


@dataclass(frozen=True)
class Frame:
    """All there is of one date."""

    time: np.datetime64 | None
    """UTC; None if it is not known."""

    rgb: np.ndarray
    """``(h, w, 3)`` float32 reflectance, thinned, NaN without data."""

    layers: tuple[Layer, ...]
    """From left to right."""

    agreement: Mapping[str, float]
    """Of UCL and SCL, see :func:`~odc_cleansat.evaluate.scores.agreement`; empty without SCL."""

    @property
    def date(self) -> str:
        """To the minute; the day alone at midnight sharp, which stands for a time that is not known; or empty."""
        if self.time is None or np.isnat(self.time):
            return ""
        if self.time == self.time.astype("datetime64[D]"):
            return str(np.datetime_as_string(self.time, unit="D"))
        return f"{np.datetime_as_string(self.time, unit='m').replace('T', ' ')} UTC"


def without(rgb: np.ndarray, gone: np.ndarray, *, cut: bool) -> np.ndarray:
    """True colour with NaN where a band has no data.

    Parameters
    ----------
    rgb
        ``(h, w, 3)`` float32 reflectance, which is changed.
    gone
        Same shape, bool: where a band has no data.
    cut
        Whether a band without data is to be taken for one that was cut off at 0, where the others are dark: drawn
        white, the darkest shadow would look like cloud.
    """
    rgb[gone] = 0
    dark = cut & ~gone.all(axis=-1) & (rgb.max(axis=-1) <= DARK)
    rgb[gone.any(axis=-1) & ~dark] = np.nan
    return rgb


def _class(c: CloudClass) -> Category:
    usual = (CloudClass.CLEAR, CloudClass.CLOUD, CloudClass.SHADOW)
    return Category(int(c), c.description, c.colour, c is CloudClass.CLEAR, c not in usual)


CLASSES = tuple(
    map(
        _class,
        (
            CloudClass.CLEAR,
            CloudClass.CLOUD,
            CloudClass.THIN_CLOUD,
            CloudClass.SHADOW,
            CloudClass.SNOW,
            CloudClass.WATER,
        ),
    )
)
"""Of a UCL, and of an SCL's cloud classes."""

LABEL_CLASSES = tuple(
    Category(c.value, "other", c.colour, True) if c.background else Category(c.value, c.name, c.colour, rare=True)
    for c in CLASSES
)  # fmt: skip
"""Of a label, which may know some classes only: what it does not name is not therefore clear."""

# ColorBrewer's Purples: the surer, the paler. https://colorbrewer2.org
CONFIDENCES = (
    Category(1, "below 60", "#54278f"),
    Category(2, "60 to 70", "#756bb1"),
    Category(3, "70 to 80", "#9e9ac8"),
    Category(4, "80 to 90", "#cbc9e2"),
    Category(5, "90 and more", "#f2f0f7", background=True),
)
"""Of a confidence."""


def agreement_categories(other: str) -> tuple[Category, ...]:
    """Of an agreement map; two dark and light hues that are no classes' and stay apart without red or green."""
    return (
        Category(2, "both", "#333333"),
        Category(3, "only UCL", "#d55e00"),
        Category(4, f"only {other}", "#56b4e9"),
        Category(1, "neither", CloudClass.CLEAR.colour, background=True),
    )


def agreement_codes(ucl: np.ndarray, other: np.ndarray, question: Question) -> np.ndarray:
    """Which of two layers say yes to a question.

    Parameters
    ----------
    ucl, other
        Same shape, uint8 :class:`CloudClass` codes.

    Returns
    -------
    numpy.ndarray
        Same shape, uint8: 1 neither, 2 both, 3 only the first, 4 only the other, 0 no data in one of them.
    """
    yes = question.members.astype("uint8")
    mine, theirs = yes[ucl], yes[other]
    codes: np.ndarray = 1 + 2 * mine + 3 * theirs - 4 * (mine & theirs)
    codes[(ucl == CloudClass.NODATA) | (other == CloudClass.NODATA)] = NODATA
    return codes


def confidence_codes(percent: np.ndarray) -> np.ndarray:
    """Percent, uint8, nodata 255, as values of :data:`CONFIDENCES`."""
    table = np.zeros(256, dtype="uint8")
    for value, lowest in enumerate((0, 60, 70, 80, 90), start=1):
        table[lowest:101] = value
    table[CONFIDENCE_NODATA] = NODATA
    codes: np.ndarray = table[percent]
    return codes


def make_layer(
    key: str, name: str, codes: np.ndarray, categories: Iterable[Category], step: int
) -> Layer:
    """Count all pixels, and keep every `step`-th of every `step`-th row."""
    categories = tuple(categories)
    data = np.count_nonzero(codes)
    counts = {c.value: np.count_nonzero(codes == c.value) for c in categories}
    percent = {value: 100 * n / data if data else float("nan") for value, n in counts.items()}
    return Layer(key, name, thin(codes, step), categories, percent, bool(data < codes.size))


def thin(plane: np.ndarray, step: int) -> np.ndarray:
    """The pixels nearest to the centres of blocks of `step` x `step`."""
    return plane[step // 2 :: step, step // 2 :: step]
