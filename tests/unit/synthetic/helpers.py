"""A simulated scene, and how its layers are compared."""

from __future__ import annotations

import numpy as np

from odc_cleansat.synthetic.land import BANDS
from odc_cleansat.synthetic.scene import SimulatedScene

NATIVE = {**BANDS, "SCL": 20, "truth": 10}
SCENE = SimulatedScene(shape=(300, 420), seed=3, cloud_cover=0.3)


def same(one, other):
    return set(one) == set(other) and all(np.array_equal(one[k], other[k]) for k in one)


def repeated(values, factor):
    return np.kron(values, np.ones((factor, factor), values.dtype))
