"""Write cloud-optimised GeoTIFFs (COG), from memory or block by block from lazy arrays."""

from __future__ import annotations

import errno
import math
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import OutputError
from ..grids.centres import Roi, tiles
from ..grids.grid import crs_name
from ..threads import compute
from .atomic import working_folder
from .rasters import open_file
from .reader import DocumentError
from .replace import check_free

if TYPE_CHECKING:
    import xarray as xr
    from odc.geo.geobox import GeoBox


BLOCK = 512
"""Side of the blocks in the files, pixels."""

REQUEST = "CLEANSAT_REQUEST"
"""Tag of a file for the options that decide what its pixels mean."""

_SAME = {
    REQUEST: "was made with other options",
    "TIFFTAG_DATETIME": "is of another time",
    "HOW": "holds something else",
    "COMPOSITE_METHOD": "was made by another method",
}
"""Tags that a file and the one that replaces it have in common, and what is said where they do not."""


@dataclass(frozen=True)
class Raster:
    """The content of one file."""

    bands: Mapping[str, xr.DataArray]
    """Description to band; ``""`` for a band without one. Each has the dims ``(y, x)``, eager or dask. All have one
    grid, dtype and nodata value."""

    nodata: float | None
    """Value for no data."""

    colours: Mapping[int, str] | None = None
    """Class code to hexadecimal RGB. A raster with colours holds classes, one without holds quantities."""

    tags: Mapping[str, str] | None = None
    """More metadata for the file."""

    overviews: str | None = None
    """GDAL's resampling method for overviews. The default is ``mode`` for classes and ``average`` for quantities."""

    smallest_overview: int | None = None
    """Least side of the smallest overview, pixels. By default GDAL halves until a side is within one block."""

    @property
    def first(self) -> xr.DataArray:
        """The first band, dims ``(y, x)``, of the dtype of the file."""
        return next(iter(self.bands.values()))

    @property
    def grid(self) -> GeoBox:
        """The grid of all bands."""
        grid: GeoBox = self.first.odc.geobox
        return grid


def write_cogs(
    files: Mapping[Path, Raster],
    *,
    together: int = 1,
    progress: Callable[[int, int], None] | None = None,
    overwrite: bool = False,
) -> None:
    """Write one or more files that share a grid, each whole or not at all.

    Each block is computed once for all files. Memory holds only the blocks at work.

    Parameters
    ----------
    files
        Path to content. A file that is there is replaced if it is the same made again; see :func:`check_files`.
    together
        Number of blocks computed at a time.
    progress
        Called with the number of blocks done and the number of all blocks.
    overwrite
        Replace whatever files are there.

    Raises
    ------
    OutputError
        If a file cannot be written, or another is there.
    """
    from rasterio.errors import RasterioError

    check_files(files, overwrite=overwrite)
    target = next(iter(files))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with working_folder(target.parent) as folder:
            drafts = {path: folder / f"{i}.tif" for i, path in enumerate(files)}
            _write_drafts(
                {drafts[path]: raster for path, raster in files.items()}, together, progress
            )
            for path, raster in files.items():
                draft = drafts[path]
                cog = draft.with_suffix(".cog.tif")
                _convert(draft, raster, cog)
                draft.unlink()
                cog.replace(path)
    except OSError as error:  # includes the errors of rasterio that give the system's reason
        reason = error.strerror or error
        raise OutputError(f"cannot write {target}: {reason}. Check the space there.") from error
    except RasterioError as error:
        raise OutputError(f"cannot write {target}: {error}. Check the space there.") from error


def check_files(files: Mapping[Path, Raster], *, overwrite: bool = False) -> None:
    """Raise if one of the files is there and may not be replaced.

    A file is replaced only by the same raster made again: one with its grid, bands, type, nodata, time and
    request. Everything else is left as it is; :mod:`~odc_cleansat.storage.replace` has the rule for all files.

    Parameters
    ----------
    files
        Path to the content that is to be written there.
    overwrite
        Replace whatever files are there.

    Raises
    ------
    OutputError
        If a file is there that is another raster or no raster, or the path is that of a folder or a device.
    """
    for path, raster in files.items():
        check_free(path, partial(_difference, raster), overwrite)


def write_cog(raster: Raster, path: Path) -> None:
    """Write one file from memory, in place, and read it back.

    Use it inside a folder that is not yet visible; :func:`write_cogs` replaces files in one step.

    Parameters
    ----------
    raster
        The content.
    path
        The new file, in an existing folder.

    Raises
    ------
    OSError
        If the file cannot be written, or does not hold what it was given.
    """
    from rasterio.io import MemoryFile

    with MemoryFile(ext=".tif") as memory:
        _write_drafts({memory.name: raster}, together=1, progress=None)
        _convert(memory.name, raster, path)


def _write_drafts(
    files: Mapping[Path | str, Raster],
    together: int,
    progress: Callable[[int, int], None] | None,
) -> None:
    """Write plain GeoTIFFs, whose blocks may come in any order."""
    import rasterio

    blocks = _blocks(next(iter(files.values())))
    with ExitStack() as stack:
        opened = [
            (stack.enter_context(rasterio.open(path, "w", **_profile(raster))), raster)
            for path, raster in files.items()
        ]
        for file, raster in opened:
            _describe(file, raster)
        for start in range(0, len(blocks), together):
            part = blocks[start : start + together]
            lazy = [
                [[band.data[roi] for band in raster.bands.values()] for _, raster in opened]
                for roi in part
            ]
            computed = compute(lazy)
            for roi, of_files in zip(part, computed, strict=True):
                window = tuple((axis.start, axis.stop) for axis in roi)
                for (file, _), values in zip(opened, of_files, strict=True):
                    file.write(np.stack(values), window=window)
            if progress is not None:
                progress(start + len(part), len(blocks))


def _blocks(raster: Raster) -> Sequence[Roi]:
    """Return the chunks of the data, row by row."""
    data = raster.first
    height, width = (c[0] for c in data.chunks) if data.chunks else (4 * BLOCK, 4 * BLOCK)
    return [roi for row in tiles((data.shape[0], data.shape[1]), height, width) for roi in row]


def _profile(raster: Raster) -> dict[str, Any]:
    """Return the creation options of a draft."""
    from rasterio.crs import CRS

    grid = raster.grid
    return {
        "driver": "GTiff",
        "height": grid.shape.y,
        "width": grid.shape.x,
        "count": len(raster.bands),
        "dtype": raster.first.dtype.name,
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
    """Set the descriptions, the tags and the colour map of an open file."""
    for number, name in enumerate(raster.bands, start=1):
        if name:
            file.set_band_description(number, name)
    if raster.tags:
        file.update_tags(**raster.tags)
    if raster.colours:
        rgb = {
            value: tuple(int(colour[i : i + 2], 16) for i in (1, 3, 5))
            for value, colour in raster.colours.items()
        }
        file.write_colormap(1, rgb)


def _convert(draft: Path | str, raster: Raster, cog: Path) -> None:
    """Copy a draft to a COG, and compare the two: GDAL does not always report a full disk.

    Raises
    ------
    OSError
        If the COG cannot be written, or differs from the draft.
    """
    import rasterio
    from rasterio.shutil import copy

    try:
        copy(str(draft), str(cog), driver="COG", **_cog_options(raster))
        with rasterio.open(draft) as given, rasterio.open(cog) as written:
            has_nan = raster.first.dtype.kind == "f"
            whole = all(
                np.array_equal(
                    given.read(window=part), written.read(window=part), equal_nan=has_nan
                )
                for _, part in given.block_windows(1)
            )
    except Exception as error:  # rasterio and GDAL raise several kinds
        if cog.parent.exists() and shutil.disk_usage(cog.parent).free < BLOCK * BLOCK:
            # GDAL tells no number of the error, and often another one that followed.
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
        raise OSError(f"GDAL could not write {cog.name}: {error}") from error
    if not whole:
        raise OSError(f"{cog.name} was not written whole")


def _cog_options(raster: Raster) -> dict[str, Any]:
    """Return the options of GDAL's COG driver; docs/reference/product.md has the measurements behind them."""
    classes = bool(raster.colours) or raster.overviews == "mode"
    quantities = "average" if raster.first.dtype.kind in "uif" else "nearest"
    options = {
        "blocksize": BLOCK,
        "compress": "deflate",
        "predictor": "no" if classes else "yes",
        "overview_resampling": raster.overviews or ("mode" if classes else quantities),
        "bigtiff": "if_safer",
    }
    if raster.smallest_overview is None:
        return options
    halvings = math.log2(max(min(raster.grid.shape), 1) / raster.smallest_overview)
    count = max(int(halvings), 0)
    return options | ({"overview_count": count} if count else {"overviews": "NONE"})


def _difference(raster: Raster, path: Path) -> str:
    """Return how a file that is there differs from one with this content; "" if it is the same."""
    from odc.geo.geobox import GeoBox
    from rasterio.errors import RasterioError

    try:
        with open_file(path, driver="GTiff") as file:
            there = GeoBox.from_rio(file) if file.crs is not None else None
            held = (file.dtypes, file.descriptions, file.nodata)
            tags = file.tags()
    except (RasterioError, DocumentError):
        return "is no GeoTIFF"
    if there is None or not _same_grid(there, raster.grid):
        return f"has another grid, {'without a CRS' if there is None else _described(there)}"
    names = tuple(name or None for name in raster.bands)
    dtypes = (raster.first.dtype.name,) * len(names)
    if held[:2] != (dtypes, names) or not _same_number(held[2], raster.nodata):
        return f"holds other bands: {', '.join(name or 'one without a name' for name in held[1])}"
    wanted = raster.tags or {}
    for tag, said in _SAME.items():
        if tags.get(tag) != wanted.get(tag):
            return f"{said}: {tags.get(tag, 'none that it names')}"
    return ""


def _same_grid(one: GeoBox, other: GeoBox) -> bool:
    return bool(
        one.crs == other.crs
        and one.shape == other.shape
        and one.affine.almost_equals(other.affine, precision=1e-6 * abs(other.affine.a))
    )


def _same_number(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is other
    return bool(np.isclose(one, other, rtol=0, atol=0, equal_nan=True))


def _described(grid: GeoBox) -> str:
    rows, columns = grid.shape
    return f"{rows} x {columns} pixels in {crs_name(grid.crs):.60}"
