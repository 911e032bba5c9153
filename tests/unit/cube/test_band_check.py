"""Files are looked at once, and again when they have changed."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from odc.geo.geobox import GeoBox
from odc.geo.xr import wrap_xr

from odc_cleansat.cube.band_check import check_file, why_unreadable
from odc_cleansat.errors import SceneError
from odc_cleansat.scenes.files import BandFile

GRID = GeoBox.from_bbox((399960, 5290040, 400960, 5291040), "EPSG:32633", resolution=10)


def write(path: Path, grid: GeoBox) -> None:
    wrap_xr(np.ones(grid.shape, "uint16"), grid).odc.write_cog(path, overwrite=True)


def test_a_file_on_its_grid_and_another_of_its_name(tmp_path: Path) -> None:
    path = tmp_path / "B04.tif"
    file = BandFile(str(path), 1, None)
    write(path, GRID)
    check_file(file, GRID)
    check_file(file, None)
    with pytest.raises(SceneError, match="it has 1 band, and band 2 is asked for"):
        check_file(file._replace(band=2), GRID)
    write(path, GRID.translate_pix(100, 0))
    os.utime(path, (1, 1))
    with pytest.raises(SceneError, match="0 % of its ground in common with what its document says"):
        check_file(file, GRID)
    check_file(file, None)
    check_file(file, GRID, subdataset="red")


def test_why_a_remote_file_cannot_be_read() -> None:
    refused = OSError("HTTP response code: 403")
    found = why_unreadable(BandFile("https://example.org/B04.tif?sig=abc", 1, None), refused)
    assert found.endswith("Probably the signature in its address has expired; search for the scene again.")  # fmt: skip
    assert why_unreadable(BandFile("/B04.tif", 1, None), refused).endswith("403. Is it there, and whole?")  # fmt: skip
