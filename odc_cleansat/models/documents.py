"""Model documents: a small YAML file that says of a network all that :class:`Model` needs to know."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

from ..classes import CloudClass
from ..errors import ModelError
from ..reflectance import S2_BANDS
from ..windows import DEFAULT, MULTIPLE, Tiling
from .model import Architecture, Model

LEVELS = ("L2A", "L1C")

OUTPUTS = ("logits", "probabilities")

_OF_THE_MODEL = {"encoder_name", "encoder_weights", "in_channels", "classes", "aux_params"}
"""Arguments of smp's networks that the model decides, or that would fetch weights."""


def read_document(path: Path | str) -> dict[str, Any]:
    """The checked contents of a model document, as arguments of :class:`Model`.

    The names of an ensemble's members are left as they are.

    Raises
    ------
    ModelError
        If it cannot be read, or a key is unknown, missing or has an unsuitable value.
    """
    path = Path(path)
    found = _load(path)
    if unknown := [str(key) for key in found if key not in _CHECKS]:
        near = get_close_matches(unknown[0], _CHECKS, 1)
        raise ModelError(
            f"{path}: a model document has no {unknown[0]!r}; "
            + (f"perhaps {near[0]!r} is meant." if near else f"it has {', '.join(_CHECKS)}.")
        )
    needed = _NEEDED_BY_ENSEMBLES if "members" in found else _NEEDED
    if missing := [key for key in needed if key not in found]:
        raise ModelError(f"{path}: the model document lacks {', '.join(missing)}.")
    if "members" in found and (extra := set(found) - _ALLOWED_IN_ENSEMBLES):
        raise ModelError(
            f"{path}: an ensemble takes {', '.join(sorted(extra))} from its members; leave it out."
        )
    result = {}
    for key, value in found.items():
        try:
            result[key] = _CHECKS[key](value)
        except ValueError as error:
            raise ModelError(f"{path}: {key} {error}, and is {_short(value)}.") from None
    _place(result, path)
    if "members" not in result:
        _check_together(result, path)
    return result


def write_model(model: Model, path: Path | str) -> None:
    """Write the document of a model, so that :func:`~odc_cleansat.models.read_model` gives the model again.

    Weights and card below the document's folder are named relative to it.
    """
    path = Path(path)
    found: dict[str, Any] = {}
    for each in fields(model):
        value = getattr(model, each.name)
        if each.name in _NEEDED or value != each.default:
            found[each.name] = _plain(value)
    if model.members:
        found = {key: found[key] for key in found if key in _ALLOWED_IN_ENSEMBLES}
        found["members"] = [member.name for member in model.members]
    if model.weights.startswith("file:") and "weights" in found:
        found["weights"] = "file:" + _relative(model.weights[5:], path.parent)
    if model.card:
        found["card"] = _relative(model.card, path.parent)
    text = yaml.safe_dump(
        found, sort_keys=False, default_flow_style=None, width=100, allow_unicode=True
    )
    path.write_text(text, encoding="utf-8")


def _load(path: Path) -> dict[Any, Any]:
    try:
        found = yaml.safe_load(path.read_text("utf-8"))
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror or error}.") from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1})" if mark else ""
        raise ModelError(f"{path} is not YAML{where}: {_problem(error)}.") from error
    except RecursionError as error:
        raise ModelError(f"{path} is nested too deep for a model document.") from error
    if not isinstance(found, dict):
        raise ModelError(f"{path} is no model document, which is a mapping of keys to values.")
    return found


def _problem(error: Exception) -> str:
    return str(getattr(error, "problem", None) or error).splitlines()[0].rstrip(".")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


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
    if strange := set(bands) - set(found.get("channels") or bands):
        raise ModelError(
            f"{path}: channels names the bands of the network's first layer, and lacks "
            f"{', '.join(sorted(strange))}."
        )
    try:
        model_format = Model(**found).format
    except ModelError as error:
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


# --- one value of a document each; ValueError says what it should be ------------------


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("should be text (a number in quotes)")
    return value.strip()


def _name(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", value):
        raise ValueError("should be of letters, digits, dots, hyphens and underscores")
    return value


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError("should be a number")
    return float(value)


def _above_zero(value: Any) -> float:
    if not _number(value) > 0:
        raise ValueError("should be above 0")
    return float(value)


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("should be true or false")
    return value


def _one_of(choices: tuple[str, ...]) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        if value not in choices:
            raise ValueError(f"should be {' or '.join(choices)}")
        return str(value)

    return check


def _each(check: Callable[[Any], Any], *, unique: bool = False) -> Callable[[Any], tuple[Any, ...]]:
    def check_all(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list) or not value:
            raise ValueError("should be a list")
        found = tuple(check(each) for each in value)
        if unique and len(set(found)) < len(found):
            raise ValueError("should name each but once")
        return found

    return check_all


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
    if not re.match(r"(package:\w+/|file:|https?://|hf:[\w.-]+/[\w.-]+/).", _text(value)):
        raise ValueError(
            "should be package:NAME/FILE, file:PATH, https://... or hf:OWNER/REPO/FILE[@REVISION]"
        )
    return str(value)


def _architecture(value: Any) -> Architecture:
    if not isinstance(value, Mapping) or not {"name", "encoder"} <= set(value):
        raise ValueError("should have a name and an encoder")
    if taken := sorted(_OF_THE_MODEL & set(value)):
        raise ValueError(f"should not set {', '.join(taken)}, which the model decides")
    options = tuple(
        (str(key), _option(each)) for key, each in value.items() if key not in ("name", "encoder")
    )
    return Architecture(_text(value["name"]), _text(value["encoder"]), options)


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
        "stride": [*DEFAULT.stride],
        "overlap": DEFAULT.overlap,
        "whole": DEFAULT.whole,
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


_CHECKS: dict[str, Callable[[Any], Any]] = {
    "name": _name,
    "version": _text,
    "title": _text,
    "bands": _each(_band, unique=True),
    "mean": _each(_number),
    "std": _each(_above_zero),
    "resolution": _above_zero,
    "classes": _each(_class, unique=True),
    "level": _one_of(LEVELS),
    "weights": _weights,
    "architecture": _architecture,
    "sha256": _sha256,
    "licence": _text,
    "citation": _text,
    "card": _text,
    "channels": _each(_band, unique=True),
    "output": _one_of(OUTPUTS),
    "torchscript": _flag,
    "members": _each(_name, unique=True),
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
