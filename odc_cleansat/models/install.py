"""A model of one's own: try it out, keep it in the user's folder, begin its document."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ModelError
from ..scenes.bands import S2_BANDS
from .documents import write_model
from .model import WEIGHTS, Model
from .places import local_path, networks_of
from .registry import find_models, models_folder, not_written, read_model
from .torchscript import torchscript_on_trial
from .weights import sha256_of, weights_path

if TYPE_CHECKING:
    from collections.abc import Sequence


DOCUMENTS = (".yaml", ".yml")


def try_model(model: Model, *, allow: bool = False) -> None:
    """Load the model's network and let it classify noise.

    Parameters
    ----------
    allow
        Whether to run weights that are TorchScript, now and, if they are right, from now on.

    Raises
    ------
    ModelError
        If the weights cannot be loaded, do not fit the model, or give answers that are no
        probabilities.
    """
    from .engines import check_answers, get_engine

    with torchscript_on_trial(model) if allow else contextlib.nullcontext():
        check_answers(model, get_engine(model))


def document_beside(weights: Path) -> Path:
    """The model document of weights: the file of their name with ``.yaml``.

    Raises
    ------
    ModelError
        If there is none, it is wrong or names other weights, or the file is no weights by its name.
    """
    _check_weights(weights)
    document = weights.with_suffix(".yaml")
    if not document.exists():
        raise ModelError(
            f"{weights} needs a model document beside it. Run: cleansat models import --template {weights}"
        )
    model = read_model(document)
    if not model.weights.startswith("file:") or not local_path(model).samefile(weights):
        raise ModelError(
            f"{document} names other weights than {weights}. Correct `weights` in it, or import the document "
            "itself."
        )
    return document


def _check_weights(file: Path) -> None:
    if file.suffix.lower() not in WEIGHTS:
        raise ModelError(
            f"{file} is neither a model document ({', '.join(DOCUMENTS)}) nor weights ({', '.join(WEIGHTS)})."
        )


def import_model(document: Path, *, force: bool = False, allow: bool = False) -> Model:
    """Check a model of the user's own and copy it into the folder of models.

    Copied are the document, the card and, if they stand in a file, the weights, whose sha256 is
    written into the copy.

    Parameters
    ----------
    document
        A model document.
    force
        Whether to replace a model of this name that was imported before.
    allow
        Whether to run weights that are TorchScript, now and, if they are right, from now on.

    Raises
    ------
    ModelError
        If the document, the weights or the answers are wrong, or there is such a model already.
    """
    model = read_model(document)
    target = models_folder() / f"{model.name}.yaml"
    _refuse_twins(model, target, force)
    for each in networks_of(model):
        weights_path(each)
    try:
        try_model(model, allow=allow)
        return _keep(model, target)
    except OSError as error:
        raise not_written(target.parent, error) from error


def find_own(name: str) -> Path:
    """The document of a model of the user's own, whether or not it can be used.

    Raises
    ------
    ModelError
        If there is none of that name.
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
    """A model document of the user's, and the card and weights that :func:`import_model` put beside it.

    They lie in its folder under its name. Weights that the document does not name are not its own.
    """
    beside = [document.with_suffix(".md")]
    with contextlib.suppress(ModelError):
        model = read_model(document)
        if model.weights.startswith("file:"):
            beside.append(local_path(model))
    found = [each for each in beside if each.is_file() and each.stem == document.stem]
    return [document, *(each for each in found if each.parent.samefile(document.parent))]


def _refuse_twins(model: Model, target: Path, force: bool) -> None:
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
            f"there is a model {model.name} already, in {target}; --force replaces it."
        )


def _keep(model: Model, target: Path) -> Model:
    """Write the model into the folder, its document last."""
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
    """Copy a file under another name at once, unless it is there by itself."""
    if not (target.exists() and target.samefile(source)):
        with tempfile.TemporaryDirectory(prefix=".", dir=target.parent) as drafts:
            draft = shutil.copyfile(source, Path(drafts) / target.name)
            os.replace(draft, target)
    return target


def template(weights: Path) -> str:
    """A model document to fill in, with what can be read off the weights.

    Raises
    ------
    ModelError
        If the file is no weights by its name.
    """
    _check_weights(weights)
    bands, classes = _counts(weights)
    known = weights.suffix == ".onnx"
    return _TEMPLATE.format(
        name=weights.stem.lower().replace(" ", "-").replace("_", "-"),
        file=weights.name,
        bands=", ".join(_BANDS.get(bands, _BANDS[6])),
        of_bands=f"  # the first layer takes {bands}" if bands else "",
        classes=", ".join(_CLASSES.get(classes, _CLASSES[3])),
        of_classes=f"  # there are {classes}" if classes else "",
        architecture="# architecture: the ONNX file holds the network itself"
        if known
        else _ARCHITECTURE,
    )


def _counts(weights: Path) -> tuple[int, int]:
    """Channels that go in and come out, 0 where the file does not say."""
    try:
        if weights.suffix == ".onnx":
            return _counts_of_onnx(weights)
        if weights.suffix == ".safetensors":
            return _counts_of_safetensors(weights)
    except Exception:  # whatever the file is, the import will say
        pass
    return 0, 0


def _counts_of_onnx(weights: Path) -> tuple[int, int]:
    import onnx

    graph = onnx.load(weights, load_external_data=False).graph
    constants = {each.name for each in graph.initializer}
    first = next(each for each in graph.input if each.name not in constants)
    taken, given = (
        each.type.tensor_type.shape.dim[1].dim_value for each in (first, graph.output[0])
    )
    return taken, given


def _counts_of_safetensors(weights: Path) -> tuple[int, int]:
    from safetensors import safe_open

    with safe_open(weights, framework="numpy") as file:
        shapes = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
    kernels = {name: shape for name, shape in shapes.items() if len(shape) == 4}
    head = next((s for n, s in kernels.items() if "segmentation_head" in n), [0])
    stems = (".encoder._conv_stem", ".encoder.conv1", ".encoder.features.0.", ".encoder.stem")
    # Before them may stand what training programs put there, such as `model.` or `module.`.
    stem = next((s for n, s in kernels.items() if any(each in f".{n}" for each in stems)), [0, 0])
    return stem[1], head[0]


_ALL = [band for band in S2_BANDS if band != "scl"]
_BANDS: dict[int, Sequence[str]] = {
    3: ("blue", "green", "red"),
    4: ("blue", "green", "red", "nir"),
    6: ("blue", "green", "red", "nir", "swir16", "swir22"),
    12: [band for band in _ALL if band != "cirrus"],
    13: _ALL,
}
_CLASSES: dict[int, Sequence[str]] = {
    2: ("clear", "cloud"),
    3: ("clear", "cloud", "shadow"),
    4: ("clear", "cloud", "thin_cloud", "shadow"),
}
"""Likely meanings of so many channels, to be corrected by whoever knows."""

_ARCHITECTURE = """architecture:
  name: Unet               # a class of segmentation_models_pytorch
  encoder: mobilenet_v2
  # further arguments of the class, such as
  # decoder_channels: [256, 128, 64, 32, 16]"""

_TEMPLATE = """\
# A model document. Correct what is wrong, fill in what is missing, and run:
#   cleansat models import THIS_FILE

name: {name}
version: "1"
title: What it is, in one line

# What the network was trained on, and so what it is right for.
level: L2A                 # or L1C
resolution: 30             # metres; it runs at this resolution whatever the scene's

# Its input channels in their order, by their names in Element 84's STAC and the product s2_l2a.
bands: [{bands}]{of_bands}
# What is subtracted from the reflectance (0 to 1) of each band, and then divided by: one number for each band. Without
# it a network makes nonsense of what it sees; remove both lines only if it was trained on reflectance as it is.
mean: []
std: []

# What its output channels mean, in their order: clear, cloud, thin_cloud, shadow, snow, water.
classes: [{classes}]{of_classes}
output: logits             # or probabilities, where the network ends in a softmax

weights: file:{file}       # beside this document; or https://..., hf:OWNER/REPO/FILE@REVISION
{architecture}

licence: ""                # of the weights, as SPDX writes it, e.g. CC-BY-4.0
citation: Who made it, and where it is described
# A model card, THIS_FILE with the suffix .md, is taken along and shown by: cleansat models show
"""
