"""From a recipe to a trained network."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from ..errors import SceneError
from ..progress import SILENT, Reporter
from .checkpoints import CHECKPOINT, resume
from .devices import find_device
from .gather import TrainingData, band_statistics, gather
from .history import History
from .learner import Task
from .loop import Session, fit
from .network import first_network, untrained_network
from .patches import Patch
from .recipe import Recipe
from .run_folder import locked
from .summary import check_run, write_summary
from .teachers import weight_by_variety
from .tiles import TileSampler


def train(
    recipe: Recipe,
    data: Path,
    out: Path,
    *,
    device: str | None = None,
    precision: str | None = None,
    seconds: float = math.inf,
    stop: Callable[[], bool] = lambda: False,
    reporter: Reporter = SILENT,
) -> History:
    """Follow a recipe; go on where an earlier session ended.

    Parameters
    ----------
    recipe
        What to do.
    data
        Folder that the recipe's paths are relative to.
    out
        Folder of the run: ``checkpoint.pt``, ``progress.csv``, ``curves.png`` and ``run.json``.
    device
        ``cuda`` or ``cpu``; by default cuda where there is one.
    precision
        ``bf16`` or ``f32``; by default bf16 where the device computes in it.
    seconds
        Time after which the session ends with a checkpoint, seconds.
    stop
        Asked after each step whether to end with a checkpoint.
    reporter
        Is told of the data that are read, of steps, loss and agreement.

    Returns
    -------
    History
        Steps, losses and the last agreement of the run, over all its sessions.

    Raises
    ------
    SceneError
        If data are missing or cannot be read.
    ModelError
        If a teacher or the device is missing, the folder belongs to a run of another recipe or another
        command is training in it, or the loss is not finite.
    """
    import torch

    with locked(out):
        # What cannot be done is found out before all data are read.
        check_run(recipe, out)
        session = Session(find_device(device).type, precision, seconds, stop, reporter)
        torch.manual_seed(recipe.schedule.seed)
        # A run that goes on has weights of its own.
        goes_on = (out / CHECKPOINT).exists()
        network = untrained_network(recipe) if goes_on else first_network(recipe)
        resume(out, recipe.schedule, network=network)
        with reporter.step("Reading data"):
            gathered = gather(recipe, data, reporter)
        if gathered.unused:
            reporter.say(f"  {gathered.unused} of the patches lack bands and are left out")
        recipe = _with_normalisation(recipe, gathered)
        patches = weight_by_variety(gathered.train, recipe.teachers, recipe.classes, reporter)
        _check_patches(recipe, patches)
        write_summary(out, recipe, gathered, patches)
        return fit(network, _sampler(recipe, patches), out, _task(recipe, gathered), session)


_NOTHING = (
    "there is nothing to learn from: without teachers patches need labels, and with them pixels that have all "
    "bands."
)


def _with_normalisation(recipe: Recipe, data: TrainingData) -> Recipe:
    """Return the recipe, with the normalisation of the data if it has none."""
    if recipe.mean and recipe.std:
        return recipe
    if not data.train:
        raise SceneError(_NOTHING)
    mean, std = band_statistics(data.train, recipe.bands)
    return replace(recipe, mean=recipe.mean or mean, std=recipe.std or std)


def _check_patches(recipe: Recipe, patches: Sequence[Patch]) -> None:
    """Raise SceneError if there is nothing to learn from, or the labels are of another level."""
    if not patches:
        raise SceneError(_NOTHING)
    levels = {patch.level for patch in patches}
    if not recipe.teachers and recipe.level not in levels:
        raise SceneError(
            f"the model is to be for {recipe.level}, and the labels are all of {', '.join(levels)}; say the right "
            "level in the recipe."
        )


def _sampler(recipe: Recipe, patches: Sequence[Patch]) -> TileSampler:
    return TileSampler(
        patches, recipe.bands,
        few=recipe.few, resolution=recipe.resolution,
        size=recipe.schedule.size, seed=recipe.schedule.seed,
    )  # fmt: skip


def _task(recipe: Recipe, data: TrainingData) -> Task:
    return Task(
        recipe.classes, recipe.mean, recipe.std, recipe.schedule, recipe.teachers, data.held_out
    )
