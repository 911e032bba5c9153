"""Folders of work: swept when their process is gone, left alone while it lives."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import rasterio
from odc.geo.geobox import GeoBox
from odc.geo.xr import wrap_xr

from odc_cleansat.storage.atomic import working_folder
from odc_cleansat.storage.cog import Raster, write_cogs

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
