"""A trained network as a model that others can use: weights, document and card."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ModelError
from ..models.documents import document_of
from ..models.model import Model
from .checkpoints import read_average, read_table, written
from .judge import BY_LABEL
from .network import build
from .recipe import Recipe
from .sources import Simulated
from .summary import Summary, check_run, draw_curves, read_summary
from .tiles import BLURRED, CLIPPED, CLOUDED, SNOWED

if TYPE_CHECKING:
    import torch


_ROWS = 8
"""Of the learning curve in a card."""


def export(recipe: Recipe, out: Path) -> list[Path]:
    """Write the running average of a run's weights as a model.

    Parameters
    ----------
    recipe
        That the run follows.
    out
        Folder of the run.

    Returns
    -------
    list of Path
        ``NAME.yaml``, to be given to `cleansat models import`; of the model for the first few bands,
        if the recipe has one, ``NAME-4b.yaml`` or so; then what belongs to them: ``NAME.safetensors`` (f16; the
        batch normalisations, which are small, f32), ``NAME.md`` and ``NAME.png``.

    Raises
    ------
    ModelError
        If there is no checkpoint, or it belongs to a run of another recipe.
    """
    from safetensors.torch import save

    check_run(recipe, out)
    summary = read_summary(out)
    recipe = replace(recipe, mean=summary.mean, std=summary.std)
    average = read_average(out)
    _check(recipe, average, out)
    weights = out / f"{recipe.name}.safetensors"
    content = save({name: _stored(value) for name, value in average.items()})
    with written(weights) as file:
        file.write(content)
    sha256 = hashlib.sha256(content).hexdigest()
    card = weights.with_suffix(".md")
    model = recipe.model(f"file:{weights.resolve()}", sha256, card=str(card.resolve()))
    models = [model, *_for_fewer(model, recipe)]
    documents = [out / f"{each.name}.yaml" for each in models]
    for each, document in zip(models, documents, strict=True):
        with written(document) as file:
            file.write(document_of(each, out).encode())
    files = [*documents, weights, card]
    picture = draw_curves(out)
    if picture is not None:
        with written(weights.with_suffix(".png")) as file:
            file.write(picture.read_bytes())
        files.append(weights.with_suffix(".png"))
    with written(card) as file:
        file.write(card_of(recipe, summary, models, weights, out).encode())
    return files


def _check(recipe: Recipe, average: dict[str, torch.Tensor], out: Path) -> None:
    expected = {name: value.shape for name, value in build(recipe).state_dict().items()}
    if expected != {name: value.shape for name, value in average.items()}:
        raise ModelError(
            f"the checkpoint in {out} belongs to another architecture than the recipe."
        )


def _stored(value: torch.Tensor) -> torch.Tensor:
    return (value.half() if value.is_floating_point() and value.ndim > 1 else value).contiguous()


def _for_fewer(model: Model, recipe: Recipe) -> list[Model]:
    """The same weights for the first few bands."""
    count = recipe.few
    if len(recipe.names) == 1:
        return []
    return [
        replace(
            model,
            name=recipe.names[1],
            title=f"{recipe.title}; for the first {count} bands",
            bands=recipe.prefix,
            mean=recipe.mean[:count],
            std=recipe.std[:count],
            channels=recipe.bands,
        )
    ]


# --- the card -------------------------------------------------------------------------


def card_of(recipe: Recipe, summary: Summary, models: list[Model], weights: Path, out: Path) -> str:
    """The model card, Markdown."""
    model = models[0]
    parts = [
        f"# {recipe.name}",
        f"{recipe.title}.",
        _properties(recipe, models, weights),
        "## Data",
        _data(recipe, summary),
        "## Training",
        _training(recipe, summary, out),
        "## Agreement on what was held out",
        _agreement(recipe, summary, out),
        "## Known failures",
        _failures(recipe),
        f"Made by `cleansat train`; sha256 {model.sha256}.",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _properties(recipe: Recipe, models: list[Model], weights: Path) -> str:
    rows = {
        "input": f"Sentinel-2 {recipe.level}, {', '.join(recipe.bands)}",
        "resolution": f"{recipe.resolution:g} m",
        "classes": ", ".join(each.label for each in recipe.classes),
        "network": f"{recipe.architecture}, {_parameters(recipe):.1f} million parameters",
        "weights": f"`{weights.name}`, {weights.stat().st_size / 1e6:.1f} MB",
        "licence": recipe.licence,
    }
    if len(models) > 1:
        rows["with fewer bands"] = (
            f"`{models[1].name}`: the same weights for {', '.join(recipe.prefix)}; the others stand at their mean"
        )
    if recipe.citation:
        rows["citation"] = recipe.citation
    return _table(("", ""), list(rows.items()))


def _parameters(recipe: Recipe) -> float:
    return float(sum(each.numel() for each in build(recipe).parameters()) / 1e6)


def _data(recipe: Recipe, summary: Summary) -> str:
    rows = [
        (str(each), str(summary.counts.get(str(each), "")), each.origin, each.licence, each.note)
        for each in recipe.data
    ]
    lines = [_table(("source", "patches", "published by", "licence", "note"), rows)]
    if recipe.haze:
        taken = ", ".join(f"{band} {value:g}" for band, value in recipe.haze)
        lines.append(
            f"L1C patches are used twice: as they are, and as L2A with a typical haze taken off ({taken})."
        )
    clouds = (
        f"Simulated clouds of known truth were laid over {CLOUDED:.0%} of the tiles, simulated snow onto {SNOWED:.0%}; the "
        f"visible bands of {CLIPPED:.0%} were clipped, and {BLURRED:.0%} were blurred."
    )
    if any(isinstance(each, Simulated) for each in recipe.data):
        clouds += " Simulated scenes are made by the package itself."
    return "\n\n".join([*lines, clouds])


def _training(recipe: Recipe, summary: Summary, out: Path) -> str:
    plan = recipe.plan
    rows = read_table(out)
    teachers = [f"`{each.name}` ({each.licence})" for each in recipe.teachers.values()]
    taught = (
        f"Taught by the answers of {', '.join(teachers)}" if teachers else "Taught by labels alone"
    )
    if recipe.start:
        taught = (
            f"Begun with the weights of `{recipe.start.name}` ({recipe.start.licence}). {taught}"
        )
    if recipe.encoder_weights:
        taught = f"Begun with an encoder trained on {recipe.encoder_weights} (segmentation_models_pytorch). {taught}"
    lines = [
        f"{taught}, with weight {plan.teacher if teachers else 0:g}; labels and simulated clouds with weight "
        f"{plan.truth:g}. {summary.patches} patches; {plan.batch} tiles of {plan.size} x {plan.size} pixels a step, AdamW "
        f"with a learning rate of {plan.rate:g} and a weight decay of {plan.decay:g}, the running average of the weights "
        f"with a decay of {plan.average:g}, seed {plan.seed}.",
    ]
    if rows:
        lines[0] += f" {rows[-1]['step']:.0f} steps in {rows[-1]['seconds'] / 3600:.1f} hours."
        lines.append(f"![Learning curves]({recipe.name}.png)")
        chosen = sorted({round(i * (len(rows) - 1) / (_ROWS - 1)) for i in range(_ROWS)})
        mean = [(rows[i], _mean(rows[i], summary)) for i in chosen]
        lines.append(
            _table(
                ("step", "loss", "agreement, mean of the groups"),
                [
                    (
                        f"{r['step']:.0f}",
                        f"{r['loss']:.4f}",
                        "" if math.isnan(m) else f"{100 * m:.2f} %",
                    )
                    for r, m in mean
                ],
            )
        )
    return "\n\n".join(lines)


def _mean(row: dict[str, float], summary: Summary) -> float:
    values = [row[name] for name in summary.held_out if name in row]
    return sum(values) / len(values) if values else math.nan


def _agreement(recipe: Recipe, summary: Summary, out: Path) -> str:
    rows = read_table(out)
    if not rows:
        return "Nothing was held out, or not looked at yet."
    last = rows[-1]
    measure = "with the teacher" if recipe.teachers else "with the label"
    found = []
    for name, count in summary.held_out.items():
        if name in last or name + BY_LABEL in last:
            values = (_percent(last.get(name)), _percent(last.get(name + BY_LABEL)))
            found.append((name, str(count), *values))
    return _table(("group", "patches", measure, "with a label"), found) + (
        f"\n\nShare of the pixels of the same class, at {recipe.resolution:g} m, after {last['step']:.0f} steps. "
        "The number behind a group is that of its bands. No site of these groups was trained on."
    )


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.2f} %"


def _failures(recipe: Recipe) -> str:
    text = f"It is right near {recipe.resolution:g} m and on {recipe.level} only"
    if recipe.teachers:
        text += ", and shares the faults of its teachers"
    return text + "."


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    kept = [i for i in range(len(head)) if i < 2 or any(row[i] for row in rows)]
    lines = [
        [head[i] for i in kept],
        ["---"] * len(kept),
        *([row[i] for i in kept] for row in rows),
    ]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
