"""Bands of made-up scenes for the tests of grids."""

from __future__ import annotations

import numpy as np
from affine import Affine
from odc.geo.geobox import GeoBox
from odc.geo.xr import wrap_xr

from odc_cleansat.grids.grid import box_geobox, model_grid
from odc_cleansat.scenes.files import Band

CORNER = (600_000.0, 5_000_000.0)


def band(size: float, shift: float = 0, crs: str = "EPSG:32633", seed: int = 0) -> Band:
    """Speckled ground, a scene of 100 x 90 pixels beside the model grid by some metres."""
    grid = GeoBox(
        (100, 90), Affine(size, 0, CORNER[0] + shift, 0, -size, CORNER[1] - shift), "EPSG:32633"
    )
    if crs != "EPSG:32633":
        grid = grid.to_crs(crs)
    pixels = np.random.default_rng(seed).uniform(0.1, 0.3, grid.shape).astype("float32")
    return Band(wrap_xr(pixels, grid, nodata=float("nan")), grid)


def target(scene: Band, margin: int = 5) -> GeoBox:
    """The model grid well inside a scene."""
    crs, box = model_grid(scene.grid, 30)
    return box_geobox(box, crs, 30)[margin:-margin, margin:-margin]
