"""The data of a comparison: true colour and layers of classes on one grid, thinned for drawing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from affine import Affine
from odc.geo.geobox import GeoBox

from ..classes import CONFIDENCE_NODATA, CloudClass
from ..evaluate.confusion import Question

NODATA = 0
"""Value of every layer where there are no data."""

DARK = 0.1
"""Reflectance up to which a pixel is so dark that one of its bands may have been cut off at 0."""


@dataclass(frozen=True)
class Category:
    """One value of a layer and its appearance."""

    value: int
    """Code in the layer, from 1; :data:`NODATA` is the same in every layer."""

    name: str
    """Name for people."""

    colour: str
    """Hexadecimal RGB."""

    background: bool = False
    """Whether it is left transparent where a layer lies over true colour."""

    rare: bool = False
    """Whether a legend lists it only where it occurs."""


@dataclass(frozen=True)
class Layer:
    """A raster of a few categories."""

    key: str
    """``scl``, ``ucl``, ``confidence``, ``label`` or ``other:NAME``; or one of them after ``agreement-``."""

    name: str
    """Name for people."""

    codes: np.ndarray
    """``(h, w)`` uint8, thinned; nodata 0."""

    categories: tuple[Category, ...]
    """The values of the layer, in the order of the legend."""

    percent: Mapping[int, float]
    """Percent of each value among all pixels with data, before thinning; NaN without data."""

    gaps: bool
    """Whether some pixels have no data."""

    @property
    def listed(self) -> list[Category]:
        """The categories that a legend lists."""
        return [c for c in self.categories if not c.rare or self.percent[c.value] > 0]


@dataclass(frozen=True)
class Frame:
    """True colour and layers of one date."""

    time: np.datetime64 | None
    """UTC; None if it is not known."""

    rgb: np.ndarray
    """``(h, w, 3)`` float32 reflectance, thinned, NaN without data."""

    layers: tuple[Layer, ...]
    """Layers from left to right."""

    agreement: Mapping[str, float]
    """Percent of pixels on which UCL and SCL agree; empty without SCL.

    See :func:`~odc_cleansat.evaluate.scores.agreement`."""

    others: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """The same of UCL and each mask by others, by its name."""

    @property
    def date(self) -> str:
        """The time to the minute, for people; empty if it is not known.

        Midnight sharp stands for an unknown time of day, so that it gives the day alone.
        """
        if self.time is None or np.isnat(self.time):
            return ""
        if self.time == self.time.astype("datetime64[D]"):
            return str(np.datetime_as_string(self.time, unit="D"))
        return f"{np.datetime_as_string(self.time, unit='m').replace('T', ' ')} UTC"


@dataclass(frozen=True)
class Panels:
    """All that is drawn of a comparison."""

    grid: GeoBox
    """Grid of the thinned layers, north up."""

    frames: tuple[Frame, ...]
    """One frame for each date."""

    title: str = ""
    """Title, for instance the name of the scene."""

    style: str = "panels"
    """``panels``: filled; ``outlines``: outlines over true colour."""


def blank_missing(rgb: np.ndarray, missing: np.ndarray, *, cut: bool) -> np.ndarray:
    """Set true colour to NaN where a band has no data.

    Parameters
    ----------
    rgb
        ``(h, w, 3)`` float32 reflectance, which is changed.
    missing
        ``(h, w, 3)`` bool: where a band has no data.
    cut
        Whether a missing band counts as reflectance 0 where the other bands are dark. Otherwise the
        darkest shadow would be drawn white and look like cloud.

    Returns
    -------
    numpy.ndarray
        `rgb` itself.
    """
    if not missing.any():
        return rgb
    rgb[missing] = 0
    dark = cut & ~missing.all(axis=-1) & (rgb.max(axis=-1) <= DARK)
    rgb[missing.any(axis=-1) & ~dark] = np.nan
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
"""Categories of a UCL, and of the cloud classes of an SCL."""

LABEL_CLASSES = tuple(
    Category(c.value, "other", c.colour, True) if c.background else Category(c.value, c.name, c.colour, rare=True)
    for c in CLASSES
)  # fmt: skip
"""Categories of a label. A label may know few classes, so what it does not name is "other", not clear."""

# The higher the paler: ColorBrewer's Purples, https://colorbrewer2.org
CONFIDENCES = (
    Category(1, "below 60", "#54278f"),
    Category(2, "60 to 70", "#756bb1"),
    Category(3, "70 to 80", "#9e9ac8"),
    Category(4, "80 to 90", "#cbc9e2"),
    Category(5, "90 and more", "#f2f0f7", background=True),
)
"""Categories of a confidence, in percent."""


def agreement_categories(other: str) -> tuple[Category, ...]:
    """Return the categories of an agreement map of UCL and another layer.

    The two hues are of no class, and stay apart for people who cannot tell red from green.
    """
    return (
        Category(2, "both", "#333333"),
        Category(3, "only UCL", "#d55e00"),
        Category(4, f"only {other}", "#56b4e9"),
        Category(1, "neither", CloudClass.CLEAR.colour, background=True),
    )


def agreement_codes(ucl: np.ndarray, other: np.ndarray, question: Question) -> np.ndarray:
    """Find which of two layers answer a question with yes.

    Parameters
    ----------
    ucl, other
        uint8 :class:`CloudClass` codes of the same shape.
    question
        The question, such as whether a pixel is cloud.

    Returns
    -------
    numpy.ndarray
        Same shape, uint8: 1 neither, 2 both, 3 only `ucl`, 4 only `other`, 0 no data in one of them.
    """
    yes = question.members.astype("uint8")
    mine, theirs = yes[ucl], yes[other]
    codes: np.ndarray = 1 + 2 * mine + 3 * theirs - 4 * (mine & theirs)
    codes[(ucl == CloudClass.NODATA) | (other == CloudClass.NODATA)] = NODATA
    return codes


def confidence_codes(percent: np.ndarray) -> np.ndarray:
    """Return the values in :data:`CONFIDENCES` of a confidence.

    Parameters
    ----------
    percent
        Any shape, uint8, percent, nodata 255.

    Returns
    -------
    numpy.ndarray
        Same shape, uint8, nodata 0.
    """
    table = np.zeros(256, dtype="uint8")
    for value, lowest in enumerate((0, 60, 70, 80, 90), start=1):
        table[lowest:101] = value
    table[CONFIDENCE_NODATA] = NODATA
    codes: np.ndarray = table[percent]
    return codes


def make_layer(
    key: str, name: str, codes: np.ndarray, categories: Iterable[Category], step: int
) -> Layer:
    """Make a layer: count all pixels, and keep every `step`-th one of every `step`-th row.

    Parameters
    ----------
    key, name
        See :class:`Layer`.
    codes
        ``(h, w)`` uint8, nodata 0.
    categories
        The values of the layer, in the order of the legend.
    step
        Distance of the pixels that are kept.
    """
    categories = tuple(categories)
    data = np.count_nonzero(codes)
    counts = {c.value: np.count_nonzero(codes == c.value) for c in categories}
    percent = {value: 100 * n / data if data else float("nan") for value, n in counts.items()}
    return Layer(key, name, thin(codes, step), categories, percent, bool(data < codes.size))


def thin(plane: np.ndarray, step: int) -> np.ndarray:
    """Return the pixels nearest to the centres of blocks of `step` x `step` pixels.

    Parameters
    ----------
    plane
        ``(h, w)``, any dtype.

    Returns
    -------
    numpy.ndarray
        A view of `plane`.
    """
    return plane[step // 2 :: step, step // 2 :: step]


def thin_grid(grid: GeoBox, shape: tuple[int, ...], step: int) -> GeoBox:
    """Return the grid of the pixels that :func:`thin` keeps, with the same centres.

    Parameters
    ----------
    grid
        Grid of all pixels.
    shape
        Rows and columns that are kept.
    step
        Distance of the pixels that are kept.
    """
    shift = step // 2 + 0.5 - step / 2
    affine = grid.affine * Affine.translation(shift, shift) * Affine.scale(step)
    return GeoBox((shape[0], shape[1]), affine, grid.crs)
