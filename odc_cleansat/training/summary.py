"""Learning curves."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..errors import ModelError, first_line
from .checkpoints import read_table, written
from .gather import Material
from .recipe import Recipe

PICTURE = "curves.png"

# After Okabe and Ito; a second round is dashed.
_COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#666666")
_STYLES = ("-", "--", ":")
_NOT_GROUPS = ("step", "seconds", "loss")


def draw_curves(folder: Path) -> Path | None:
    """Draw the table of a run's progress: its loss, and the agreement on each held-out group.

    Returns
    -------
    Path or None
        Of the picture, PNG; None before the first look at what was held out.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = read_table(folder)
    if not rows:
        return None
    groups = {
        name: points
        for name in rows[-1]
        if name not in _NOT_GROUPS and (points := _points(rows, name))
    }
    figure = Figure(figsize=(11, 5), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, width_ratios=(2, 3))
    left.plot(
        [row["step"] for row in rows],
        [row["loss"] for row in rows],
        color="#333333",
        marker=_mark(rows),
    )
    left.set(title="Loss in training", xlabel="step", ylabel="nats a pixel")
    left.set_ylim(bottom=0)
    best_first = sorted(groups.items(), key=lambda item: -item[1][-1][1])
    for i, (name, points) in enumerate(best_first):
        right.plot(
            *zip(*points, strict=True),
            color=_COLOURS[i % len(_COLOURS)],
            linestyle=_STYLES[i // len(_COLOURS) % len(_STYLES)],
            marker=_mark(points),
            label=f"{name}  {points[-1][1]:.1f}",
        )
    if groups:
        # The first looks are far below all later ones, and would press them together.
        later = [value for points in groups.values() for _, value in points[len(points) // 4 :]]
        right.set_ylim(min(later) - 1, 100)
        right.legend(loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False, title="last, %")
    right.set(title="Agreement on what was held out", xlabel="step", ylabel="% of the pixels")
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.locator_params(axis="x", nbins=5, integer=True)
        axes.spines[["top", "right"]].set_visible(False)
    path = folder / PICTURE
    figure.savefig(draft := path.with_name(f".{PICTURE}"), format="png", dpi=110)
    draft.replace(path)
    return path


def _points(rows: Sequence[dict[str, float]], name: str) -> list[tuple[float, float]]:
    """Steps at which a group was looked at, and the agreement, %."""
    return [
        (row["step"], 100 * row[name]) for row in rows if math.isfinite(row.get(name, math.nan))
    ]


def _mark(points: Sequence[object]) -> str | None:
    """A single point makes no line, so it is drawn."""
    return "o" if len(points) == 1 else None


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
