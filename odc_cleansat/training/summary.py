"""The summary of a run. With it the run goes on as it was begun, and its model is exported without the data."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..addresses import public_values
from ..errors import ModelError, first_line
from ..storage.reader import parse_json, read_file
from .gather import TrainingData
from .patches import Patch
from .recipe import Recipe
from .run_folder import replacing

SUMMARY = "run.json"
"""File name of the summary in the folder of a run."""


@dataclass(frozen=True)
class Summary:
    """What is kept of a run beside its checkpoint."""

    name: str
    """Name of the recipe."""

    mean: tuple[float, ...]
    """Mean reflectance of each band, for the normalisation."""

    std: tuple[float, ...]
    """Standard deviation of reflectance of each band, for the normalisation."""

    patches: int
    """Number of patches to train on. Those that are used twice count twice."""

    counts: dict[str, int]
    """Number of patches of each source."""

    held_out: dict[str, int]
    """Number of patches of each held-out group."""

    recipe: dict[str, Any] = field(default_factory=dict)
    """Values of the recipe that must not change. Runs of earlier versions lack them until they go on."""

    sites: tuple[str, ...] = ()
    """Names of the sites that any session has trained on."""


def check_run(recipe: Recipe, out: Path) -> None:
    """Refuse a folder that holds a run of another recipe, or in which a document of the model would replace the recipe.

    Raises
    ------
    ModelError
        If the recipe cannot be followed there.
    """
    documents = {(out / f"{name}.yaml").resolve() for name in recipe.model_names}
    if recipe.path.resolve() in documents:
        raise ModelError(
            f"{recipe.path} is where the model's document would be written; name another folder as out=."
        )
    if not (out / SUMMARY).exists():
        return
    then = read_summary(out)
    if then.name != recipe.name:
        raise ModelError(f"{out} holds a run of the recipe {then.name}; use another folder.")
    now = _unchangeable(recipe)
    if changed := [key for key in now if key in then.recipe and then.recipe[key] != now[key]]:
        raise ModelError(
            f"the run in {out} was begun with another {', '.join(changed)}; use another folder."
        )
    _check_sites(then, recipe.held_out.sites, out)


def write_summary(out: Path, recipe: Recipe, data: TrainingData, patches: Sequence[Patch]) -> None:
    """Write what a run begins with, or goes on with.

    Parameters
    ----------
    out
        Folder of the run.
    recipe
        Recipe with its normalisation.
    data
        All data of the recipe.
    patches
        Patches that are trained on.

    Raises
    ------
    ModelError
        If the run was begun with another normalisation, or has trained on what is now held out.
    """
    trained = {patch.site for patch in patches}
    if (out / SUMMARY).exists():
        then = read_summary(out)
        _check_sites(then, {p.site for group in data.held_out.values() for p in group}, out)
        if (then.mean, then.std) != (recipe.mean, recipe.std):
            raise ModelError(
                f"the run in {out} has another normalisation, as it was begun with other data; use another folder."
            )
        trained.update(then.sites)
    summary = Summary(
        name=recipe.name,
        mean=recipe.mean,
        std=recipe.std,
        patches=len(patches),
        counts=data.counts,
        held_out={name: len(group) for name, group in data.held_out.items()},
        recipe=_unchangeable(recipe),
        sites=tuple(sorted(trained)),
    )
    with replacing(out / SUMMARY) as file:
        file.write((json.dumps(public_values(asdict(summary)), indent=1) + "\n").encode())


def read_summary(out: Path) -> Summary:
    """Return what :func:`write_summary` has written.

    Raises
    ------
    ModelError
        If there is none, or it cannot be read.
    """
    path = out / SUMMARY
    try:
        content: dict[str, Any] = parse_json(read_file(path), str(path))
        tuples = {key: tuple(content.get(key, ())) for key in ("mean", "std", "sites")}
        return Summary(**(content | tuples))
    except FileNotFoundError as error:
        raise ModelError(f"there is no run in {out}; train first.") from error
    except OSError as error:
        raise ModelError(f"cannot read {path}: {first_line(error)}.") from error
    except (ValueError, TypeError, AttributeError) as error:
        raise ModelError(
            f"{path} is spoilt; delete it, and train again with the same recipe and data to have it written anew."
        ) from error


def _unchangeable(recipe: Recipe) -> dict[str, Any]:
    """Return the values of a recipe that must not change during a run, as JSON gives them back."""
    values = {
        "bands": recipe.bands,
        "few": recipe.few,
        "classes": [each.label for each in recipe.classes],
        "level": recipe.level,
        "resolution": recipe.resolution,
        "architecture": asdict(recipe.architecture),
        "teachers": sorted(model.name for model in recipe.teachers.values()),
        "start": recipe.start.name if recipe.start else None,
        "encoder_weights": recipe.encoder_weights,
        "haze": recipe.haze_by_band,
    }
    plain: dict[str, Any] = parse_json(json.dumps(public_values(values)), "the recipe")
    return plain


def _check_sites(then: Summary, held: Collection[str], out: Path) -> None:
    """Raise ModelError if a run has trained on sites that are held out."""
    if both := set(then.sites) & set(held):
        raise ModelError(
            f"the run in {out} has learnt from what is now held out: {', '.join(sorted(both))}; use another folder."
        )
