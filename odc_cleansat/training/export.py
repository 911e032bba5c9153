"""Writes a trained network as a model that others can use: weights, documents and a model card."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ModelError
from ..models.documents import document_of
from ..models.model import Model
from .card import model_card
from .checkpoints import read_average
from .curves import draw_curves
from .network import untrained_network
from .recipe import Recipe
from .run_folder import replacing
from .summary import check_run, read_summary

if TYPE_CHECKING:
    import torch


def export_model(recipe: Recipe, out: Path) -> list[Path]:
    """Write the running average of a run's weights as a model.

    Parameters
    ----------
    recipe
        Recipe that the run follows.
    out
        Folder of the run.

    Returns
    -------
    list of Path
        ``NAME.yaml``, the document that `cleansat models import` takes, and ``NAME-4b.yaml`` or so, the document of the
        variant for the first few bands if there is one. Then the files that belong to them: ``NAME.safetensors`` (f16, but
        the small batch normalisations f32), ``NAME.md`` and ``NAME.png``.

    Raises
    ------
    ModelError
        If there is no checkpoint, it belongs to a run of another recipe, or a file cannot be written.
    """
    from safetensors.torch import save

    check_run(recipe, out)
    summary = read_summary(out)
    recipe = replace(recipe, mean=summary.mean, std=summary.std)
    average = read_average(out)
    _check_architecture(recipe, average, out)
    weights = out / f"{recipe.name}.safetensors"
    content = save({name: _compact(value) for name, value in average.items()})
    _write(weights, content)
    card = weights.with_suffix(".md")
    sha256 = hashlib.sha256(content).hexdigest()
    model = recipe.to_model(f"file:{weights.resolve()}", sha256, card=str(card.resolve()))
    models = [model, *_variants(model, recipe)]
    documents = [out / f"{each.name}.yaml" for each in models]
    for each, document in zip(models, documents, strict=True):
        _write(document, document_of(each, out).encode())
    files = [*documents, weights, card]
    curves = draw_curves(out)
    if curves is not None:
        picture = weights.with_suffix(".png")
        _write(picture, curves.read_bytes())
        files.append(picture)
    _write(card, model_card(recipe, summary, models, weights).encode())
    return files


def _write(path: Path, content: bytes) -> None:
    with replacing(path) as file:
        file.write(content)


def _check_architecture(recipe: Recipe, average: dict[str, torch.Tensor], out: Path) -> None:
    """Raise ModelError if the weights do not fit the recipe's network."""
    expected = {name: value.shape for name, value in untrained_network(recipe).state_dict().items()}
    if expected != {name: value.shape for name, value in average.items()}:
        raise ModelError(
            f"the checkpoint in {out} belongs to another architecture than the recipe."
        )


def _compact(value: torch.Tensor) -> torch.Tensor:
    """Return weights in half precision; batch normalisations have one dimension and stay as they are."""
    return (value.half() if value.is_floating_point() and value.ndim > 1 else value).contiguous()


def _variants(model: Model, recipe: Recipe) -> list[Model]:
    """Return the model of the same weights for the first few bands, if there are more."""
    count = recipe.few
    return [
        replace(
            model,
            name=name,
            title=f"{recipe.title}; for the first {count} bands",
            bands=recipe.first_bands,
            mean=recipe.mean[:count],
            std=recipe.std[:count],
            channels=recipe.bands,
        )
        for name in recipe.model_names[1:]
    ]
