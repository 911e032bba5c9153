"""Fixtures of the tests of masks."""

from __future__ import annotations

import pytest
import xarray as xr

from odc_cleansat import classify
from odc_cleansat.masks import tasks

from .helpers import SIX, FakeEngine
from .series import DATES, join, simulate


@pytest.fixture
def fake_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine without a network, for all that this process classifies."""
    monkeypatch.setattr(tasks, "get_engine", FakeEngine)


@pytest.fixture(scope="session")
def fake_mask(simulated: xr.Dataset) -> xr.Dataset:
    """The mask of the simulated scene by that engine, with its confidence."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tasks, "get_engine", FakeEngine)
        found: xr.Dataset = classify(simulated[SIX], offset=-1000, confidence=True)
    return found  # outside, or the engine would stay for all tests that follow


@pytest.fixture(scope="session")
def series() -> xr.Dataset:
    """Six dates of one place, a quarter of each clouded, with the truth as their masks."""
    return join([simulate(each) for each in DATES])


@pytest.fixture(scope="session")
def ground() -> xr.Dataset:
    """What a composite of them should show."""
    return simulate(DATES[0], cloud_cover=0).isel(time=0)
