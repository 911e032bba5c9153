"""The models that there are: those that ship, those of plugins, and the user's own."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Hashable, Iterable, Iterator
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import ModelError, ModelWarning, SceneError
from ..scenes.bands import find_bands
from .documents import read_document
from .ensembles import ensemble
from .model import BUILTIN, Model
from .places import package_folder

GROUP = "odc_cleansat.models"
"""Entry points of this group name packages whose folders hold model documents."""

DEFAULTS = ("unet-efficientnetb4-l2a-6b", "unet-efficientnetb4-l2a-4b")
"""In order of preference; the first whose bands a scene has is used."""


class Entry(NamedTuple):
    """A model document, or a plugin, where models are looked for."""

    name: str
    """Of the model; of the file or plugin, where that cannot be told."""

    origin: str
    """``built-in``, ``plugin NAME`` or ``user``."""

    path: Path | None
    """The document, if it was found."""

    problem: str
    """Why it cannot be used, or ``""``."""


def models_folder() -> Path:
    """Where the user's own model documents are kept: ``CLEANSAT_MODELS``, or the user's data folder."""
    if folder := os.environ.get("CLEANSAT_MODELS"):
        return Path(folder).expanduser().absolute()
    import platformdirs

    return platformdirs.user_data_path("odc-cleansat") / "models"


def not_written(path: Path, error: OSError) -> ModelError:
    """What to say where :func:`models_folder` cannot be written."""
    return ModelError(
        f"cannot write to {path}: {error.strerror or error}. Set CLEANSAT_MODELS to a folder that can be written."
    )


def list_models() -> list[str]:
    """Names of the models that there are: built-in, of plugins, the user's own.

    Warns
    -----
    ModelWarning
        For each model document and plugin that cannot be used; the others can.
    """
    entries = find_models()
    for entry in entries:
        if entry.problem:
            warnings.warn(
                f"the model {entry.name} ({entry.origin}) cannot be used: {entry.problem}",
                ModelWarning,
                stacklevel=2,
            )
    return [entry.name for entry in entries if not entry.problem]


def find_models() -> list[Entry]:
    """Every model document and plugin, with what is wrong with it. Weights are not looked at."""
    found: list[Entry] = []
    taken: dict[str, str] = {}
    for entry in _entries():
        if not entry.problem and entry.name in taken:
            problem = f"{entry.path}: a model of this name is there already ({taken[entry.name]})."
            entry = entry._replace(problem=problem)
        elif not entry.problem:
            taken[entry.name] = entry.origin
        found.append(entry)
    return [_checked(entry, found) for entry in found]


def get_model(name: str | Model | None = None, bands: Iterable[Hashable] | None = None) -> Model:
    """Look a model up.

    Parameters
    ----------
    name
        A name, of those :func:`list_models` gives; several of them joined by ``+`` for the mean of
        their probabilities; a :class:`Model` (returned as it is); or None for the default.
    bands
        For the default: the names of the bands at hand. With the short-wave infrared
        that is the model of six bands, without it the one of four.

    Raises
    ------
    ModelError
        If there is no model of that name, its document is at fault, or several do not go together.
    SceneError
        If the bands suffice for no default model.
    """
    if isinstance(name, Model):
        return name
    if name is not None:
        return _named(name)
    if bands is None:
        return _named(DEFAULTS[0])
    bands = list(bands)
    for candidate in map(_named, DEFAULTS):
        try:
            find_bands(bands, candidate.bands)
        except SceneError:
            if candidate.name == DEFAULTS[-1]:
                raise
            continue
        return candidate
    raise AssertionError("unreachable: the last default either fits or raises")


def read_model(path: Path | str) -> Model:
    """The model that a document describes; the members of an ensemble are looked up by their names.

    Paths in the document are relative to it. A card of the same stem beside it belongs to it.
    Weights are neither looked for nor read.

    Raises
    ------
    ModelError
        If it cannot be read, a key is unknown, missing or has an unsuitable value, or there are no
        such members, or they do not go together.
    """
    return _read(Path(path), ())


def _named(name: str, within: tuple[str, ...] = ()) -> Model:
    """A model by its name, for the ensembles that it is in."""
    if "+" in name:
        return ensemble([_named(each.strip(), within) for each in name.split("+")])
    if name in within:
        raise ModelError(f"the ensemble {name} is a member of itself.")
    # Built-in documents are named after their models, so that most calls read but one file.
    own = BUILTIN / f"{name}.yaml"
    if os.path.basename(name) == name and own.is_file():
        return _read(own, (*within, name))
    entries = list(_entries())
    of_name = [entry for entry in entries if entry.name == name and entry.path]
    # One that cannot be used, which is called after its file, hides none that can.
    if entry := min(of_name, key=lambda each: bool(each.problem), default=None):
        if entry.problem or entry.path is None:
            raise ModelError(entry.problem)
        if hidden := [each for each in of_name if each is not entry and not each.problem]:
            warnings.warn(
                f"there are several models called {name}: that of {entry.origin} is taken, and not "
                f"{hidden[0].path}. Import that one under another name.",
                ModelWarning,
                stacklevel=3,
            )
        return _read(entry.path, (*within, name))
    names = [entry.name for entry in entries if not entry.problem]
    near = get_close_matches(name, names, 1, 0.5)
    hint = f"perhaps {near[0]} is meant. All" if near else "those"
    raise ModelError(f"there is no model {name!r}; {hint} that there are: {', '.join(names)}.")


def _read(path: Path, within: tuple[str, ...]) -> Model:
    found = dict(_document(path, _state(path)))
    if "members" not in found:
        return Model(**found)
    members = [_named(name, within) for name in found.pop("members")]
    return ensemble(members, **found)


def _state(path: Path) -> tuple[int, int] | None:
    try:
        state = path.stat()
    except OSError:
        return None
    return state.st_mtime_ns, state.st_size


@lru_cache(maxsize=256)
def _document(path: Path, state: tuple[int, int] | None) -> dict[str, Any]:
    # The state is there so that a document that changes is read again.
    return read_document(path)


def _entries() -> Iterator[Entry]:
    """The documents in the order in which they count; twins are not yet told apart."""
    paths = {path.stem: path for path in sorted(BUILTIN.glob("*.yaml"))}
    for name in dict.fromkeys((*DEFAULTS, *paths)):
        if name in paths:
            yield _entry(paths[name], "built-in")
    yield from _plugins()
    for path in sorted(models_folder().glob("*.yaml")):
        yield _entry(path, "user")


def _entry(path: Path, origin: str) -> Entry:
    try:
        return Entry(str(_document(path, _state(path))["name"]), origin, path, "")
    except ModelError as error:
        return Entry(path.stem, origin, path, str(error))


def _plugins() -> Iterator[Entry]:
    """The documents of installed packages."""
    for name, folder, problem in _plugin_folders(tuple(sys.path)):
        origin = f"plugin {name}"
        if folder is None:
            yield Entry(name, origin, None, problem)
            continue
        paths = sorted(folder.glob("*.yaml"))
        if not paths:
            yield Entry(name, origin, None, f"there are no model documents in {folder}.")
        for path in paths:
            yield _entry(path, origin)


@lru_cache(maxsize=8)
def _plugin_folders(path: tuple[str, ...]) -> list[tuple[str, Path | None, str]]:
    # To look through all that is installed takes tens of milliseconds; the path is there so that it is
    # done again when that changes.
    from importlib.metadata import entry_points

    found: list[tuple[str, Path | None, str]] = []
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        try:
            found.append((point.name, package_folder(point.module), ""))
        except ModelError as error:
            found.append((point.name, None, str(error)))
    return found


def _checked(entry: Entry, found: list[Entry]) -> Entry:
    """With what is wrong with an ensemble, whose members are known only now."""
    if entry.problem or entry.path is None:
        return entry
    try:
        _read(entry.path, (entry.name,))
    except ModelError as error:
        return entry._replace(problem=f"{entry.path}: {error}")
    return entry
