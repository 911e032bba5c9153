"""Where the weights of models are: a package, a file, an address, a mirror, the user's folders."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from ..errors import ModelError
from .download import is_safe
from .model import Model

_HF_FORM = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+)/(?P<file>[^@]+)(?:@(?P<revision>[^@]+))?")


@dataclass(frozen=True)
class Remote:
    """Weights that are fetched on demand."""

    url: str
    """Where from: the maker's address, or that of a mirror."""

    file: str
    """Name of the file."""

    headers: tuple[tuple[str, str], ...] = ()
    """Of the request; a login."""


def find_weights(model: Model) -> Path | None:
    """Local path of the model's weights, not verified; None where there are none. Never fetches.

    Weights that are fetched are looked for in :func:`weights_folder`, then in the folders of
    ``CLEANSAT_WEIGHTS_PATH``, where they may also lie without a folder of their own.
    """
    remote = remote_of(model)
    if remote is None:
        with contextlib.suppress(ModelError):
            return local_path(model)
        return None
    places = [own_path(model, remote)]
    for folder in filter(None, os.environ.get("CLEANSAT_WEIGHTS_PATH", "").split(os.pathsep)):
        place = Path(folder).expanduser()
        places += [place / _folder(model) / remote.file, place / remote.file]
    return next((place for place in places if place.is_file()), None)


def state(model: Model) -> str:
    """``packaged``, ``here``, ``to fetch`` or ``missing``; of an ensemble, the worst of its members."""
    order = ("packaged", "here", "to fetch", "missing")
    return max((_state(each) for each in networks_of(model)), key=order.index)


def networks_of(model: Model) -> Iterator[Model]:
    """The model itself, or the members of an ensemble, and theirs."""
    for member in model.members:
        yield from networks_of(member)
    if not model.members:
        yield model


def weights_folder() -> Path:
    """Where fetched weights are kept: ``CLEANSAT_WEIGHTS``, or a folder of the user's data."""
    from platformdirs import user_data_path

    chosen = os.environ.get("CLEANSAT_WEIGHTS")
    return Path(chosen).expanduser() if chosen else user_data_path("odc-cleansat") / "weights"


def is_offline() -> bool:
    """Whether ``CLEANSAT_OFFLINE`` or ``HF_HUB_OFFLINE`` forbids to fetch anything."""
    return any(
        os.environ.get(name, "").lower() in ("1", "true", "yes", "on")
        for name in ("CLEANSAT_OFFLINE", "HF_HUB_OFFLINE")
    )


def remote_of(model: Model) -> Remote | None:
    """What the model's URI asks to be fetched; None for what is on this machine."""
    if model.members:
        raise ModelError(
            f"model {model.name} is an ensemble; its members have weights, it has none."
        )
    scheme, _, rest = model.weights.partition(":")
    if scheme in ("package", "file") and rest:
        return None
    mirror = os.environ.get("CLEANSAT_MIRROR", "").rstrip("/")
    if scheme == "hf" and (form := _HF_FORM.fullmatch(rest)):
        endpoint = os.environ.get("HF_ENDPOINT", "").rstrip("/") or "https://huggingface.co"
        revision = quote(form["revision"] or "main", safe="")
        path = f"{form['repo']}/resolve/{revision}/{quote(form['file'])}"
        login = () if mirror else _login(endpoint)
        return Remote(f"{mirror or endpoint}/{path}", _file(model, form["file"]), login)
    if scheme in ("https", "http") and is_safe(model.weights):
        path = urlsplit(model.weights).path
        url = f"{mirror}{path}" if mirror else model.weights
        return Remote(url, _file(model, unquote(path)))
    raise ModelError(
        f"model {model.name}: cannot read weights from {model.weights!r}; known are package:NAME/FILE, "
        "file:PATH, https://... and hf:OWNER/REPO/FILE@REVISION."
    )


def _login(endpoint: str) -> tuple[tuple[str, str], ...]:
    """Of Hugging Face, and only where nobody can listen."""
    token = os.environ.get("HF_TOKEN")
    return (("Authorization", f"Bearer {token}"),) if token and is_safe(endpoint) else ()


def _file(model: Model, path: str) -> str:
    name = path.rpartition("/")[2]
    if name in ("", ".", ".."):
        raise ModelError(f"model {model.name}: {model.weights!r} names no file.")
    return name


def _folder(model: Model) -> str:
    """A folder of the model's own, so that files of the same name do not meet."""
    return quote(f"{model.name}-{model.version}", safe=" +")


def own_path(model: Model, remote: Remote) -> Path:
    """Where the weights are put when they are fetched."""
    return weights_folder() / _folder(model) / remote.file


def local_path(model: Model) -> Path:
    """Path of weights that come with a package or stand in a file."""
    scheme, _, rest = model.weights.partition(":")
    if scheme == "package":
        return _package_file(model, *rest.split("/", 1))
    path = Path(unquote(urlsplit(rest).path) if rest.startswith("//") else rest).expanduser()
    if not path.is_file():
        raise ModelError(
            f"model {model.name}: its weights should be at {path}, and are not. Put them there, or "
            "correct `weights` in the model's document."
        )
    return path


def _package_file(model: Model, package: str, filename: str = "") -> Path:

    if not filename:
        raise ModelError(f"model {model.name}: {model.weights!r} is not package:NAME/FILE.")
    try:
        path = package_folder(package) / filename
    except ModelError as error:
        raise ModelError(
            f"model {model.name}: its weights come with the package {package}, which is not "
            f"installed. Run: pip install {package.replace('_', '-')}"
        ) from error
    if not path.is_file():
        raise ModelError(
            f"model {model.name}: {package} does not contain {filename}; "
            "install the version that odc-cleansat asks for."
        )
    return path


def _state(model: Model) -> str:
    found = find_weights(model)
    if remote_of(model):
        return "here" if found else "to fetch"
    if found is None:
        return "missing"
    return "packaged" if model.weights.startswith("package:") else "here"


def package_folder(package: str) -> Path:
    """Folder of an installed package, which is located and never imported.

    Raises
    ------
    ModelError
        If it is not installed.
    """
    # Of a dotted name Python would import the first part, so only that is looked up.
    from importlib.util import find_spec

    first, *rest = package.split(".")
    spec = find_spec(first) if first else None
    if spec is None or not spec.submodule_search_locations:
        raise ModelError(f"the package {package} is not installed.")
    # A namespace is spread over several folders.
    places = [Path(each, *rest) for each in spec.submodule_search_locations]
    return next((each for each in places if each.is_dir()), places[0])
