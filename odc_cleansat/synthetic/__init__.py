"""Simulated Sentinel-2 scenes whose clouds and shadows are known exactly, for demos, tests and benchmarks."""

from .land import BANDS
from .scene import SimulatedScene

__all__ = ["BANDS", "SimulatedScene"]
