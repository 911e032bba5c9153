"""Where patches come from, and how a recipe's patches are gathered."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import SceneError
from .patches import Patch, hold_out
from .sources import Simulated

if TYPE_CHECKING:
    from .recipe import Recipe


# --- together -------------------------------------------------------------------------


@dataclass(frozen=True)
class Material:
    """What a recipe has to learn from and to judge by."""

    train: list[Patch]
    """Never of a site that is held out."""

    held_out: dict[str, list[Patch]]
    """By group."""

    counts: dict[str, int] = field(default_factory=dict)
    """Patches of each source, held out or not."""

    unused: int = 0
    """Patches that lack bands."""


def gather(recipe: Recipe, folder: Path, say: Callable[[str], None] = lambda _: None) -> Material:
    """Read the data of a recipe, and part what is held out from the rest.

    A patch is used with all of the recipe's bands, or with its first few. L1C patches are used twice if the
    recipe has a typical haze: as they are, and as L2A with that taken off.

    Raises
    ------
    SceneError
        If files are missing or cannot be read, or a site to be held out is not there.
    """
    real: list[Patch] = []
    simulated: list[Patch] = []
    counts: dict[str, int] = {}
    unused = 0
    for source in recipe.data:
        say(f"  {source}")
        found = source.read(folder, recipe)
        usable = usable_bands(found, recipe)
        counts[str(source)] = counts.get(str(source), 0) + len(usable)
        unused += len(found) - len(usable)
        (simulated if isinstance(source, Simulated) else real).extend(usable)
    train, held = hold_out(real, recipe.held_out.sites, recipe.held_out.share)
    groups = {level.lower(): [p for p in held if p.level == level] for level in ("L2A", "L1C")}
    if recipe.haze:
        train += [p.at_surface(recipe.haze_of) for p in train if p.level == "L1C"]
        groups["l1c-surface"] = [p.at_surface(recipe.haze_of) for p in groups["l1c"]]
    sites = {patch.site for patch in (*train, *simulated)}
    files = {patch.source for patch in train if patch.source}
    for source in recipe.held_out.data:
        say(f"  {source}, held out")
        found = usable_bands(source.read(folder, recipe), recipe)
        if both := {patch.site for patch in found} & sites:
            raise SceneError(
                f"{', '.join(sorted(both))}: held out, and among the data to train on."
            )
        if again := {patch.source for patch in found} & files:
            raise SceneError(
                f"{', '.join(sorted(again))}: held out, and among the data to train on under another site."
            )
        groups.setdefault(source.name, []).extend(found)
    return Material(train + simulated, by_bands(groups, recipe), counts, unused)


def usable_bands(patches: Sequence[Patch], recipe: Recipe) -> list[Patch]:
    """Those that have all of the recipe's bands, or the first few and are cut to them."""
    found = []
    for patch in patches:
        for bands in (recipe.bands, recipe.bands[: recipe.few]):
            if patch.bands[: len(bands)] == bands:
                found.append(patch if patch.bands == bands else patch.with_bands(bands))
                break
    return found


def by_bands(groups: dict[str, list[Patch]], recipe: Recipe) -> dict[str, list[Patch]]:
    """Each group as it is, and with the first few bands only; named like ``l2a-6`` and ``l2a-4``."""
    full, few = recipe.bands, recipe.bands[: recipe.few]
    found = {}
    for name, patches in groups.items():
        found[f"{name}-{len(full)}"] = [p for p in patches if p.bands == full]
        if few != full:
            found[f"{name}-{len(few)}"] = [p.with_bands(few) for p in patches]
    return {name: patches for name, patches in found.items() if patches}


def statistics(patches: Sequence[Patch], bands: tuple[str, ...]) -> tuple[tuple[float, ...], ...]:
    """Mean and standard deviation of reflectance for each band, over all patches that have it.

    Raises
    ------
    SceneError
        If none has a band.
    """
    means, deviations = [], []
    for i, band in enumerate(bands):
        some = [
            p.pixels[i, ::4, ::4].astype("float64").ravel() for p in patches if len(p.bands) > i
        ]
        values = np.concatenate([each[np.isfinite(each)] for each in [np.empty(0), *some]])
        if not values.size:
            raise SceneError(
                f"no patch to train on has data in {band}; leave it out of the bands, or give mean and std."
            )
        means.append(round(float(values.mean()), 6))
        # A band that is the same everywhere is not divided by 0.
        deviations.append(round(float(values.std()), 6) or 1.0)
    return tuple(means), tuple(deviations)
