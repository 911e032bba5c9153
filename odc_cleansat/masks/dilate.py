"""Dilate cloud and cloud shadow by metres."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import xarray as xr
from odc.geo.geobox import GeoBox

from ..arguments import fault_of_metres
from ..classes import CloudClass
from ..errors import ModelError
from ..grids.grid import ground_resolution

# Later classes are drawn over earlier ones where they meet.
_KINDS = {
    "shadow": (CloudClass.SHADOW,),
    "cloud": (CloudClass.THIN_CLOUD, CloudClass.CLOUD),
}


def dilate(ucl: xr.DataArray, dilation: Mapping[str, float], grid: GeoBox) -> xr.DataArray:
    """Grow cloud and shadow into clear pixels.

    Parameters
    ----------
    ucl
        uint8 :class:`CloudClass` codes, dims ``([time,] y, x)``, nodata 0.
    dilation
        ``cloud`` and ``shadow`` to metres on the ground; see :func:`~odc_cleansat.classify`.
    grid
        Where the pixels stand.

    Returns
    -------
    xarray.DataArray
        Same dims, dtype and attributes; lazy if `ucl` is.

    Raises
    ------
    ModelError
        If there is another name than these two, or metres are no number from 0 to
        :data:`~odc_cleansat.arguments.FARTHEST`.
    """
    if fault := fault_of_metres(dilation, ("cloud", "shadow")):
        raise ModelError(fault)
    clear = ucl == CloudClass.CLEAR
    grown = ucl
    for name, classes in _KINDS.items():
        radius = radius_in_pixels(dilation.get(name, 0), grid)
        for cls in classes if radius > 0 else ():
            found = ucl == cls
            if cls in ucl.attrs.get("flag_values", [cls]) and (ucl.chunks or found.any()):
                reached = widen(found, radius)
                grown = grown.where(~(reached & clear), np.uint8(cls))
    dilated: xr.DataArray = grown.astype("uint8").assign_attrs(ucl.attrs)
    return dilated


def radius_in_pixels(metres: float, grid: GeoBox) -> int:
    """Return metres on the ground as whole pixels of a grid, of its mean pixel size."""
    return round(metres / (sum(ground_resolution(grid)) / 2))


def widen(mask: xr.DataArray, radius: int) -> xr.DataArray:
    """Dilate a mask by a disk, with `odc.algo.mask_cleanup`.

    Parameters
    ----------
    mask
        bool, dims ``([time,] y, x)``.
    radius
        Radius of the disk, pixels, 1 or more.

    Returns
    -------
    xarray.DataArray
        Same dims and dtype; lazy if `mask` is.
    """
    from odc.algo import mask_cleanup

    # odc-algo 1.2.2 marks the corner of an empty mask, and under dask refuses a mask that is smaller
    # than the radius. Padding prevents both.
    spatial = mask.dims[-2:]
    # No two pixels are farther apart than the corners.
    radius = min(radius, math.ceil(math.hypot(*mask.shape[-2:])))
    padded = mask.pad(dict.fromkeys(spatial, radius), constant_values=False)
    inside = dict.fromkeys(spatial, slice(radius, -radius))
    widened: xr.DataArray = mask_cleanup(padded, [("dilation", radius)]).isel(inside)
    return widened
