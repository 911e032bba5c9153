"""`cleansat demo`: the whole way once as a program, and what it refuses."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from calling import Run, failure, good

from odc_cleansat.synthetic.scene import SimulatedScene

CLEANSAT = Path(sys.executable).parent / "cleansat"


def cleansat(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [CLEANSAT, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=300
    )


def test_a_simulated_scene_from_nothing_and_again(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "out"
    try:
        first = cleansat("demo", "--out", out)
        assert first.returncode == 0, first.stderr
        assert "simulated" in first.stdout
        assert "(computed)" in first.stdout
        assert "Traceback" not in first.stderr
        assert "Warning" not in first.stderr
        again = good(run("demo", "--out", out))
        assert "nothing is computed" in again
        assert "found, not computed again" in again
    finally:
        stopped = good(run("demo", "--stop", "--out", out))
    assert stopped.strip() == "Stopped."
    assert "No database runs" in good(run("demo", "--stop", "--out", out))


def test_no_such_scene(run: Run, tmp_path: Path) -> None:
    line = failure(run("demo", "--scene", tmp_path / "x", "--out", tmp_path / "out"))
    assert "there is no folder" in line


def test_a_scene_without_the_bands(run: Run, tmp_path: Path) -> None:
    folder = SimulatedScene(shape=(60, 60)).write(tmp_path / "scene")
    for name in ("B02", "B11"):
        (folder / f"{name}.tif").unlink()
    line = failure(run("demo", "--scene", folder, "--out", tmp_path / "out"))
    assert "lacks blue (B02)" in line
    assert "it has coastal" in line


def test_no_date(run: Run, tmp_path: Path) -> None:
    line = failure(run("demo", "--datetime", "soon", "--out", tmp_path / "out"))
    assert "2024-04-01T02:00:00Z" in line


def test_an_output_folder_that_cannot_be_made(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    line = failure(run("demo", "--out", tmp_path / "file" / "out"))
    assert "cannot make the folder" in line
    assert "Choose another folder." in line


def test_unknown_model(run: Run, tmp_path: Path) -> None:
    line = failure(run("demo", "--model", "unet-of-tomorrow", "--out", tmp_path / "out"))
    assert "unet-efficientnetb4-l2a-6b" in line


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_an_output_folder_that_cannot_be_written(run: Run, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    assert "cannot" in failure(run("demo", "--out", tmp_path / "out"))
