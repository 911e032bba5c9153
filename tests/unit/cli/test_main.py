"""The command line as a program: help, version, one-line errors, exit codes."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from calling import Run, failure
from click.testing import CliRunner

from odc_cleansat import __version__
from odc_cleansat.cli.main import COMMANDS, _quieten, main
from odc_cleansat.errors import GapWarning

CLEANSAT = Path(sys.executable).parent / "cleansat"


def cleansat(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [CLEANSAT, *map(str, arguments)], capture_output=True, text=True, check=False,
        env={**os.environ, **environment}, timeout=300,
    )  # fmt: skip


def test_version_and_help() -> None:
    assert __version__ in cleansat("--version").stdout
    assert "Exit codes" in cleansat("--help").stdout
    text = cleansat("demo", "--help").stdout
    assert "Examples:" in text
    assert "--datetime" in text


def pages(command: click.Command, path: str = "") -> Iterator[str]:
    """The path of a command, and those of its subcommands."""
    yield path
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from pages(inner, f"{path} {name}".strip())


@pytest.mark.parametrize("page", list(pages(main)))
def test_help_is_whole_and_fits_a_terminal(page: str) -> None:
    result = CliRunner().invoke(main, [*page.split(), "--help"], terminal_width=80)
    assert result.exit_code == 0
    assert "..." not in result.output.partition("Commands:")[2], "a summary is cut short"
    assert not [line for line in result.output.splitlines() if len(line) > 92]
    if "Commands:" not in result.output:
        assert "Examples:" in result.output
        assert "Exit codes:" in result.output


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_says_what_their_help_says(name: str) -> None:
    command = main.get_command(click.Context(main), name)
    assert command is not None
    assert command.help


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    result = cleansat("--debug", "demo", "--scene", tmp_path / "x", "--out", tmp_path / "out")
    assert result.returncode == 1
    assert "Traceback" in result.stderr


def test_wrong_usage(run: Run) -> None:
    assert "no-such-option" in failure(run("demo", "--no-such-option"), code=2)
    assert "no-such-command" in failure(run("no-such-command"), code=2)


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (KeyboardInterrupt(), 130, "Interrupted."),
        (FileNotFoundError(2, "gone", "x.tif"), 1, "Error: x.tif: gone"),
        (ZeroDivisionError("so\nthere"), 1, "Error: unexpected ZeroDivisionError: so. Run with `cleansat --debug"),
    ],
)  # fmt: skip
def test_what_nobody_expects_is_one_line(
    run: Run, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, text: str
) -> None:
    def fail(name: str) -> None:
        raise error

    monkeypatch.setattr("odc_cleansat.models.registry.get_model", fail)
    result = run("mask", "scene", "--model", "x", "-o", "out")
    assert result.exit_code == code
    assert result.stderr.startswith(text)
    assert len(result.stderr.splitlines()) == 1


def test_a_machine_without_proc(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fail(name: str) -> None:
        raise LookupError("process PID not found")  # as psutil does, at the import of dask

    monkeypatch.setattr("odc_cleansat.models.registry.get_model", fail)
    monkeypatch.setattr("odc_cleansat.cli.console._PROCESSES", tmp_path / "self")
    result = run("mask", "scene", "--model", "x", "-o", "out")
    assert "there is no /proc here, and dask needs it. Mount it" in failure(result)


def test_a_reader_that_has_enough() -> None:
    """As in `cleansat models list | head -1`."""
    command = [CLEANSAT, "models", "list"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        said = process.stderr.read()
    assert said == b""
    assert process.returncode == 1


@pytest.mark.usefixtures("run")
def test_the_same_warning_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    """Of a year of scenes without an offset, each would say so."""
    _quieten()
    for text in ("one", "two", "one"):
        warnings.warn(text, GapWarning, stacklevel=1)
    assert capsys.readouterr().err.splitlines() == ["Warning: one", "Warning: two"]
