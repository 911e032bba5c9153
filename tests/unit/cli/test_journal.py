"""What a long command tells, with its times: on the terminal, elsewhere, and in a file."""

from __future__ import annotations

import json
import re
import sys
from datetime import datetime, timedelta
from pathlib import Path

import click
import pytest

from odc_cleansat.cli.console import Console
from odc_cleansat.cli.journal import for_programs, journal, keep, run_id, tell, voice
from odc_cleansat.errors import OutputError

TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ "


def test_each_line_has_its_time_in_the_file_and_where_no_terminal_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "run.log"
    log.write_text("of yesterday\n")
    with journal(log):
        Console().say("one\n  two")
        tell("Warning: three", err=True, level="warning")
        keep("four")
    before, *lines = log.read_text().splitlines()
    assert before == "of yesterday"
    assert [re.sub(TIME, "", line) for line in lines] == ["one", "  two", "Warning: three", "four"]
    assert all(re.match(TIME, line) for line in lines)
    out, err = capsys.readouterr()
    assert out.splitlines() == lines[:2]
    assert click.unstyle(err).splitlines() == lines[2:3]


def test_a_terminal_shows_no_times_and_the_file_has_the_lines_beside_the_bar(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for stream in (sys.stdout, sys.stderr):
        monkeypatch.setattr(stream, "isatty", lambda: True)
    monkeypatch.setattr("odc_cleansat.cli.console._LINE_EVERY", 0.0)
    log = tmp_path / "run.log"
    with journal(log), Console().step("Masking", unit="scene") as count:
        count(1, 4)
    assert re.fullmatch(rf"{TIME}Masking \.\.\.\n{TIME}1 of 4 scenes\n", log.read_text())
    assert capsys.readouterr().out == "Masking ...\n"


def test_without_a_journal_nothing_has_a_time(capsys: pytest.CaptureFixture[str]) -> None:
    tell("hello")
    keep("nowhere")
    with journal(None):
        keep("nowhere")
    assert capsys.readouterr() == ("hello\n", "")


def test_a_file_that_cannot_be_opened(tmp_path: Path) -> None:
    missing = journal(tmp_path / "none" / "run.log")
    with pytest.raises(OutputError, match="No such file or directory; name another"), missing:
        pytest.fail("nothing may be done without it")


def test_a_full_disk_ends_the_file_and_not_the_command(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with journal(Path("/dev/full")):
        tell("one")
        tell("two")
    out, err = capsys.readouterr()
    assert [re.sub(TIME, "", line) for line in out.splitlines()] == ["one", "two"]
    assert err.count("/dev/full takes no more lines: No space left on device") == 1


def test_lines_for_programs_are_objects_with_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "run.log"
    with voice("json", "run"), journal(log):
        Console().say("one\n  two", level="error")
        tell("three", err=True, level="warning", done=3)
        keep("four", total=4)
        known = run_id()
        assert for_programs()
    assert (run_id(), for_programs()) != (known, True)
    kept = [json.loads(line) for line in log.read_text().splitlines()]
    assert [each["message"] for each in kept] == ["one\n  two", "three", "four"]
    assert [each["level"] for each in kept] == ["error", "warning", "info"]
    assert {(each["run"], each["command"]) for each in kept} == {(known, "run")}
    assert re.fullmatch(r"[0-9a-f]{12}", known)
    assert datetime.fromisoformat(kept[0]["time"]).utcoffset() == timedelta(0)
    assert (kept[1]["done"], kept[2]["total"]) == (3, 4)
    out, err = capsys.readouterr()
    assert [json.loads(line)["message"] for line in (out + err).splitlines()] == [
        "one\n  two",
        "three",
    ]
