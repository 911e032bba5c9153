"""Model documents: a small YAML file that says of a network all that :class:`Model` needs to know."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import yaml

from ..classes import CloudClass
from ..errors import ModelError
from ..grids.windows import DEFAULT_TILING, MULTIPLE, Tiling
from ..scenes.bands import S2_BANDS
from ..storage.validators import (
    above_zero,
    flag,
    list_of,
    number,
    one_of,
    read_mapping,
    text,
    validated,
)
from .model import Architecture, Model
from .places import remote_of

LEVELS = ("L2A", "L1C")

OUTPUTS = ("logits", "probabilities")

_OPTIONS = re.compile(
    r"decoder_\w+|psp_\w+|encoder_(depth|output_stride|output_indices)|upsampling|activation|(dynamic_)?img_size"
)
"""Arguments of smp's networks that a document may set.

What the networks do not know they hand on to timm, and some of that would fetch or open other files.
"""


def read_document(path: Path | str) -> dict[str, Any]:
    """The checked contents of a model document, as arguments of :class:`Model`.

    The names of an ensemble's members are left as they are.

    Raises
    ------
    ModelError
        If it cannot be read, or a key is unknown, missing or has an unsuitable value.
    """
    path = Path(path)
    try:
        found = read_mapping(path, "model document")
    except ValueError as error:
        raise ModelError(str(error)) from error.__cause__
    ensemble = "members" in found
    try:
        result = validated("", found, CHECKS, _NEEDED_BY_ENSEMBLES if ensemble else _NEEDED)
    except ValueError as error:
        raise ModelError(f"{path}: {error}") from None
    if ensemble and (extra := set(found) - _ALLOWED_IN_ENSEMBLES):
        raise ModelError(
            f"{path}: an ensemble takes {', '.join(sorted(extra))} from its members; leave it out."
        )
    _place(result, path)
    if "members" not in result:
        _check_together(result, path)
    return result


def write_model(model: Model, path: Path | str) -> None:
    """Write the document of a model, so that :func:`~odc_cleansat.models.registry.read_model` gives the model again.

    Weights and card below the document's folder are named relative to it.
    """
    path = Path(path)
    path.write_text(document_of(model, path.parent), encoding="utf-8")


def document_of(model: Model, folder: Path) -> str:
    """The document of a model, YAML, to be written into a folder; see :func:`write_model`."""
    found: dict[str, Any] = {}
    for each in fields(model):
        value = getattr(model, each.name)
        if each.name in _NEEDED or value != each.default:
            found[each.name] = _plain(value)
    if model.members:
        found = {key: found[key] for key in found if key in _ALLOWED_IN_ENSEMBLES}
        found["members"] = [member.name for member in model.members]
    if model.weights.startswith("file:") and "weights" in found:
        found["weights"] = "file:" + _relative(model.weights[5:], folder)
    if model.card:
        found["card"] = _relative(model.card, folder)
    text: str = yaml.safe_dump(
        found, sort_keys=False, default_flow_style=None, width=100, allow_unicode=True
    )
    return text


def _place(found: dict[str, Any], path: Path) -> None:
    """Resolve what is relative to the document."""
    folder = path.resolve().parent
    if found.get("weights", "").startswith("file:"):
        found["weights"] = f"file:{folder / found['weights'][5:]}"
    if card := found.get("card"):
        found["card"] = str(folder / card)
    elif (beside := path.with_suffix(".md")).is_file():
        found["card"] = str(beside.resolve())


def _check_together(found: dict[str, Any], path: Path) -> None:
    """Refuse values that do not go with each other, and fill in what follows from them."""
    bands = found["bands"]
    found.setdefault("mean", (0.0,) * len(bands))
    found.setdefault("std", (1.0,) * len(bands))
    for key in ("mean", "std"):
        if len(found[key]) != len(bands):
            raise ModelError(
                f"{path}: {key} has {len(found[key])} numbers for {len(bands)} bands; give one for each."
            )
    if len(found["classes"]) < 2:
        raise ModelError(
            f"{path}: classes has one entry, and a network of one channel knows nothing to tell it from. Export one "
            "that ends in a sigmoid with two channels, 0 and its logit, and say classes: [clear, cloud]."
        )
    if strange := set(bands) - set(found.get("channels") or bands):
        raise ModelError(
            f"{path}: channels names the bands of the network's first layer, and lacks "
            f"{', '.join(sorted(strange))}."
        )
    try:
        model = Model(**found)
        model_format = model.format
        remote_of(model)
    except ValueError as error:  # ModelError, or that of an address which is none
        raise ModelError(f"{path}: {error}") from None
    if model_format in ("safetensors", "state dict") and "architecture" not in found:
        raise ModelError(
            f"{path}: {found['weights']} holds weights but no network; say its architecture."
        )
    if model_format == "torchscript" and not found.get("torchscript"):
        raise ModelError(
            f"{path}: TorchScript is a program that runs with your rights. If you trust its makers, say "
            "torchscript: true, and allow it by CLEANSAT_ALLOW_TORCHSCRIPT=1."
        )


# --- one value of a document each, as in :mod:`~odc_cleansat.storage.validators` ------------------


def _name(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", value):
        raise ValueError("should be of letters, digits, dots, hyphens and underscores")
    return value


def _band(value: Any) -> str:
    known = [band for band in S2_BANDS if band != "scl"]
    if value not in known:
        raise ValueError(f"should be of {', '.join(known)}, not {value!r}")
    return str(value)


def _class(value: Any) -> CloudClass:
    known = {c.label: c for c in CloudClass if c is not CloudClass.NODATA}
    if not isinstance(value, str) or value not in known:
        raise ValueError(f"should be of {', '.join(known)}, not {value!r}")
    return known[value]


def _sha256(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[0-9a-fA-F]{64}", value):
        raise ValueError("should be 64 hexadecimal digits in quotes")
    return value.lower()


def _weights(value: Any) -> str:
    if not re.match(r"(package:\w+/|file:|https?://|hf:[\w.-]+/[\w.-]+/).", text(value)):
        raise ValueError(
            "should be package:NAME/FILE, file:PATH, https://... or hf:OWNER/REPO/FILE[@REVISION]"
        )
    return str(value)


def _architecture(value: Any) -> Architecture:
    if not isinstance(value, Mapping) or not {"name", "encoder"} <= set(value):
        raise ValueError("should have a name and an encoder")
    options = {str(key): each for key, each in value.items() if key not in ("name", "encoder")}
    if others := [key for key in options if not _OPTIONS.fullmatch(key)]:
        raise ValueError(
            f"should not set {', '.join(others)}, but only arguments of the network such as encoder_depth "
            "and those that begin with decoder_"
        )
    encoder = text(value["encoder"])
    if not re.fullmatch(r"[\w.-]+", encoder):  # others are addresses and folders to timm
        raise ValueError(
            "should have an encoder that is a name of letters, digits, dots, hyphens and underscores"
        )
    return Architecture(
        text(value["name"]), encoder, tuple((key, _option(each)) for key, each in options.items())
    )


def _option(value: Any) -> Any:
    """Lists as tuples, so that an architecture can be hashed."""
    if isinstance(value, list):
        return tuple(map(_option, value))
    if value is None or isinstance(value, str | bool | int | float):
        return value
    raise ValueError("should have options that are text, numbers or lists of them")


def _tiling(value: Any) -> Tiling:
    if not isinstance(value, Mapping) or set(value) - {"stride", "overlap", "whole"}:
        raise ValueError("should have stride, overlap and whole")
    values: dict[str, Any] = {
        "stride": [*DEFAULT_TILING.stride],
        "overlap": DEFAULT_TILING.overlap,
        "whole": DEFAULT_TILING.whole,
    }
    stride, overlap, whole = (values | {**value}).values()
    numbers = [*stride, overlap, whole] if isinstance(stride, list) and len(stride) == 2 else [""]
    if not all(type(each) is int and each >= 0 for each in numbers):
        raise ValueError("should have two whole numbers for stride, one for overlap, one for whole")
    if any((each + overlap) % MULTIPLE or each <= overlap for each in stride) or overlap % 2:
        raise ValueError(
            f"should have strides that are longer than the overlap and a multiple of {MULTIPLE} with it"
        )
    return Tiling((stride[0], stride[1]), overlap, whole)


CHECKS: dict[str, Callable[[Any], Any]] = {
    "name": _name,
    "version": text,
    "title": text,
    "bands": list_of(_band, unique=True),
    "mean": list_of(number),
    "std": list_of(above_zero),
    "resolution": above_zero,
    "classes": list_of(_class, unique=True),
    "level": one_of(LEVELS),
    "weights": _weights,
    "architecture": _architecture,
    "sha256": _sha256,
    "licence": text,
    "citation": text,
    "card": text,
    "channels": list_of(_band, unique=True),
    "output": one_of(OUTPUTS),
    "torchscript": flag,
    "members": list_of(_name, unique=True),
    "tiling": _tiling,
}
"""The keys of a document, those of :class:`Model`, and what makes a value of each."""

_NEEDED = (
    "name",
    "version",
    "title",
    "bands",
    "resolution",
    "classes",
    "level",
    "weights",
    "licence",
)
_NEEDED_BY_ENSEMBLES = ("name", "version", "title", "members")
_ALLOWED_IN_ENSEMBLES = {*_NEEDED_BY_ENSEMBLES, "card", "tiling"}


# --- and back -------------------------------------------------------------------------


def _plain(value: Any) -> Any:
    if isinstance(value, Architecture):
        return {"name": value.name, "encoder": value.encoder, **_plain(dict(value.options))}
    if isinstance(value, CloudClass):
        return value.label
    if isinstance(value, Tiling):
        return {"stride": [*value.stride], "overlap": value.overlap, "whole": value.whole}
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, tuple) else value


def _relative(place: str, folder: Path) -> str:
    where = Path(place)
    inside = where.is_relative_to(folder.resolve())
    return where.relative_to(folder.resolve()).as_posix() if inside else str(where)
