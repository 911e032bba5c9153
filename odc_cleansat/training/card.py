"""The card of a trained model: what it is, what it has learnt from, and how far it agrees."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from ..addresses import without_secrets
from ..evaluate.tables import markdown_table
from ..models.model import Model
from .agreement import BELOW_THIN, BY_LABEL, SPOILT
from .curves import read_rows
from .network import untrained_network
from .recipe import Recipe
from .sources import Simulated
from .summary import Summary
from .thin_cloud import OPAQUE, THICKEST, THINNEST
from .tiles import CLOUDED_SHARE, SNOWED_SHARE

_CURVE_ROWS = 8
"""Number of rows of the learning curve."""

_Rows = list[dict[str, float]]


def model_card(recipe: Recipe, summary: Summary, models: Sequence[Model], weights: Path) -> str:
    """Return the model card.

    Parameters
    ----------
    recipe
        Recipe with its normalisation.
    summary
        Summary of the run.
    models
        The model, and its variant for the first few bands if there is one.
    weights
        File of the weights, in the folder of the run.

    Returns
    -------
    str
        Markdown.
    """
    rows = read_rows(weights.parent)
    parts = [
        f"# {recipe.name}",
        f"{recipe.title}.",
        _properties(recipe, models, weights),
        "## Data",
        _data(recipe, summary),
        "## Training",
        _settings(recipe, summary, rows),
        _curve(recipe, summary, rows),
        "## Agreement on what was held out",
        _agreement(recipe, summary, rows),
        "## Known failures",
        _failures(recipe),
        f"Made by `cleansat train`; sha256 {models[0].sha256}.",
    ]
    return without_secrets("\n\n".join(part for part in parts if part), mark="") + "\n"


def _properties(recipe: Recipe, models: Sequence[Model], weights: Path) -> str:
    millions = sum(each.numel() for each in untrained_network(recipe).parameters()) / 1e6
    rows = {
        "input": f"Sentinel-2 {recipe.level}, {', '.join(recipe.bands)}",
        "resolution": f"{recipe.resolution:g} m",
        "classes": ", ".join(each.label for each in recipe.classes),
        "network": f"{recipe.architecture}, {millions:.1f} million parameters",
        "weights": f"`{weights.name}`, {weights.stat().st_size / 1e6:.1f} MB",
        "licence": recipe.licence,
    }
    for variant in models[1:]:
        rows["with fewer bands"] = (
            f"`{variant.name}`: the same weights for {', '.join(variant.bands)}; the others stand at their mean"
        )
    if recipe.citation:
        rows["citation"] = recipe.citation
    return _table(("", ""), list(rows.items()))


def _data(recipe: Recipe, summary: Summary) -> str:
    rows = [
        (str(each), str(summary.counts.get(str(each), "")), each.origin, each.licence, each.note)
        for each in recipe.data
    ]
    parts = [_table(("source", "patches", "published by", "licence", "note"), rows)]
    if recipe.haze:
        haze = ", ".join(f"{band} {value:g}" for band, value in recipe.haze)
        parts.append(
            f"L1C patches are used twice: as they are, and as L2A with a typical haze taken off ({haze})."
        )
    changes = (
        f"Simulated clouds of known truth were laid over {CLOUDED_SHARE:.0%} of the tiles, simulated snow onto "
        f"{SNOWED_SHARE:.0%}. Of the tiles the network saw spoilt ones, whose answers were those for the tiles as they were: "
        f"{', '.join(f'{name} {share:.0%}' for name, share in recipe.spoil.items() if share) or 'none'}."
    )
    if recipe.thin_cloud:
        changes += (
            f" Simulated thin cloud lay over {recipe.thin_cloud:.0%}. Thin is an optical depth of {THINNEST:g} to {THICKEST:g}; "
            f"from there to {OPAQUE:g} either kind of cloud was right."
        )
    if any(isinstance(each, Simulated) for each in recipe.data):
        changes += " Simulated scenes are made by the package itself."
    return "\n\n".join([*parts, changes])


def _settings(recipe: Recipe, summary: Summary, rows: _Rows) -> str:
    schedule = recipe.schedule
    teachers = [f"`{each.name}` ({each.licence})" for each in recipe.teachers.values()]
    text = ""
    if recipe.encoder_weights:
        text += f"Begun with an encoder trained on {recipe.encoder_weights} (segmentation_models_pytorch). "
    if recipe.start:
        text += f"Begun with the weights of `{recipe.start.name}` ({recipe.start.licence}). "
    text += (
        f"Taught by the answers of {', '.join(teachers)}" if teachers else "Taught by labels alone"
    )
    text += (
        f", with weight {schedule.teacher if teachers else 0:g}; labels and simulated clouds with weight "
        f"{schedule.truth:g}. {summary.patches} patches; {schedule.batch} tiles of {schedule.size} x {schedule.size} "
        f"pixels a step, AdamW with a learning rate of {schedule.rate:g} and a weight decay of {schedule.decay:g}, the "
        f"running average of the weights with a decay of {schedule.average:g}, seed {schedule.seed}."
    )
    if rows:
        text += f" {rows[-1]['step']:.0f} steps in {rows[-1]['seconds'] / 3600:.1f} hours."
    return text


def _curve(recipe: Recipe, summary: Summary, rows: _Rows) -> str:
    """Return the picture of the learning curves, and some rows of their table."""
    if not rows:
        return ""
    last = len(rows) - 1
    chosen = sorted({round(i * last / (_CURVE_ROWS - 1)) for i in range(_CURVE_ROWS)})
    cells = [
        (
            f"{rows[i]['step']:.0f}",
            f"{rows[i]['loss']:.4f}",
            _percent(_mean_agreement(rows[i], summary)),
        )
        for i in chosen
    ]
    table = _table(("step", "loss", "agreement, mean of the groups"), cells)
    return f"![Learning curves]({recipe.name}.png)\n\n{table}"


def _mean_agreement(row: dict[str, float], summary: Summary) -> float | None:
    values = [row[name] for name in summary.held_out if name in row]
    return sum(values) / len(values) if values else None


def _agreement(recipe: Recipe, summary: Summary, rows: _Rows) -> str:
    if not rows:
        return "Nothing was held out, or not looked at yet."
    last = rows[-1]
    measure = "with the teacher" if recipe.teachers else "with the label"
    cells = [
        (
            name,
            str(count),
            *(_percent(last.get(name + end)) for end in ("", BY_LABEL, SPOILT, BELOW_THIN)),
        )
        for name, count in summary.held_out.items()
        if name in last or name + BY_LABEL in last
    ]
    head = ("group", "patches", measure, "with a label", "spoilt", "below thin cloud")
    return _table(head, cells) + (
        f"\n\nShare of the pixels of the same class, at {recipe.resolution:g} m, after {last['step']:.0f} steps. "
        "The number behind a group is that of its bands. No site of these groups was trained on. Of spoilt patches what the "
        "teacher says of the unspoilt ones is right. Below simulated thin cloud that and clear ground are told apart."
    )


def _percent(value: float | None) -> str:
    return "" if value is None or math.isnan(value) else f"{100 * value:.2f} %"


def _failures(recipe: Recipe) -> str:
    text = f"It is right near {recipe.resolution:g} m and on {recipe.level} only"
    if recipe.teachers:
        text += ", and shares the faults of its teachers"
    return text + "."


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """Return a table without the columns, from the third on, that are empty."""
    kept = [i for i in range(len(head)) if i < 2 or any(row[i] for row in rows)]
    return "\n".join(markdown_table([[row[i] for i in kept] for row in (head, *rows)]))
