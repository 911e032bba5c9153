"""A datacube of masks whose classes are drawn by chance, pixel by pixel."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID, uuid5

import numpy as np
import rasterio
import rasterio.warp
import yaml
from affine import Affine
from datacube.model import Dataset
from odc.geo.geobox import GeoBox

from odc_cleansat.cube.embedded import CONFIG_NAME
from odc_cleansat.cube.index import add_dataset
from odc_cleansat.storage.eo3 import MASK_PRODUCT

if TYPE_CHECKING:
    from datacube import Datacube


NAMESPACE = UUID("6f34c6f4-13d6-43c0-8e4e-42b6c13203af")


# Not square. The two zones overlap: `east` and `west` are the same ground for a good part.
GRIDS = {
    "east": GeoBox((130, 160), Affine(20, 0, 399960, 0, -20, 5300040), "EPSG:32633"),
    "west": GeoBox((150, 140), Affine(20, 0, 848000, 0, -20, 5308000), "EPSG:32632"),
    "fiji": GeoBox((100, 120), Affine(20, 0, 818000, 0, -20, 8100000), "EPSG:32760"),
}


Truth = tuple[GeoBox, np.ndarray, np.ndarray]
"""A mask as it was drawn: its grid, class codes and confidences in percent, each ``grid.shape`` uint8."""


class MaskArchive:
    """A datacube of masks with a class drawn for every pixel: nothing hides a pixel that is off by one."""

    def __init__(self, dc: Datacube, folder: Path) -> None:
        self.dc, self.folder = dc, folder
        self.options: tuple[str, str] = ("-C", str(folder / CONFIG_NAME))
        """By which commands find it."""
        self.masks: dict[str, Dataset] = {}
        self.values: dict[str, tuple[np.ndarray, np.ndarray]] = {}

    def add(
        self,
        name: str,
        grid: str,
        time: str,
        model: str = "unet-a",
        product: str = MASK_PRODUCT,
        made: str = "2024-08-01",
    ) -> Dataset:
        box = GRIDS[grid]
        draw = np.random.default_rng(len(self.masks))
        ucl = draw.choice(7, box.shape, p=[0.25, 0.35, 0.1, 0.1, 0.05, 0.05, 0.1]).astype("uint8")
        percent = np.where(ucl == 0, 255, draw.integers(34, 101, box.shape)).astype("uint8")
        self.values[name] = ucl, percent
        for measurement, values in (("ucl", ucl), ("ucl_confidence", percent)):
            with rasterio.open(
                self.folder / f"{name}_{measurement}.tif", "w", driver="GTiff", dtype="uint8",
                height=box.shape[0], width=box.shape[1], count=1, crs=str(box.crs),
                transform=box.affine, nodata=values[ucl == 0].max(), tiled=True,
                blockxsize=64, blockysize=64,
            ) as file:  # fmt: skip
                file.write(values, 1)
                file.build_overviews([2, 4])  # never to be used
        document = {
            "$schema": "https://schemas.opendatacube.org/dataset",
            "id": str(uuid5(NAMESPACE, name)),
            "label": name,
            "product": {"name": product},
            "crs": str(box.crs),
            "geometry": box.extent.json,
            "grids": {"default": {"shape": list(box.shape), "transform": list(box.affine)}},
            "properties": {
                "datetime": time,
                "odc:processing_datetime": made,
                "odc:region_code": grid,
                "odc:file_format": "GeoTIFF",
                "cleansat:model": model,
            },
            "measurements": {m: {"path": f"{name}_{m}.tif"} for m in ("ucl", "ucl_confidence")},
            "lineage": {},
        }
        document["geometry"]["coordinates"] = [
            [list(point) for point in ring] for ring in document["geometry"]["coordinates"]
        ]
        path = self.folder / f"{name}.odc-metadata.yaml"
        path.write_text(yaml.safe_dump(document))
        self.masks[name] = add_dataset(self.dc, path)
        return self.masks[name]

    def truth(self, name: str) -> tuple[GeoBox, np.ndarray, np.ndarray]:
        grid = GRIDS[self.masks[name].metadata_doc["properties"]["odc:region_code"]]
        return grid, *self.values[name]


def codes_of(archive: MaskArchive, name: str) -> np.ndarray:
    return archive.values[name][0]
