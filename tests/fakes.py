"""A network that needs no time, for tests in which the network is not what is tested."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import numpy as np
import pytest

from odc_cleansat.classes import CloudClass
from odc_cleansat.models import Model, engines


class BrightnessEngine:
    """Gives the probability of cloud by the reflectance of the first band, and of shadow by its darkness."""

    name = "openvino"
    precision = "f32"

    def __init__(self, model: Model) -> None:
        self._classes = list(model.classes)

    def __call__(self, reflectance: np.ndarray) -> np.ndarray:
        """Return probabilities, ``(N, K, H, W)`` float32, that sum to 1 over K."""
        first = reflectance[:, 0]
        shape = (len(first), len(self._classes), *first.shape[1:])
        scores = np.full(shape, 0.05, dtype="float32")
        scores[:, self._classes.index(CloudClass.CLOUD)] += np.clip(first * 4, 0, 1)
        scores[:, self._classes.index(CloudClass.SHADOW)] += np.clip(0.3 - first * 10, 0, 1)
        scores[:, self._classes.index(CloudClass.CLEAR)] += 0.4
        probabilities: np.ndarray = scores / scores.sum(axis=1, keepdims=True)
        return probabilities


@contextlib.contextmanager
def brightness_engine() -> Iterator[None]:
    """Let all models run with `BrightnessEngine` in this context, in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engines, "_load", lambda model, *_: BrightnessEngine(model))
        yield
