"""Cloud-optimised GeoTIFFs on a disk that is full."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

FULL_DISK = """
import resource, signal, sys
from pathlib import Path
import numpy as np
from odc.geo.geobox import GeoBox
from odc.geo.xr import wrap_xr
from odc_cleansat.errors import OutputError
from odc_cleansat.storage.cog import Raster, write_cogs

grid = GeoBox.from_bbox((0, 0, 2048, 2048), "EPSG:32633", resolution=10)
noise = np.random.default_rng(0).integers(0, 60000, grid.shape).astype("uint16")
target = Path(sys.argv[1]) / "red.tif"
files = {target: Raster({"red": wrap_xr(noise, grid)}, 0)}
write_cogs(files)
size, before = target.stat().st_size, target.read_bytes()
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
for missing in (1, 50, 2000, size // 2):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size - missing, resource.RLIM_INFINITY))
    try:
        write_cogs(files)
    except OutputError as error:
        print(error)
    assert target.read_bytes() == before, missing
"""


def test_a_full_disk_leaves_what_was_there(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Check the space there") == 4
