"""How steady models are on held-out scenes, and what they make of thin cloud: `python benchmarks/steadiness.py MODEL ...`.

Takes names of models, or paths of model documents. The first table has the percentage of the pixels of a scene that change
their class when the scene is spoilt, mean and worst of the scenes. The second one is about simulated thin cloud over
ground that the model itself calls clear. The scenes are not part of the project (../shared/data).
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from evaluation import fill
from scipy import ndimage
from students import codes, model_of

from odc_cleansat import CloudClass
from odc_cleansat.classes import CLOUDS
from odc_cleansat.evaluate.tables import markdown_table
from odc_cleansat.models.model import Model
from odc_cleansat.training import read_recipe
from odc_cleansat.training.gather import gather
from odc_cleansat.training.patches import Patch
from odc_cleansat.training.spoiling import haze, jpeg2000
from odc_cleansat.training.thin_cloud import draw_thin_cloud, veil_truth
from odc_cleansat.training.truths import class_bits

ROOT = Path(__file__).parents[1]
GROUPS = ("calgary", "manila", "oncloudn")
CLIP = np.float32(0.4)
HAZY = "manila/2024-b"
ASKED = {
    "noise .005": "0.3, 1", "gain 2 %": "0.3, 1", "8 bit": "0.3, 1", "JPEG 2000, a tenth": "0.3, 1",
    "blur .8": "1.5, 5", "clipped at .4, cloud called clear": "3 %", f"shadow in {HAZY}": "1 %",
}  # fmt: skip
"""What is asked for: mean and worst of the scenes, or a share; less is better."""

Change = Callable[[np.ndarray, tuple[str, ...]], np.ndarray]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="+", help="names, or paths of documents")
    parser.add_argument("--recipe", type=Path, default=ROOT / "training/unet-mobilenetv2-l2a.yaml")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--docs", type=Path, help="write the tables into this page")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    recipe = read_recipe(options.recipe)
    recipe = replace(recipe, data=(), held_out=replace(recipe.held_out, sites=()))
    groups = gather(recipe, options.data).held_out
    models = [model_of(each) for each in options.models]
    tables = {"steadiness": steadiness(models, groups), "thin-cloud": thin_cloud(models, groups)}
    for name, lines in tables.items():
        print(f"\n{name}\n", *lines, sep="\n")
    if options.docs:
        fill(options.docs, tables)


def scenes(groups: dict[str, list[Patch]], model: Model) -> Iterator[Patch]:
    """The real scenes that are held out whole, with the bands of a model."""
    for name in GROUPS:
        yield from groups.get(f"{name}-{len(model.bands)}", ())


# --- spoilt ---------------------------------------------------------------------------


def blurred(width: float) -> Change:
    return lambda pixels, _: ndimage.gaussian_filter(pixels, (0, width, width))


def noisy(pixels: np.ndarray, bands: tuple[str, ...]) -> np.ndarray:
    return pixels + np.random.default_rng(0).normal(0, 0.005, pixels.shape).astype("float32")


def eight_bit(pixels: np.ndarray, bands: tuple[str, ...]) -> np.ndarray:
    return np.clip(np.rint(pixels * 255), 0, 255).astype("float32") / np.float32(255)


def compressed(pixels: np.ndarray, bands: tuple[str, ...]) -> np.ndarray:
    missing = ~np.isfinite(pixels).all(axis=0)
    read = jpeg2000(np.nan_to_num(pixels), 10)
    read[:, missing] = np.nan
    return read


CHANGES: dict[str, Change] = {
    "noise .005": noisy,
    "gain 2 %": lambda pixels, _: pixels * np.float32(1.02),
    "offset of 300": lambda pixels, _: pixels + np.float32(0.03),
    "8 bit": eight_bit,
    "JPEG 2000, a tenth": compressed,
    "blur .5": blurred(0.5),
    "blur .8": blurred(0.8),
    "haze .2": lambda pixels, bands: haze(pixels, bands, 0.2, 1.3),
}


def steadiness(models: list[Model], groups: dict[str, list[Patch]]) -> list[str]:
    """Flipped pixels, and of the cloud what is called clear when the visible bands are clipped."""
    names = [*CHANGES, "clipped at .4, cloud called clear", f"shadow in {HAZY}"]
    columns = {
        "scene spoilt by": names,
        **{model.name: flips(model, scenes(groups, model)) for model in models},
        "asked for": [ASKED.get(name, "") for name in names],
    }
    return markdown_table([list(columns), *map(list, zip(*columns.values(), strict=True))])


def flips(model: Model, patches: Iterable[Patch]) -> list[str]:
    """Mean and worst of the scenes for each change, the share of the cloud that is lost by clipping, and shadow in haze."""
    changed: dict[str, list[float]] = {name: [] for name in CHANGES}
    lost = cloud = 0
    hazy = ""
    for patch in patches:
        pixels = patch.at(model.resolution)
        before = codes(model, pixels)
        if before is None:
            continue
        if patch.site == HAZY:
            hazy = f"{100 * np.mean(before[before != 0] == CloudClass.SHADOW):.1f} %"
        for name, change in CHANGES.items():
            after = codes(model, change(pixels, model.bands))
            both = (before != 0) & (after != 0) if after is not None else before < 0
            changed[name].append(100 * float((before != after)[both].mean()))
        clipped = pixels.copy()
        clipped[:3] = np.minimum(pixels[:3], CLIP)
        was = np.isin(before, CLOUDS)
        cloud += int(was.sum())
        lost += int((codes(model, clipped)[was] == CloudClass.CLEAR).sum())
    cells = [f"{np.mean(each):.2f}, {np.max(each):.2f}" for each in changed.values()]
    return [*cells, f"{100 * lost / max(cloud, 1):.1f} %", hazy]


# --- thin cloud -----------------------------------------------------------------------


def thin_cloud(models: list[Model], groups: dict[str, list[Patch]]) -> list[str]:
    """Over ground that the model calls clear: thin by its optical depth, against what it then says."""
    rows = [
        ["model", "thin cloud found", "as cloud of any kind", "IoU", "clear called thin", "in scenes as they are"]
    ]  # fmt: skip
    for model in models:
        hit = found = thin_pixels = any_cloud = false = clear_pixels = thin_before = all_clear = 0
        for number, patch in enumerate(scenes(groups, model)):
            pixels = patch.at(model.resolution)
            before = codes(model, pixels)
            if before is None:
                continue
            thin_before += int((before == CloudClass.THIN_CLOUD).sum())
            all_clear += int((before != 0).sum())
            shape = before.shape
            clouds = draw_thin_cloud(np.random.default_rng(number), max(shape)).cut(shape)
            veil = veil_truth(clouds)
            after = codes(model, clouds.over(pixels, model.bands))
            ground = before == CloudClass.CLEAR
            thin = ground & (veil == class_bits([CloudClass.THIN_CLOUD]))
            clear = ground & (veil == 0)
            said = after == CloudClass.THIN_CLOUD
            thin_pixels, clear_pixels = (
                thin_pixels + int(thin.sum()),
                clear_pixels + int(clear.sum()),
            )
            hit, false = hit + int((said & thin).sum()), false + int((said & clear).sum())
            any_cloud += int((np.isin(after, CLOUDS) & thin).sum())
            found += int((said & (thin | clear)).sum())
        union = thin_pixels + found - hit
        rows.append(
            [
                model.name,
                *(f"{100 * each / max(thin_pixels, 1):.1f} %" for each in (hit, any_cloud)),
                f"{hit / max(union, 1):.3f}",
                f"{100 * false / max(clear_pixels, 1):.2f} %",
                f"{100 * thin_before / max(all_clear, 1):.2f} %",
            ]
        )
    rows.append(["asked for", "", "", "0.600", "1.00 %", ""])
    return markdown_table(rows)


if __name__ == "__main__":
    main()
