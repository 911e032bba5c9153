"""Read the bands of a scene at the resolution of a picture."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from odc.geo.geobox import GeoBox

from ..errors import CleansatError, SceneError
from ..grids.centres import reach
from ..grids.grid import ground_resolution
from ..scenes.bands import find_bands
from ..scenes.files import BandFile, local_path, reading
from ..storage.settings import gdal_settings


def scene_bands(properties: Mapping[str, Any], record: Mapping[str, Any]) -> dict[str, BandFile]:
    """Return the files of red, green and blue of a mask's scene, and of its SCL if it is known.

    They are taken from the scene's STAC item, which may have signed addresses, or else from the record.

    Parameters
    ----------
    properties
        Properties of the mask.
    record
        The part ``cleansat`` of the mask's processing record.

    Raises
    ------
    SceneError
        If the record names no files.
    """
    recorded = record.get("scene", {}).get("bands")
    if not recorded:
        raise SceneError("the mask product does not say which files its scene has.")
    files = {name: BandFile(**each) for name, each in recorded.items()}
    if scl := record["scene"].get("scl"):
        files["scl"] = BandFile(**scl)
    source = str(properties.get("cleansat:source", ""))
    if "://" in source:
        from ..scenes.read import read_scene

        with contextlib.suppress(CleansatError):
            files |= read_scene(source).files.wanted(["red", "green", "blue", "scl"])
    names = find_bands(files, ["red", "green", "blue"])
    bands = {band: files[name] for band, name in names.items()}
    return bands | ({"scl": files["scl"]} if "scl" in files else {})


def scl_file(bands: Mapping[str, BandFile], given: str | None) -> dict[str, BandFile]:
    """Find the SCL of a scene: a given file, or the file of the usual name beside the red band.

    Parameters
    ----------
    bands
        Files of the scene's bands. If they have an SCL, no other is looked for.
    given
        Path or URL of an SCL; None to look for it.

    Returns
    -------
    dict
        ``scl`` to its file; empty if there is none, or `bands` has it.

    Raises
    ------
    SceneError
        If the given file cannot be read, or lies elsewhere.
    """
    if given is not None:
        file = BandFile(given, 1, 0)
        if reach(file.open().grid, bands["red"].open().grid) is None:
            raise SceneError(f"{given} lies elsewhere than the scene: none of its pixels is in it.")
        return {"scl": file}
    if "scl" in bands:
        return {}
    folder, _, name = bands["red"].uri.rpartition("/")
    for old, new in (("B04", "SCL"), ("red", "scl")):
        if old not in name:
            continue
        there = re.sub(r"_10m(?=\.)", "_20m", name.replace(old, new))
        beside = BandFile(f"{re.sub(r'R10m$', 'R20m', folder)}/{there}", 1, 0)
        with contextlib.suppress(SceneError):
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
    import rasterio
    from rasterio.enums import Resampling
    from rasterio.vrt import WarpedVRT

    level = _overview(file, grid) if overviews else None
    options = {} if level is None else {"OVERVIEW_LEVEL": level}
    height, width = grid.shape
    path = local_path(file.uri)
    with reading(file.uri), gdal_settings(file.uri), rasterio.open(path, **options) as opened:
        nodata = next((n for n in (opened.nodata, file.nodata) if n is not None), 0)
        with WarpedVRT(
            opened, crs=str(grid.crs), transform=grid.affine, height=height, width=width,
            resampling=Resampling[resampling], src_nodata=nodata, nodata=nodata,
        ) as view:  # fmt: skip
            return view.read(file.band), nodata


def _overview(file: BandFile, grid: GeoBox) -> int | None:
    """The coarsest overview that is not coarser than a grid. A virtual warp chooses none by itself."""
    import rasterio

    path = local_path(file.uri)
    with reading(file.uri), gdal_settings(file.uri), rasterio.open(path) as opened:
        shrink = min(ground_resolution(grid)) / max(ground_resolution(GeoBox.from_rio(opened)))
        levels = [i for i, n in enumerate(opened.overviews(file.band)) if n <= shrink * 1.01]
    return levels[-1] if levels else None
