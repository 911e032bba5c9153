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


def write_file(path: Path, content: bytes) -> None:
    """Write a file whole or not at all; its folder is made if missing.

    Raises
    ------
    OutputError
        If it cannot be written.
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
    """A folder of this process's own, gone at the end; those that killed processes have left go too."""
    for left in parent.glob(f".{_WORK}*"):
        with contextlib.suppress(OSError), locked(left, wait=False):
            shutil.rmtree(left)
    with contextlib.ExitStack() as stack:
        while True:
            work = Path(tempfile.mkdtemp(prefix=f".{_WORK}", dir=parent))
            with contextlib.suppress(FileNotFoundError):
                stack.enter_context(locked(work, wait=True))
                if work.exists():  # not taken for left over before it was locked
                    break
        stack.callback(shutil.rmtree, work, ignore_errors=True)
        yield work


@contextlib.contextmanager
def locked(folder: Path, *, wait: bool) -> Iterator[None]:
    """Hold a lock that the system lifts when the process ends, however it ends."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except OSError:
            if not wait:
                raise
            # A file system without locks: then nobody will take the folder for left over.
        yield
    finally:
        os.close(handle)


def sorted_last(names: Iterable[str], last: Sequence[str]) -> list[str]:
    """Names in order, some of them at the end."""
    return [*sorted(set(names) - set(last)), *last]
