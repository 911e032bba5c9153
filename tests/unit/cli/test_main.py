"""The command line: help, one-line errors, exit codes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from odc_cleansat import __version__
from odc_cleansat.synthetic.scene import SimulatedScene

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


def test_a_simulated_scene_from_nothing_and_again(tmp_path: Path) -> None:
    out = tmp_path / "out"
    try:
        first = cleansat("demo", "--out", out)
        assert first.returncode == 0, first.stderr
        assert "simulated" in first.stdout
        assert "(computed)" in first.stdout
        assert "Traceback" not in first.stderr
        assert "Warning" not in first.stderr
        again = cleansat("demo", "--out", out)
        assert again.returncode == 0, again.stderr
        assert "nothing is computed" in again.stdout
        assert "found, not computed again" in again.stdout
    finally:
        stopped = cleansat("demo", "--stop", "--out", out)
    assert stopped.stdout.strip() == "Stopped."
    assert "No database runs" in cleansat("demo", "--stop", "--out", out).stdout


def failure(*arguments: object, **environment: str) -> str:
    """The one line of an error; there must be no traceback, and exit code 1."""
    result = cleansat(*arguments, **environment)
    assert result.returncode == 1, result.stdout + result.stderr
    assert "Traceback" not in result.stdout + result.stderr
    (line,) = [text for text in result.stderr.splitlines() if text.startswith("Error:")]
    return line


def test_no_such_scene(tmp_path: Path) -> None:
    line = failure("demo", "--scene", tmp_path / "x", "--out", tmp_path / "out")
    assert "there is no folder" in line


def test_a_scene_without_the_bands(tmp_path: Path) -> None:
    folder = SimulatedScene(shape=(60, 60)).write(tmp_path / "scene")
    for name in ("B02", "B11"):
        (folder / f"{name}.tif").unlink()
    line = failure("demo", "--scene", folder, "--out", tmp_path / "out")
    assert "lacks blue (B02)" in line
    assert "it has coastal" in line


def test_no_date(tmp_path: Path) -> None:
    line = failure("demo", "--datetime", "soon", "--out", tmp_path / "out")
    assert "2024-04-01T02:00:00Z" in line


def test_an_output_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    assert "--out" in failure("demo", "--out", tmp_path / "file" / "out")


def test_unknown_model(tmp_path: Path) -> None:
    line = failure("demo", "--model", "unet-of-tomorrow", "--out", tmp_path / "out")
    assert "unet-efficientnetb4-l2a-6b" in line


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    result = cleansat("--debug", "demo", "--scene", tmp_path / "x", "--out", tmp_path / "out")
    assert result.returncode == 1
    assert "Traceback" in result.stderr


def test_wrong_usage() -> None:
    assert cleansat("demo", "--no-such-option").returncode == 2


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_an_output_folder_that_cannot_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    assert "cannot" in failure("demo", "--out", tmp_path / "out")


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
