"""What commands tell goes here: to the terminal, and with its time to a file; as text, or as JSON for programs.

A command that runs for hours, and may be begun by cron, works inside :func:`journal`. Then each line that it tells has
its time where no terminal shows it, and is appended to the file of ``--log-file``. With ``--log-format json`` each line
of any command is an object, which also names the run.
"""

from __future__ import annotations

import contextlib
import json
import sys
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path

import click

from ..errors import OutputError

FORMATS = ("text", "json")
"""How lines are written."""


class _Voice:
    """How the command under way tells its lines."""

    def __init__(self, form: str, command: str) -> None:
        self.form = form
        self.command = command
        self.run = uuid.uuid4().hex[:12]

    def lines(
        self, now: datetime, text: str, level: str, timed: bool, **values: object
    ) -> list[str]:
        """Return the lines of a text that is told now: one object, or the text's own lines."""
        if self.form == "json":
            known = {"time": now.isoformat(timespec="milliseconds"), "level": level}
            whole = {**known, "run": self.run, "command": self.command, "message": text, **values}
            return [json.dumps(whole, default=str)]
        lines = text.splitlines() or [""]
        return [f"{now:%Y-%m-%dT%H:%M:%SZ} {line}".rstrip() for line in lines] if timed else lines


_voice = _Voice("text", "")


@contextlib.contextmanager
def voice(form: str, command: str) -> Iterator[None]:
    """Tell lines in a format in this context, under a new run id.

    Parameters
    ----------
    form
        One of :data:`FORMATS`.
    command
        Name of the command.
    """
    global _voice
    before, _voice = _voice, _Voice(form, command)
    try:
        yield
    finally:
        _voice = before


def run_id() -> str:
    """Return the id of the run under way, twelve hexadecimal digits."""
    return _voice.run


def for_programs() -> bool:
    """Return whether lines are JSON, so that no bar is shown either."""
    return _voice.form == "json"


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


def tell(text: str, *, err: bool = False, level: str = "info", **values: object) -> None:
    """Print lines for people or programs, and keep them if there is a journal.

    Parameters
    ----------
    text
        One line or several.
    err
        Whether they go to standard error.
    level
        ``info``, ``warning``, which is yellow on a terminal, or ``error``.
    **values
        What the text says, for programs.
    """
    stream, now = sys.stderr if err else sys.stdout, datetime.now(UTC)
    if _open:
        _open[-1].write(_voice.lines(now, text, level, timed=True, **values))
    timed = bool(_open) and not stream.isatty()
    shown = "\n".join(_voice.lines(now, text, level, timed, **values))
    coloured = level == "warning" and not for_programs()
    click.echo(click.style(shown, fg="yellow") if coloured else shown, err=err)


def tell_error(text: str) -> None:
    """Print what went wrong with one of several things; the command goes on."""
    tell(text if for_programs() else f"Error: {text}", err=True, level="error")


def keep(text: str, *, level: str = "info", **values: object) -> None:
    """Write lines to the file of the journal, if there is one, and nowhere else; parameters as of :func:`tell`."""
    if _open:
        _open[-1].write(_voice.lines(datetime.now(UTC), text, level, timed=True, **values))
