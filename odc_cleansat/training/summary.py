"""What a run knows of its recipe and its data, kept in its folder."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..errors import ModelError, first_line
from .checkpoints import written
from .data import Material
from .recipe import Recipe

SUMMARY = "run.json"


@dataclass(frozen=True)
class Summary:
    """Kept so that a run goes on as it was begun, and its model can be exported without the data."""

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

    recipe: dict[str, Any] = field(default_factory=dict)
    """What must stay as it was; runs of earlier versions lack it until they go on."""

    sites: tuple[str, ...] = ()
    """That have been trained on in any session."""


def check_run(recipe: Recipe, out: Path) -> None:
    """Refuse a folder that holds a run of another recipe, or the recipe itself in the model's place.

    Raises
    ------
    ModelError
        If the recipe cannot be followed there.
    """
    if recipe.path.resolve() in {(out / f"{name}.yaml").resolve() for name in recipe.names}:
        raise ModelError(
            f"{recipe.path} is where the model's document would be written; name another folder with --out."
        )
    if not (out / SUMMARY).exists():
        return
    then = read_summary(out)
    if then.name != recipe.name:
        raise ModelError(f"{out} holds a run of the recipe {then.name}; use another folder.")
    now = _lasting(recipe)
    if changed := [key for key in now if key in then.recipe and then.recipe[key] != now[key]]:
        raise ModelError(
            f"the run in {out} was begun with another {', '.join(changed)}; use another folder."
        )
    _check_sites(then, recipe.held_out.sites, out)


def write_summary(
    out: Path, recipe: Recipe, material: Material, patches: int, sites: Iterable[str]
) -> None:
    """Keep what a run begins with, or goes on with.

    Parameters
    ----------
    recipe
        With its normalisation.
    patches, sites
        How many are trained on, and where they are.

    Raises
    ------
    ModelError
        If the run was begun with another normalisation, or has learnt from what is now held out.
    """
    trained = set(sites)
    if (out / SUMMARY).exists():
        then = read_summary(out)
        _check_sites(then, {p.site for found in material.held_out.values() for p in found}, out)
        if (then.mean, then.std) != (recipe.mean, recipe.std):
            raise ModelError(
                f"the run in {out} has another normalisation, as it was begun with other data; use another folder."
            )
        trained.update(then.sites)
    held_out = {name: len(found) for name, found in material.held_out.items()}
    now = Summary(
        recipe.name, recipe.mean, recipe.std, patches, material.counts, held_out,
        _lasting(recipe), tuple(sorted(trained)),
    )  # fmt: skip
    with written(out / SUMMARY) as draft:
        draft.write((json.dumps(asdict(now), indent=1) + "\n").encode())


def read_summary(out: Path) -> Summary:
    """What :func:`write_summary` has written.

    Raises
    ------
    ModelError
        If there is none, or it is spoilt.
    """
    path = out / SUMMARY
    try:
        found: dict[str, Any] = json.loads(path.read_bytes())
        lists = {key: tuple(found.get(key, ())) for key in ("mean", "std", "sites")}
        return Summary(**(found | lists))
    except FileNotFoundError as error:
        raise ModelError(f"there is no run in {out}; train first.") from error
    except OSError as error:
        raise ModelError(f"cannot read {path}: {first_line(error)}.") from error
    except (ValueError, TypeError, AttributeError) as error:
        raise ModelError(
            f"{path} is spoilt; delete it, and train again with the same recipe and data to have it written anew."
        ) from error


def _lasting(recipe: Recipe) -> dict[str, Any]:
    """What a network is learnt for, as JSON gives it back."""
    found: dict[str, Any] = json.loads(
        json.dumps(
            {
                "bands": recipe.bands,
                "few": recipe.few,
                "classes": [each.label for each in recipe.classes],
                "level": recipe.level,
                "resolution": recipe.resolution,
                "architecture": asdict(recipe.architecture),
                "teachers": sorted(model.name for model in recipe.teachers.values()),
                "start": recipe.start.name if recipe.start else None,
                "encoder_weights": recipe.encoder_weights,
                "haze": recipe.haze_of,
            }
        )
    )
    return found


def _check_sites(then: Summary, held: Collection[str], out: Path) -> None:
    if both := set(then.sites) & set(held):
        raise ModelError(
            f"the run in {out} has learnt from what is now held out: {', '.join(sorted(both))}; use another folder."
        )
