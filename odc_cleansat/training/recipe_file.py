"""Reads recipes from YAML files, and checks them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from ..classes import CloudClass
from ..errors import CleansatError
from ..grids.windows import MULTIPLE
from ..models.documents import VALIDATORS as OF_MODELS
from ..models.model import Architecture, Model
from ..models.registry import get_model
from ..storage.validators import (
    Validator,
    flag,
    fraction,
    list_of,
    not_negative,
    one_of,
    read_mapping,
    shortened,
    text,
    validated,
    whole,
)
from .narrowing import WIDTHS
from .recipe import HeldOut, Recipe, RecipeError
from .schedule import Schedule
from .sources import Archive, Labels, Packed, Scenes, Simulated, Source
from .spoiling import KINDS
from .teachers import Teachers, teachers_by_kind


def read_recipe(path: Path | str) -> Recipe:
    """Read and check a recipe.

    Raises
    ------
    RecipeError
        If the file cannot be read, a key is unknown or missing, or a value is unsuitable or does not fit another.
    ModelError
        If there is no model of a teacher's name.
    """
    path = Path(path)
    try:
        document = read_mapping(path, "recipe")
    except ValueError as error:
        raise RecipeError(str(error)) from error.__cause__
    try:
        return _recipe_of(document, path)
    except ValueError as error:
        if isinstance(error, CleansatError) and not isinstance(error, RecipeError):
            raise
        raise RecipeError(f"{path}: {error}") from None


def _recipe_of(document: Mapping[str, Any], path: Path) -> Recipe:
    required = [key for key in _REQUIRED if "start" not in document or key not in _TAKEN_FROM_START]
    values = validated("", document, _KEYS, required)
    _take_from_start(values)
    count = len(values["bands"])
    few = values.pop("few", count)
    if not few <= count:
        raise ValueError(f"few is {few}, and there are {count} bands.")
    teachers = _find_teachers(values.pop("teachers", ()), values, few)
    _take_from_teachers(values, teachers)
    schedule = values.pop("plan")
    recipe = Recipe(path=path, few=few, teachers=teachers, schedule=schedule, **values)
    _check_network(recipe)
    _check_lessons(recipe)
    return recipe


def _take_from_start(values: dict[str, Any]) -> None:
    """Fill in what a recipe takes from the model that it starts with."""
    if "start" not in values:
        return
    if "encoder_weights" in values:
        raise ValueError(
            "start has weights for the encoder too; leave out encoder_weights, or start."
        )
    start = values["start"]
    for key in _TAKEN_FROM_START:
        values.setdefault(key, getattr(start, key))
    # A network may learn further classes, and its decoder may be narrower.
    as_before = {
        "bands": values["bands"],
        "classes": values["classes"][: len(start.classes)],
        "architecture": _as_wide(values["architecture"], start.architecture),
    }
    for key, value in as_before.items():
        if value != getattr(start, key):
            raise ValueError(
                f"{key} should be those of {start.name}, where it starts; leave it out."
            )


def _as_wide(architecture: Architecture, start: Architecture) -> Architecture:
    """Return an architecture with the decoder of another if its own is narrower."""
    own, other = (dict(each.options).get(WIDTHS, ()) for each in (architecture, start))
    if len(own) != len(other) or any(a > b for a, b in zip(own, other, strict=True)):
        return architecture
    options = tuple((k, other if k == WIDTHS else v) for k, v in architecture.options)
    return replace(architecture, options=options)


def _find_teachers(names: tuple[str, ...], values: Mapping[str, Any], few: int) -> Teachers:
    bands = values["bands"]
    teachers = teachers_by_kind(get_model(name) for name in names)
    for (_, count), model in teachers.items():
        if count not in (few, len(bands)) or model.bands != bands[:count]:
            raise ValueError(
                f"the teacher {model.name} sees {', '.join(model.bands)}, which are neither all of the "
                f"bands nor the first {few}."
            )
        if model.resolution != values.get("resolution", model.resolution):
            raise ValueError(
                f"the teacher {model.name} works at {model.resolution:g} m; so must the resolution be."
            )
    required = {(values["level"], count) for count in (len(bands), few)}
    if teachers and (lacking := required - set(teachers)):
        level, count = min(lacking)
        raise ValueError(f"no teacher is for {level} with {count} bands; name one, or none at all.")
    return teachers


def _take_from_teachers(values: dict[str, Any], teachers: Teachers) -> None:
    """Fill in classes, resolution and normalisation of the teachers where the recipe has none."""
    for key in ("classes", "resolution"):
        if key not in values and not teachers:
            raise ValueError(f"it has no teachers, so it must say its {key}.")
        if key not in values:
            values[key] = getattr(next(iter(teachers.values())), key)
    same_input = teachers.get((values["level"], len(values["bands"])))
    if same_input is not None:
        for key in ("mean", "std"):
            values.setdefault(key, getattr(same_input, key))


def _check_network(recipe: Recipe) -> None:
    """Raise ValueError if the network cannot be built or learn."""
    if len(recipe.classes) < 2:
        raise ValueError("classes should be two or more, or there is nothing to tell apart.")
    if dict(recipe.architecture.options).get("activation") not in (None, "identity"):
        raise ValueError("architecture should have no activation: networks learn as logits.")
    count = len(recipe.bands)
    for key, values in (("mean", recipe.mean), ("std", recipe.std)):
        if values and len(values) != count:
            raise ValueError(f"{key} should have a number for each of the {count} bands.")


def _check_lessons(recipe: Recipe) -> None:
    """Raise ValueError if teachers, labels, held-out data or haze do not fit the recipe."""
    schedule = recipe.schedule
    if recipe.teachers:
        known = set(next(iter(recipe.teachers.values())).classes)
        untaught = set(recipe.classes) - known
        if recipe.thin_cloud:
            untaught -= {CloudClass.THIN_CLOUD}
        if untaught or not known <= set(recipe.classes):
            raise ValueError(
                "its classes are not those of its teachers; thin_cloud alone can be learnt beside them, from "
                "simulated clouds, if thin_cloud says in which share of the tiles."
            )
    elif not schedule.truth:
        raise ValueError("it has no teachers, and the plan gives labels no weight; set truth: 1.")
    if not (schedule.teacher or schedule.truth):
        raise ValueError(
            "the plan gives weight neither to teachers nor to labels; set teacher: 1 or truth: 1."
        )
    for source in recipe.held_out.data:
        if not source.name:
            raise ValueError(f"held_out: {source} needs a name for its group.")
    if unknown := set(recipe.haze_by_band) - set(recipe.bands):
        raise ValueError(f"haze names {', '.join(sorted(unknown))}, which is none of its bands.")


def _offset(value: Any) -> int:
    if value not in (0, -1000) or isinstance(value, bool):
        raise ValueError("should be 0 or -1000")
    return int(value)


def _size(value: Any) -> int:
    if type(value) is not int or value < MULTIPLE or value % MULTIPLE:
        raise ValueError(f"should be a multiple of {MULTIPLE}")
    return value


def _layout(value: Any) -> str:
    from .labels import LABEL_LAYOUTS

    found: str = one_of(LABEL_LAYOUTS)(value)
    return found


_SPLITS = ("train", "validation", "test")

_KEYS_OF_ALL_SOURCES: dict[str, Validator] = {
    "name": text, "origin": text, "licence": text, "note": text,
}  # fmt: skip
_KEYS_OF_FILES: dict[str, Validator] = {
    "level": OF_MODELS["level"], "resolution": OF_MODELS["resolution"], "offset": _offset,
}  # fmt: skip
_KEYS_OF_SOURCES: dict[type[Source], dict[str, Validator]] = {
    Archive: {"archive": text},
    Labels: {
        "labels": text,
        "layout": _layout,
        "split": one_of(_SPLITS),
        **_KEYS_OF_FILES,
    },
    Scenes: {"scenes": text, "bands": list_of(text), **_KEYS_OF_FILES, "site": text},
    Simulated: {"simulated": list_of(whole(0)), "size": _size, "truth": flag},
    Packed: {"packed": text},
}
"""The first key of each tells which source it is."""


def _source(value: Any) -> Source:
    kinds = {next(iter(validators)): kind for kind, validators in _KEYS_OF_SOURCES.items()}
    named = [key for key in kinds if isinstance(value, dict) and key in value]
    if len(named) != 1:
        raise ValueError(f"data should each have one of {', '.join(kinds)}: {shortened(value)}.")
    kind = kinds[named[0]]
    required = ("labels", "layout") if kind is Labels else ()
    validators = {**_KEYS_OF_SOURCES[kind], **_KEYS_OF_ALL_SOURCES}
    return kind(**validated(f"data, {named[0]}", value, validators, required))


def _held_out(value: Any) -> HeldOut:
    validators = {"sites": list_of(text), "share": fraction, "data": list_of(_source)}
    return HeldOut(**validated("held_out", value, validators))


def _haze(value: Any) -> tuple[tuple[str, float], ...]:
    if not isinstance(value, dict):
        raise ValueError("should map bands to reflectance")
    return tuple((str(band), not_negative(added)) for band, added in value.items())


def _spoil(value: Any) -> dict[str, float]:
    if not isinstance(value, dict):
        raise ValueError("should map kinds of spoiling to shares")
    return validated("spoil", value, dict.fromkeys(KINDS, fraction))


def _start(value: Any) -> Model:
    model = get_model(text(value))
    if model.architecture is None or model.members:
        raise ValueError("should be one network of a known architecture")
    if model.output != "logits":
        raise ValueError("should be a network that gives logits, for so networks learn")
    return model


def _schedule(value: Any) -> Schedule:
    special: dict[str, Validator] = {
        "size": _size, "average": fraction, "warmup": whole(0), "cooldown": whole(0), "seed": whole(0), "lessons": whole(0),
    }  # fmt: skip
    by_type: dict[str, Validator] = {"int": whole(1), "float": not_negative}
    validators = {
        each.name: special.get(each.name, by_type[str(each.type)]) for each in fields(Schedule)
    }
    return Schedule(**validated("plan", value, validators))


_TAKEN_FROM_START = ("bands", "architecture", "classes", "resolution", "mean", "std")
"""Keys that a recipe takes from the model that it starts with."""

_REQUIRED = (
    "name", "version", "title", "licence", "level", "bands", "architecture", "data", "plan",
)  # fmt: skip
_KEYS_OF_MODELS = (
    "name", "version", "title", "licence", "citation", "level", "bands", "resolution", "classes",
    "architecture", "mean", "std",
)  # fmt: skip
_KEYS: dict[str, Validator] = {
    **{key: OF_MODELS[key] for key in _KEYS_OF_MODELS},
    "few": whole(1),
    "start": _start,
    "encoder_weights": text,
    "teachers": list_of(text),
    "data": list_of(_source),
    "held_out": _held_out,
    "haze": _haze,
    "spoil": _spoil,
    "thin_cloud": fraction,
    "partial": flag,
    "plan": _schedule,
}
