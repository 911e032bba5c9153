"""What the tests of commands share; the fixture `run` calls one, as from the shell."""

from __future__ import annotations

from collections.abc import Callable

from click.testing import Result

Run = Callable[..., Result]


def good(result: Result) -> str:
    """What a command said, if it succeeded."""
    assert result.exit_code == 0, result.output
    return result.stdout


def failure(result: Result, code: int = 1) -> str:
    """The one line of an error."""
    assert result.exit_code == code, result.output
    (line,) = [text for text in result.stderr.splitlines() if text.startswith("Error:")]
    assert "Traceback" not in result.output
    return line
