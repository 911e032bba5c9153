"""What is odd about a mask, found without a person: a reason to look at it, never to reject it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from odc.geo.geobox import GeoBox

from ..classes import CONFIDENCE_NODATA, CloudClass
from ..grids.grid import model_grid
from ..grids.windows import Span
from ..models.model import Model
from ..scenes.offset import Offset, OffsetCheck

NEARLY_ALL, NEARLY_NONE = 90.0, 10.0
"""Percent of cloud: at least the first by one of UCL and SCL and at most the second by the other is a contradiction."""

UNSURE = 60
"""Percent of confidence below which a pixel is unsure."""

MANY_UNSURE, LOW_MEAN = 10.0, 85.0
"""Percent of the pixels that are unsure, and mean confidence, from which a mask as a whole is.

Of 9 real scenes the worst had 6 % and 91 %."""

LITTLE_DATA = 10.0
"""Percent of the pixels with data below which a scene is little more than an edge."""

SEAM = 0.05
"""Least share of the pixels along a line that must change their class across it for a seam, the two eighths of the line with
the most changes left aside: that is how a cloud with a straight edge looks."""

SEAM_RATIO = 1.5
"""How many times that of any other line nearby it must be.

Of 9,700 lines laid over 14 simulated scenes and the real ones of Calgary none had 5 % and 1.2 times that."""

_NEARBY = 40  # lines on each side that a seam is compared with
_SHORTEST = 500  # pixels with data along a line, below which nothing is said
_PARTS, _STRAIGHT = 8, 2  # of a line, and how many of them may change without making a seam


@dataclass(frozen=True)
class Flag:
    """Something odd."""

    name: str
    """``contradiction``, ``offset``, ``confidence``, ``data`` or ``seams``."""

    text: str
    """What was found, for people."""


def contradiction(ucl: float, scl: float) -> Flag | None:
    """Nearly all cloud by one and nearly none by the other.

    Parameters
    ----------
    ucl, scl
        Percent of cloud and thin cloud among the pixels with data.
    """
    for name, more, other, less in (("UCL", ucl, "SCL", scl), ("SCL", scl, "UCL", ucl)):
        if more >= NEARLY_ALL and less <= NEARLY_NONE:
            return Flag("contradiction", f"{more:.0f} % cloud by {name}, {less:.0f} % by {other}")
    return None


def offset_doubt(offset: Offset, visible: np.ndarray | None) -> Flag | None:
    """A radiometric offset that was a guess, or with which the scene looks too bright or too dark.

    Parameters
    ----------
    offset
        As the mask was made with.
    visible
        ``(h, w, C)`` reflectance of the visible bands with that offset, NaN without data.
    """
    if visible is not None:
        check = OffsetCheck()
        check.add(np.moveaxis(visible, -1, 0))
        if complaint := check.complaint(offset.value):
            return Flag("offset", f"the offset {offset.value} looks wrong: {complaint}")
    if offset.source.startswith("assumed"):
        return Flag("offset", f"the offset {offset.value} was {offset.source}")
    return None


def low_confidence(percent: np.ndarray) -> Flag | None:
    """Many pixels of which the network was not sure.

    Parameters
    ----------
    percent
        ``ucl_confidence``, uint8 percent, nodata 255.
    """
    known = percent[percent != CONFIDENCE_NODATA]
    if not known.size:
        return None
    unsure, mean = 100 * float(np.mean(known < UNSURE)), float(known.mean())
    if unsure < MANY_UNSURE and mean >= LOW_MEAN:
        return None
    return Flag(
        "confidence",
        f"confidence is below {UNSURE} % in {unsure:.0f} % of the pixels, {mean:.0f} % on average",
    )


def little_data(percent: float) -> Flag | None:
    """Hardly any pixel with data."""
    if percent >= LITTLE_DATA:
        return None
    return Flag("data", f"only {percent:.1f} % of the pixels have data")


def seams(codes: np.ndarray, grid: GeoBox, model: Model) -> Flag | None:
    """Straight lines, where windows meet, across which the classes change.

    Along the edge of each window, and where the blend with its neighbour begins and ends, the share of pixels
    whose class changes across the line is compared with that of all lines nearby.

    Parameters
    ----------
    codes
        ``grid.shape``, uint8 :class:`CloudClass` codes at native resolution.
    grid
        In a UTM zone; elsewhere windows do not lie along rows and columns, and nothing is found.
    model
        Whose windows.
    """
    crs, box = model_grid(grid, model.resolution)
    if crs != grid.crs or not grid.axis_aligned:
        return None
    rows, columns = model.tiling.spans(box)
    scale = model.resolution
    xs = [_pixels(each, scale, grid.affine.c, grid.affine.a) for each in columns]
    ys = [_pixels(each, -scale, grid.affine.f, grid.affine.e) for each in rows]
    worst = max([*_seams(codes, ys, xs), *_seams(codes.T, xs, ys)], default=0.0)
    if not worst:
        return None
    return Flag(
        "seams", f"{100 * worst:.0f} % of the pixels along the edge of a window change there"
    )


def _pixels(span: Span, scale: float, origin: float, pixel: float) -> tuple[int, int]:
    """First and last line of a window on the mask's grid."""
    return round((span.start * scale - origin) / pixel), round((span.stop * scale - origin) / pixel)


def _seams(
    codes: np.ndarray, along: list[tuple[int, int]], across: list[tuple[int, int]]
) -> Iterator[float]:
    """The share of pixels that change across each seam between neighbouring columns of windows."""
    for (_, stop), (start, _) in pairwise(across):
        for line in {start, (start + stop) // 2, stop}:
            for first, last in along:
                share = _seam(codes[max(first, 0) : max(last, 0)], line)
                if share:
                    yield share


def _seam(codes: np.ndarray, line: int) -> float:
    """The share of rows that change their class at a column, if it stands out among the columns nearby."""
    left = max(line - _NEARBY - 1, 0)
    strip = codes[:, left : line + _NEARBY + 1]
    if strip.shape[1] < _NEARBY or len(strip) < _SHORTEST:
        return 0.0
    before, after = strip[:, :-1], strip[:, 1:]
    known = (before != CloudClass.NODATA) & (after != CloudClass.NODATA)
    counts = known.sum(axis=0)
    # A cloud with a straight edge is in one or two parts of a line, a seam in more.
    starts = np.arange(_PARTS) * len(strip) // _PARTS
    changes = np.add.reduceat(known & (before != after), starts, axis=0, dtype="int64")
    rest = np.sort(changes, axis=0)[:-_STRAIGHT].sum(axis=0)
    with np.errstate(invalid="ignore"):
        share = (
            rest / np.where(counts >= _SHORTEST, counts, math.nan) * _PARTS / (_PARTS - _STRAIGHT)
        )
    # Between the columns line - 1 and line; probabilities are interpolated, so a seam may be a pixel off.
    middle = line - left - 1
    near = np.zeros(len(share), dtype=bool)
    near[max(middle - 1, 0) : middle + 2] = True
    here, others = share[near & np.isfinite(share)], share[~near & np.isfinite(share)]
    if here.size == 0 or others.size < _NEARBY // 2:
        return 0.0
    found = float(here.max())
    return found if found >= max(SEAM, SEAM_RATIO * float(others.max())) else 0.0
