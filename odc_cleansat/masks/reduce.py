"""Reduce the dates of a composite to one: median, geomedian or best pixel."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from datetime import UTC, date, datetime
from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from odc.geo.geobox import GeoBox

from ..classes import CONFIDENCE_NODATA
from ..errors import CleansatError, SceneError
from ..grids.grid import ground_resolution

REACH = 500.0
"""Metres from cloud and shadow beyond which the score of the best pixel grows no more."""

HALF_LIFE = 30.0
"""Days from the target date at which the score for nearness has halved."""


def input_nodata(band: xr.DataArray) -> float:
    """Return the value that stands for nodata in a band.

    Parameters
    ----------
    band
        Any dims and shape, integer or floating point.

    Returns
    -------
    float
        The declared value, else 0 for integers and NaN for floating point.

    Raises
    ------
    SceneError
        If the declared value is no number, or infinite for integers.
    """
    try:
        declared = band.odc.nodata
        found = math.nan if declared is None else float(declared)
        return found if band.dtype.kind == "f" else 0 if math.isnan(found) else int(declared)
    except (TypeError, ValueError, OverflowError) as error:
        raise SceneError(
            f"the nodata value {band.attrs.get('nodata')!r} of {band.name} is no number of {band.dtype}; correct its "
            "attribute `nodata`."
        ) from error


def output_nodata(band: xr.DataArray) -> float:
    """Return the value that stands for nodata in the composite of a band.

    Parameters
    ----------
    band
        Any dims and shape, integer or floating point.

    Returns
    -------
    float
        NaN for floating point, whatever the band declares; for integers as in the band.
    """
    return math.nan if band.dtype.kind == "f" else input_nodata(band)


# --- median ---------------------------------------------------------------------------


def median(band: xr.DataArray, kept: xr.DataArray) -> xr.DataArray:
    """Return the median of a band over time.

    Parameters
    ----------
    band
        Dims ``(time, y, x)``, integer or floating point.
    kept
        bool, same dims: the observations to use.

    Returns
    -------
    xarray.DataArray
        Dims ``(y, x)``, dtype of the band; :func:`output_nodata` where nothing is kept.
    """
    values = _dates_in_one_chunk(band.where(kept))
    found = xr.apply_ufunc(
        _median_of_last_axis,
        values,
        input_core_dims=[["time"]],
        dask="parallelized",
        output_dtypes=[values.dtype],
    )
    return _as_band(found, band)


def _median_of_last_axis(values: np.ndarray) -> np.ndarray:
    # odc.algo.xr_quantile wants three observations and takes one of the middle two. numpy.nanmedian is
    # seven times slower and warns where all values are NaN.
    ordered = np.sort(values, axis=-1)  # NaN comes last
    last = np.isfinite(ordered).sum(axis=-1, keepdims=True) - 1
    pair = np.concatenate([last // 2, (last + 1) // 2], axis=-1)
    found: np.ndarray = np.take_along_axis(ordered, pair, axis=-1).mean(axis=-1)
    return found


# --- geomedian ------------------------------------------------------------------------


def geomedian(bands: xr.Dataset, kept: xr.DataArray) -> dict[Hashable, xr.DataArray]:
    """Return the geometric median of all bands together over time.

    Parameters
    ----------
    bands
        Dims ``(time, y, x)``, integer or floating point.
    kept
        bool, same dims: the observations to use.

    Returns
    -------
    dict
        By band, dims ``(y, x)``, dtype of the band; :func:`output_nodata` where nothing is kept.

    Raises
    ------
    CleansatError
        If the library that computes it is not installed.
    """
    _check_geomedian_is_installed()
    values = _dates_in_one_chunk(bands.where(kept).astype("float32").to_array("band"))
    found = xr.apply_ufunc(
        _geomedian_of_last_axes,
        values.chunk(band=-1) if values.chunks else values,
        input_core_dims=[["band", "time"]],
        output_core_dims=[["band"]],
        dask="parallelized",
        output_dtypes=["float32"],
    )
    return {name: _as_band(found.sel(band=name, drop=True), bands[name]) for name in bands}


def _check_geomedian_is_installed() -> None:
    from odc.algo import xr_geomedian

    try:
        xr_geomedian(np.ones((1, 1, 1, 1), dtype="float32"))
    except ImportError as error:
        package = (error.name or "geomad").partition(".")[0]
        raise CleansatError(
            f"the geomedian needs the package {package}, which cannot be imported here ({error}). "
            f"Install it with `pip install {package}`, or use method='median' meanwhile."
        ) from error


def _geomedian_of_last_axes(values: np.ndarray) -> np.ndarray:
    """Return the geomedian of ``(..., band, time)``, dims ``(..., band)``."""
    from odc.algo import xr_geomedian

    # The iteration stops at a precision that suits reflectance, so each pixel is scaled to 1. It starts
    # from the pixel before in the same row, so each pixel gets a row of its own.
    with np.errstate(invalid="ignore"):
        size = np.fmax.reduce(np.abs(values), axis=(-2, -1), keepdims=True)
        size[~(size > 0)] = 1
    pixels = (values / size).reshape(-1, 1, *values.shape[-2:])
    found: np.ndarray = xr_geomedian(pixels).reshape(values.shape[:-1]) * size[..., 0]
    return found


# --- best pixel -----------------------------------------------------------------------


def score_observations(
    scene: xr.Dataset,
    hidden: xr.DataArray,
    target: str | date | np.datetime64 | None,
    grid: GeoBox,
) -> xr.DataArray:
    """Return how good each observation is.

    Parameters
    ----------
    scene
        Dims ``(time, y, x)``; its ``ucl_confidence``, uint8 percent, counts if there is one.
    hidden
        bool, same dims: cloud and shadow.
    target
        The date wished for, UTC; None if no date is better than another.
    grid
        Where the pixels stand.

    Returns
    -------
    xarray.DataArray
        Same dims, float32. The sum of 0 to 1 for the distance from cloud and shadow, 0 to 1 for the
        confidence, and 0 to 2 for nearness to the target.

    Raises
    ------
    SceneError
        If the scene has no dates.
    CleansatError
        If the target is not a date.
    """
    if "time" not in scene.coords or scene.time.dtype.kind != "M":
        raise SceneError("the best pixel needs dates: give the scene a coordinate `time` of them.")
    score = _distance_score(hidden, grid)
    if "ucl_confidence" in scene:
        percent = scene.ucl_confidence
        score = score + percent.where(percent != CONFIDENCE_NODATA, 0).astype("float32") / 100
    if target is not None:
        days = np.abs(scene.time - _as_datetime64(target)) / np.timedelta64(1, "D")
        # Up to 2, or a date of another season would win around every cloud of the target date.
        score = score + (2 / (1 + days / HALF_LIFE)).astype("float32")
    return score


def _as_datetime64(target: str | date | np.datetime64) -> np.datetime64:
    try:
        if isinstance(target, str):
            target = datetime.fromisoformat(target)
        if isinstance(target, datetime) and target.tzinfo:
            target = target.astimezone(UTC).replace(tzinfo=None)
        found = np.datetime64(target)
        if np.isnat(found):
            raise ValueError
        return found
    except (TypeError, ValueError):
        raise CleansatError(
            f"the target {target!r} is not a date; write it like 2024-06-15."
        ) from None


def _distance_score(hidden: xr.DataArray, grid: GeoBox) -> xr.DataArray:
    """Return the distance from what is hidden, 1 at :data:`REACH` and beyond, float32."""
    pixel = ground_resolution(grid)
    distance = partial(_relative_distance, pixel=pixel)
    if hidden.chunks:
        reach = (math.ceil(REACH / size) for size in pixel)
        depth = (0, *map(min, reach, hidden.shape[1:]))
        data = hidden.data.map_overlap(distance, depth=depth, boundary="none", dtype="float32")
    else:
        data = distance(hidden.data)
    result: xr.DataArray = hidden.copy(data=data)
    return result


def _relative_distance(masks: np.ndarray, pixel: tuple[float, float]) -> np.ndarray:
    """Return for ``(time, y, x)`` the distance from the mask of the same date, 1 at :data:`REACH` and beyond."""
    from scipy.ndimage import distance_transform_edt

    result = np.ones(masks.shape, dtype="float32")
    for mask, out in zip(masks, result, strict=True):
        if mask.any():
            np.minimum(distance_transform_edt(~mask, sampling=pixel) / REACH, 1, out=out)
    return result


def best_pixel(
    scene: xr.Dataset, bands: Sequence[Hashable], kept: xr.DataArray, score: xr.DataArray
) -> dict[Hashable, xr.DataArray]:
    """Return all bands from the observation with the highest score, and of equals from the latest.

    Parameters
    ----------
    scene
        Dims ``(time, y, x)``, in the order of time.
    bands
        The bands wanted, integer or floating point.
    kept
        bool, same dims: the observations to use.
    score
        float32, same dims.

    Returns
    -------
    dict
        By band, dims ``(y, x)``, dtype of the band, :func:`output_nodata` where nothing is kept; and
        ``best_time``, datetime64, NaT where nothing is kept.
    """
    backwards = _dates_in_one_chunk(score.where(kept, -np.inf)).isel(time=slice(None, None, -1))
    index = score.sizes["time"] - 1 - backwards.argmax("time")
    any_kept = kept.any("time")
    layers = {}
    for name in bands:
        nodata = scene[name].dtype.type(output_nodata(scene[name]))
        layers[name] = _at_index(_pick_date, scene[name], index).where(any_kept, nodata)
    time = _at_index(np.take, scene.time, index).where(any_kept)
    return {**layers, "best_time": time.assign_attrs(long_name="time of the observation chosen")}


def _at_index(pick: Any, values: xr.DataArray, index: xr.DataArray) -> xr.DataArray:
    """Return the values of the date that `index` gives for each pixel."""
    chosen: xr.DataArray = xr.apply_ufunc(
        pick,
        _dates_in_one_chunk(values),
        index,
        input_core_dims=[["time"], []],
        dask="parallelized",
        output_dtypes=[values.dtype],
    )
    return chosen


def _pick_date(values: np.ndarray, index: np.ndarray) -> np.ndarray:
    return np.take_along_axis(values, index[..., np.newaxis], axis=-1)[..., 0]


# --- shared ---------------------------------------------------------------------------


def _dates_in_one_chunk(values: Any) -> Any:
    return values.chunk(time=-1) if values.chunks else values


def _as_band(values: xr.DataArray, band: xr.DataArray) -> xr.DataArray:
    """Return values in the dtype of a band, with its nodata value for NaN."""
    if band.dtype.kind in "ui":
        values = values.round()
    encoded: xr.DataArray = values.fillna(output_nodata(band)).astype(band.dtype)
    return encoded
