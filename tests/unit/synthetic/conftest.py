"""Simulated scenes for tests that only read them."""

from __future__ import annotations

import pytest

from odc_cleansat.synthetic.scene import SimulatedScene

from .helpers import SCENE


@pytest.fixture(scope="session")
def layers():
    return SCENE.read()


@pytest.fixture(scope="session")
def wide():
    """A scene of 12 x 15 km, wide enough for statistics."""
    return SimulatedScene(shape=(1200, 1500), seed=1)


@pytest.fixture(scope="session")
def wide_layers(wide):
    return wide.read()
