"""Reduce the times of a composite to one: median, geomedian, best pixel, count."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Sequence
from datetime import date, datetime, timezone
from typing import Any

import numpy as np
import xarray as xr
from odc.geo.geobox import GeoBox

from ..classes import CONFIDENCE_NODATA, CloudClass
from ..errors import CleansatError, SceneError
from ..grids.grid import ground_resolution

REACH = 500.0
"""Metres from cloud and shadow beyond which the best pixel gains nothing by being farther away."""

HALF_LIFE = 30.0
"""Days from the target date at which the best pixel's score for nearness has halved."""


def _nodata(band: xr.DataArray) -> float:
    declared = band.odc.nodata
    if band.dtype.kind == "f":
        return math.nan if declared is None else float(declared)
    return 0 if declared is None or math.isnan(declared) else int(declared)


def _gap(band: xr.DataArray) -> float:
    """What stands for nodata in the composite: NaN in floating point, whatever is declared."""
    return math.nan if band.dtype.kind == "f" else _nodata(band)


def _fits(value: float, dtype: np.dtype[Any]) -> bool:
    limits = np.iinfo(dtype)
    return bool(limits.min <= value <= limits.max)


def _is_class(ucl: xr.DataArray, classes: Iterable[CloudClass]) -> xr.DataArray:
    from odc.algo import enum_to_bool

    # By number: the flags of a mask name only the classes that its model knows.
    found: xr.DataArray = enum_to_bool(ucl, [int(c) for c in classes])
    return found


def _count(mask: xr.DataArray) -> xr.DataArray:
    count: xr.DataArray = mask.sum("time", dtype="uint16")
    return count


def _together(values: Any) -> Any:
    """With all dates in one chunk, where there are chunks."""
    return values.chunk(time=-1) if values.chunks else values


# --- the methods ----------------------------------------------------------------------


def _median(band: xr.DataArray, kept: xr.DataArray) -> xr.DataArray:
    # Not odc.algo.xr_quantile, which wants three observations and takes one of the middle two, nor
    # numpy.nanmedian, which is seven times slower and warns where all is NaN.
    def middle(values: np.ndarray) -> np.ndarray:
        ordered = np.sort(values, axis=-1)  # NaN comes last
        last = np.isfinite(ordered).sum(axis=-1, keepdims=True) - 1
        pair = np.concatenate([last // 2, (last + 1) // 2], axis=-1)
        found: np.ndarray = np.take_along_axis(ordered, pair, axis=-1).mean(axis=-1)
        return found

    values = _together(band.where(kept))
    found = xr.apply_ufunc(
        middle,
        values,
        input_core_dims=[["time"]],
        dask="parallelized",
        output_dtypes=[values.dtype],
    )
    return _encoded(found, band)


def _geomedian(bands: xr.Dataset, kept: xr.DataArray) -> dict[Hashable, xr.DataArray]:
    from odc.algo import xr_geomedian

    try:
        xr_geomedian(np.ones((1, 1, 1, 1), dtype="float32"))
    except ImportError as error:
        package = (error.name or "geomad").partition(".")[0]
        raise CleansatError(
            f"the geomedian needs the package {package}, which cannot be imported here ({error}). "
            f"Install it with `pip install {package}`, or use method='median' meanwhile."
        ) from error

    def centre(values: np.ndarray) -> np.ndarray:
        # The iteration stops at a precision that suits reflectance, so each pixel is scaled to 1;
        # and it starts from the pixel before in the same row, so each pixel has a row of its own.
        with np.errstate(invalid="ignore"):
            size = np.fmax.reduce(np.abs(values), axis=(-2, -1), keepdims=True)
            size[~(size > 0)] = 1
        pixels = (values / size).reshape(-1, 1, *values.shape[-2:])
        found: np.ndarray = xr_geomedian(pixels).reshape(values.shape[:-1]) * size[..., 0]
        return found

    values = _together(bands.where(kept).astype("float32").to_array("band"))
    found = xr.apply_ufunc(
        centre,
        values.chunk(band=-1) if values.chunks else values,
        input_core_dims=[["band", "time"]],
        output_core_dims=[["band"]],
        dask="parallelized",
        output_dtypes=["float32"],
    )
    return {n: _encoded(found.sel(band=n, drop=True), bands[n]) for n in bands.data_vars}


def _score(
    scene: xr.Dataset,
    hidden: xr.DataArray,
    target: str | date | np.datetime64 | None,
    grid: GeoBox,
) -> xr.DataArray:
    """How good each observation is, float32."""
    if "time" not in scene.coords or scene.time.dtype.kind != "M":
        raise SceneError("the best pixel needs dates: give the scene a coordinate `time` of them.")
    score = _clearance(hidden, grid)
    if "ucl_confidence" in scene:
        percent = scene.ucl_confidence
        score = score + percent.where(percent != CONFIDENCE_NODATA, 0).astype("float32") / 100
    if target is not None:
        days = np.abs(scene.time - _moment(target)) / np.timedelta64(1, "D")
        # Double, or a date of another season would win around every cloud of the one wished for.
        score = score + (2 / (1 + days / HALF_LIFE)).astype("float32")
    return score


def _moment(target: str | date | np.datetime64) -> np.datetime64:
    try:
        if isinstance(target, str):
            # Python 3.10 does not know the Z.
            target = datetime.fromisoformat(target.replace("Z", "+00:00"))
        if isinstance(target, datetime) and target.tzinfo:
            target = target.astimezone(timezone.utc).replace(tzinfo=None)
        found = np.datetime64(target)
        if np.isnat(found):
            raise ValueError
        return found
    except (TypeError, ValueError):
        raise CleansatError(
            f"the target {target!r} is not a date; write it like 2024-06-15."
        ) from None


def _clearance(hidden: xr.DataArray, grid: GeoBox) -> xr.DataArray:
    """Distance from what is hidden, in :data:`REACH`, 1 at most, float32."""
    from scipy.ndimage import distance_transform_edt

    pixel = ground_resolution(grid)

    def clearance(masks: np.ndarray) -> np.ndarray:
        result = np.ones(masks.shape, dtype="float32")
        for mask, out in zip(masks, result, strict=True):
            if mask.any():
                np.minimum(distance_transform_edt(~mask, sampling=pixel) / REACH, 1, out=out)
        return result

    data = hidden.data
    if hidden.chunks:
        reach = (math.ceil(REACH / size) for size in pixel)
        depth = (0, *map(min, reach, hidden.shape[1:]))
        data = data.map_overlap(clearance, depth=depth, boundary="none", dtype="float32")
    else:
        data = clearance(data)
    result: xr.DataArray = hidden.copy(data=data)
    return result


def _best(
    scene: xr.Dataset, bands: Sequence[Hashable], kept: xr.DataArray, score: xr.DataArray
) -> dict[Hashable, xr.DataArray]:
    backwards = _together(score.where(kept, -np.inf)).isel(time=slice(None, None, -1))
    index = score.sizes["time"] - 1 - backwards.argmax("time")
    found = kept.any("time")

    def pick(values: np.ndarray, which: np.ndarray) -> np.ndarray:
        return np.take_along_axis(values, which[..., np.newaxis], axis=-1)[..., 0]

    def picked(values: xr.DataArray, how: Any) -> xr.DataArray:
        chosen: xr.DataArray = xr.apply_ufunc(
            how,
            _together(values),
            index,
            input_core_dims=[["time"], []],
            dask="parallelized",
            output_dtypes=[values.dtype],
        )
        return chosen

    layers = {
        name: picked(scene[name], pick).where(found, scene[name].dtype.type(_gap(scene[name])))
        for name in bands
    }
    time = picked(scene.time, np.take).where(found)
    return {**layers, "best_time": time.assign_attrs(long_name="time of the observation chosen")}


def _encoded(values: xr.DataArray, band: xr.DataArray) -> xr.DataArray:
    """Back in the band's dtype."""
    if band.dtype.kind in "ui":
        values = values.round()
    encoded: xr.DataArray = values.fillna(_gap(band)).astype(band.dtype)
    return encoded
