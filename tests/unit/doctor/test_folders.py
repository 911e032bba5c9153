"""Folders that cannot be written, or have no space."""

from __future__ import annotations

import shutil
import tempfile
from collections import namedtuple
from pathlib import Path

import pytest

from odc_cleansat.doctor import folders


@pytest.fixture
def homes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("CACHE", "MODELS", "WEIGHTS"):
        monkeypatch.setenv(f"CLEANSAT_{name}", str(tmp_path / name.lower()))
    return tmp_path


def test_folders_that_can_be_made(homes: Path) -> None:
    found = list(folders.probe())
    assert [each.state for each in found] == ["ok"] * 4
    assert "made when it is needed" in found[0].what
    assert list(homes.iterdir()) == []


def test_a_file_in_the_way(homes: Path) -> None:
    (homes / "cache").write_text("")
    first, *others = folders.probe()
    assert first.state == "warning"
    assert "is a file" in first.what
    assert "CLEANSAT_CACHE" in first.mend
    assert {each.state for each in others} == {"ok"}


def test_a_folder_that_the_system_keeps_for_itself(
    homes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLEANSAT_WEIGHTS", "/proc/self/weights")
    (found,) = [each for each in folders.probe() if each.state != "ok"]
    assert "CLEANSAT_WEIGHTS" in found.mend
    assert folders.problem_of_writing(Path("/proc/self/weights"))


def test_no_temporary_folder(homes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr(tempfile, "gettempdir", none)
    assert "/tmp" in list(folders.probe())[-1].what


def test_a_full_disk(homes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10, 10, 10**9))
    found = folders.look_at("store", "masks", homes, "wrong", "")
    assert (found.state, found.what) == ("warning", f"masks: {homes} has only 1.0 GB of space")
