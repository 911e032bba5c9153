"""A whole tile of Sentinel-2 for measurements: a simulated patch that is repeated, in COGs as Earth Search has them."""

from __future__ import annotations

import json
import tempfile
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
