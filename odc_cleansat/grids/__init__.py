"""Grids: the model grid of a scene, its windows, and how pixels of one grid belong to another.

Everything here works on coordinates and plain arrays. It knows no bands, no classes and no files.
"""

from __future__ import annotations

from .centres import sample_nearest
from .grid import ground_resolution, model_grid
from .windows import Tiling

__all__ = ["Tiling", "ground_resolution", "model_grid", "sample_nearest"]
