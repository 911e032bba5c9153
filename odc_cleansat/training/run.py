"""From a recipe to a trained network."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import SceneError
from .checkpoints import CHECKPOINT, locked, resume
from .gather import Material, gather, statistics
from .network import build, first_network
from .patches import Patch
from .plans import Progress
from .recipe import Recipe
from .summary import check_run, write_summary
from .teachers import weighed
from .tiles import Tiles

if TYPE_CHECKING:
    pass


def train(
    recipe: Recipe,
    data: Path,
    out: Path,
    *,
    device: str | None = None,
    precision: str | None = None,
    seconds: float = math.inf,
    stop: Callable[[], bool] = lambda: False,
    watch: Callable[[Progress], None] = lambda _: None,
    say: Callable[[str], None] = lambda _: None,
    weighing: Callable[[int, int], None] | None = None,
) -> None:
    """Follow a recipe; go on where an earlier session stopped.

    Parameters
    ----------
    recipe
        What to do.
    data
        Folder that the recipe's paths are relative to.
    out
        Where the run is kept: ``checkpoint.pt``, ``progress.csv``, ``curves.png`` and ``run.json``.
    device
        ``cuda`` or ``cpu``; by default the first where there is one.
    precision
        ``bf16`` or ``f32``; by default bf16 where the device computes in it.
    seconds
        Stop after so long, with a checkpoint.
    stop
        Asked after each step whether to stop, with a checkpoint.
    watch
        Told of the progress after each step.
    say
        Told what is being read.
    weighing
        Told how many patches have been looked at, and of how many.

    Raises
    ------
    SceneError
        If data are missing or cannot be read.
    ModelError
        If a teacher or the device is missing, the folder belongs to a run of another recipe or another
        command is at it, or the loss is not finite.
    """
    import torch

    from .loop import find_device, fit

    with locked(out):
        # What cannot go well is met before all data are read.
        check_run(recipe, out)
        device = find_device(device).type
        plan = recipe.plan
        torch.manual_seed(plan.seed)
        # A run that goes on has weights of its own.
        network = build(recipe) if (out / CHECKPOINT).exists() else first_network(recipe)
        resume(out, plan, network=network)
        material = gather(recipe, data, say)
        if material.unused:
            say(f"  {material.unused} of the patches lack bands and are left out")
        recipe = normalised(recipe, material)
        patches = weighed(material.train, recipe.teachers, recipe.classes, weighing)
        _check_patches(recipe, patches)
        sites = {patch.site for patch in patches}
        write_summary(out, recipe, material, len(patches), sites)
        tiles = Tiles(
            patches, recipe.bands,
            few=recipe.few, resolution=recipe.resolution, size=plan.size, seed=plan.seed,
        )  # fmt: skip
        fit(
            network, tiles, out,
            classes=recipe.classes, mean=recipe.mean, std=recipe.std, plan=plan,
            held_out=material.held_out, teachers=recipe.teachers,
            device=device, precision=precision, seconds=seconds, stop=stop, watch=watch,
        )  # fmt: skip


def _check_patches(recipe: Recipe, patches: Sequence[Patch]) -> None:
    if not patches:
        raise SceneError(_NOTHING)
    levels = {patch.level for patch in patches}
    if not recipe.teachers and recipe.level not in levels:
        raise SceneError(
            f"the model is to be for {recipe.level}, and the labels are all of {', '.join(levels)}; say the right "
            "level in the recipe."
        )


_NOTHING = (
    "there is nothing to learn from: without teachers patches need labels, and with them pixels that have all "
    "bands."
)


def normalised(recipe: Recipe, material: Material) -> Recipe:
    """The recipe with the normalisation of the data, where it has none."""
    if recipe.mean and recipe.std:
        return recipe
    if not material.train:
        raise SceneError(_NOTHING)
    mean, std = statistics(material.train, recipe.bands)
    return replace(recipe, mean=recipe.mean or mean, std=recipe.std or std)
