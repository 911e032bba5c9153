"""Recipes: YAML files that say all that is needed to train a model again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from ..classes import CloudClass
from ..errors import CleansatError
from ..evaluate.pairing import LAYOUTS
from ..grids.windows import MULTIPLE
from ..models.documents import CHECKS as OF_MODELS
from ..models.model import Architecture, Model
from ..models.registry import get_model
from ..storage.validators import (
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
from .plans import Plan
from .sources import Archive, Labels, Scenes, Simulated, Source
from .teachers import Teachers, appoint


class RecipeError(CleansatError):
    """A recipe that cannot be followed; the message says what to correct."""


@dataclass(frozen=True)
class HeldOut:
    """What is never trained on."""

    sites: tuple[str, ...] = ()
    """Of the patches to train on."""

    share: float = 0.0
    """Of all other sites, 0 to 1; which, their names decide."""

    data: tuple[Source, ...] = ()
    """Further ones, each with the name of its group."""


@dataclass(frozen=True)
class Recipe:
    """How a model is made."""

    path: Path
    """Of the file."""

    name: str
    """Of the model to be; the one for the first few bands is named ``NAME-4b`` or so."""

    version: str
    """Of its weights."""

    title: str
    """One line for people."""

    licence: str
    """Of its weights."""

    level: str
    """It is for: ``L2A`` or ``L1C``."""

    bands: tuple[str, ...]
    """All that it may see, by canonical name."""

    few: int
    """How many of them, from the first, it also does with; all if it does not."""

    resolution: float
    """It works at, metres."""

    classes: tuple[CloudClass, ...]
    """Of its channels."""

    architecture: Architecture
    """Of `segmentation_models_pytorch`."""

    teachers: Teachers
    """By level and number of bands; empty where labels alone teach."""

    data: tuple[Source, ...]
    """To train on."""

    plan: Plan
    """Steps, rates and weights."""

    held_out: HeldOut = field(default_factory=HeldOut)
    """To judge by."""

    haze: tuple[tuple[str, float], ...] = ()
    """Reflectance that a typical atmosphere adds, by band. If given, L1C patches are also learnt from as
    L2A, with this taken off."""

    mean: tuple[float, ...] = ()
    """For the normalisation; by default that of the teacher for all bands, or else of the data."""

    std: tuple[float, ...] = ()
    """The same."""

    citation: str = ""
    """Who made it, and where it is described."""

    start: Model | None = None
    """Whose weights are the first; by default they are random."""

    encoder_weights: str = ""
    """What its encoder was trained on before, by the name that `segmentation_models_pytorch` gives the weights, such as
    ``imagenet``; by default it is random."""

    @property
    def haze_of(self) -> dict[str, float]:
        """Of each band."""
        return dict(self.haze)

    @property
    def names(self) -> tuple[str, ...]:
        """Of the models to be: with all bands, and with the first few if that is another."""
        few = (f"{self.name}-{self.few}b",) if self.few < len(self.bands) else ()
        return (self.name, *few)

    @property
    def prefix(self) -> tuple[str, ...]:
        """The first few bands."""
        return self.bands[: self.few]

    def model(self, weights: str = "", sha256: str = "", **more: Any) -> Model:
        """The model to be, with all bands."""
        return Model(
            name=self.name, version=self.version, title=self.title, bands=self.bands,
            mean=self.mean, std=self.std, resolution=self.resolution, classes=self.classes,
            level=self.level, weights=weights, architecture=self.architecture, sha256=sha256,
            licence=self.licence, citation=self.citation, **more,
        )  # fmt: skip


def read_recipe(path: Path | str) -> Recipe:
    """Read and check a recipe.

    Raises
    ------
    RecipeError
        If it cannot be read, a key is unknown, missing or has an unsuitable value, or values do not go together.
    ModelError
        If there is no such teacher.
    """
    path = Path(path)
    try:
        found = read_mapping(path, "recipe")
    except ValueError as error:
        raise RecipeError(str(error)) from error.__cause__
    try:
        return _recipe(path, found)
    except ValueError as error:
        if isinstance(error, CleansatError) and not isinstance(error, RecipeError):
            raise
        raise RecipeError(f"{path}: {error}") from None


def _recipe(path: Path, found: dict[str, Any]) -> Recipe:
    needed = [key for key in _NEEDED if "start" not in found or key not in _OF_START]
    values = validated("", found, _KEYS, needed)
    if "start" in values and "encoder_weights" in values:
        raise ValueError(
            "start has weights for the encoder too; leave out encoder_weights, or start."
        )
    if start := values.get("start"):
        values = {key: getattr(start, key) for key in _OF_START} | values
        for key in ("bands", "classes", "architecture"):
            if values[key] != getattr(start, key):
                raise ValueError(
                    f"{key} should be those of {start.name}, where it starts; leave it out."
                )
    bands = values["bands"]
    few = values.pop("few", len(bands))
    if not few <= len(bands):
        raise ValueError(f"few is {few}, and there are {len(bands)} bands.")
    teachers = _teachers(values.pop("teachers", ()), values, few)
    classes = values.pop("classes", ()) or (
        next(iter(teachers.values())).classes if teachers else ()
    )
    if not classes:
        raise ValueError("it has no teachers, so it must say its classes.")
    if len(classes) < 2:
        raise ValueError("classes should be two or more, or there is nothing to tell apart.")
    if dict(values["architecture"].options).get("activation") not in (None, "identity"):
        raise ValueError("architecture should have no activation: networks learn as logits.")
    if "resolution" not in values and teachers:
        values["resolution"] = next(iter(teachers.values())).resolution
    if "resolution" not in values:
        raise ValueError("it has no teachers, so it must say its resolution.")
    first = teachers.get((values["level"], len(bands)))
    for key in ("mean", "std"):
        if key not in values and first is not None:
            values[key] = getattr(first, key)
        if key in values and len(values[key]) != len(bands):
            raise ValueError(f"{key} should have a number for each of the {len(bands)} bands.")
    recipe = Recipe(path=path, few=few, teachers=teachers, classes=classes, **values)
    _check_together(recipe)
    return recipe


def _teachers(names: tuple[str, ...], values: Mapping[str, Any], few: int) -> Teachers:
    bands = values["bands"]
    teachers = appoint(get_model(name) for name in names)
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
    needed = {(values["level"], count) for count in (len(bands), few)}
    if teachers and (lacking := needed - set(teachers)):
        level, count = sorted(lacking)[0]
        raise ValueError(f"no teacher is for {level} with {count} bands; name one, or none at all.")
    return teachers


def _check_together(recipe: Recipe) -> None:
    if recipe.teachers:
        known = set(next(iter(recipe.teachers.values())).classes)
        if set(recipe.classes) != known:
            raise ValueError("its classes are not those of its teachers.")
    elif not recipe.plan.truth:
        raise ValueError("it has no teachers, and the plan gives labels no weight; set truth: 1.")
    if not (recipe.plan.teacher or recipe.plan.truth):
        raise ValueError(
            "the plan gives weight neither to teachers nor to labels; set teacher: 1 or truth: 1."
        )
    for source in recipe.held_out.data:
        if not source.name:
            raise ValueError(f"held_out: {source} needs a name for its group.")
    if strange := set(recipe.haze_of) - set(recipe.bands):
        raise ValueError(f"haze names {', '.join(sorted(strange))}, which is none of its bands.")


# --- values ---------------------------------------------------------------------------


def _offset(value: Any) -> int:
    if value not in (0, -1000) or isinstance(value, bool):
        raise ValueError("should be 0 or -1000")
    return int(value)


def _size(value: Any) -> int:
    if type(value) is not int or value < MULTIPLE or value % MULTIPLE:
        raise ValueError(f"should be a multiple of {MULTIPLE}")
    return value


_ANY = {"name": text, "origin": text, "licence": text, "note": text}
_SOURCES: dict[type[Source], dict[str, Callable[[Any], Any]]] = {
    Archive: {"archive": text},
    Labels: {
        "labels": text,
        "layout": one_of(LAYOUTS),
        "level": OF_MODELS["level"],
        "resolution": OF_MODELS["resolution"],
        "offset": _offset,
    },
    Scenes: {
        "scenes": text,
        "bands": list_of(text),
        "level": OF_MODELS["level"],
        "resolution": OF_MODELS["resolution"],
        "offset": _offset,
        "site": text,
    },
    Simulated: {"simulated": list_of(whole(0)), "size": _size, "truth": flag},
}
"""The first key of each says which it is."""


def _source(value: Any) -> Source:
    kinds = {next(iter(checks)): kind for kind, checks in _SOURCES.items()}
    named = [key for key in kinds if isinstance(value, dict) and key in value]
    if len(named) != 1:
        raise ValueError(f"data should each have one of {', '.join(kinds)}: {shortened(value)}.")
    kind = kinds[named[0]]
    needed = ("labels", "layout") if kind is Labels else ()
    return kind(**validated(f"data, {named[0]}", value, {**_SOURCES[kind], **_ANY}, needed))


def _held_out(value: Any) -> HeldOut:
    checks = {"sites": list_of(text), "share": fraction, "data": list_of(_source)}
    return HeldOut(**validated("held_out", value, checks))


def _haze(value: Any) -> tuple[tuple[str, float], ...]:
    if not isinstance(value, dict):
        raise ValueError("should map bands to reflectance")
    return tuple((str(band), not_negative(each)) for band, each in value.items())


def _start(value: Any) -> Model:
    model = get_model(text(value))
    if model.architecture is None or model.members:
        raise ValueError("should be one network of a known architecture")
    if model.output != "logits":
        raise ValueError("should be a network that gives logits, for so networks learn")
    return model


def _plan(value: Any) -> Plan:
    special: dict[str, Callable[[Any], Any]] = {
        "size": _size, "average": fraction, "warmup": whole(0), "cooldown": whole(0), "seed": whole(0),
    }  # fmt: skip
    general: dict[str, Callable[[Any], Any]] = {"int": whole(1), "float": not_negative}
    checks = {each.name: special.get(each.name, general[str(each.type)]) for each in fields(Plan)}
    return Plan(**validated("plan", value, checks))


_OF_START = ("bands", "architecture", "classes", "resolution", "mean", "std")
"""What a recipe takes from the model that it starts with."""

_NEEDED = ("name", "version", "title", "licence", "level", "bands", "architecture", "data", "plan")
_KEYS: dict[str, Callable[[Any], Any]] = {
    **{
        key: OF_MODELS[key]
        for key in (
            "name", "version", "title", "licence", "citation", "level", "bands", "resolution", "classes",
            "architecture", "mean", "std",
        )
    },
    "few": whole(1),
    "start": _start,
    "encoder_weights": text,
    "teachers": list_of(text),
    "data": list_of(_source),
    "held_out": _held_out,
    "haze": _haze,
    "plan": _plan,
}  # fmt: skip
