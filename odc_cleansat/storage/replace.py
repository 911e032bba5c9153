"""Which files that are there already may be replaced.

The rule, for every file whose path a user gives: it is replaced only by the same file made again, or where
``overwrite=True`` says so. A raster is the same if its grid, bands, time and request are. Pictures, pages and
reports hold a mark of what they are. Everything else is left as it is, and the error says what is there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from ..errors import OutputError

_LARGEST = 200_000_000
"""Bytes of the largest file that is searched for a mark. Pictures and pages have far fewer."""


def check_free(path: Path, difference: Callable[[Path], str], overwrite: bool | None) -> None:
    """Raise if a file is there that something else would replace.

    Parameters
    ----------
    path
        Where a file is to be written.
    difference
        Says how the file that is there differs from the one to be written, as in ``is no picture``. It returns ""
        if it is the same.
    overwrite
        Replace whatever file is there; None where the caller has no such argument.

    Raises
    ------
    OutputError
        If a file is there that differs, or the path is that of a folder or a device.
    """
    if not path.exists():
        return
    if not path.is_file():
        raise OutputError(f"{path} is no file but a {_kind(path)}; give the path of a file.")
    if not overwrite and (said := difference(path)):
        instead = "remove that file" if overwrite is None else "overwrite=True to replace it"
        raise OutputError(f"{path} is there already and {said}. Give another path, or {instead}.")


def _kind(path: Path) -> str:
    return "folder" if path.is_dir() else "device or pipe"


def mark_of(kind: str, *content: object) -> str:
    """Return the mark of a file: its kind, a colon and a digest of what it shows.

    Parameters
    ----------
    kind
        The mark of all files of this kind, for instance ``odc_cleansat comparison``.
    content
        What two files of this kind that may replace each other have in common.
    """
    digest = hashlib.sha256("\n".join(map(str, content)).encode()).hexdigest()
    return f"{kind}: {digest[:16]}"


def mark_difference(path: Path, mark: str) -> str:
    """Return how a file differs from one with this mark, which may be that of a kind; "" if it has the mark.

    Raises
    ------
    OutputError
        If the file cannot be read.
    """
    kind = mark.partition(":")[0]
    try:
        content = path.read_bytes() if path.stat().st_size <= _LARGEST else b""
    except OSError as error:
        raise OutputError(f"cannot read {path}: {error.strerror or error}.") from error
    if mark.encode() in content:
        return ""
    name = kind.removeprefix("odc_cleansat ")
    return f"is another {name}" if kind.encode() in content else f"is no {name}"
