"""Rasters are opened, and pipes are not waited for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from calling import Run, failure
from rasterio.errors import NotGeoreferencedWarning, RasterioIOError

from odc_cleansat.errors import CleansatError
from odc_cleansat.evaluate.rasters import ClassRaster, open_raster
from odc_cleansat.scenes.files import BandFile
from odc_cleansat.scenes.read import read_scene
from odc_cleansat.storage.rasters import open_file
from odc_cleansat.storage.reader import DocumentError
from odc_cleansat.synthetic.scene import SimulatedScene


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    os.mkfifo(tmp_path / "pipe.tif")
    return tmp_path / "pipe.tif"


def test_a_raster(tmp_path: Path) -> None:
    profile = {"driver": "GTiff", "height": 2, "width": 3, "count": 1, "dtype": "uint8"}
    with (
        pytest.warns(NotGeoreferencedWarning),
        rasterio.open(tmp_path / "a.tif", "w", **profile) as file,
    ):
        file.write(np.full((1, 2, 3), 7, "uint8"))
    with (
        pytest.warns(NotGeoreferencedWarning),
        open_file(tmp_path / "a.tif", driver="GTiff") as file,
    ):
        assert (file.read() == 7).all()
    for missing in ("nothing.tif", "x" * 5000):
        with pytest.raises(RasterioIOError), open_file(str(tmp_path / missing)):
            pass


def test_pipes_are_refused_wherever_a_file_is_named(pipe: Path, run: Run, tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match="is a pipe or a device"), open_file(pipe):
        pass
    with pytest.raises(CleansatError, match="is a pipe"):
        BandFile(str(pipe), 1, 0).open()
    with pytest.raises(CleansatError, match="is a pipe"), open_raster(ClassRaster(str(pipe))):
        pass
    bands = SimulatedScene(shape=(60, 48), seed=1).write(tmp_path / "june")
    (bands / "B08.tif").unlink()
    pipe.rename(bands / "B08.tif")
    with pytest.raises(CleansatError, match="is a pipe"):
        read_scene(str(bands))
    said = failure(run("recall", "--like", bands / "B08.tif", "-o", tmp_path / "out.tif"))
    assert "is a pipe" in said


AT_THE_END = """
import atexit, sys
import rasterio
real, opened = rasterio.open, []
rasterio.open = lambda *args, **options: opened.append(real(*args, **options)) or opened[-1]
atexit.register(lambda: print([file.closed for file in opened]))  # what is registered first runs last
from odc_cleansat.scenes.files import BandFile
kept = BandFile(sys.argv[1], 1, None).open()
kept.data.isel(x=slice(2)).compute()
print([file.closed for file in opened])
"""


def test_no_file_is_open_when_python_ends(tmp_path: Path) -> None:
    path = tmp_path / "B02.tif"
    form = {"width": 8, "height": 6, "count": 1, "dtype": "uint16", "crs": "EPSG:32633"}
    with rasterio.open(path, "w", transform=Affine(10, 0, 0, 0, -10, 60), **form) as file:
        file.write(np.ones((1, 6, 8), "uint16"))
    command = [sys.executable, "-c", AT_THE_END, str(path)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert said.splitlines() == ["[False]", "[True]"]
