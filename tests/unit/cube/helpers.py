"""Grids over the scenes of `cube`, and its masks as they were written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from conftest import Cube
from datacube.model import Dataset
from odc.geo.geobox import GeoBox

from odc_cleansat.products.product import MaskProduct
from odc_cleansat.products.verdict_files import SUFFIX, reject

HOME = GeoBox.from_bbox((399960, 5294040, 407160, 5300040), "EPSG:32633", resolution=20)
"""The grid of the masks of june and july."""


BOTH = GeoBox.from_bbox((395700, 5292600, 407160, 5300040), "EPSG:32633", resolution=60)
"""A grid over both zones."""


def of_home(cube: Cube) -> list[Dataset]:
    return [cube.scenes["june"], cube.scenes["july"]]


def indexed(cube: Cube, name: str) -> np.ndarray:
    """The mask as it was written."""
    return cube.dc.load(datasets=[cube.masks[name]], like=HOME, measurements=["ucl"]).ucl.values[0]


@contextmanager
def rejected(mask: Dataset) -> Iterator[None]:
    """A mask that a reviewer has rejected meanwhile."""
    reject(mask, by="me")
    try:
        yield
    finally:
        for path in Path(str(MaskProduct(mask.uri).folder)).glob(f"*{SUFFIX}"):
            path.unlink()
