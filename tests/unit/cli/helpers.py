"""What the tests of commands ask of files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import rasterio
from rio_cogeo import cog_validate


def read(path: Path, band: int = 1) -> np.ndarray:
    """A band of a file."""
    with rasterio.open(path) as file:
        values: np.ndarray = file.read(band)
    return values


def check_cog(path: Path) -> None:
    """The file must be a cloud-optimised GeoTIFF."""
    ok, errors, _ = cog_validate(path, quiet=True)
    assert ok, errors
