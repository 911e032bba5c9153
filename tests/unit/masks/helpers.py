"""What the tests of masks share: a scene's bands, grids, and an engine that needs no network."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from odc.geo.geobox import GeoBox
from odc.geo.xr import xr_reproject
from scipy import ndimage

from odc_cleansat import CloudClass, Model, classify
from odc_cleansat.errors import SceneError

SIX = ["B02", "B03", "B04", "B08", "B11", "B12"]


class FakeEngine:
    """Calls bright surroundings cloud, those a little bright thin cloud, and dark ones shadow.

    Like a network it looks beyond each pixel, so that windows with too little context show. The class stands for
    `get_engine`: its arguments are those.
    """

    name = "fake"
    precision = "f32"

    def __init__(self, model: Model, *_: object) -> None:
        self.classes = model.classes

    def __call__(self, reflectance: np.ndarray) -> np.ndarray:
        """Return the K classes of the model, ``(N, K, H, W)`` float32, of ``(N, C, H, W)`` reflectance."""
        assert np.isfinite(reflectance).all()
        near = ndimage.uniform_filter(reflectance.mean(axis=1), (0, 5, 5))
        of_class = {
            CloudClass.CLEAR: np.zeros_like(near),
            CloudClass.CLOUD: 20 * (near - 0.3),
            CloudClass.SHADOW: 60 * (0.12 - near),
            CloudClass.THIN_CLOUD: 2 - 80 * abs(near - 0.3),
        }
        scores = np.stack([of_class[each] for each in self.classes], axis=1)
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
