"""Lazy arrays into cloud-optimised GeoTIFFs, block by block."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from ..errors import OutputError
from ..grids.centres import Roi, tiles
from .atomic import working_folder

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox


BLOCK = 512
"""Side of the blocks in the files, pixels."""


@dataclass(frozen=True)
class Raster:
    """What one file is to hold."""

    bands: Mapping[str, xr.DataArray]
    """By description: dims ``(y, x)``, of one grid, dtype and nodata value, eager or dask."""

    nodata: float | None
    """Value for no data."""

    colours: Mapping[int, str] | None = None
    """Value to hexadecimal RGB, for classes; their overviews are made by mode, others by average."""

    tags: Mapping[str, str] | None = None
    """More metadata for the file."""

    @property
    def grid(self) -> GeoBox:
        """Of all bands."""
        grid: GeoBox = next(iter(self.bands.values())).odc.geobox
        return grid


def write_cogs(
    files: Mapping[Path, Raster],
    *,
    together: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write one or more files that share a grid, each whole or not at all.

    A block is computed once for all files, so that what their bands have in common is not computed
    again, and memory holds no more than the blocks at work.

    Parameters
    ----------
    files
        What goes where. Files that are there are replaced.
    together
        Blocks computed at a time.
    progress
        Called with the number of blocks done and the number there are.

    Raises
    ------
    OutputError
        If a file cannot be written.
    """
    from rasterio.errors import RasterioError

    target = next(iter(files))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with working_folder(target.parent) as folder:
            drafts = {path: folder / f"{i}.tif" for i, path in enumerate(files)}
            _write_drafts({drafts[path]: file for path, file in files.items()}, together, progress)
            for path, file in files.items():
                _optimise(drafts[path], file).replace(path)
    except OSError as error:  # among them those of rasterio that say what the system said
        reason = error.strerror or error
        raise OutputError(f"cannot write {target}: {reason}. Check the space there.") from error
    except RasterioError as error:
        raise OutputError(f"cannot write {target}: {error}. Check the space there.") from error


def _write_drafts(
    files: Mapping[Path, Raster], together: int, progress: Callable[[int, int], None] | None
) -> None:
    """Plain GeoTIFFs, which can be written in any order."""
    import dask
    import rasterio

    blocks = _blocks(next(iter(files.values())))
    with ExitStack() as stack:
        opened = [
            (stack.enter_context(rasterio.open(path, "w", **_profile(file))), file)
            for path, file in files.items()
        ]
        for file, raster in opened:
            _describe(file, raster)
        for start in range(0, len(blocks), together):
            part = blocks[start : start + together]
            lazy = [
                [[band.data[roi] for band in raster.bands.values()] for _, raster in opened]
                for roi in part
            ]
            for roi, found in zip(part, dask.compute(lazy, scheduler="threads")[0], strict=True):
                area = tuple((axis.start, axis.stop) for axis in roi)
                for (file, _), values in zip(opened, found, strict=True):
                    file.write(np.stack(values), window=area)
            if progress is not None:
                progress(start + len(part), len(blocks))


def _blocks(raster: Raster) -> Sequence[Roi]:
    """The chunks of the data."""
    data = next(iter(raster.bands.values()))
    height, width = (c[0] for c in data.chunks) if data.chunks else (4 * BLOCK, 4 * BLOCK)
    return [roi for row in tiles((data.shape[0], data.shape[1]), height, width) for roi in row]


def _profile(raster: Raster) -> dict[str, Any]:
    from rasterio.crs import CRS

    grid, first = raster.grid, next(iter(raster.bands.values()))
    return {
        "driver": "GTiff",
        "height": grid.shape.y,
        "width": grid.shape.x,
        "count": len(raster.bands),
        "dtype": first.dtype.name,
        "nodata": raster.nodata,
        "crs": CRS.from_wkt(grid.crs.to_wkt()),
        "transform": grid.affine,
        "tiled": True,
        "blockxsize": BLOCK,
        "blockysize": BLOCK,
        "interleave": "band",
        "bigtiff": "if_safer",
        "compress": "deflate",
        "zlevel": 1,
    }


def _describe(file: Any, raster: Raster) -> None:
    for number, name in enumerate(raster.bands, start=1):
        file.set_band_description(number, name)
    if raster.tags:
        file.update_tags(**raster.tags)
    if raster.colours:
        rgb = {
            value: tuple(int(colour[i : i + 2], 16) for i in (1, 3, 5))
            for value, colour in raster.colours.items()
        }
        file.write_colormap(1, rgb)


def _optimise(draft: Path, raster: Raster) -> Path:
    """The same as a COG, read back: GDAL does not always say so when a disk is full."""
    import rasterio
    from rasterio.shutil import copy

    cog = draft.with_suffix(".cog.tif")
    kind = next(iter(raster.bands.values())).dtype.kind
    overviews = "mode" if raster.colours else "average" if kind in "uif" else "nearest"
    try:
        copy(
            str(draft),
            str(cog),
            driver="COG",
            blocksize=BLOCK,
            compress="deflate",
            predictor="no" if raster.colours else "yes",
            overview_resampling=overviews,
            bigtiff="if_safer",
        )
        with rasterio.open(draft) as given, rasterio.open(cog) as written:
            whole = all(
                np.array_equal(
                    given.read(window=part), written.read(window=part), equal_nan=kind == "f"
                )
                for _, part in given.block_windows(1)
            )
    except Exception as error:  # of rasterio and of GDAL, in several kinds
        raise OSError(f"GDAL could not write it: {error}") from error
    if not whole:
        raise OSError("it was not written whole")
    draft.unlink()
    return cog
