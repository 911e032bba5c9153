"""Gathers the patches of a recipe: those to train on, and those that are held out."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..errors import SceneError
from ..progress import SILENT, Reporter
from .patches import Patch, hold_out
from .recipe import Recipe
from .sources import Simulated, Source


@dataclass(frozen=True)
class TrainingData:
    """The patches of a recipe."""

    train: list[Patch]
    """Patches to train on, none of a site that is held out."""

    held_out: dict[str, list[Patch]]
    """Patches to evaluate on, by the name of their group."""

    counts: dict[str, int] = field(default_factory=dict)
    """Number of patches of each source, held out or not."""

    left_out: dict[str, int] = field(default_factory=dict)
    """Number of patches that lack bands, by source."""


def gather(recipe: Recipe, folder: Path, reporter: Reporter = SILENT) -> TrainingData:
    """Read the data of a recipe, and set apart what is held out.

    A patch is used with all bands of the recipe, or with its first few. If the recipe has a typical haze, L1C patches
    are used twice: as they are, and as L2A without the haze.

    Parameters
    ----------
    recipe
        Names the data.
    folder
        Folder that the recipe's paths are relative to.
    reporter
        Is told of each source.

    Raises
    ------
    SceneError
        If a file is missing or cannot be read, or a site to be held out is not there. Also if the same place is held out
        and trained on, or if patches lack bands and the recipe does not allow to leave them out.
    """
    counts: dict[str, int] = {}
    left_out: dict[str, int] = {}
    real: list[Patch] = []
    simulated: list[Patch] = []
    for source in recipe.data:
        reporter.say(f"  {source}")
        usable = _read_usable(source, recipe, folder, left_out)
        counts[str(source)] = counts.get(str(source), 0) + len(usable)
        (simulated if isinstance(source, Simulated) else real).extend(usable)
    train, held = hold_out(real, recipe.held_out.sites, recipe.held_out.share)
    groups = {level.lower(): [p for p in held if p.level == level] for level in ("L2A", "L1C")}
    if recipe.haze:
        train += [p.at_surface(recipe.haze_by_band) for p in train if p.level == "L1C"]
        groups["l1c-surface"] = [p.at_surface(recipe.haze_by_band) for p in groups["l1c"]]
    train += simulated
    for source in recipe.held_out.data:
        reporter.say(f"  {source}, held out")
        patches = _read_usable(source, recipe, folder, left_out)
        check_held_out(patches, train)
        groups.setdefault(source.name, []).extend(patches)
    return TrainingData(train, _split_by_bands(groups, recipe), counts, left_out)


def _read_usable(
    source: Source, recipe: Recipe, folder: Path, left_out: dict[str, int]
) -> list[Patch]:
    """Return the patches of a source that have the bands. Count the others, or refuse them."""
    patches = source.read(folder, recipe.wanted)
    usable = cut_to_bands(patches, recipe)
    if lacking := len(patches) - len(usable):
        if not recipe.partial:
            raise SceneError(_reason(str(source), patches, lacking, recipe))
        left_out[str(source)] = left_out.get(str(source), 0) + lacking
    return usable


def _reason(source: str, patches: Sequence[Patch], lacking: int, recipe: Recipe) -> str:
    """Return what to do about patches that lack bands."""
    wanted = recipe.first_bands
    missing = [band for band in wanted if any(band not in patch.bands for patch in patches)]
    had = min(_count_of_first(patch, recipe.bands) for patch in patches)
    advice = f"say few: {had} to use the first {had} bands of all, or " if had else "say "
    return (
        f"{source}: {lacking} of the {len(patches)} patches lack {', '.join(missing)}; {advice}partial: true to leave them "
        "out."
    )


def _count_of_first(patch: Patch, bands: Sequence[str]) -> int:
    """Return how many of the first bands a patch has without a gap."""
    return next((i for i, band in enumerate(bands) if band not in patch.bands), len(bands))


def check_held_out(patches: Collection[Patch], train: Collection[Patch]) -> None:
    """Refuse to train on what is held out whole.

    Raises
    ------
    SceneError
        If a site or a file is both held out and trained on.
    """
    sites = {patch.site for patch in train}
    files = {patch.file for patch in train if patch.file}
    if both := {patch.site for patch in patches} & sites:
        raise SceneError(f"{', '.join(sorted(both))}: held out, and among the data to train on.")
    if again := {patch.file for patch in patches} & files:
        raise SceneError(
            f"{', '.join(sorted(again))}: held out, and among the data to train on under another site."
        )


def cut_to_bands(patches: Sequence[Patch], recipe: Recipe) -> list[Patch]:
    """Return the patches that have all bands of the recipe, and others cut to the first few if they have these."""
    usable = []
    for patch in patches:
        for bands in (recipe.bands, recipe.first_bands):
            if patch.bands[: len(bands)] == bands:
                usable.append(patch if patch.bands == bands else patch.with_bands(bands))
                break
    return usable


def _split_by_bands(groups: Mapping[str, list[Patch]], recipe: Recipe) -> dict[str, list[Patch]]:
    """Return each group with all bands, and with the first few only; named like ``l2a-6`` and ``l2a-4``."""
    all_bands, few = recipe.bands, recipe.first_bands
    split = {}
    for name, patches in groups.items():
        split[f"{name}-{len(all_bands)}"] = [p for p in patches if p.bands == all_bands]
        if few != all_bands:
            split[f"{name}-{len(few)}"] = [p.with_bands(few) for p in patches]
    return {name: patches for name, patches in split.items() if patches}


def band_statistics(
    patches: Sequence[Patch], bands: tuple[str, ...]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the mean and the standard deviation of reflectance for each band, over all patches that have it.

    Raises
    ------
    SceneError
        If no patch has data in a band.
    """
    means, deviations = [], []
    for i, band in enumerate(bands):
        samples = [
            p.pixels[i, ::4, ::4].astype("float64").ravel() for p in patches if len(p.bands) > i
        ]
        values = np.concatenate([each[np.isfinite(each)] for each in [np.empty(0), *samples]])
        if not values.size:
            raise SceneError(
                f"no patch to train on has data in {band}; leave it out of the bands, or give mean and std."
            )
        means.append(round(float(values.mean()), 6))
        # A band that is the same everywhere is not divided by 0.
        deviations.append(round(float(values.std()), 6) or 1.0)
    return tuple(means), tuple(deviations)
