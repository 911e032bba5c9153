"""How good a mask is, and how far two of them agree, in figures."""

from __future__ import annotations

import numpy as np

from .classes import CloudClass, scl_to_ucl

CLOUDY = (CloudClass.CLOUD, CloudClass.THIN_CLOUD)


def agreement(ucl: np.ndarray, scl: np.ndarray) -> dict[str, float]:
    """How far a UCL and an SCL say the same of the same pixels.

    Parameters
    ----------
    ucl
        uint8 :class:`CloudClass` codes.
    scl
        Same shape, Sen2Cor's codes.

    Returns
    -------
    dict
        Percent of the pixels with data in both that agree on ``cloud`` (thin or thick or
        not), on ``shadow``, on ``clear``, and on all three at once (``overall``); NaN
        where no pixel has data in both.
    """
    other = scl_to_ucl(scl)
    both = (ucl != CloudClass.NODATA) & (other != CloudClass.NODATA)
    mine, theirs = _three_classes(ucl[both]), _three_classes(other[both])
    if not both.any():
        return dict.fromkeys(("overall", "cloud", "shadow", "clear"), float("nan"))

    def percent(same: np.ndarray) -> float:
        return 100 * float(np.mean(same))

    return {
        "overall": percent(mine == theirs),
        **{
            c.label: percent((mine == c) == (theirs == c))
            for c in (CloudClass.CLOUD, CloudClass.SHADOW, CloudClass.CLEAR)
        },
    }


def accuracy(predicted: np.ndarray, truth: np.ndarray) -> dict[str, dict[str, float]]:
    """Cloud and shadow against known truth.

    Parameters
    ----------
    predicted, truth
        Same shape, uint8 :class:`CloudClass` codes. Pixels that are nodata in either do not count.

    Returns
    -------
    dict
        For ``cloud`` and ``shadow``: ``precision``, ``recall`` and ``f1``, between 0 and
        1, NaN where the class occurs in neither.
    """
    both = (predicted != CloudClass.NODATA) & (truth != CloudClass.NODATA)
    mine, real = _three_classes(predicted[both]), _three_classes(truth[both])
    return {c.label: _scores(mine == c, real == c) for c in (CloudClass.CLOUD, CloudClass.SHADOW)}


def _scores(predicted: np.ndarray, real: np.ndarray) -> dict[str, float]:
    hit = float(np.sum(predicted & real))

    def ratio(part: float, whole: float) -> float:
        return part / whole if whole else float("nan")

    return {
        "precision": ratio(hit, float(predicted.sum())),
        "recall": ratio(hit, float(real.sum())),
        "f1": ratio(2 * hit, float(predicted.sum() + real.sum())),
    }


def _three_classes(codes: np.ndarray) -> np.ndarray:
    """Cloud of any kind, shadow, and the rest as clear."""
    table = np.full(256, CloudClass.CLEAR, dtype="uint8")
    table[list(CLOUDY)] = CloudClass.CLOUD
    table[CloudClass.SHADOW] = CloudClass.SHADOW
    classes: np.ndarray = table[codes]
    return classes
