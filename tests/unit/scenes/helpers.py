"""Real STAC items, and a way to mask what they point at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import yaml

from odc_cleansat.products.job import MaskJob
from odc_cleansat.scenes.scene import Scene

SIX = "B02 B03 B04 B08 B11 B12"
ITEMS = {
    "Element 84, v1": ("eodm/S2A_39QTA_20230628_0_L2A.json", "plain", "39QTA", 0),
    "Element 84, v0": ("odc-tools/S2A_17SPR_20221106_0_L2A.json", "plain", "17SPR", 0),
    "Element 84, v0, older": ("odc-stac/S2A_28QCH_20200714_0_L2A.json", "plain", "28QCH", 0),
    "Planetary Computer": (
        "odc-stac/S2B_MSIL2A_20190629T212529_R043_T06VVN_20201006T080531.json", "plain", "06VVN", 0,
    ),
    "Digital Earth Africa": ("odc-tools/S2B_T37MGP_20240710T073012_L2A_C1.json", "shifted", "37MGP", -1000),
    "Geoscience Australia": (
        "odc-tools/ga_s2am_ard_3-2-1_49JFM_2016-12-14_final.stac-item.json", "plain", "49JFM", 0,
    ),
    "stactools": (
        "stactools-sentinel2/S2B_MSIL2A_20220413T150759_N0400_R025_T33XWJ_20220414T082126.json",
        "shifted", "33XWJ", -1000,
    ),
}  # fmt: skip
"""File, which of the scenes its pixels are, MGRS tile and radiometric offset."""


def masked(scene: Scene, folder: Path) -> tuple[np.ndarray, dict[str, Any]]:
    """The classes of a scene's mask and its document. The pixels lie elsewhere than the metadata say, and their sun, too."""
    document = Path(MaskJob.of_scene(scene, folder, refine=False).run())
    (path,) = document.parent.glob("*_ucl.tif")
    with rasterio.open(path) as file:
        return file.read(1), yaml.safe_load(document.read_text(encoding="utf-8"))
