"""Flag what is odd about a mask. A flag is a reason to look at the mask, never to reject it."""

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
from ..models.calibration import calibrated
from ..models.model import Calibration, Model
from ..scenes.offset import ASSUMED, Offset, OffsetCheck

NEARLY_ALL, NEARLY_NONE = 90.0, 10.0
"""Percent of cloud. UCL and SCL contradict each other if one has at least the first and one at most the second."""

UNSURE = 60
"""Percent of confidence below which a pixel counts as unsure; see :func:`least_sure` too."""

MANY_UNSURE, LOW_MEAN = 10.0, 85.0
"""Percent of pixels with a confidence below :data:`UNSURE` from which, and mean confidence below which, a mask is unsure
as a whole.

Of 10 real scenes the worst had 7 % and 90 % without calibration, 9 % and 89 % with it."""

MANY_HARDLY = 20.0
"""Percent of pixels below :func:`least_sure` from which a mask is unsure as a whole, too.

The worst of 10 real scenes had 14 %."""

LITTLE_DATA = 10.0
"""Percent of pixels with data below which a scene is little more than an edge."""

SEAM = 0.05
"""Least share of the pixels along a seam whose class changes across it.

The two eighths of the line with the most changes do not count: a cloud with a straight edge has them."""

SEAM_RATIO = 1.5
"""How many times more pixels must change across a seam than across any other line nearby.

Of 9,700 lines over 14 simulated scenes and the real ones of Calgary, none had 5 % and 1.2 times that."""

_NEARBY = 40  # lines on each side that a seam is compared with
_SHORTEST = 500  # least pixels with data along a line for it to be a seam
_PARTS, _STRAIGHT = 8, 2  # parts of a line, and how many of them do not count


@dataclass(frozen=True)
class Flag:
    """Something odd about a mask."""

    name: str
    """``contradiction``, ``offset``, ``reflectance``, ``confidence``, ``data`` or ``seams``."""

    text: str
    """What is odd, for people."""


def contradiction(ucl: float, scl: float) -> Flag | None:
    """Flag a mask that is nearly all cloud by UCL or SCL and has nearly none by the other.

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
    """Flag a radiometric offset that makes the scene too bright or too dark, or a guess that the pixels do not settle.

    Parameters
    ----------
    offset
        The offset with which the mask was made.
    visible
        ``(h, w, C)`` floating-point reflectance of the visible bands with that offset, NaN without data.
    """
    if visible is not None:
        check = OffsetCheck()
        check.add(np.moveaxis(visible, -1, 0))
        if complaint := check.complaint(offset.value):
            return Flag("offset", f"the offset {offset.value:g} looks wrong: {complaint}")
        if check.confirms(offset.value):
            return None
    if offset.source.startswith(ASSUMED):
        return Flag("offset", f"the offset {offset.value:g} was {offset.source}")
    return None


def reflectance_doubt(recorded: str) -> Flag | None:
    """Flag a mask whose document says that the pixels of its scene looked wrong; an empty text is no flag."""
    return Flag("reflectance", recorded) if recorded else None


def least_sure(percent: float, calibration: Calibration = ()) -> np.ndarray:
    """Return for each class the confidence that a pixel needs to be no longer in doubt.

    It is `percent`, but where a curve gives more to a pixel of that probability, it is that. The curve of clear may give 84 %
    at least. Then confidence alone would never tell that a network hardly preferred clear to cloud, and a cloud that was
    missed would never be in doubt. Where a curve gives less, as for shadow, such pixels are in doubt, for many are wrong.

    Parameters
    ----------
    percent
        0 to 100.
    calibration
        Curves of :attr:`~odc_cleansat.models.Model.calibration`.

    Returns
    -------
    numpy.ndarray
        ``(256,)`` float64, percent by :class:`CloudClass` code.
    """
    given = np.full(256, percent / 100)
    on_curves = calibrated(given, np.arange(256, dtype="uint8"), calibration)
    result: np.ndarray = 100 * np.maximum(given, on_curves)
    return result


def low_confidence(
    codes: np.ndarray, percent: np.ndarray, calibration: Calibration = ()
) -> Flag | None:
    """Flag a mask with many pixels of which the network was not sure.

    Parameters
    ----------
    codes
        Any shape, uint8 :class:`CloudClass` codes, nodata 0.
    percent
        ``ucl_confidence`` of the same shape, uint8, percent, nodata 255.
    calibration
        Curves of :attr:`~odc_cleansat.models.Model.calibration`.
    """
    there = percent != CONFIDENCE_NODATA
    known = percent[there]
    if not known.size:
        return None
    unsure, mean = 100 * float(np.mean(known < UNSURE)), float(known.mean())
    hardly = 100 * float(np.mean(known < least_sure(UNSURE, calibration)[codes[there]]))
    if unsure < MANY_UNSURE and mean >= LOW_MEAN and hardly < MANY_HARDLY:
        return None
    text = (
        f"confidence is below {UNSURE} % in {unsure:.0f} % of the pixels, {mean:.0f} % on average"
    )
    if hardly > unsure:
        text += f"; {hardly:.0f} % of the pixels are in doubt"
    return Flag("confidence", text)


def little_data(percent: float) -> Flag | None:
    """Flag a mask with hardly any pixel that has data, given their percent."""
    if percent >= LITTLE_DATA:
        return None
    return Flag("data", f"only {percent:.1f} % of the pixels have data")


def seams(codes: np.ndarray, grid: GeoBox, model: Model) -> Flag | None:
    """Flag a mask whose classes change across straight lines where windows meet.

    Such lines are the edges of windows, and the lines where the blend with the next window begins and
    ends. The share of pixels whose class changes is compared with all lines nearby.

    Parameters
    ----------
    codes
        ``grid.shape``, uint8 :class:`CloudClass` codes at native resolution.
    grid
        Grid of the mask. Outside a UTM zone windows do not follow rows and columns, and nothing is found.
    model
        The model whose windows they are.
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
    """Lines of the mask's grid at which a window starts and stops."""
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
