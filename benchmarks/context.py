"""What the teachers say of the same pixels among others: `python benchmarks/context.py --docs docs/how-to/training-data.md`.

Each patch of the recipe stands alone, and in the middle of eight others: of other sites, or of its own. Scenes that
are held out are seen whole, and in windows. The data are not part of the project (../shared/data).
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from evaluation import fill
from students import ROOT, SHOWN, codes

from odc_cleansat import CloudClass
from odc_cleansat.evaluate.confusion import Confusion
from odc_cleansat.evaluate.tables import markdown_table
from odc_cleansat.models.model import Model
from odc_cleansat.training import read_recipe
from odc_cleansat.training.gather import gather
from odc_cleansat.training.patches import Patch

EDGE = 4
"""Pixels along the border of a patch that are not counted: there even a neighbour just like it is a seam."""

WINDOWS = (96, 160, 256)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipe", type=Path, default=ROOT / "training/unet-mobilenetv2-l2a.yaml")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--docs", type=Path, help="write the table into this page")
    options = parser.parse_args()
    recipe = read_recipe(options.recipe)
    material = gather(recipe, options.data)
    kinds: dict[tuple[str, int], list[Patch]] = defaultdict(list)
    for patch in material.train:
        kinds[patch.kind].append(patch)
    rows = [["what", "seen", "the same", "shadow becomes clear", "clear becomes shadow"]]
    for (level, count), patches in kinds.items():
        teacher = recipe.teachers[level, count]
        name = f"{level}, {count} bands"
        for own in (False, True):
            around = "among its own site" if own else "among other sites"
            rows.append([f"patches, {name}", around, *said(among(teacher, patches, own))])
    for group in ("calgary-4", "oncloudn-4"):
        for side in WINDOWS:
            found = Confusion.zero()
            for patch in material.held_out[group]:
                teacher = recipe.teachers[patch.kind]
                found += sum(in_windows(teacher, patch, side), Confusion.zero())
            if found.pixels:
                rows.append([group, f"in windows of {side}", *said(found)])
    table = markdown_table(rows)
    print(*table, sep="\n")
    if options.docs:
        fill(options.docs, {"context": table})


def among(teacher: Model, patches: list[Patch], own: bool) -> Confusion:
    """Alone against in the middle of eight of the same shape; those of most frequent shape are compared."""
    pixels = [patch.at(teacher.resolution) for patch in patches]
    shapes = [each.shape for each in pixels]
    shape = max(set(shapes), key=shapes.count)
    chosen = [i for i, each in enumerate(shapes) if each == shape]
    rng = np.random.default_rng(0)
    found = Confusion.zero()
    for i in chosen:
        near = [j for j in chosen if j != i and (patches[j].site == patches[i].site) == own]
        if not near:
            continue
        around = [pixels[j] for j in rng.choice(near, 8)]
        around.insert(4, pixels[i])
        rows = [np.concatenate(around[k : k + 3], axis=2) for k in (0, 3, 6)]
        alone, seen = codes(teacher, pixels[i]), codes(teacher, np.concatenate(rows, axis=1))
        if alone is not None and seen is not None:
            height, width = alone.shape
            found += compared(alone, seen[height : 2 * height, width : 2 * width], EDGE)
    return found


def in_windows(teacher: Model, patch: Patch, side: int) -> Iterator[Confusion]:
    """The whole scene against windows of it, of which an eighth on each side is not counted."""
    pixels = patch.at(teacher.resolution)
    whole = codes(teacher, pixels)
    if whole is None:
        return
    for top in range(0, whole.shape[0] - side + 1, side):
        for left in range(0, whole.shape[1] - side + 1, side):
            window = np.s_[top : top + side, left : left + side]
            seen = codes(teacher, pixels[:, window[0], window[1]])
            if seen is not None:
                yield compared(whole[window], seen, side // 8)


def compared(first: np.ndarray, second: np.ndarray, edge: int) -> Confusion:
    inside = np.s_[edge:-edge, edge:-edge]
    return Confusion.of(first[inside], second[inside])


def said(found: Confusion) -> list[str]:
    clear, shadow = (SHOWN.index(each) for each in (CloudClass.CLEAR, CloudClass.SHADOW))
    matrix = found.matrix[np.ix_(SHOWN, SHOWN)] / found.pixels
    shares = (1 - found.changed, matrix[shadow, clear], matrix[clear, shadow])
    return [f"{100 * share:.1f} %" for share in shares]


if __name__ == "__main__":
    main()
