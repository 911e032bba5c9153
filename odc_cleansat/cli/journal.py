"""What commands tell goes here: to the terminal, and with its time to a file.

A command that runs for hours, and may be begun by cron, works inside :func:`journal`. Then each line that it tells has
its time where no terminal shows it, and is appended to the file of ``--log-file``.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path

import click

from ..errors import OutputError


class _Journal:
    """The lines of a command, with times."""

    def __init__(self, file: FileIO | None) -> None:
        self._file = file

    def write(self, lines: list[str]) -> None:
        """Append lines to the file. One that cannot be written ends the file, and not the command."""
        if self._file is None:
            return
        try:
            self._file.write("".join(f"{line}\n" for line in lines).encode())
        except OSError as error:
            name, self._file = self._file.name, None
            tell(f"Warning: {name} takes no more lines: {error.strerror or error}.", err=True)


_open: list[_Journal] = []
"""The journal of the command under way, if it keeps one."""


@contextlib.contextmanager
def journal(path: Path | None) -> Iterator[None]:
    """Keep a journal of what is told in the block.

    Parameters
    ----------
    path
        A file, to which lines are appended, or None.

    Raises
    ------
    OutputError
        If the file cannot be opened.
    """
    with contextlib.ExitStack() as stack:
        file = None
        if path is not None:
            try:
                file = stack.enter_context(open(path, "ab", buffering=0))
            except OSError as error:
                raise OutputError(
                    f"cannot write to {path}: {error.strerror or error}; name another file with --log-file."
                ) from error
        _open.append(_Journal(file))
        try:
            yield
        finally:
            _open.pop()


def tell(text: str, *, err: bool = False, fg: str | None = None) -> None:
    """Print lines for people, and keep them if there is a journal.

    Parameters
    ----------
    text
        One line or several.
    err
        Whether they go to standard error.
    fg
        Colour on a terminal.
    """
    lines = text.splitlines() or [""]
    if _open:
        timed = _timed(lines)
        _open[-1].write(timed)
        stream = sys.stderr if err else sys.stdout
        lines = lines if stream.isatty() else timed
    shown = "\n".join(lines)
    click.echo(click.style(shown, fg=fg) if fg else shown, err=err)


def keep(text: str) -> None:
    """Write lines to the file of the journal, if there is one, and nowhere else."""
    if _open:
        _open[-1].write(_timed(text.splitlines()))


def _timed(lines: list[str]) -> list[str]:
    now = datetime.now(UTC)
    return [f"{now:%Y-%m-%dT%H:%M:%SZ} {line}".rstrip() for line in lines]
