"""The file of a model's weights, fetched where necessary and verified.

Weights come from strangers. If their sha256 is known, no other file is used. If their makers publish none, the
sha256 of the first download is recorded, and a file with another one is refused from then on.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
from functools import lru_cache
from pathlib import Path

from ..addresses import without_secrets
from ..errors import LOG, ModelError
from .download import download, file_sha256, is_safe
from .model import Model
from .places import Remote, find_weights, is_offline, local_weights, remote_of


def weights_path(model: Model) -> Path:
    """Return the local path of a model's weights, verified. Fetches weights that are not here yet.

    A file is hashed once a process, and again if it changes.

    Raises
    ------
    ModelError
        If the weights are missing and cannot be fetched, or their sha256 is wrong.
    """
    remote = remote_of(model)
    if remote is None:
        return _verified(model, None, local_weights(model))
    if path := remote.find():
        return _verified(model, remote, path)
    if not is_offline():
        LOG.warning("%s", fetch_notice(model))
    return _fetch(model, remote, progress=sys.stderr.isatty())


def fetch_weights(model: Model, *, progress: bool = True) -> list[Path]:
    """Fetch the weights of a model, or of all members of an ensemble, and verify them.

    Files that are here are kept if they are right, and are fetched again if they are wrong.

    Parameters
    ----------
    progress
        Whether to draw a progress bar.

    Returns
    -------
    list of Path
        One file for each network.

    Raises
    ------
    ModelError
        If the weights cannot be fetched, or their sha256 is wrong.
    """
    return [_fetch_if_needed(each, progress) for each in model.networks()]


def verify_weights(model: Model) -> list[Path]:
    """Read the weights of a model, or of all members of an ensemble, and check their sha256. Never fetches.

    Returns
    -------
    list of Path
        One file for each network.

    Raises
    ------
    ModelError
        If weights are not on this machine, or their sha256 is wrong.
    """
    _cached_sha256.cache_clear()
    return [_verify_here(each) for each in model.networks()]


def sha256_of(model: Model) -> str:
    """Return the sha256 of a model's weights, hexadecimal; for an ensemble, one of its members' hashes.

    Raises
    ------
    ModelError
        If it is neither published nor recorded, and the weights cannot be read or fetched.
    """
    if model.members:
        return _joint_sha256([sha256_of(member) for member in model.members])
    return known_sha256(model) or _file_sha256(weights_path(model))


def known_sha256(model: Model) -> str:
    """Return what :func:`sha256_of` does, but never fetch: ``""`` if the sha256 is not known here."""
    if model.members:
        hashes = [known_sha256(member) for member in model.members]
        return _joint_sha256(hashes) if all(hashes) else ""
    if model.sha256:
        return model.sha256
    if remote := remote_of(model):
        return _recorded_sha256(remote)
    path = find_weights(model)
    return _file_sha256(path) if path else ""


def fetch_notice(model: Model) -> str:
    """Return the message to show before weights are fetched: their address and their licence."""
    remote = remote_of(model)
    source = without_secrets(remote.url if remote else model.weights)
    terms = ", which forbids commercial use" if model.is_noncommercial else ""
    return f"{model.name}: weights from {source}, licence {model.licence or 'unknown'}{terms}"


def not_finite(model: Model, name: str) -> ModelError:
    """Return the error for weights that hold NaN or infinity in the parameter of this name."""
    return ModelError(
        f"model {model.name}: {name} holds values that are not finite; the weights are spoilt."
    )


def _verify_here(model: Model) -> Path:
    remote = remote_of(model)
    path = remote.find() if remote else local_weights(model)
    if path is None:
        raise ModelError(
            f"model {model.name}: its weights are not on this machine. Run: cleansat models fetch {model.name}"
        )
    return _verified(model, remote, path)


def _fetch_if_needed(model: Model, progress: bool) -> Path:
    remote = remote_of(model)
    if remote is None:
        return _verified(model, None, local_weights(model))
    if path := remote.find():
        try:
            return _verified(model, remote, path)
        except ModelError:
            if is_offline():
                raise
    return _fetch(model, remote, progress)


def _fetch(model: Model, remote: Remote, progress: bool) -> Path:
    """Fetch into the user's folder, one process at a time."""
    from filelock import FileLock

    target = remote.target
    by_hand = f"Or put the file at {target}, or into a folder that CLEANSAT_WEIGHTS_PATH names."
    _check_encrypted(model, remote)
    if is_offline():
        raise ModelError(
            f"model {model.name}: its weights, {remote.url}, are not on this machine, and CLEANSAT_OFFLINE or "
            f"HF_HUB_OFFLINE forbids to fetch them. {by_hand}"
        )
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(target.with_name(f".{target.name}.lock")):
            # Another process may have fetched the file meanwhile.
            with contextlib.suppress(ModelError):
                if target.is_file():
                    return _verified(model, remote, target)
            download(
                remote.url,
                target,
                lambda found, published: _check_download(model, remote, found, published),
                headers=dict(remote.headers),
                progress=progress,
            )
            return _verified(model, remote, target)
    except ModelError as error:
        raise ModelError(f"{error} {by_hand}") from error
    except OSError as error:
        raise ModelError(
            f"model {model.name}: cannot write to {target.parent}: {error.strerror or error}. Set "
            "CLEANSAT_WEIGHTS to a folder that can be written, or put the file into one that "
            "CLEANSAT_WEIGHTS_PATH names."
        ) from error


def _check_encrypted(model: Model, remote: Remote) -> None:
    """Raise if the address is not encrypted and no sha256 is known to check the file by."""
    if not (is_safe(remote.url) or model.sha256 or _recorded_sha256(remote)):
        raise ModelError(
            f"model {model.name}: {remote.url} is not encrypted, and no sha256 is known that its weights could be "
            "checked by. Give CLEANSAT_MIRROR or HF_ENDPOINT an address with https."
        )


def _check_download(model: Model, remote: Remote, found: str, published: str) -> None:
    """Raise if a fetched file has another sha256 than is known, or than the server published."""
    subject = f"what came from {remote.url}"
    _check_sha256(model, remote, found, subject, "Try again, or name another CLEANSAT_MIRROR.")
    known = model.sha256 or _recorded_sha256(remote)
    if published and found != published and not known:
        raise ModelError(
            f"model {model.name}: {subject} has sha256 {found}, but the server publishes "
            f"{published}. It is not used; try again."
        )


def _verified(model: Model, remote: Remote | None, path: Path) -> Path:
    """Return the path if the file's sha256 is right; record it if it is a fetched file's first one."""
    found = _file_sha256(path)
    scheme, _, rest = model.weights.partition(":")
    remedy = {
        "package": f"Install {rest.partition('/')[0]} again.",
        "file": "If you changed them, correct sha256 in the model's document.",
    }.get(scheme, f"Run: cleansat models fetch {model.name}")
    _check_sha256(model, remote, found, f"the file {path}", remedy)
    if remote and not model.sha256 and not _recorded_sha256(remote):
        _write_record(remote, found)
    return path


def _check_sha256(
    model: Model, remote: Remote | None, found: str, subject: str, remedy: str
) -> None:
    """Raise if a sha256 is neither the one of the model's document nor the recorded one."""
    if model.sha256:
        if found != model.sha256:
            raise ModelError(
                f"model {model.name}: {subject} has sha256 {found}, not {model.sha256}. It is not used. {remedy}"
            )
        return
    recorded = _recorded_sha256(remote) if remote else ""
    if remote and recorded and found != recorded:
        raise ModelError(
            f"model {model.name}: {subject} has sha256 {found}, and had {recorded} when it was first used. It is "
            f"not used. {remedy} If new weights were published and you trust them, delete {_record_of(remote)}."
        )


def _joint_sha256(hashes: list[str]) -> str:
    return hashlib.sha256("".join(hashes).encode()).hexdigest()


def _file_sha256(path: Path) -> str:
    status = path.stat()
    return _cached_sha256(path, status.st_size, status.st_mtime_ns, status.st_ino)


@lru_cache(maxsize=64)
def _cached_sha256(path: Path, size: int, modified: int, inode: int) -> str:
    # Size, time and inode are part of the key, so that a file that changes is hashed again.
    return file_sha256(path)


def _record_of(remote: Remote) -> Path | None:
    """Return the file with the sha256 at first use: the user's own, or one beside the weights."""
    places = [remote.target, *filter(None, [remote.find()])]
    records = [place.with_name(f"{place.name}.sha256") for place in places]
    return next((record for record in records if record.is_file()), None)


def _recorded_sha256(remote: Remote) -> str:
    """Return the sha256 at first use, or ``""``."""
    record = _record_of(remote)
    return (record.read_text("utf-8").split() or [""])[0] if record else ""


def _write_record(remote: Remote, sha256: str) -> None:
    """Write the sha256 beside the target, in the form of the program `sha256sum`."""
    weights = remote.target
    record = weights.with_name(f"{weights.name}.sha256")
    draft = record.with_name(f".{record.name}.{os.getpid()}")
    try:
        record.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(f"{sha256}  {weights.name}\n", encoding="utf-8")
        os.replace(draft, record)
    except OSError as error:  # weights may be used on machines where nothing can be written
        LOG.info("cannot record the sha256 of %s: %s", weights, error)
