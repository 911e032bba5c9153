"""A whole tile of Sentinel-2 for measurements: a simulated patch that is repeated, in COGs as Earth Search has them.

`python benchmarks/tile.py FOLDER` makes the tile if it is not there, and its mask. It prints seconds, and memory beyond what
libraries and network have. `CLEANSAT_PRECISION` chooses the precision.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import rasterio
import rasterio.shutil

from odc_cleansat.synthetic.scene import SimulatedScene
from odc_cleansat.synthetic.write import write_layers

SIDE, TIMES = 10980, 5
"""Pixels of 10 m along a side, and how often the patch stands along it."""


def make_tile(folder: Path, moment: str) -> None:
    """Write a tile, in about two minutes. Shadows stop where the patch begins anew, which costs no time elsewhere.

    Parameters
    ----------
    folder
        The new folder.
    moment
        Acquisition time, ISO 8601.
    """
    side = SIDE // TIMES
    patch = SimulatedScene(shape=(side, side), seed=11, datetime=moment)
    with tempfile.TemporaryDirectory(prefix="cleansat-patch-") as temporary:
        written = patch.write(Path(temporary, "patch"))
        said = json.loads((written / "scene.json").read_text())
        layers = {file.stem: _pixels(file) for file in written.glob("*.tif")}
    whole = SimulatedScene(shape=(SIDE, SIDE), seed=11, datetime=moment)

    def read(rows: slice) -> dict[str, np.ndarray]:
        found = {}
        for name, values in layers.items():
            step = side // len(values)
            wanted = np.arange(rows.start // step, rows.stop // step) % len(values)
            found[name] = np.tile(values[wanted], TIMES)
        return found

    grids = {name: whole.geobox(10 * side // len(values)) for name, values in layers.items()}
    write_layers(folder, grids, read, {**said, "shape": [SIDE, SIDE]})
    _give_overviews(folder)


def _pixels(file: Path) -> np.ndarray:
    with rasterio.open(file) as opened:
        found: np.ndarray = opened.read(1)
    return found


def _give_overviews(folder: Path) -> None:
    """Make COGs of the files, with the blocks and overviews that those of Earth Search have."""
    for file in folder.glob("*.tif"):
        draft = file.with_suffix(".draft")
        rasterio.shutil.copy(
            file, draft, driver="COG", blocksize=1024, compress="deflate", level=1, predictor="yes", num_threads=2,
            overview_resampling="mode" if file.stem in ("SCL", "truth") else "average",
        )  # fmt: skip
        draft.replace(file)


def measure(folder: Path) -> str:
    """Mask the tile in this process, and return in a line what that took."""
    from odc_cleansat.models.engines import get_engine
    from odc_cleansat.products.job import MaskJob
    from odc_cleansat.scenes.band_folder import folder_scene

    scene = folder_scene(folder)
    with tempfile.TemporaryDirectory(prefix="cleansat-tile-") as temporary:
        job = MaskJob.of_scene(scene, temporary)
        engine = get_engine(job.model)
        engine(np.zeros((1, len(job.model.bands), 64, 64), "float32"))
        loaded, wall, processor = _memory("VmRSS"), time.perf_counter(), time.process_time()
        job.run()
        wall, processor = time.perf_counter() - wall, time.process_time() - processor
    return (
        f"{engine.precision}: {wall:.1f} s, {processor:.1f} s of a processor, {_memory('VmHWM') - loaded:.2f} GB beyond "
        f"{loaded:.2f} GB of libraries and network, load {os.getloadavg()[0]:.1f}"
    )


def _memory(name: str) -> float:
    """Return memory of this process, GB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1]) / 1e6


if __name__ == "__main__":
    tile = Path(sys.argv[1])
    if not tile.exists():
        make_tile(tile, "2024-09-05T10:00:00Z")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        print(measure(tile))
