"""Simulated Sentinel-2 scenes whose clouds and shadows are known exactly, for demos, tests and benchmarks."""

from .scene import SimulatedScene

__all__ = ["SimulatedScene"]
