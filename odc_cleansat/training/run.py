"""From a recipe to a trained network."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from ..errors import SceneError
from ..progress import SILENT, Reporter
from .answers import FOLDER
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
from .teachers import taught_classes, weight_by_variety
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
        for source, count in gathered.left_out.items():
            reporter.say(f"  {source}: {count} patches lack bands and are left out")
        recipe = _with_normalisation(recipe, gathered)
        taught = taught_classes(recipe.teachers, recipe.classes)
        patches = weight_by_variety(gathered.train, recipe.teachers, taught, reporter)
        _check_patches(recipe, patches)
        _tell_the_rest(recipe, gathered, len(patches), reporter)
        write_summary(out, recipe, gathered, patches)
        return fit(network, _sampler(recipe, patches), out, _task(recipe, gathered, out), session)


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


def _tell_the_rest(recipe: Recipe, data: TrainingData, used: int, reporter: Reporter) -> None:
    """Tell what is left out and what is not measured; raise SceneError if that was not allowed."""
    if unknown := len(data.train) - used:
        said = f"{unknown} of the {len(data.train)} patches have no pixel with all bands" + (
            "" if recipe.teachers else " whose class is known"
        )
        if not recipe.partial:
            raise SceneError(f"{said}; take them away, or say partial: true to leave them out.")
        reporter.say(f"  {said} and are left out")
    if not data.held_out:
        reporter.say("  nothing is held out, so that agreement is not measured")


def _sampler(recipe: Recipe, patches: Sequence[Patch]) -> TileSampler:
    return TileSampler(
        patches, recipe.bands,
        few=recipe.few, resolution=recipe.resolution,
        size=recipe.schedule.size, seed=recipe.schedule.seed,
        spoilt=recipe.spoil, thin_cloud=recipe.thin_cloud,
    )  # fmt: skip


def _task(recipe: Recipe, data: TrainingData, out: Path) -> Task:
    return Task(
        recipe.classes, recipe.mean, recipe.std, recipe.schedule, recipe.teachers, data.held_out,
        spoilt=recipe.spoil, answers=out / FOLDER if recipe.schedule.lessons else None,
    )  # fmt: skip
