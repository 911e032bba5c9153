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
    """Red, green and blue of a product's scene, and its SCL if that is known.

    From the STAC item they are of, which has signed addresses where they are needed; else as recorded.
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
    """The SCL: as given, or known, or of the name that it would have beside the red band.

    Raises
    ------
    SceneError
        If the one that is given cannot be read, or lies elsewhere.
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
    file: BandFile, grid: GeoBox, how: str, *, overviews: bool
) -> tuple[np.ndarray, float]:
    """A band on a grid, and its value for no data; memory is that of the result.

    Parameters
    ----------
    how
        A resampling method of GDAL.
    overviews
        Whether to read a coarse grid from the file's overviews. Those of classes may lack what is small, and
        in JPEG 2000 they are mixtures that mean nothing.
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
            resampling=Resampling[how], src_nodata=nodata, nodata=nodata,
        ) as view:  # fmt: skip
            return view.read(file.band), nodata


def _overview(file: BandFile, grid: GeoBox) -> int | None:
    """The coarsest overview that is not coarser than a grid: a virtual warp reads none by itself."""
    import rasterio

    path = local_path(file.uri)
    with reading(file.uri), gdal_settings(file.uri), rasterio.open(path) as opened:
        shrink = min(ground_resolution(grid)) / max(ground_resolution(GeoBox.from_rio(opened)))
        levels = [i for i, n in enumerate(opened.overviews(file.band)) if n <= shrink * 1.01]
    return levels[-1] if levels else None
