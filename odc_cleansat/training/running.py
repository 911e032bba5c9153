"""From a recipe to a trained network."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ModelError, SceneError
from .data import Material, gather, statistics
from .plans import Progress
from .recipe import Recipe
from .teachers import weighed
from .tiles import Tiles

if TYPE_CHECKING:
    import torch

SUMMARY = "run.json"


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
        If a teacher is missing, or the folder belongs to a run of another recipe.
    """
    import torch

    from .fitting import fit

    material = gather(recipe, data, say)
    recipe = normalised(recipe, material)
    patches = weighed(material.train, recipe.teachers, recipe.classes, weighing)
    if not patches:
        raise SceneError(
            "there is nothing to learn from: without teachers patches need labels, and with them pixels that "
            "have all bands."
        )
    out.mkdir(parents=True, exist_ok=True)
    _write_summary(out, recipe, material, patches=len(patches))
    plan = recipe.plan
    torch.manual_seed(plan.seed)
    tiles = Tiles(
        patches, recipe.bands,
        few=recipe.few, resolution=recipe.resolution, size=plan.size, seed=plan.seed,
    )  # fmt: skip
    fit(
        first_network(recipe), tiles, out,
        classes=recipe.classes, mean=recipe.mean, std=recipe.std, plan=plan,
        held_out=material.held_out, teachers=recipe.teachers,
        device=device, precision=precision, seconds=seconds, stop=stop, watch=watch,
    )  # fmt: skip


def build(recipe: Recipe) -> torch.nn.Module:
    """The recipe's network, of random weights.

    Raises
    ------
    ModelError
        If there is no such architecture.
    """
    from ..models.networks import build_network

    # Weights are of no account yet, but a model has to say their format.
    return build_network(recipe.model("file:none.safetensors"))


def first_network(recipe: Recipe) -> torch.nn.Module:
    """The recipe's network, of random weights or those of the model that it starts with.

    Raises
    ------
    ModelError
        If there is no such architecture, or the weights cannot be read.
    """
    from ..models import torch_network

    return build(recipe) if recipe.start is None else torch_network(recipe.start)


def normalised(recipe: Recipe, material: Material) -> Recipe:
    """The recipe with the normalisation of the data, where it has none."""
    if recipe.mean and recipe.std:
        return recipe
    mean, std = statistics(material.train, recipe.bands)
    return replace(recipe, mean=recipe.mean or mean, std=recipe.std or std)


@dataclass(frozen=True)
class Summary:
    """What a run knows of its data; kept, so that a model can be exported without them."""

    name: str
    """Of the recipe."""

    mean: tuple[float, ...]
    """For the normalisation."""

    std: tuple[float, ...]
    """The same."""

    patches: int
    """To train on, those used twice counted twice."""

    counts: dict[str, int]
    """Patches of each source."""

    held_out: dict[str, int]
    """Patches of each group."""


def _write_summary(out: Path, recipe: Recipe, material: Material, patches: int) -> None:
    path = out / SUMMARY
    held_out = {name: len(found) for name, found in material.held_out.items()}
    now = Summary(recipe.name, recipe.mean, recipe.std, patches, material.counts, held_out)
    if path.exists() and (then := read_summary(out)).name != recipe.name:
        raise ModelError(f"{out} holds a run of the recipe {then.name}; use another folder.")
    if path.exists() and (then.mean, then.std) != (recipe.mean, recipe.std):
        raise ModelError(
            f"the run in {out} has another normalisation, as it was begun with other data; use another folder."
        )
    path.write_text(json.dumps(asdict(now), indent=1) + "\n", encoding="utf-8")


def read_summary(out: Path) -> Summary:
    """What :func:`train` has written.

    Raises
    ------
    ModelError
        If there is none.
    """
    try:
        found: dict[str, Any] = json.loads((out / SUMMARY).read_text("utf-8"))
    except FileNotFoundError as error:
        raise ModelError(f"there is no run in {out}; train first.") from error
    return Summary(**(found | {key: tuple(found[key]) for key in ("mean", "std")}))
