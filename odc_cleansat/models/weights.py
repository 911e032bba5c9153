"""Where the weights of models are, and whether they are what they should be.

Weights come from strangers. Those of known sha256 are used only if they have it. For those whose makers
publish none, the sha256 of the first download is recorded, and anything else is refused from then on.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
from functools import lru_cache
from pathlib import Path

from ..errors import LOG, ModelError
from .download import download, file_sha256, is_safe
from .model import Model
from .places import (
    Remote,
    find_weights,
    is_offline,
    local_path,
    networks_of,
    own_path,
    remote_of,
)


def weights_path(model: Model) -> Path:
    """Local path of the model's weights, verified. Fetches them where they are not here yet.

    The file is hashed once a process, and again if it changes.

    Raises
    ------
    ModelError
        If the weights are missing and cannot be fetched, or are not what they should be.
    """
    remote = remote_of(model)
    if remote is None:
        return _verified(model, local_path(model))
    path = find_weights(model)
    if path is not None:
        return _verified(model, path)
    if not is_offline():
        LOG.warning("%s", notice(model))
    return _fetch(model, remote, sys.stderr.isatty())


def fetch(model: Model, *, progress: bool = True) -> list[Path]:
    """Bring the model's weights here, those of all its members, and verify them.

    What is here and right is left alone; what is here and wrong is fetched anew.

    Parameters
    ----------
    progress
        Whether to draw a bar.

    Returns
    -------
    list of Path
        One for each network.

    Raises
    ------
    ModelError
        If they cannot be had, or are not what they should be.
    """
    return [_fetch_one(each, progress) for each in networks_of(model)]


def verify(model: Model) -> list[Path]:
    """Read the weights of all members from the disk and compare their hashes. Never fetches.

    Raises
    ------
    ModelError
        If weights are not here, or are not what they should be.
    """
    _hashed.cache_clear()
    return [_verified(each, find_weights(each) or _missing(each)) for each in networks_of(model)]


def sha256_of(model: Model) -> str:
    """Hash that stands for the model's weights, hexadecimal; of an ensemble, of its members' hashes.

    Raises
    ------
    ModelError
        If nobody has published or recorded it, and the weights cannot be had.
    """
    known = known_sha256(model)
    if known:
        return known
    if model.members:
        return _joint([sha256_of(member) for member in model.members])
    return _hash(weights_path(model))


def known_sha256(model: Model) -> str:
    """The same as far as it has been published, recorded or can be read off a local file, else ``""``."""
    if model.members:
        hashes = [known_sha256(member) for member in model.members]
        return _joint(hashes) if all(hashes) else ""
    if model.sha256 or remote_of(model):
        return model.sha256 or _recorded(model)
    path = find_weights(model)
    return _hash(path) if path else ""


def _joint(hashes: list[str]) -> str:
    return hashlib.sha256("".join(hashes).encode()).hexdigest()


def is_noncommercial(model: Model) -> bool:
    """Whether the licence is one of Creative Commons that forbids commercial use."""
    return "-NC" in model.licence.upper()


def notice(model: Model) -> str:
    """What to say when weights are fetched: where from, and under which licence."""
    remote = remote_of(model)
    source = remote.url if remote else model.weights
    terms = ", which forbids commercial use" if is_noncommercial(model) else ""
    return f"{model.name}: weights from {source}, licence {model.licence or 'unknown'}{terms}"


# --- fetching


def _missing(model: Model) -> Path:
    """Say how to get weights that are not here."""
    remote = remote_of(model)
    if remote is None:
        return local_path(model)
    raise ModelError(
        f"model {model.name}: its weights are not on this machine. Run: cleansat models fetch {model.name}"
    )


def _fetch_one(model: Model, progress: bool) -> Path:
    remote = remote_of(model)
    if remote is None:
        return _verified(model, local_path(model))
    if found := find_weights(model):
        try:
            return _verified(model, found)
        except ModelError:
            if is_offline():
                raise
    return _fetch(model, remote, progress)


def _fetch(model: Model, remote: Remote, progress: bool) -> Path:
    """Fetch into the user's folder, one process at a time."""
    from filelock import FileLock

    target = own_path(model, remote)
    _check_encrypted(model, remote)
    if is_offline():
        raise ModelError(
            f"model {model.name}: its weights, {remote.url}, are not on this machine, and CLEANSAT_OFFLINE or "
            f"HF_HUB_OFFLINE forbids to fetch them. {_by_hand(target)}"
        )
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(target.with_name(f".{target.name}.lock")):
            with contextlib.suppress(ModelError):
                if target.is_file():  # another process was quicker
                    return _verified(model, target)
            download(
                remote.url,
                target,
                lambda found, published: _judge(model, remote, found, published),
                headers=dict(remote.headers),
                progress=progress,
            )
            return _verified(model, target)
    except ModelError as error:
        raise ModelError(f"{error} {_by_hand(target)}") from error
    except OSError as error:
        raise ModelError(
            f"model {model.name}: cannot write to {target.parent}: {error.strerror or error}. Set "
            "CLEANSAT_WEIGHTS to a folder that can be written, or put the file into one that "
            "CLEANSAT_WEIGHTS_PATH names."
        ) from error


def _check_encrypted(model: Model, remote: Remote) -> None:
    """Refuse a mirror that others may speak for, unless what it gives can be checked."""
    if not (is_safe(remote.url) or model.sha256 or _recorded(model)):
        raise ModelError(
            f"model {model.name}: {remote.url} is not encrypted, and no sha256 is known that its weights could be "
            "checked by. Give CLEANSAT_MIRROR or HF_ENDPOINT an address with https."
        )


def _by_hand(target: Path) -> str:
    return f"Or put the file at {target}, or into a folder that CLEANSAT_WEIGHTS_PATH names."


def _judge(model: Model, remote: Remote, found: str, published: str) -> None:
    """Refuse what has been fetched if it is not what it should be."""
    _compare(
        model, found, f"what came from {remote.url}", "Try again, or name another CLEANSAT_MIRROR."
    )
    known = model.sha256 or _recorded(model)
    if published and found != published and not known:
        raise ModelError(
            f"model {model.name}: what came from {remote.url} has sha256 {found}, but the server publishes "
            f"{published}. It is not used; try again."
        )


# --- trust


def _verified(model: Model, path: Path) -> Path:
    """The path, if the file is what it should be. What is fetched and of no known hash is recorded."""
    found = _hash(path)
    scheme, _, rest = model.weights.partition(":")
    cure = {
        "package": f"Install {rest.partition('/')[0]} again.",
        "file": "If you changed them, correct sha256 in the model's document.",
    }.get(scheme, f"Run: cleansat models fetch {model.name}")
    _compare(model, found, f"the file {path}", cure)
    remote = remote_of(model)
    if remote and not model.sha256 and not _recorded(model):
        _record(own_path(model, remote), found)
    return path


def _compare(model: Model, found: str, what: str, cure: str) -> None:
    if model.sha256 and found != model.sha256:
        raise ModelError(
            f"model {model.name}: {what} has sha256 {found}, not {model.sha256}. It is not used. {cure}"
        )
    if not model.sha256 and (record := _recorded(model)) and found != record:
        raise ModelError(
            f"model {model.name}: {what} has sha256 {found}, and had {record} when it was first used. It is "
            f"not used. {cure} If new weights were published and you trust them, delete {_record_of(model)}."
        )


def _hash(path: Path) -> str:
    state = path.stat()
    return _hashed(path, state.st_size, state.st_mtime_ns, state.st_ino)


@lru_cache(maxsize=64)
def _hashed(path: Path, size: int, modified: int, inode: int) -> str:
    # The last three are there so that a file that changes is hashed again.
    return file_sha256(path)


def _recorded(model: Model) -> str:
    """The sha256 at first use, or ``""``."""
    record = _record_of(model)
    return (record.read_text("utf-8").split() or [""])[0] if record else ""


def _record_of(model: Model) -> Path | None:
    """The file that holds it, as `sha256sum` writes it: the user's own, or one beside the weights."""
    remote = remote_of(model)
    if remote is None:
        return None
    places = [own_path(model, remote), *filter(None, [find_weights(model)])]
    records = [place.with_name(f"{place.name}.sha256") for place in places]
    return next((record for record in records if record.is_file()), None)


def _record(weights: Path, sha256: str) -> None:
    record = weights.with_name(f"{weights.name}.sha256")
    draft = record.with_name(f".{record.name}.{os.getpid()}")
    try:
        record.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(f"{sha256}  {weights.name}\n", encoding="utf-8")
        os.replace(draft, record)
    except OSError as error:  # weights may be used where nothing can be written
        LOG.info("cannot record the sha256 of %s: %s", weights, error)
