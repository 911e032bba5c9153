"""Write files and folders whole or not at all."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ..errors import OutputError

_NAME = re.compile(r"\.cleansat-[a-z0-9_]{8}")
"""The names of working folders."""

_MARKER = ".working-folder-of-odc-cleansat"
"""Name of the file in each working folder that says that it is one, and may be deleted."""

_MARK = (
    b"A working folder of odc-cleansat. It is deleted when the program that made it has ended.\n"
)


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

    Those that killed processes have left are deleted too. Nothing else is ever deleted: a folder has to have the
    exact form of the names, hold the marker that is written into each, and be locked by nobody.

    Parameters
    ----------
    parent
        An existing folder, on the file system of the files to be written.

    Raises
    ------
    OSError
        If no folder can be made there.
    """
    for leftover in parent.glob(".cleansat-*"):
        with contextlib.suppress(OSError), locked(leftover, wait=False):
            if _is_ours(leftover):
                shutil.rmtree(leftover)
    with contextlib.ExitStack() as stack:
        work = Path(tempfile.mkdtemp(prefix=".cleansat-", dir=parent))
        stack.enter_context(locked(work, wait=True))
        stack.callback(shutil.rmtree, work, ignore_errors=True)
        # Behind the lock: without the marker no other process deletes the folder.
        (work / _MARKER).write_bytes(_MARK)
        yield work


def _is_ours(folder: Path) -> bool:
    """Return whether a folder is a working folder, by its name and by the marker in it."""
    marker = folder / _MARKER
    return (
        _NAME.fullmatch(folder.name) is not None
        and not folder.is_symlink()
        and stat.S_ISREG(marker.lstat().st_mode)
        and marker.stat().st_size == len(_MARK)
        and marker.read_bytes() == _MARK
    )


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
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
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
