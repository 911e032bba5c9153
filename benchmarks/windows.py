"""Which windows: stride, overlap, what they cost, and how much a shift of them changes.

`python benchmarks/windows.py` prints the table of docs/measurements.md. A shift moves the cuts
between windows by half a stride; cost is pixels given to the network over pixels of the scene.
"""

from __future__ import annotations

import dataclasses
import warnings
from pathlib import Path

import numpy as np
import rasterio
from bench import BANDS, OFFSET, scene_of, simulated

from odc_cleansat import classify, get_model
from odc_cleansat.grids.grid import model_grid
from odc_cleansat.grids.windows import Tiling, windows
from odc_cleansat.models.model import Model

CHOICES = [
    ((192, 192), 64),
    ((384, 384), 128),
    ((448, 448), 192),
    ((512, 512), 256),
    ((768, 768), 256),
    ((896, 896), 128),
    ((896, 896), 192),
    ((896, 1920), 128),
    ((896, 1920), 192),
]


def real_scenes() -> list[tuple[dict[str, np.ndarray], np.ndarray | None]]:
    """Bands, and hand-painted shadow where there is a label."""
    folder = Path(__file__).parents[2] / "shared" / "data" / "calgary"
    found = []
    for date in sorted(folder.glob("20*")):
        arrays = {b: rasterio.open(date / f"{b}.tif").read(1) for b in BANDS[:4]}
        label = date / "shadow_label.tif"
        found.append((arrays, rasterio.open(label).read(1) == 1 if label.exists() else None))
    return found


def change(arrays: dict[str, np.ndarray], model: Model, offset: float) -> float:
    """Percent of the pixels that a shift changes."""
    a, b = (
        classify(scene_of(arrays, share, model), model=model, offset=offset).ucl.values
        for share in (0, 1 / 2)
    )
    return 100 * float(np.mean(a != b))


def cost(arrays: dict[str, np.ndarray], model: Model) -> float:
    """Pixels given to the network over pixels of the scene."""
    grid = scene_of(arrays).odc.geobox
    _, scene = model_grid(grid, model.resolution)
    found = windows(scene, scene, model.tiling)
    return sum(int(np.prod(w.box.shape)) for w in found) / int(np.prod(grid.shape))


def shadow(scenes: list, model: Model) -> float:
    """Intersection over union with the painted shadow, all pixels together."""
    both = either = 0
    for arrays, label in scenes:
        if label is not None:
            found = classify(scene_of(arrays), model=model).ucl.values == 3
            both, either = both + (found & label).sum(), either + (found | label).sum()
    return float(both / either) if either else float("nan")


def main() -> None:
    warnings.simplefilter("ignore")
    six, four = get_model(), get_model("unet-efficientnetb4-l2a-4b")
    real = real_scenes()
    made = [simulated(2048, 2048, seed) for seed in (0, 1)]
    print("| stride | overlap | cost at 2048 | simulated | Calgary | worst date | shadow IoU |")
    print("|---|---|---|---|---|---|---|")
    for stride, overlap in CHOICES:
        tiling = Tiling(stride, overlap, whole=0)
        a, b = (dataclasses.replace(each, tiling=tiling) for each in (six, four))
        simulated_change = np.mean([change(arrays, a, OFFSET) for arrays in made])
        dates = [change(arrays, b, 0) for arrays, _ in real] or [float("nan")]
        print(
            f"| {stride[0]} x {stride[1]} | {overlap} | {cost(made[0], a):.2f} | {simulated_change:.2f} | "
            f"{np.mean(dates):.2f} | {max(dates):.2f} | {shadow(real, b):.3f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
