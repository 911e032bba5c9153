"""All models that can be chosen by name: those that ship, those of plugins, and the user's own."""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections.abc import Hashable, Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from ..arguments import meant
from ..errors import ModelError, ModelWarning, SceneError, first_line
from ..scenes.bands import find_bands
from ..settings import setting
from .documents import is_name, read_document
from .ensembles import ensemble
from .model import BUILTIN, Model
from .places import package_folder

_GROUP = "odc_cleansat.models"
"""Group of entry points. Each names a package whose folder holds model documents."""

DEFAULTS = ("unet-mobilenetv2-l2a-thin", "unet-mobilenetv2-l2a-thin-4b")
"""Default models in order of preference. The first whose bands a scene has is used."""


class Entry(NamedTuple):
    """A model document, or a plugin without one, that was found."""

    name: str
    """Name of the model; that of the file or plugin if the document cannot be read."""

    origin: str
    """``built-in``, ``plugin NAME`` or ``user``."""

    path: Path | None
    """Path of the document, or None."""

    problem: str
    """Why the model cannot be used, or ``""``."""


def models_folder() -> Path:
    """Return the folder of the user's own models: the setting ``models``, or one in the user's data folder."""
    if folder := setting("models"):
        return Path(folder).expanduser().absolute()
    import platformdirs

    return platformdirs.user_data_path("odc-cleansat") / "models"


def not_writable(path: Path, error: OSError) -> ModelError:
    """Return the error for a file in :func:`models_folder` that cannot be written."""
    return ModelError(
        f"cannot write to {path}: {error.strerror or error}. Set CLEANSAT_MODELS to a folder that can be written."
    )


def list_models() -> list[str]:
    """Return the names of all models that can be used: built-in, of plugins, the user's own.

    Warns
    -----
    ModelWarning
        For each model document and plugin that cannot be used.
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
    """Return every model document and plugin, with the problem it has. Weights are not read."""
    found: list[Entry] = []
    taken: dict[str, str] = {}
    for entry in _entries():
        if not entry.problem and entry.name in taken:
            problem = f"{entry.path}: a model of this name is there already ({taken[entry.name]})."
            entry = entry._replace(problem=problem)
        elif not entry.problem:
            taken[entry.name] = entry.origin
        found.append(entry)
    return [_with_problem_of_members(entry) for entry in found]


def get_model(name: str | Model | None = None, bands: Iterable[Hashable] | None = None) -> Model:
    """Return a model by its name, or the default for some bands.

    Parameters
    ----------
    name
        A name of :func:`list_models`, several of them joined by ``+`` for an ensemble, a :class:`Model`, which
        is returned as it is, or None for the default.
    bands
        Names of the bands of a scene. They decide whether the default is the model of six bands, with
        short-wave infrared, or the one of four.

    Raises
    ------
    ModelError
        If there is no model of that name, its document is wrong, or the models make no ensemble.
    SceneError
        If bands are missing for every default model.
    """
    if isinstance(name, Model):
        return name
    if name is not None:
        if not isinstance(name, str):
            raise ModelError(f"the model is {name!r}; pass its name, or a Model.")
        return _named(name)
    if bands is None:
        return _named(DEFAULTS[0])
    bands = list(bands)
    *preferred, last = DEFAULTS
    for candidate in map(_named, preferred):
        with contextlib.suppress(SceneError):
            find_bands(bands, candidate.bands)
            return candidate
    model = _named(last)
    find_bands(bands, model.bands)
    return model


def read_model(path: Path | str) -> Model:
    """Return the model that a document describes. The members of an ensemble are looked up by name.

    Paths in the document are relative to it. A file of its name with the suffix ``.md`` is its card.
    Weights are not read.

    Raises
    ------
    ModelError
        If the document cannot be read, a key is unknown, missing or wrong, or the members are unknown or make
        no ensemble.
    """
    return _read(Path(path), ())


def _named(name: str, within: tuple[str, ...] = ()) -> Model:
    """Return a model by its name. `within` are the ensembles that it is looked up for."""
    if "+" in name:
        return ensemble([_named(each.strip(), within) for each in name.split("+")])
    if name in within:
        raise ModelError(f"the ensemble {name} is a member of itself.")
    # Built-in documents have the names of their models, so most calls read only one file.
    own = BUILTIN / f"{name}.yaml"
    if is_name(name) and own.is_file():
        return _read(own, (*within, name))
    entries = list(_entries())
    of_name = [entry for entry in entries if entry.name == name and entry.path]
    # A document that cannot be read is called after its file. It must not hide a good one.
    entry = min(of_name, key=lambda each: bool(each.problem), default=None)
    if entry is None or entry.path is None:
        raise _unknown(name, [each.name for each in entries if not each.problem])
    if entry.problem:
        raise ModelError(entry.problem)
    if hidden := [each for each in of_name if each is not entry and not each.problem]:
        warnings.warn(
            f"there are several models called {name}: that of {entry.origin} is taken, and not "
            f"{hidden[0].path}. Import that one under another name.",
            ModelWarning,
            stacklevel=3,
        )
    return _read(entry.path, (*within, name))


def _unknown(name: str, names: list[str]) -> ModelError:
    return ModelError(
        f"there is no model {name!r}; there are {', '.join(names)}.{meant(name, names)}"
    )


def _read(path: Path, within: tuple[str, ...]) -> Model:
    fields = dict(_document(path))
    if "members" not in fields:
        return Model(**fields)
    members = [_named(name, within) for name in fields.pop("members")]
    return ensemble(members, **fields)


def _document(path: Path) -> dict[str, Any]:
    """Return the contents of a document, which is read again if it changes."""
    try:
        status = path.stat()
    except OSError:
        return _cached_document(path, None)
    return _cached_document(path, (status.st_mtime_ns, status.st_size))


@lru_cache(maxsize=256)
def _cached_document(path: Path, version: tuple[int, int] | None) -> dict[str, Any]:
    return read_document(path)


def _entries() -> Iterator[Entry]:
    """Yield all documents in order of precedence. Several may have the same name."""
    paths = {path.stem: path for path in sorted(BUILTIN.glob("*.yaml"))}
    for name in dict.fromkeys((*DEFAULTS, *paths)):
        if name in paths:
            yield _entry(paths[name], "built-in")
    yield from _plugins()
    for path in sorted(models_folder().glob("*.yaml")):
        yield _entry(path, "user")


def _entry(path: Path, origin: str) -> Entry:
    try:
        return Entry(str(_document(path)["name"]), origin, path, "")
    except (
        Exception
    ) as error:  # any, of a document of a stranger: the other models can still be used
        return Entry(path.stem, origin, path, _problem(error))


def _plugins() -> Iterator[Entry]:
    """Yield the documents of installed packages."""
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
    # A search through all installed packages takes tens of milliseconds. The path is the key, so that it is
    # repeated if that changes.
    from importlib.metadata import entry_points

    found: list[tuple[str, Path | None, str]] = []
    for point in sorted(entry_points(group=_GROUP), key=lambda point: point.name):
        try:
            found.append((point.name, package_folder(point.module), ""))
        except ModelError as error:
            found.append((point.name, None, str(error)))
    return found


def _with_problem_of_members(entry: Entry) -> Entry:
    """Return the entry with the problem of its ensemble, whose members are known only now."""
    if entry.problem or entry.path is None:
        return entry
    try:
        _read(entry.path, (entry.name,))
    except Exception as error:
        return entry._replace(problem=f"{entry.path}: {_problem(error)}")
    return entry


def _problem(error: Exception) -> str:
    if isinstance(error, ModelError):
        return str(error)
    return f"unexpected {type(error).__name__}: {first_line(error)}."
