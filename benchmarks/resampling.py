"""What resampling and blur do to the answers: `python benchmarks/resampling.py --docs docs/accuracy/windows.md`.

Scenes of 10 m are averaged to coarser grids that do not fit the model grid. Several kernels then bring them to the model
grid. The answers are compared with the answer for the scene as it was. The real scenes are not part of the project
(../shared/data).
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import xarray as xr
from affine import Affine
from evaluation import fill
from odc.geo.geobox import GeoBox
from odc.geo.xr import xr_reproject
from scipy import ndimage
from students import codes, on_label, read_bands, shadow_scores

from odc_cleansat import CloudClass, classify, get_model
from odc_cleansat.classes import CLOUDS
from odc_cleansat.evaluate.confusion import Confusion
from odc_cleansat.evaluate.tables import markdown_table
from odc_cleansat.grids.grid import box_geobox, model_grid
from odc_cleansat.models.model import Model
from odc_cleansat.scenes import reflectance
from odc_cleansat.scenes.files import Band
from odc_cleansat.scenes.reflectance import to_model_grid

ROOT = Path(__file__).parents[1]
SIX = ("B02", "B03", "B04", "B08", "B11", "B12")
SCENES = {"manila/2024-a": SIX, "manila/2024-b": SIX, "oncloudn/chip_3": SIX[:4]}
PIXELS = (10, 20, 30, 40)
KERNELS = ("average", "cubic", "lanczos", "nearest")
WIDTHS = (0.5, 0.8, 1.2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--docs", type=Path, help="write the tables into this page")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    tables = {
        "resampling-grids": coarser(options.data),
        "resampling-calgary": calgary(options.data / "calgary"),
        "resampling-blur": blurred(options.data),
    }
    for name, lines in tables.items():
        print(f"\n{name}\n", *lines, sep="\n")
    if options.docs:
        fill(options.docs, tables)


def cases(data: Path) -> Iterator[tuple[str, dict[str, xr.DataArray], Model]]:
    """Each scene with all bands and with four, and the default model for them."""
    for name, bands in SCENES.items():
        for few in dict.fromkeys((bands, bands[:4])):
            yield f"{name}, {len(few)} bands", read_bands(data / name, few), get_model(bands=few)


def model_geobox(scene: dict[str, xr.DataArray]) -> GeoBox:
    """Pixels of the model grid well inside a scene."""
    crs, box = model_grid(scene["B02"].odc.geobox, 30)
    return box_geobox(box, crs, 30)[3:-3, 3:-3]


@contextmanager
def kernel(name: str) -> Iterator[None]:
    """Another kernel in place of the package's own choice."""
    before = reflectance.AVERAGED, reflectance.KERNEL
    reflectance.AVERAGED, reflectance.KERNEL = (9.0 if name == "average" else 0.0), name
    try:
        yield
    finally:
        reflectance.AVERAGED, reflectance.KERNEL = before


def mask(scene: dict[str, xr.DataArray], model: Model, target: GeoBox) -> np.ndarray:
    found: np.ndarray = classify(scene, model=model, offset=0, geobox=target).ucl.values
    return found


def changes(expected: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Percent of the pixels that are the same, that were clear and are cloud, and clear and shadow."""
    valid = (expected != CloudClass.NODATA) & (found != CloudClass.NODATA)
    clear = expected == CloudClass.CLEAR
    shares = (
        (expected == found)[valid].mean(),
        (clear & np.isin(found, CLOUDS))[valid].mean(),
        (clear & (found == CloudClass.SHADOW))[valid].mean(),
    )
    return 100 * np.array(shares)


def coarser(data: Path) -> list[str]:
    """Mean over the scenes."""
    rows = [["pixels, m", "kernel", "the same", "clear becomes cloud", "clear becomes shadow"]]
    found: dict[tuple[int, str], list[np.ndarray]] = {}
    for _, scene, model in cases(data):
        target = model_geobox(scene)
        expected = mask(scene, model, target)
        for size in PIXELS:
            own = scene["B02"].odc.geobox
            # Beside the model grid by three tenths of a pixel, along both axes.
            count = own.shape[0] * 10 // size - 1
            corner = Affine.translation(own.affine.c + 0.31 * size, own.affine.f - 0.31 * size)
            grid = GeoBox((count, count), corner * Affine.scale(size, -size), own.crs)
            coarse = {
                name: xr_reproject(band.assign_attrs(nodata=0), grid, resampling="average")
                for name, band in scene.items()
            }
            for name in KERNELS:
                with kernel(name):
                    answer = mask(coarse, model, target)
                found.setdefault((size, name), []).append(changes(expected, answer))
    for (size, name), each in found.items():
        rows.append([str(size), name, *(f"{value:.1f} %" for value in np.mean(each, axis=0))])
    return markdown_table(rows)


def calgary(folder: Path) -> list[str]:
    """Painted shadow, in scenes of 30 m in a geographic grid; four bands."""
    rows = [["kernel", "recall", "precision", "F1", "IoU"]]
    model = get_model(bands=SIX[:4])
    for name in KERNELS:
        pooled = Confusion.zero()
        for date in sorted(path.parent for path in folder.glob("*/shadow_label.tif")):
            with kernel(name):
                pooled += on_label(date, date / "shadow_label.tif", "shadow-label", model)
        rows.append([name, *shadow_scores(pooled)])
    return markdown_table(rows)


def blurred(data: Path) -> list[str]:
    """Pixels of 30 m below a Gaussian of some width, in pixels: how much clear ground becomes cloud."""
    rows = [["scene", "model", *(f"blurred by {width} pixels" for width in WIDTHS)]]
    for title, scene, model in cases(data):
        target = model_geobox(scene)
        bands = [Band(band, band.odc.geobox) for band in scene.values()]
        pixels = to_model_grid(bands, target, None, 0)
        for each in (model, get_model(f"unet-efficientnetb4-l2a-{len(bands)}b")):
            expected = codes(each, pixels)
            smooth = [ndimage.gaussian_filter(pixels, (0, width, width)) for width in WIDTHS]
            found = [changes(expected, codes(each, blurry)) for blurry in smooth]
            rows.append([title, each.name, *(f"{cloud:.1f} %" for _, cloud, _ in found)])
    return markdown_table(rows)


if __name__ == "__main__":
    main()
