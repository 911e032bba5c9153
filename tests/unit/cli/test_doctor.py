"""`cleansat doctor`: lines for people, JSON for programs, and exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from calling import Run, failure, good

from odc_cleansat.cube.embedded import CONFIG_NAME
from unit.archive import Archive


@pytest.fixture(autouse=True)
def homes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CACHE", "MODELS", "WEIGHTS"):
        monkeypatch.setenv(f"CLEANSAT_{name}", str(tmp_path / name.lower()))


def test_all_is_well(run: Run, archive: Archive, tmp_path: Path) -> None:
    said = good(
        run("doctor", "datacube", "folders", "store", "--store", tmp_path, "-C", archive.folder / CONFIG_NAME)
    )  # fmt: skip
    *lines, summary = said.splitlines()
    assert summary == "9 ok, 0 warning, 0 wrong"
    assert [line.split()[:2] for line in lines] == [
        *[["ok", "folders"]] * 4,
        *[["ok", "datacube"]] * 4,
        ["ok", "store"],
    ]


def test_a_warning_is_no_failure(run: Run, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("")
    said = good(run("doctor", "folders"))
    assert "warning  folders   compiled networks" in said
    assert "-> Networks are compiled anew" in said


def test_something_is_wrong(run: Run, tmp_path: Path) -> None:
    result = run(
        "doctor", "datacube", "store", "-C", tmp_path / "none", "--store", tmp_path, "--json"
    )
    assert result.exit_code == 1
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(line["topic"], line["state"]) for line in lines] == [
        ("datacube", "wrong"),
        ("store", "ok"),
    ]
    assert set(lines[0]) == {"topic", "state", "what", "mend"}
    assert lines[0]["mend"]


def test_topics_that_need_an_option(run: Run) -> None:
    assert "the topic store needs --store" in failure(run("doctor", "store"), code=2)
    assert "the topic network needs --online" in failure(run("doctor", "network"), code=2)
