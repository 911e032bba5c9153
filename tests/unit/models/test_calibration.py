"""Probabilities on the curves of their classes."""

from __future__ import annotations

import numpy as np
import pytest

from odc_cleansat import CloudClass, get_model
from odc_cleansat.classes import CLOUDS
from odc_cleansat.models.calibration import calibrated
from odc_cleansat.models.registry import DEFAULTS

CURVES = (("clear", ((0.0, 0.8), (0.5, 0.9), (1.0, 1.0))), ("cloud", ((0.25, 0.0), (1.0, 0.5))))


def test_each_class_has_its_curve_and_thin_cloud_that_of_cloud() -> None:
    codes = np.array([*CloudClass], "uint8")
    share = np.full(codes.shape, 0.6, "float32")
    found = dict(zip(codes.tolist(), calibrated(share, codes, CURVES).tolist(), strict=True))
    assert found.pop(CloudClass.CLEAR) == pytest.approx(0.92)
    assert [found.pop(each) for each in CLOUDS] == pytest.approx([0.35 / 1.5, 0.35 / 1.5])
    assert list(found.values()) == pytest.approx([0.6] * 4)
    assert (share == np.float32(0.6)).all()


def test_a_curve_goes_on_level_and_keeps_the_dtype() -> None:
    codes = np.full(3, CloudClass.CLOUD, "uint8")
    for dtype in ("float32", "float64"):
        found = calibrated(np.array([0.1, 0.25, np.nan], dtype), codes, CURVES)
        np.testing.assert_array_equal(found, np.array([0, 0, np.nan], dtype))
        assert found.dtype == dtype


@pytest.mark.parametrize("name", DEFAULTS)
def test_curves_of_the_defaults_keep_the_order_of_pixels(name: str) -> None:
    """Among pixels of a class, the likelier one is never the less sure one."""
    share = np.linspace(0, 1, 1001)
    for each in get_model(name).classes:
        found = calibrated(share, np.full(share.shape, each, "uint8"), get_model(name).calibration)
        assert (np.diff(found) >= 0).all()
        assert found[-1] == 1
