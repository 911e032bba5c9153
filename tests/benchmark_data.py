"""Small sets of labelled data in the forms in which CloudSEN12+ and PixBox are published."""

from __future__ import annotations

import csv
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rasterio

from odc_cleansat import CloudClass
from odc_cleansat.evaluate.pixbox import SCENES
from odc_cleansat.synthetic.scene import SimulatedScene

LABELLED, FILLED_UP = 509, 512
"""Pixels along a side that have a label, and those of the files, filled up at the left and below."""

ORDER = {
    "L2A": ["B02", "B02", "B03", "B04", "B04", "B08", "B08", "B08", "B08", "B08", "B11", "B12", "B02", "B02"],
    "L1C": ["B02", "B02", "B03", "B04", "B04", "B08", "B08", "B08", "B08", "B08", "B02", "B11", "B12"],
}  # fmt: skip
"""The simulated band that stands for each of a picture's. Of L2A, two layers that are no bands follow."""

_CODES = {CloudClass.CLEAR: 0, CloudClass.CLOUD: 1, CloudClass.THIN_CLOUD: 2, CloudClass.SHADOW: 3}


def a_scene(seed: int) -> SimulatedScene:
    return SimulatedScene(shape=(510, 510), seed=seed, offset=0, cloud_cover=0.4)


def labels_of(truth: np.ndarray) -> np.ndarray:
    """Codes of CloudSEN12, 99 where nothing is known."""
    found = np.full(truth.shape, 99, dtype="uint8")
    for cls, code in _CODES.items():
        found[truth == cls] = code
    return found


def write_pile(path: Path, *samples: dict[str, Any]) -> Path:
    """Write a pile of files with the writer of TACO's makers; each sample has id, file_format and path."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is older than the pydantic here
        from pytortilla import create
        from pytortilla.datamodel import Sample, Samples

        pile = Samples(samples=[Sample(**each) for each in samples])
        created: Path = create(pile, path, nworkers=1, quiet=True)
    return created


def write_taco(
    path: Path,
    scenes: Sequence[SimulatedScene],
    *,
    level: str = "L2A",
    splits: Sequence[str] | None = None,
    quality: str = "high",
) -> Path:
    """Write a file of CloudSEN12+ with the writer of its makers."""
    parts = path.parent / "parts"
    parts.mkdir(parents=True)
    samples = []
    for i, scene in enumerate(scenes):
        data = scene.to_xarray(10).isel(time=0)
        bands = np.stack([data[name].values for name in ORDER[level]])[:, :LABELLED, :LABELLED]
        label = labels_of(data.truth.values)[:LABELLED, :LABELLED]
        fill = FILLED_UP - LABELLED
        place = {"crs": data.odc.geobox.crs, "transform": data.odc.geobox.affine}
        images = [
            np.pad(bands.astype("uint16"), ((0, 0), (0, fill), (fill, 0))),
            np.pad(label, ((0, fill), (fill, 0)), constant_values=99)[None],
        ]
        inner = []
        for name, pixels in zip((f"s2{level.lower()}", "target"), images, strict=True):
            file = parts / f"{i}-{name}.tif"
            with rasterio.open(
                file, "w", driver="GTiff", width=FILLED_UP, height=FILLED_UP, count=len(pixels),
                dtype=pixels.dtype, compress="deflate", **place,
            ) as target:  # fmt: skip
                target.write(pixels)
            inner.append({"id": name, "file_format": "GTiff", "path": file})
        nested = write_pile(parts / f"{i}.tortilla", *inner)
        more: dict[str, Any] = {
            "roi_id": f"ROI_{i:05}", "s2_id": f"2020021{i}T000000_T33TUM", "label_type": quality,
            "real_proj_shape": LABELLED,
        }  # fmt: skip
        split = splits[i] if splits else "test"
        samples.append(
            {
                "id": f"sample-{i}",
                "file_format": "TORTILLA",
                "path": nested,
                "data_split": split,
                **more,
            }
        )
    return write_pile(path, *samples)


def write_pixbox(
    folder: Path, number: int, scene: SimulatedScene, pixels: Sequence[tuple[int, int, int, int]]
) -> Path:
    """Write a scene of level 1C and its labels: row, column, CLOUD_CHARACTERISTICS_ID and SHADOW_ID of pixels."""
    product = folder / f"{SCENES[number]}.SAFE"
    images = product / "GRANULE" / "L1C_T33TUM_A000000_20170101T000000" / "IMG_DATA"
    images.mkdir(parents=True)
    for name, values in scene.read().items():
        if name in ("SCL", "truth"):
            continue
        grid = scene.geobox(10 * scene.shape[0] // values.shape[0])
        with rasterio.open(
            images / f"T33TUM_20170101T000000_{name}.jp2", "w", driver="JP2OpenJPEG", quality=100, reversible=True,
            width=values.shape[1], height=values.shape[0], count=1, dtype="uint16", crs=grid.crs, transform=grid.affine,
        ) as target:  # fmt: skip
            target.write(values.astype("uint16"), 1)
    table = folder / "PixBox-S2-CMIX" / "pixbox_sentinel2_cmix_20180425.csv"
    table.parent.mkdir(exist_ok=True)
    fresh = not table.exists()
    with table.open("a", newline="") as file:
        writer = csv.writer(file)
        if fresh:
            writer.writerow(
                [
                    "PIXEL_ID",
                    "PRODUCT_ID",
                    "PIXEL_X",
                    "PIXEL_Y",
                    "CLOUD_CHARACTERISTICS_ID",
                    "SHADOW_ID",
                ]
            )
        for i, (row, column, cloud, shadow) in enumerate(pixels):
            writer.writerow([i, number, column, row, cloud, shadow])
    return product
