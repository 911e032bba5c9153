"""`persist`: on which share of the dates each pixel is cloud, shadow and clear.

Weather spreads evenly over a place. What stands out from its surroundings is a roof, salt or a pond. A mask takes it for
cloud or shadow on most dates, so that no composite ever shows it.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from ..classes import CLOUDS, CloudClass, scl_to_ucl
from ..errors import SceneError
from .storable import storable

SHARES = {
    "cloud": CLOUDS,
    "shadow": (CloudClass.SHADOW,),
    "clear": (CloudClass.CLEAR, CloudClass.SNOW, CloudClass.WATER),
}
"""What is counted, and the classes that are."""


def persist(scene: xr.Dataset) -> xr.Dataset:
    """Return the share of the dates on which each pixel is cloud, shadow and clear, by the UCL and by SCL.

    Parameters
    ----------
    scene
        Dims ``(time, y, x)``: ``ucl``, uint8 :class:`CloudClass` codes, and, if wanted, ``scl``, uint8 codes of
        Sen2Cor, by this name or as ``SCL``. With dask arrays the result is lazy.

    Returns
    -------
    xarray.Dataset
        Dims ``(y, x)``: ``cloud_share``, ``shadow_share`` and ``clear_share``, float32 of 0 to 1, NaN without data. Cloud
        is of any kind, and clear also snow and water. With SCL also ``scl_cloud_share`` and so on. ``date_count``,
        uint16: dates with data in ``ucl``.

    Raises
    ------
    SceneError
        If there is no ``ucl`` of dates.
    """
    if not isinstance(scene, xr.Dataset) or "ucl" not in scene or "time" not in scene.ucl.dims:
        raise SceneError(
            "shares of dates need an xarray.Dataset with `ucl` along `time`; load several dates with masks."
        )
    if scene.ucl.dtype.kind not in "ui":
        raise SceneError(
            f"`ucl` is {scene.ucl.dtype}, but class codes are uint8; load it by nearest."
        )
    found = _shares(scene.ucl, "")
    name = next((name for name in scene.data_vars if str(name).lower() == "scl"), None)
    if name is not None:
        codes = xr.apply_ufunc(
            scl_to_ucl, scene[name], dask="parallelized", output_dtypes=["uint8"]
        )
        found |= _shares(codes, "scl_")
    count = (scene.ucl != CloudClass.NODATA).sum("time", dtype="uint16")
    found["date_count"] = count.assign_attrs(
        units="1", long_name="dates with data", **_mapping(scene.ucl)
    )
    return storable(xr.Dataset(found))


def _shares(codes: xr.DataArray, prefix: str) -> dict[str, xr.DataArray]:
    """Return the share of the dates with data, for each of :data:`SHARES`."""
    dates = (codes != CloudClass.NODATA).sum("time", dtype="float32")
    layers = {}
    for name, classes in SHARES.items():
        number = codes.isin([int(c) for c in classes]).sum("time", dtype="float32")
        share = (number / dates.where(dates > 0)).astype("float32")
        source = "SCL" if prefix else "UCL"
        layers[f"{prefix}{name}_share"] = share.assign_attrs(
            units="1",
            nodata=np.nan,
            long_name=f"share of the dates with data that are {name} by the {source}",
            **_mapping(codes),
        )
    return layers


def _mapping(codes: xr.DataArray) -> dict[str, str]:
    named = codes.encoding.get("grid_mapping", codes.attrs.get("grid_mapping"))
    return {} if named is None else {"grid_mapping": named}
