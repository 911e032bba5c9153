"""What the tests of evaluations share: patches of classes, and files of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import rasterio
from odc.geo.geobox import GeoBox
from scipy import ndimage

from odc_cleansat import CloudClass
from odc_cleansat.evaluate.mappings import MAPPINGS
from odc_cleansat.evaluate.rasters import Case, ClassRaster
from odc_cleansat.evaluate.results import Evaluation
from odc_cleansat.evaluate.streaming import evaluate_rasters

GRID = GeoBox.from_bbox((400000, 5000000, 404000, 5003000), "EPSG:32633", resolution=20)


def codes(*values: int) -> np.ndarray:
    return np.array(values, dtype="uint8")


def blobs(seed: int, shape: tuple[int, int] = (150, 200), values: str = "1236") -> np.ndarray:
    """Patches of classes, some of them without data."""
    noise = np.random.default_rng(seed).random(shape)
    smooth = ndimage.gaussian_filter(noise, 3)
    ranks = smooth.argsort(axis=None).argsort().reshape(shape) / smooth.size
    found = np.array([int(v) for v in values], "uint8")[(ranks * len(values)).astype(int)]
    found[ndimage.gaussian_filter(noise[::-1], 5) > 0.56] = CloudClass.NODATA
    return found


def save(path: Path, values: np.ndarray, grid: GeoBox | None = GRID, **profile: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    where = {} if grid is None else {"crs": str(grid.crs), "transform": grid.affine}
    rows, columns = values.shape
    with rasterio.open(
        path, "w", driver="GTiff", height=rows, width=columns, count=1, dtype=values.dtype,
        **where, **profile,
    ) as file:  # fmt: skip
        file.write(values, 1)
    return path


def raster(path: Path, mapping: str = "ucl") -> ClassRaster:
    return ClassRaster(str(path), MAPPINGS[mapping])


def evaluation(
    tmp_path: Path, label: np.ndarray, *predictions: np.ndarray, **how: object
) -> Evaluation:
    case = Case(
        "one",
        raster(save(tmp_path / "label.tif", label)),
        {f"p{i}": raster(save(tmp_path / f"p{i}.tif", p)) for i, p in enumerate(predictions)},
    )
    return evaluate_rasters([case], **how)  # type: ignore[arg-type]
