"""What the tests of masks share: a scene's bands, grids, and an engine that needs no network."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from odc.geo.geobox import GeoBox
from odc.geo.xr import xr_reproject
from scipy import ndimage

from odc_cleansat import classify
from odc_cleansat.errors import SceneError

SIX = ["B02", "B03", "B04", "B08", "B11", "B12"]


class FakeEngine:
    """Calls bright surroundings cloud and dark ones shadow.

    Like a network it looks beyond each pixel, so that windows with too little context show.
    """

    name = "fake"
    precision = "f32"

    def __call__(self, reflectance: np.ndarray) -> np.ndarray:
        """Return clear, cloud and shadow, ``(N, 3, H, W)`` float32, of ``(N, C, H, W)`` reflectance."""
        assert np.isfinite(reflectance).all()
        near = ndimage.uniform_filter(reflectance.mean(axis=1), (0, 5, 5))
        scores = np.stack([np.zeros_like(near), 20 * (near - 0.3), 60 * (0.12 - near)], axis=1)
        scores -= scores.max(axis=1, keepdims=True)
        likely = np.exp(scores)
        found: np.ndarray = likely / likely.sum(axis=1, keepdims=True)
        return found


def coarsened(scene: xr.Dataset, resolution: float) -> xr.Dataset:
    """Area averages of a scene, as digital numbers."""
    own = scene.odc.geobox
    grid = GeoBox.from_bbox(own.boundingbox, own.crs, resolution=resolution, tight=True)
    return onto(scene, grid, "average")


def onto(scene: xr.Dataset, grid: GeoBox, resampling: str) -> xr.Dataset:
    """Reproject band by band; `Dataset.map` would keep attributes of the old coordinates."""
    return xr.Dataset({n: xr_reproject(b, grid, resampling=resampling) for n, b in scene.items()})


def at_30m(codes: xr.DataArray) -> np.ndarray:
    """Codes on a grid of 30 m."""
    own = codes.odc.geobox
    grid = GeoBox.from_bbox(own.boundingbox, own.crs, resolution=30, tight=True)
    return xr_reproject(codes, grid, resampling="nearest").values


def refused(scene: object, message: str, **options: object) -> None:
    """`classify` refuses a scene."""
    with pytest.raises(SceneError, match=message):
        classify(scene, **options)  # type: ignore[arg-type]
