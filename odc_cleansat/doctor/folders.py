"""Folders of this machine: can they be written, and is there space?"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from .finding import OK, WARNING, WRONG, Finding

TOPIC = "folders"

_SPACE = "Make space, or choose a folder on another disk."
_FULL = tuple(os.strerror(each) for each in (errno.ENOSPC, errno.EDQUOT))
"""What is said of a disk without space, or without any left for this user."""

LITTLE = 2 * 10**9
"""Bytes; with less space a warning is given. A mask of a whole tile takes some tens of megabytes."""


def probe() -> Iterator[Finding]:
    """Look at the folders of compiled networks, of the user's models, and of fetched weights."""
    from ..models.openvino_engine import cache_folder
    from ..models.places import weights_folder
    from ..models.registry import models_folder

    yield look_at(
        TOPIC, "compiled networks", cache_folder(), WARNING,
        "Networks are compiled anew in each process. Set CLEANSAT_CACHE to a folder that can be written.",
    )  # fmt: skip
    yield look_at(
        TOPIC, "models of your own", models_folder(), WARNING,
        "No model can be imported or added. Set CLEANSAT_MODELS to a folder that can be written.",
    )  # fmt: skip
    yield look_at(
        TOPIC, "fetched weights", weights_folder(), WARNING,
        "No weights can be fetched. Set CLEANSAT_WEIGHTS to a folder that can be written.",
    )  # fmt: skip
    yield look_at(
        TOPIC, "temporary files", _temporary(), WRONG,
        "Set TMPDIR to a folder that can be written.",
    )  # fmt: skip
    named = next(filter(None, map(os.environ.get, ("TMPDIR", "TEMP", "TMP"))), "")
    if named and os.path.abspath(named) != str(_temporary()):
        said = f"nothing can be written to {named}, so temporary files go to {_temporary()}"
        yield Finding(TOPIC, WARNING, said, "Make that folder, or set TMPDIR to another.")


def look_at(topic: str, purpose: str, folder: Path, state: str, mend: str) -> Finding:
    """Return whether a folder can be written and has space.

    Parameters
    ----------
    topic
        Topic of the finding.
    purpose
        What the folder is for.
    folder
        It need not exist yet; then the nearest folder above it is tried.
    state
        State of the finding if it cannot be written.
    mend
        What to do then.
    """
    if problem := problem_of_writing(folder):
        said = f"{purpose}: {folder} cannot be written: {problem}"
        return Finding(topic, state, said, _SPACE if problem in _FULL else mend)
    free = shutil.disk_usage(nearest(folder)).free
    if free < LITTLE:
        said = f"{purpose}: {folder} has only {free / 1e9:.1f} GB of space"
        return Finding(topic, WARNING, said, _SPACE)
    made = "" if folder.is_dir() else ", made when it is needed"
    return Finding(topic, OK, f"{purpose}: {folder}{made} ({free / 1e9:.0f} GB free)")


def nearest(folder: Path) -> Path:
    """Return the folder itself, or the nearest above it that is there."""
    return next((each for each in (folder, *folder.absolute().parents) if each.is_dir()), folder)


def problem_of_writing(folder: Path) -> str:
    """Return why a folder cannot be made or written, or ``""``. A file without a name is written and leaves nothing."""
    place = nearest(folder)
    for each in (folder, *folder.absolute().parents):
        with contextlib.suppress(OSError):
            if each.exists() and not each.is_dir():
                return f"{each} is a file"
    try:
        with tempfile.TemporaryFile(dir=place) as file:
            file.write(b"x")
            file.flush()
    except OSError as error:
        return error.strerror or str(error)
    return ""


def _temporary() -> Path:
    try:
        return Path(tempfile.gettempdir())
    except FileNotFoundError:  # Python found none that can be written
        return Path("/tmp")
