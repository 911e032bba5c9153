"""The folder of a run: it belongs to one command at a time, and its files are written whole."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from ..errors import ModelError
from ..storage.atomic import working_folder


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Make the folder of a run if it is missing, and keep other commands out of it.

    Raises
    ------
    ModelError
        If another command is training in it, or it cannot be written.
    """
    from filelock import FileLock, Timeout

    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock", timeout=0)
        lock.acquire()
    except Timeout as error:
        raise ModelError(
            f"another command is training in {folder}; wait for it or stop it, or use another folder."
        ) from error
    except OSError as error:
        raise ModelError(f"cannot write to {folder}: {error.strerror or error}.") from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Open a new file that takes the place of an old one when it is whole and on the disk.

    Raises
    ------
    ModelError
        If it cannot be written. The old file then stays.
    """
    try:
        with working_folder(path.parent) as work:
            draft = work / path.name
            with draft.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
    except OSError as error:
        raise ModelError(
            f"cannot write {path}: {error.strerror or error}. What was there is kept."
        ) from error
