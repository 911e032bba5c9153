"""Model documents: YAML files with the fields of :class:`Model`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import fields
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

from ..addresses import has_secret, public_values
from ..classes import CloudClass
from ..errors import ModelError
from ..grids.windows import DEFAULT_TILING, Tiling
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
from .model import Architecture, Calibration, Model
from .places import remote_of

LEVELS = ("L2A", "L1C")
"""Levels of data that a model may be trained on."""

_NORMALISATIONS = ("fixed", "window")

_OUTPUTS = ("logits", "probabilities")

_OPTIONS = re.compile(
    r"decoder_\w+|psp_\w+|encoder_(depth|output_stride|output_indices)|upsampling|activation|(dynamic_)?img_size"
)
"""Arguments of the networks of segmentation_models_pytorch that a document may set.

The networks pass unknown arguments on to timm, and some of those would fetch or open other files.
"""


def read_document(path: Path | str) -> dict[str, Any]:
    """Return the contents of a model document, validated, as arguments of :class:`Model`.

    The members of an ensemble stay names.

    Raises
    ------
    ModelError
        If the document cannot be read, or a key is unknown, missing or wrong.
    """
    path = Path(path)
    try:
        found = read_mapping(path, "model document")
    except ValueError as error:
        raise ModelError(str(error)) from error.__cause__
    ensemble = "members" in found
    try:
        result = validated("", found, VALIDATORS, _NEEDED_BY_ENSEMBLES if ensemble else _NEEDED)
    except ValueError as error:
        raise ModelError(f"{path}: {error}") from None
    if ensemble and (extra := set(found) - _ALLOWED_IN_ENSEMBLES):
        raise ModelError(
            f"{path}: an ensemble takes {', '.join(sorted(extra))} from its members; leave it out."
        )
    _resolve_paths(result, path)
    if "members" not in result:
        _check_together(result, path)
    return result


def write_model(model: Model, path: Path | str) -> None:
    """Write the document of a model, which :func:`~odc_cleansat.models.registry.read_model` reads again.

    Paths of weights and card below the document's folder are relative to it.
    """
    path = Path(path)
    path.write_text(document_of(model, path.parent), encoding="utf-8")


def document_of(model: Model, folder: Path) -> str:
    """Return the document of a model as YAML, for a file in this folder; see :func:`write_model`."""
    found: dict[str, Any] = {}
    for each in fields(model):
        value = getattr(model, each.name)
        if each.name in _NEEDED or value != each.default:
            found[each.name] = _plain_value(dict(value) if each.name in _BY_CLASS else value)
    if model.members:
        found = {key: found[key] for key in found if key in _ALLOWED_IN_ENSEMBLES}
        found["members"] = [member.name for member in model.members]
    if model.weights.startswith("file:") and "weights" in found:
        found["weights"] = "file:" + _relative(model.weights[5:], folder)
    if model.card:
        found["card"] = _relative(model.card, folder)
    text: str = yaml.safe_dump(
        _without_secrets(found),
        sort_keys=False,
        default_flow_style=None,
        width=100,
        allow_unicode=True,
    )
    return text


def _without_secrets(found: dict[str, Any]) -> dict[str, Any]:
    """Return a document without secrets; the address of weights keeps its query if nothing in it is secret."""
    public: dict[str, Any] = public_values(found)
    weights = found.get("weights", "")
    return (
        public if has_secret(weights) else {**public, **({"weights": weights} if weights else {})}
    )


def _resolve_paths(found: dict[str, Any], path: Path) -> None:
    """Replace paths that are relative to the document, in place."""
    folder = path.resolve().parent
    if found.get("weights", "").startswith("file:"):
        found["weights"] = f"file:{folder / found['weights'][5:]}"
    if card := found.get("card"):
        found["card"] = str(folder / card)
    elif (beside := path.with_suffix(".md")).is_file():
        found["card"] = str(beside.resolve())


def _check_together(found: dict[str, Any], path: Path) -> None:
    """Raise if values contradict each other, and add mean and standard deviation if they are missing."""
    bands = found["bands"]
    if found.get("normalisation") == "window" and found.keys() & {"mean", "std"}:
        raise ModelError(
            f"{path}: with normalisation: window each window has a mean and std of its own; leave mean and std out."
        )
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
    given = {each.label for each in found["classes"]}
    if "cloud" in given:
        given -= {"thin_cloud"}
    if strange := {label for label, _ in found.get("calibration", ())} - given:
        raise ModelError(
            f"{path}: calibration names {', '.join(sorted(strange))}; give curves for {', '.join(sorted(given))} alone."
        )
    try:
        model = Model(**found)
        model_format = model.format
        remote_of(model)
    except ValueError as error:  # a ModelError, or the error of urllib for a malformed address
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


def is_name(value: Any) -> bool:
    """Return whether a value can be the name of a model, which is also that of files."""
    return (
        isinstance(value, str)
        and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", value) is not None
    )


def _name(value: Any) -> str:
    if not is_name(value):
        raise ValueError("should be of letters, digits, dots, hyphens and underscores, 100 at most")
    return str(value)


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
    if not value.startswith("file:") and has_secret(value):
        raise ValueError(
            "should hold no login and no key, for everybody can read a document. Fetch the file, and name it by "
            "file:PATH. For Hugging Face set HF_TOKEN."
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
    if not re.fullmatch(
        r"[\w.-]+", encoder
    ):  # timm takes other characters for addresses and folders
        raise ValueError(
            "should have an encoder that is a name of letters, digits, dots, hyphens and underscores"
        )
    return Architecture(
        text(value["name"]), encoder, tuple((key, _option(each)) for key, each in options.items())
    )


def _option(value: Any) -> Any:
    """Return the value with lists as tuples, so that an architecture can be hashed."""
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
    return Tiling.of(**(values | {**value}))


def _accuracy(value: Any) -> tuple[tuple[str, float], ...]:
    if not isinstance(value, Mapping) or not all(0 <= number(each) <= 1 for each in value.values()):
        raise ValueError("should be a mapping of classes to their F1, from 0 to 1")
    return tuple((_class(label).label, number(each)) for label, each in value.items())


def _calibration(value: Any) -> Calibration:
    if not isinstance(value, Mapping):
        raise ValueError("should be a mapping of classes to their curves")
    return tuple((_class(label).label, _curve(points)) for label, points in value.items())


def _curve(points: Any) -> tuple[tuple[float, float], ...]:
    wrong = ValueError(
        "should have curves of two points or more, each [PROBABILITY, SHARE], both from 0 to 1; the probabilities rise and "
        "the shares do not fall"
    )
    if not isinstance(points, list) or len(points) < 2:
        raise wrong
    if not all(isinstance(each, list) and len(each) == 2 for each in points):
        raise wrong
    found = tuple((number(x), number(y)) for x, y in points)
    if not all(0 <= each <= 1 for point in found for each in point):
        raise wrong
    if not all(a[0] < b[0] and a[1] <= b[1] for a, b in pairwise(found)):
        raise wrong
    return found


VALIDATORS: dict[str, Callable[[Any], Any]] = {
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
    "normalisation": one_of(_NORMALISATIONS),
    "output": one_of(_OUTPUTS),
    "torchscript": flag,
    "speed": above_zero,
    "accuracy": _accuracy,
    "calibration": _calibration,
    "members": list_of(_name, unique=True),
    "tiling": _tiling,
}
"""The validator of each key of a document. The keys are the fields of :class:`Model`."""

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
_BY_CLASS = ("accuracy", "calibration")
_NEEDED_BY_ENSEMBLES = ("name", "version", "title", "members")
_ALLOWED_IN_ENSEMBLES = {*_NEEDED_BY_ENSEMBLES, "card", "tiling"}


def _plain_value(value: Any) -> Any:
    """Return a value of a model as YAML writes it."""
    if isinstance(value, Architecture):
        return {"name": value.name, "encoder": value.encoder, **_plain_value(dict(value.options))}
    if isinstance(value, CloudClass):
        return value.label
    if isinstance(value, Tiling):
        return {"stride": [*value.stride], "overlap": value.overlap, "whole": value.whole}
    if isinstance(value, Mapping):
        return {key: _plain_value(each) for key, each in value.items()}
    return [_plain_value(each) for each in value] if isinstance(value, tuple) else value


def _relative(place: str, folder: Path) -> str:
    path, folder = Path(place), folder.resolve()
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else str(path)
