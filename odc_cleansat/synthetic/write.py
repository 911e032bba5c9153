"""Write simulated scenes to files."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.windows import Window

from ..errors import SceneError

_STRIP_ROWS = 480
"""Rows at 10 m written at once: whole blocks of the files of all resolutions."""

_TIFF_BLOCK = {10: 240, 20: 240, 60: 80}
"""Resolution, metres, to the side of the blocks in a file, pixels."""


def write_layers(
    folder: Path,
    grids: Mapping[str, GeoBox],
    read: Callable[[slice], Mapping[str, NDArray[Any]]],
    attributes: Mapping[str, object],
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write layers strip by strip, as one GeoTIFF each, with a ``scene.json``.

    They are written to a temporary folder beside `folder`, which is renamed at the end. So nobody sees
    unfinished files.

    Parameters
    ----------
    folder
        The new folder; it must not exist yet, or be empty.
    grids
        Name of a layer to its grid; the finest is of 10 m.
    read
        Returns the layers of some rows at 10 m, dims (y, x), each in the dtype of its file, nodata 0.
    attributes
        Contents of ``scene.json``.
    progress
        Called with the number of rows done and of all rows, at 10 m, after each strip.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    SceneError
        If `folder` exists and is not an empty folder.
    """
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise SceneError(
            f"{folder} exists already and is not overwritten: remove it or choose another folder."
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        _write_strips(partial, grids, read, progress)
        document = json.dumps(attributes, indent=2)
        (partial / "scene.json").write_text(document + "\n", encoding="utf-8")
        partial.chmod(0o755)  # mkdtemp makes a private folder
        partial.replace(folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return folder


def _write_strips(
    folder: Path,
    grids: Mapping[str, GeoBox],
    read: Callable[[slice], Mapping[str, NDArray[Any]]],
    progress: Callable[[int, int], None] | None,
) -> None:
    """Write the GeoTIFFs, whose pixels are in memory for one strip at a time."""
    total = max(grid.height for grid in grids.values())
    with ExitStack() as stack:
        files = {}
        for start in range(0, total, _STRIP_ROWS):
            stop = min(start + _STRIP_ROWS, total)
            for name, values in read(slice(start, stop)).items():
                if name not in files:
                    profile = _profile(grids[name], values.dtype)
                    opened = rasterio.open(folder / f"{name}.tif", "w", **profile)
                    files[name] = stack.enter_context(opened)
                height, width = values.shape
                first = start * grids[name].height // total
                files[name].write(values, 1, window=Window(0, first, width, height))
            if progress is not None:
                progress(stop, total)


def _profile(grid: GeoBox, dtype: np.dtype[Any]) -> dict[str, object]:
    """Return the GeoTIFF creation options of one layer."""
    block = _TIFF_BLOCK[round(grid.resolution.x)]
    return {
        "driver": "GTiff",
        "width": grid.width,
        "height": grid.height,
        "count": 1,
        "dtype": dtype.name,
        "crs": str(grid.crs),
        "transform": grid.affine,
        "nodata": 0,
        "tiled": True,
        "blockxsize": block,
        "blockysize": block,
        "compress": "deflate",
        "zlevel": 1,  # the pixels are noisy, so that more effort saves little
        "predictor": 2,
    }
