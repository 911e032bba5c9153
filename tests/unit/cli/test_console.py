"""What commands tell a person: steps, a bar on a terminal, lines elsewhere, durations."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from odc_cleansat.cli import console
from odc_cleansat.cli.console import Console, program
from odc_cleansat.progress import duration


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """A clock that tests set."""
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(console.time, "monotonic", lambda: clock.now)
    return clock


def test_a_step_without_a_terminal(
    clock: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    with Console().step("Masking", unit="scene") as count:
        count(1, 10)
        clock.now = 40.0
        count(3, 10, "1 failed")
        clock.now = 60.0
        count(4, 10)
    assert capsys.readouterr().out.splitlines() == [
        "Masking ...",
        "3 of 10 scenes, 1 failed, 180 an hour, 2 min 20 s left",
        "  done in 60.0 s",
    ]


def test_a_step_that_fails_or_takes_no_time_says_no_more(
    clock: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    with Console().step("Quick"):
        pass

    def fail() -> None:
        with Console().step("Dividing"):
            clock.now = 5.0
            _ = 1 / 0

    with pytest.raises(ZeroDivisionError):
        fail()
    assert capsys.readouterr().out == "Quick ...\nDividing ...\n"


def test_lines_for_people_beside_an_output_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    Console(to_stderr=True).say("hello")
    assert capsys.readouterr() == ("", "hello\n")


def test_a_bar_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setattr(console, "_BAR_AFTER", 0.0)
    out = Console()
    with out.step("Masking", unit="scene") as count:
        count(1, 4)
        count(2, 4, "1 failed")
        out.say("between")
        count(4, 4, "1 failed")
    said, shown = capsys.readouterr()
    assert said.splitlines()[:2] == ["Masking ...", "between"]
    assert "2/4" in shown
    assert "1 failed" in shown
    assert shown.endswith("\r"), "the bar is removed"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(2.6, "3 s"), (125, "2 min 5 s"), (59.6, "1 min 0 s"), (3780, "1 h 3 min")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_program_is_called_by_name_only_where_the_name_finds_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    beside = os.path.dirname(sys.executable)
    monkeypatch.setenv("PATH", beside)
    assert program("python") == "python"
    monkeypatch.setenv("PATH", "/nowhere")
    assert program("python") == os.path.relpath(os.path.join(beside, "python"))
