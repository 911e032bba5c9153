"""How much a mask is in doubt: what people should look at first."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ..classes import CONFIDENCE_NODATA, CloudClass
from ..models.model import Calibration
from .flags import UNSURE, Flag, least_sure
from .hot_spots import count_cells, kinds

LIKELY = 80
"""Percent of confidence below which a pixel is in doubt if the SCL has it as another kind."""

PER_FLAG = 20.0
"""What each automatic flag adds to the doubt."""


@dataclass(frozen=True)
class Doubt:
    """How much a mask is in doubt. Disagreement of a network that is sure of itself does not count."""

    score: float
    """0 to 100: :attr:`worst`, and :data:`PER_FLAG` for each flag; NaN if nothing is known."""

    worst: float
    """Mean percent of pixels in doubt in the worst tenth of the cells; NaN if that is not known."""

    unsure: float
    """Percent of the pixels in doubt because of their confidence alone; NaN without confidence."""

    contested: float
    """Percent of the pixels in doubt because the SCL disagrees; NaN without SCL."""

    confidence: float
    """Mean confidence in percent; NaN without confidence."""


def find_doubt(
    ucl: np.ndarray,
    confidence: np.ndarray | None,
    scl: np.ndarray | None,
    flags: Iterable[Flag] = (),
    calibration: Calibration = (),
) -> Doubt:
    """Find how much a mask is in doubt.

    A pixel is in doubt if its confidence is below :data:`UNSURE`. It is in doubt below :data:`LIKELY` too
    if the SCL has it as another kind: clear, cloud or shadow. Without confidence all such pixels are.
    A contradiction of UCL and SCL is no reason for doubt by itself, for it may be Sen2Cor that errs.

    Calibrated confidence of clear is high even where the network hardly preferred it. Both limits are then those of
    :func:`~odc_cleansat.review.flags.least_sure`, so that clouds that were missed are looked at, too.

    Parameters
    ----------
    ucl
        ``(h, w)`` uint8 :class:`CloudClass` codes, nodata 0.
    confidence
        Same shape, uint8 percent, nodata 255; None if it cannot be had.
    scl
        SCL as uint8 :class:`CloudClass` codes of the same shape; None if it cannot be had.
    flags
        What is odd about the mask.
    calibration
        Curves of :attr:`~odc_cleansat.models.Model.calibration` of the model that made the mask.
    """
    known = ucl != CloudClass.NODATA
    percent = np.zeros(ucl.shape, dtype="uint8") if confidence is None else confidence
    differ = np.zeros(ucl.shape, dtype=bool)
    if scl is not None:
        differ = (kinds(ucl) != kinds(scl)) & (scl != CloudClass.NODATA)
    if confidence is not None:
        known &= confidence != CONFIDENCE_NODATA
    elif scl is not None:
        known &= scl != CloudClass.NODATA
    unsure = (percent < least_sure(UNSURE, calibration)[ucl]) & (confidence is not None)
    contested = differ & ~unsure & (percent < least_sure(LIKELY, calibration)[ucl])
    nothing = confidence is None and scl is None
    worst = math.nan if nothing else count_cells(unsure | contested, known).worst
    odd = PER_FLAG * sum(each.name != "contradiction" for each in flags)
    score = min(100.0, (0.0 if math.isnan(worst) else worst) + odd)
    return Doubt(
        score if odd or not math.isnan(worst) else math.nan,
        worst,
        math.nan if confidence is None else _percent(unsure, known),
        math.nan if scl is None else _percent(contested, known),
        math.nan if confidence is None or not known.any() else float(percent[known].mean()),
    )


def _percent(those: np.ndarray, known: np.ndarray) -> float:
    return 100 * float(those[known].mean()) if known.any() else math.nan
