"""Files and folders that are written whole or not at all."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
from odc.geo.geobox import GeoBox
from odc.geo.xr import wrap_xr

from odc_cleansat.errors import OutputError
from odc_cleansat.storage.atomic import locked, sorted_last, working_folder, write_file
from odc_cleansat.storage.cog import Raster, write_cogs


def test_a_file_is_written_with_its_folder_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "x.txt"
    for content in (b"one", b"two"):
        write_file(path, content)
        assert path.read_bytes() == content
    assert list(path.parent.iterdir()) == [path]


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"cannot write .*Check the folder and the space there"):
        write_file(tmp_path / "file" / "x.txt", b"")


def interrupted(parent: Path) -> None:
    with working_folder(parent) as folder:
        (folder / "draft").touch()
        raise KeyboardInterrupt


def test_a_working_folder_goes_whatever_happens(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        interrupted(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_leftovers_go_and_folders_in_use_stay(tmp_path: Path) -> None:
    with working_folder(tmp_path) as gone:
        leftover, other = tmp_path / ".cleansat-left0ver", tmp_path / ".other"
        shutil.copytree(gone, leftover)
        shutil.copytree(gone, other)
    with working_folder(tmp_path) as first, working_folder(tmp_path) as second:
        assert first.exists()
        assert second.exists()
        assert not leftover.exists()
        assert other.exists()


def test_what_is_not_ours_is_never_deleted(tmp_path: Path) -> None:
    """Also not with our name, with our marker by another name of folder, or with a marker that is another's."""
    with working_folder(tmp_path) as work:
        (marker,) = work.iterdir()
        for name in (".cleansat-models", ".cleansat-settings", ".cleansat-12345678"):
            (tmp_path / name).mkdir()
            (tmp_path / name / "mine.txt").write_text("mine")
        shutil.copy(marker, tmp_path / ".cleansat-models")
        (tmp_path / ".cleansat-12345678" / marker.name).write_text("another's")
        shutil.copytree(work, tmp_path / "elsewhere")
        (tmp_path / ".cleansat-87654321").symlink_to(tmp_path / "elsewhere")
        os.mkfifo(tmp_path / ".cleansat-fifofifo")
    before = sorted(tmp_path.rglob("*"))
    write_file(tmp_path / "x.html", b"")
    assert sorted(tmp_path.rglob("*")) == sorted([*before, tmp_path / "x.html"])


def test_a_lock_is_held_by_one(tmp_path: Path) -> None:
    def is_free() -> bool:
        try:
            with locked(tmp_path, wait=False):
                return True
        except BlockingIOError:
            return False

    with locked(tmp_path, wait=True):
        assert not is_free()
    assert is_free()


def test_some_names_come_last_in_their_own_order() -> None:
    assert sorted_last(["c", "x", "a", "b"], ["x", "b"]) == ["a", "c", "x", "b"]


WRITE = """
import sys, time
from pathlib import Path
from odc_cleansat.storage.atomic import working_folder
with working_folder(Path(sys.argv[1])) as work:
    (work / "half.tif").write_bytes(b"x")
    print(work, flush=True)
    time.sleep(60)
"""


def test_what_a_killed_run_left_is_cleared_and_what_a_living_one_has_is_not(tmp_path: Path) -> None:
    def start() -> tuple[subprocess.Popen[str], Path]:
        process = subprocess.Popen(
            [sys.executable, "-c", WRITE, str(tmp_path)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        return process, Path(process.stdout.readline().strip())

    (killed, left), (living, kept) = start(), start()
    try:
        killed.kill()
        assert killed.wait() == -signal.SIGKILL
        assert left.is_dir()
        with working_folder(tmp_path) as work:
            assert not left.exists()
            assert kept.is_dir()
            assert work.is_dir()
        assert not work.exists()
    finally:
        for process in (killed, living):
            process.kill()
            process.wait()
            process.stdout.close()  # type: ignore[union-attr]


def test_other_files_in_the_making_are_left_alone(tmp_path: Path) -> None:
    """A mask that is written sweeps away what killed programs have left, and no more."""
    grid = GeoBox.from_bbox((0, 0, 6000, 6000), "EPSG:32633", resolution=10)
    band = wrap_xr(np.ones(grid.shape, "uint8"), grid).chunk({"y": 300, "x": 300})

    def meanwhile(*_: int) -> None:
        with working_folder(tmp_path):
            pass

    write_cogs({tmp_path / "composite.tif": Raster({"red": band}, 0)}, progress=meanwhile)
    with rasterio.open(tmp_path / "composite.tif") as file:
        assert (file.read(1) == 1).all()
