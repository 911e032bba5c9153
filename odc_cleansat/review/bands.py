"""Read the bands of a scene at the resolution of a picture."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from odc.geo.geobox import GeoBox

from ..errors import CleansatError, SceneError
from ..grids.centres import reach
from ..grids.grid import ground_resolution
from ..products.product import MaskProduct
from ..products.scene_files import admitted, recorded_files, scene_files
from ..scenes.bands import find_bands
from ..scenes.files import BandFile, reading

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

COLOURS = ("red", "green", "blue")
"""The bands of true colour."""


def scene_bands(
    product: MaskProduct, record: Mapping[str, Any], *, fetch_scenes: bool = False
) -> dict[str, BandFile]:
    """Return the files of red, green and blue of a mask's scene, and of its SCL if it is known.

    They are those that the datacube has, or else those of the record, as far as they are opened. With
    `fetch_scenes` they come from the scene's STAC item, which may have signed addresses.

    Parameters
    ----------
    product
        The mask.
    record
        The part ``cleansat`` of its processing record.
    fetch_scenes
        Whether to open files wherever they are; see :mod:`odc_cleansat.products.scene_files`.

    Raises
    ------
    SceneError
        If the scene lacks a band, or a file is not opened.
    OutputError
        If the record names no files.
    """
    if product.scene is not None:
        found = product.scene.wanted(COLOURS)
        return (
            {**found, "scl": product.scene.scl} if product.scene.scl else found | scl_beside(found)
        )
    named = recorded_files(record)
    source = str(product.properties.get("cleansat:source", ""))
    if fetch_scenes and "://" in source:
        from ..scenes.read import read_scene

        with contextlib.suppress(CleansatError):
            named |= read_scene(source).files.wanted([*COLOURS, "scl"])
    found = {band: named[name] for band, name in find_bands(named, COLOURS).items()}
    found |= {"scl": named["scl"]} if "scl" in named else {}
    found = scene_files(product, found, found, fetch_scenes=fetch_scenes)
    if "scl" in found:
        return found
    return found | scl_beside(found, partial(admitted, product=product, fetch_scenes=fetch_scenes))


def given_scl(path: str, red: BandFile) -> BandFile:
    """Return the file of an SCL that a user gives.

    Parameters
    ----------
    path
        Path or URL of the SCL.
    red
        The red band of the scene.

    Raises
    ------
    SceneError
        If it cannot be read, or lies elsewhere.
    """
    file = BandFile(path, 1, 0)
    if reach(file.open().grid, red.open().grid) is None:
        raise SceneError(f"{path} lies elsewhere than the scene: none of its pixels is in it.")
    return file


def scl_beside(
    bands: Mapping[str, BandFile], admit: Callable[[BandFile], BandFile] = lambda file: file
) -> dict[str, BandFile]:
    """Look for the SCL of a scene: the file of the usual name beside the red band.

    Parameters
    ----------
    bands
        Files of the scene's bands.
    admit
        Called with the file before it is opened; returns it, or raises a `SceneError`.

    Returns
    -------
    dict
        ``scl`` to its file; empty if there is none.
    """
    folder, _, name = bands["red"].uri.rpartition("/")
    for old, new in (("B04", "SCL"), ("red", "scl")):
        if old not in name:
            continue
        there = re.sub(r"_10m(?=\.)", "_20m", name.replace(old, new))
        beside = BandFile(f"{re.sub(r'R10m$', 'R20m', folder)}/{there}", 1, 0)
        with contextlib.suppress(SceneError):
            beside = admit(beside)
            beside.open()
            return {"scl": beside}
    return {}


def read_band(
    file: BandFile, grid: GeoBox, resampling: str, *, overviews: bool
) -> tuple[np.ndarray, float]:
    """Read a band on a grid. No more memory is used than for the result.

    Parameters
    ----------
    file
        The file.
    grid
        The grid of the result.
    resampling
        A resampling method of GDAL.
    overviews
        Whether to read a coarse grid from the file's overviews. Overviews of classes may lack small
        features, and in JPEG 2000 they mix codes.

    Returns
    -------
    numpy.ndarray
        Of the shape of `grid` and the dtype of the file.
    float
        The value for no data.

    Raises
    ------
    SceneError
        If the file cannot be read.
    """
    level = _overview(file, grid) if overviews else None
    options = {} if level is None else {"OVERVIEW_LEVEL": level}
    with reading(file.uri), file.opened(**options) as opened:
        return warp_band(opened, file.band, grid, resampling, file.nodata)


def warp_band(
    opened: DatasetReader,
    band: int,
    grid: GeoBox,
    resampling: str,
    nodata: float | None = None,
) -> tuple[np.ndarray, float]:
    """Read a band of an opened file on a grid.

    Parameters
    ----------
    opened
        The file.
    band
        Number of the band in the file, from 1.
    grid
        The grid of the result.
    resampling
        A resampling method of GDAL.
    nodata
        Value for no data, for files that declare none; 0 if it is not known.

    Returns
    -------
    numpy.ndarray
        Of the shape of `grid` and the dtype of the file.
    float
        The value for no data.
    """
    from rasterio.enums import Resampling
    from rasterio.vrt import WarpedVRT

    missing = next((n for n in (opened.nodata, nodata) if n is not None), 0)
    height, width = grid.shape
    with WarpedVRT(
        opened, crs=str(grid.crs), transform=grid.affine, height=height, width=width,
        resampling=Resampling[resampling], src_nodata=missing, nodata=missing,
    ) as view:  # fmt: skip
        return view.read(band), missing


def _overview(file: BandFile, grid: GeoBox) -> int | None:
    """The coarsest overview that is not coarser than a grid. A virtual warp chooses none by itself."""
    with reading(file.uri), file.opened() as opened:
        shrink = min(ground_resolution(grid)) / max(ground_resolution(GeoBox.from_rio(opened)))
        levels = [i for i, n in enumerate(opened.overviews(file.band)) if n <= shrink * 1.01]
    return levels[-1] if levels else None
