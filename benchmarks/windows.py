"""Which windows: what they cost, and how much of a mask changes with the windows that fall on a scene.

`python benchmarks/windows.py` prints the tables of docs/accuracy/windows.md, one after the other.

- strides: a shift moves the cuts between windows by half a stride; cost is pixels given to the network over pixels
  of the scene.
- crops: real scenes, cropped by 1, 7, 16 and 31 rows and columns, and five parts of half their width and height that are
  loaded alone, against the same pixels of the whole.
"""

from __future__ import annotations

import argparse
import dataclasses
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import rasterio
import xarray as xr
from bench import BANDS, OFFSET, scene_of, simulated
from odc.geo.geobox import GeoBox
from odc.geo.xr import wrap_xr

from odc_cleansat import classify, get_model
from odc_cleansat.grids.grid import model_grid
from odc_cleansat.grids.windows import MULTIPLE, Tiling, windows
from odc_cleansat.models.model import Model

DATA = Path(__file__).parents[2] / "shared" / "data"

CROPS = (1, 7, 16, 31)
"""Rows and columns by which scenes are cropped."""

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
    folder = DATA / "calgary"
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
    seen = 0
    for box in (window.box for window in found):
        rows, columns = (
            -(-last // MULTIPLE) - first // MULTIPLE
            for first, last in ((box.top, box.bottom), (box.left, box.right))
        )
        seen += rows * columns * MULTIPLE**2
    return seen / int(np.prod(grid.shape))


def shadow(scenes: list, model: Model) -> float:
    """Intersection over union with the painted shadow, all pixels together."""
    both = either = 0
    for arrays, label in scenes:
        if label is not None:
            found = classify(scene_of(arrays), model=model).ucl.values == 3
            both, either = both + (found & label).sum(), either + (found | label).sum()
    return float(both / either) if either else float("nan")


# --- crops and parts ------------------------------------------------------------------


def scenes_on_disk() -> Iterator[tuple[str, xr.Dataset]]:
    """Name and bands of each real scene, on the grid of its finest band."""
    folders = [*DATA.glob("manila/20*"), *DATA.glob("oncloudn/chip*"), *DATA.glob("calgary/20*")]
    for folder in sorted(folders):
        names = [name for name in BANDS if (folder / f"{name}.tif").exists()]
        read = {name: rasterio.open(folder / f"{name}.tif") for name in names}
        grid = GeoBox.from_rio(read[names[0]])
        bands = {}
        for name, file in read.items():
            factor = grid.shape[0] // file.shape[0]
            pixels = file.read(1).repeat(factor, 0).repeat(factor, 1)
            bands[name] = wrap_xr(pixels, grid, nodata=0)
        yield f"{folder.parent.name} {folder.name}", xr.Dataset(bands)
    for path in DATA.glob("bataan/*.tif"):
        with rasterio.open(path) as file:
            order = [
                "B01",
                "B02",
                "B03",
                "B04",
                "B05",
                "B06",
                "B07",
                "B08",
                "B8A",
                "B09",
                "B11",
                "B12",
            ]
            grid = GeoBox.from_rio(file)
            bands = {n: wrap_xr(file.read(order.index(n) + 1), grid, nodata=0) for n in BANDS}
        yield "bataan", xr.Dataset(bands)


def changed(scene: xr.Dataset, whole: np.ndarray, model: Model, part: tuple[slice, slice]) -> float:
    """Percent of the pixels of a part that are another class when it is classified alone."""
    y, x = scene.odc.spatial_dims
    alone = classify(scene.isel({y: part[0], x: part[1]}), model=model).ucl.values
    return 100 * float(np.mean(alone != whole[part]))


def crops(models: dict[int, Model], only: str) -> None:
    """Print how much of each scene changes when it is cropped, and when parts of it stand alone."""
    print("| scene | cropped, mean | cropped, worst | part, mean | part, worst |")
    print("|---|---|---|---|---|")
    every: list[list[float]] = []
    for name, scene in scenes_on_disk():
        if only not in name:
            continue
        model = models[len(scene.data_vars)]
        whole = classify(scene, model=model).ucl.values
        rows, columns = (size // 2 for size in whole.shape)
        cut = [changed(scene, whole, model, np.s_[n:, n:]) for n in CROPS]
        corners = [(y, x) for y in (0, rows) for x in (0, columns)]
        parts = [
            changed(scene, whole, model, np.s_[y : y + rows, x : x + columns])
            for y, x in [*corners, (rows // 2, columns // 2)]
        ]
        every.append([np.mean(cut), max(cut), np.mean(parts), max(parts)])
        print(f"| {name} | " + " | ".join(f"{value:.2f}" for value in every[-1]) + " |", flush=True)
    print("| mean | " + " | ".join(f"{value:.2f}" for value in np.mean(every, axis=0)) + " |")


def strides(six: Model, four: Model) -> None:
    """Print what windows of several sizes cost, and how much moves with them."""
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


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", nargs="*", help="strides, crops; both by default")
    parser.add_argument("--six", default="unet-mobilenetv2-l2a-thin", help="model of six bands")
    parser.add_argument(
        "--four", default="unet-mobilenetv2-l2a-thin-4b", help="model of four bands"
    )
    parser.add_argument(
        "--scenes", default="", metavar="TEXT", help="only those with this in their names, of crops"
    )
    options = parser.parse_args()
    what = options.what or ["strides", "crops"]
    if unknown := {*what} - {"strides", "crops"}:
        parser.error(f"there is no {', '.join(sorted(unknown))}; choose from strides, crops")
    warnings.simplefilter("ignore")
    six, four = get_model(options.six), get_model(options.four)
    if "strides" in what:
        strides(six, four)
    if "crops" in what:
        crops({6: six, 4: four}, options.scenes)


if __name__ == "__main__":
    main()
