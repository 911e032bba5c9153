"""Write files and folders whole or not at all."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ..errors import OutputError

_WORK = "cleansat-"
"""Beginning of the names of working folders, after a dot."""


def write_file(path: Path, content: bytes) -> None:
    """Write a file whole or not at all; make its folder if it is missing.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with working_folder(path.parent) as folder:
            draft = folder / path.name
            draft.write_bytes(content)
            draft.replace(path)
    except OSError as error:
        raise OutputError(
            f"cannot write {path}: {error.strerror or error}. Check the folder and the space there."
        ) from error


@contextlib.contextmanager
def working_folder(parent: Path) -> Iterator[Path]:
    """Give this process a hidden folder, and delete it at the end.

    Folders that killed processes have left are deleted too.

    Parameters
    ----------
    parent
        An existing folder, on the file system of the files to be written.

    Raises
    ------
    OSError
        If no folder can be made there.
    """
    for leftover in parent.glob(f".{_WORK}*"):
        with contextlib.suppress(OSError), locked(leftover, wait=False):
            shutil.rmtree(leftover)
    with contextlib.ExitStack() as stack:
        while True:
            work = Path(tempfile.mkdtemp(prefix=f".{_WORK}", dir=parent))
            with contextlib.suppress(FileNotFoundError):
                stack.enter_context(locked(work, wait=True))
                if work.exists():  # no other process has deleted it before the lock
                    break
        stack.callback(shutil.rmtree, work, ignore_errors=True)
        yield work


@contextlib.contextmanager
def locked(folder: Path, *, wait: bool) -> Iterator[None]:
    """Lock a folder; the system releases the lock when the process ends, however it ends.

    Parameters
    ----------
    folder
        An existing folder.
    wait
        Whether to wait for another process that holds the lock.

    Raises
    ------
    OSError
        If the folder is missing, or without `wait` locked by another process.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except OSError:
            if not wait:
                raise
            # A file system without locks, where nobody deletes leftovers either.
        yield
    finally:
        os.close(handle)


def sorted_last(names: Iterable[str], last: Sequence[str]) -> list[str]:
    """Return the names in alphabetical order, but those of `last` at the end, in theirs."""
    return [*sorted(set(names) - set(last)), *last]
