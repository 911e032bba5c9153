"""Calibration: from probabilities of a network to how often such pixels are right."""

from __future__ import annotations

import numpy as np

from ..classes import CLOUDS, CloudClass
from .model import Calibration


def calibrated(probability: np.ndarray, codes: np.ndarray, calibration: Calibration) -> np.ndarray:
    """Put probabilities of classes on the curves of these classes.

    Parameters
    ----------
    probability
        Any shape, float32 or float64, 0 to 1: how likely a pixel has its class.
    codes
        Same shape, uint8 :class:`CloudClass` codes: that class.
    calibration
        Curves of :attr:`~odc_cleansat.models.Model.calibration`.

    Returns
    -------
    numpy.ndarray
        Same shape and dtype, 0 to 1. Without a curve for its class a probability stays as it is.
    """
    found: np.ndarray = probability.copy()
    for label, curve in calibration:
        kinds = CLOUDS if label == CloudClass.CLOUD.label else (CloudClass[label.upper()],)
        here = np.isin(codes, kinds)
        found[here] = np.interp(probability[here], *np.array(curve).T)
    return found
