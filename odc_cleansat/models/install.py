"""The user's own models: try them, copy them into the user's folder, find their files again."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

from ..errors import ModelError
from .documents import write_model
from .engines import get_engine
from .inference import check_answers
from .model import WEIGHTS, Model
from .places import local_weights
from .registry import find_models, models_folder, not_writable, read_model
from .torchscript import torchscript_on_trial
from .weights import sha256_of, weights_path

DOCUMENTS = (".yaml", ".yml")
"""Suffixes of model documents."""


def try_model(model: Model, *, allow: bool = False) -> None:
    """Load the model's network, run it on noise, and raise if it does not return probabilities.

    Parameters
    ----------
    allow
        Whether to run TorchScript weights, and to allow them from now on if they work.

    Raises
    ------
    ModelError
        If the weights cannot be loaded, do not fit the model, or give no probabilities.
    """
    with torchscript_on_trial(model) if allow else contextlib.nullcontext():
        check_answers(model, get_engine(model))


def document_beside(weights: Path) -> Path:
    """Return the model document of a file of weights: the file of the same name with the suffix ``.yaml``.

    Raises
    ------
    ModelError
        If there is no document, it is wrong or names other weights, or the file has no suffix of weights.
    """
    check_suffix(weights)
    document = weights.with_suffix(".yaml")
    if not document.exists():
        raise ModelError(
            f"{weights} needs a model document beside it. Run: cleansat models import --template {weights}"
        )
    model = read_model(document)
    if not model.weights.startswith("file:") or not local_weights(model).samefile(weights):
        raise ModelError(
            f"{document} names other weights than {weights}. Correct `weights` in it, or import the document "
            "itself."
        )
    return document


def check_suffix(file: Path) -> None:
    """Raise if a file has no suffix of weights.

    Raises
    ------
    ModelError
        With the suffixes that are known.
    """
    if file.suffix.lower() not in WEIGHTS:
        raise ModelError(
            f"{file} is neither a model document ({', '.join(DOCUMENTS)}) nor weights ({', '.join(WEIGHTS)})."
        )


def import_model(document: Path, *, force: bool = False, allow: bool = False) -> Model:
    """Check a model of the user's own, and copy it into the user's folder of models.

    The document, the card and weights from a ``file:`` are copied. The copy of the document has their sha256.

    Parameters
    ----------
    document
        Path of the model document.
    force
        Whether to replace an imported model of the same name.
    allow
        Whether to run TorchScript weights, and to allow them from now on if they work.

    Returns
    -------
    Model
        The model of the copy.

    Raises
    ------
    ModelError
        If the document, the weights or the answers are wrong, or a model of this name exists.
    """
    model = read_model(document)
    target = models_folder() / f"{model.name}.yaml"
    _check_name_is_free(model, target, force)
    for each in model.networks():
        weights_path(each)
    try:
        try_model(model, allow=allow)
        return _keep(model, target)
    except OSError as error:
        raise not_writable(target.parent, error) from error


def find_own(name: str) -> Path:
    """Return the document of one of the user's own models, even if it cannot be used.

    Raises
    ------
    ModelError
        If the user has no model of that name.
    """
    entries = [entry for entry in find_models() if entry.name == name]
    own = [
        (each.problem != "", each.path) for each in entries if each.origin == "user" and each.path
    ]
    if own:
        return min(own)[1]
    if entries:
        raise ModelError(
            f"the model {name} is not one of your own ({entries[0].origin}); only those can be removed. What a "
            "plugin brings goes when the package is uninstalled."
        )
    raise ModelError(
        f"there is no model {name!r}; cleansat models list shows those that there are."
    )


def files_of(document: Path) -> list[Path]:
    """Return a document of the user's, and the card and weights that :func:`import_model` put beside it.

    Card and weights have the name of the document. Weights that it does not name are not returned.
    """
    beside = [document.with_suffix(".md")]
    with contextlib.suppress(ModelError):
        model = read_model(document)
        if model.weights.startswith("file:"):
            beside.append(local_weights(model))
    found = [each for each in beside if each.is_file() and each.stem == document.stem]
    return [document, *(each for each in found if each.parent.samefile(document.parent))]


def _check_name_is_free(model: Model, target: Path, force: bool) -> None:
    """Raise if another model has the name, or this one exists and `force` does not replace it."""
    for entry in find_models():
        if entry.name != model.name or entry.problem:
            continue
        if entry.origin != "user":
            raise ModelError(
                f"there is a model {model.name} already ({entry.origin}); give yours another name."
            )
        if entry.path != target:
            raise ModelError(
                f"there is a model {model.name} already, in {entry.path}; remove that (cleansat models "
                f"remove {model.name}), or give yours another name."
            )
    if target.exists() and not force:
        raise ModelError(
            f"there is a model {model.name} already, in {target}; force=True replaces it."
        )


def _keep(model: Model, target: Path) -> Model:
    """Copy the model into the folder of the target, its document last, and return the copy."""
    folder = target.parent
    folder.mkdir(parents=True, exist_ok=True)
    former = files_of(target) if target.exists() else []
    kept = {target.name}
    if not model.members:
        model = replace(model, sha256=sha256_of(model))
    if model.weights.startswith("file:"):
        weights = weights_path(model)
        copy = _copy(weights, folder / f"{model.name}{weights.suffix.lower()}")
        model = replace(model, weights=f"file:{copy}")
        kept.add(copy.name)
    if model.card:
        copy = _copy(Path(model.card), target.with_suffix(".md"))
        model = replace(model, card=str(copy))
        kept.add(copy.name)
    with tempfile.TemporaryDirectory(prefix=".", dir=folder) as drafts:
        write_model(model, draft := Path(drafts) / target.name)
        os.replace(draft, target)
    for each in former:
        if each.name not in kept:
            each.unlink()
    return model


def _copy(source: Path, target: Path) -> Path:
    """Copy a file, unless source and target are the same one. The target is never half written."""
    if not (target.exists() and target.samefile(source)):
        with tempfile.TemporaryDirectory(prefix=".", dir=target.parent) as drafts:
            draft = shutil.copyfile(source, Path(drafts) / target.name)
            os.replace(draft, target)
    return target
