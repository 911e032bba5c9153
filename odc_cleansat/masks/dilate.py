"""Dilate cloud and cloud shadow by metres."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr
from odc.geo.geobox import GeoBox

from ..classes import CloudClass
from ..errors import ModelError
from ..grids.grid import ground_resolution


def dilate(ucl: xr.DataArray, dilation: Mapping[str, float], output: GeoBox) -> xr.DataArray:
    """Grow cloud and shadow into clear pixels by metres; see :func:`classify`."""
    # The last wins where they meet.
    kinds = {"shadow": [CloudClass.SHADOW], "cloud": [CloudClass.THIN_CLOUD, CloudClass.CLOUD]}
    if unknown := set(dilation) - set(kinds):
        raise ModelError(
            f"cannot dilate {', '.join(sorted(unknown))}; choose from cloud and shadow."
        )
    if wrong := [metres for metres in dilation.values() if not 0 <= metres < np.inf]:
        raise ModelError(f"cannot dilate by {wrong[0]} m; pass a number of metres, 0 or more.")
    pixel = sum(ground_resolution(output)) / 2
    clear = ucl == CloudClass.CLEAR
    grown = ucl
    for name, classes in kinds.items():
        radius = round(dilation.get(name, 0) / pixel)
        for cls in classes if radius > 0 else ():
            found = ucl == cls
            if cls in ucl.attrs.get("flag_values", [cls]) and (ucl.chunks or found.any()):
                reached = widen(found, radius)
                grown = grown.where(~(reached & clear), np.uint8(cls))
    dilated: xr.DataArray = grown.astype("uint8").assign_attrs(ucl.attrs)
    return dilated


def widen(mask: xr.DataArray, radius: int) -> xr.DataArray:
    """Dilate by a disk of so many pixels, with `odc.algo.mask_cleanup`."""
    from odc.algo import mask_cleanup

    # Padded, for odc-algo 1.2.2 marks the corner of a mask that is empty, and under dask refuses one
    # that is smaller than the radius.
    spatial = mask.dims[-2:]
    padded = mask.pad(dict.fromkeys(spatial, radius), constant_values=False)
    inside = dict.fromkeys(spatial, slice(radius, -radius))
    widened: xr.DataArray = mask_cleanup(padded, [("dilation", radius)]).isel(inside)
    return widened
