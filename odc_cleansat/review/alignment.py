"""Bring a scene, its UCL, SCL and label onto one grid and to the same times."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from odc.geo.geobox import GeoBox

from ..classes import CONFIDENCE_NODATA, CloudClass, scl_to_ucl
from ..errors import SceneError, first_line
from ..masks.inputs import arrays_of_scene
from ..scenes.bands import find_bands
from .layers import confidence_codes

NAMES = {
    "scl": "SCL (Sen2Cor)",
    "ucl": "UCL (UNet)",
    "label": "Label",
    "confidence": "Confidence, percent",
}
"""Names of layers by default."""

ALIGNED = 0.01
"""Pixels by which the corners of equal grids may differ, for coordinates are rounded."""

ArrayOrName = xr.DataArray | str | None
"""An array, or the name of a variable of the scene."""


def arrange_dims(data: Any, name: str) -> Any:
    """Bring the dims of an array or a Dataset into the order ``([time,] y, x)``.

    Parameters
    ----------
    data
        Array or Dataset of any dtype.
    name
        Its name in messages.

    Raises
    ------
    SceneError
        If it has no two dims of space, or others than these and ``time``.
    """
    dims = data.odc.spatial_dims
    if dims is None:
        raise SceneError(f"{name} has no two dimensions of space, such as y and x.")
    if unknown := set(data.dims) - {"time", *dims}:
        raise SceneError(
            f"{name} has the dimensions {', '.join(map(str, data.dims))}; only time, {dims[0]} and {dims[1]} "
            f"can be drawn. Select one of {', '.join(map(str, sorted(unknown)))}."
        )
    return data.transpose("time", *dims, missing_dims="ignore")


def as_scene(
    given: xr.Dataset | xr.DataArray | Mapping[str, xr.DataArray],
) -> tuple[xr.Dataset, Mapping[Any, xr.DataArray]]:
    """Return a scene with dims ``([time,] y, x)``, and all that was given by name.

    Parameters
    ----------
    given
        As :func:`~odc_cleansat.classify` takes it, of any dtype. Of a mapping only red, green and blue need the same
        grid.

    Raises
    ------
    SceneError
        If it is something else, or lacks red, green or blue, or these are on several grids.
    """
    if isinstance(given, xr.Dataset):
        scene = arrange_dims(given, "scene")
        return scene, scene.data_vars
    arrays = arrays_of_scene(given)
    names = find_bands(arrays, ["red", "green", "blue"]).values()
    bands = [{name: arrange_dims(arrays[name], name) for name in names}]
    try:
        return xr.merge(bands, join="exact", compat="equals"), arrays
    except ValueError as error:
        raise SceneError(
            f"{', '.join(names)} are not on one grid, or of other times: {first_line(error)}. Bring them to one grid, "
            "e.g. with .odc.reproject."
        ) from error


def scene_grid(scene: xr.Dataset) -> GeoBox:
    """Return the grid of a scene.

    Parameters
    ----------
    scene
        Dims ``([time,] y, x)``, any dtype.

    Raises
    ------
    SceneError
        If it has no coordinate system, is rotated, or is empty.
    """
    grid = scene.odc.geobox
    if grid is None or grid.crs is None:
        raise SceneError(
            "the scene has no coordinate system; give it one, e.g. scene.odc.assign_crs('EPSG:32633')."
        )
    if not grid.axis_aligned:
        raise SceneError(
            "the scene is rotated against its coordinate system; reproject it, e.g. with scene.odc.reproject."
        )
    if 0 in grid.shape or 0 in scene.sizes.values():
        raise SceneError(
            f"the scene is empty: its sizes are {dict(scene.sizes)}; load it for an extent and times for "
            "which there are data."
        )
    assert isinstance(grid, GeoBox)
    return grid


def find_layers(
    arrays: Mapping[Any, xr.DataArray],
    scl: ArrayOrName,
    ucl: ArrayOrName | xr.Dataset,
    label: ArrayOrName,
    confidence: bool | xr.DataArray | str,
) -> dict[str, xr.DataArray]:
    """Find the layers that are given or in the scene, in the order in which they are shown.

    Parameters
    ----------
    arrays
        What is in the scene by name, dims ``([time,] y, x)``.
    scl, ucl, label, confidence
        Arrays of codes or their names in `arrays`; see :func:`~odc_cleansat.review.comparison.compare`.

    Returns
    -------
    dict
        ``scl``, ``ucl``, ``confidence`` and ``label`` to the arrays, as far as there are any.

    Raises
    ------
    SceneError
        If there is no UCL, or something that is asked for is missing.
    """
    inside = {"ucl": "ucl", "confidence": "ucl_confidence"}
    with contextlib.suppress(SceneError):  # it may have none
        inside |= find_bands(arrays, ["scl"])
    sure: Any = None if confidence is True else confidence
    if isinstance(ucl, xr.Dataset):
        sure = ucl.get("ucl_confidence") if sure is None else sure
        ucl = ucl.get("ucl")
    given = {"scl": scl, "ucl": ucl, "confidence": sure, "label": label}
    found = {}
    for key, array in given.items():
        if isinstance(array, xr.DataArray):
            found[key] = array
            continue
        name = array or inside.get(key)
        if name in arrays:
            found[key] = arrays[name]
        elif array or key == "ucl" or (key == "confidence" and confidence):
            hint = "load it too, or pass it as an array"
            if key == "ucl":
                hint = "load the scene with odc_cleansat.load, or pass what odc_cleansat.classify gives as ucl="
            raise SceneError(
                f"the scene has no {name!r}; it has {', '.join(map(str, arrays)) or 'nothing'}. "
                f"Please {hint}."
            )
    if confidence is False:
        found.pop("confidence", None)
    return found


def scene_times(scene: xr.Dataset) -> list[np.datetime64 | None]:
    """Return the times of a scene; None for each date whose time is not known.

    Parameters
    ----------
    scene
        Dims ``([time,] y, x)``, any dtype.
    """
    if "time" not in scene.coords:
        return [None] * scene.sizes.get("time", 1)
    return list(np.atleast_1d(scene["time"].values))


def align(key: str, array: xr.DataArray, scene: xr.Dataset, grid: GeoBox) -> xr.DataArray:
    """Bring a layer to a scene's grid, by nearest neighbour, and to its times.

    Parameters
    ----------
    key
        Name of the layer in messages; ``label`` and ``confidence`` have rules of their own.
    array
        Dims ``([time,] y, x)``, codes.
    scene
        Dims ``([time,] y, x)``.
    grid
        Grid of the scene.

    Raises
    ------
    SceneError
        If the layer lies elsewhere, is of other times, or its grid is not known.
    """
    array = _same_times(key, arrange_dims(array, key), scene)
    own = array.odc.geobox
    if own is None or own.crs is None:
        if array.shape[-2:] == tuple(grid.shape):
            return array
        raise SceneError(
            f"{key} has the shape {array.shape[-2:]} and no coordinate system, the scene {tuple(grid.shape)}; "
            "give it one, e.g. with .odc.assign_crs, so that it can be brought to the scene's grid."
        )
    if same_grid(own, grid):
        return array
    if not own.extent.to_crs(grid.crs).intersects(grid.extent):
        raise SceneError(f"{key} lies elsewhere than the scene: none of its pixels is in it.")
    nodata = CONFIDENCE_NODATA if key == "confidence" else int(CloudClass.NODATA)
    array = array.assign_attrs(nodata=array.attrs.get("nodata", nodata))
    moved: xr.DataArray = array.odc.reproject(grid, resampling="nearest")
    return moved


def same_grid(one: GeoBox, other: GeoBox) -> bool:
    """Return whether two grids are equal, but for coordinates that were rounded."""
    if one.shape != other.shape or one.crs != other.crs:
        return False
    step = ~other.affine * one.affine
    corners = [(0, 0), (one.shape[1], one.shape[0])]
    return all(np.allclose(step * corner, corner, rtol=0, atol=ALIGNED) for corner in corners)


def _same_times(key: str, array: xr.DataArray, scene: xr.Dataset) -> xr.DataArray:
    """Select the times of the scene. A layer without time belongs to the only date of the scene."""
    count = scene.sizes.get("time", 1)
    if "time" not in array.dims:
        if count > 1 and key != "label":
            raise SceneError(f"{key} has no time, and the scene {count}; give it a dimension time.")
        # A label may have no time, or the time when it was drawn.
        if key == "label" or "time" not in array.coords or "time" not in scene.coords:
            return array
        same = np.array_equal(np.atleast_1d(array["time"]), np.atleast_1d(scene["time"]))
        if not same:
            raise _other_times(key, array, scene)
        return array
    if array.sizes["time"] == count and ("time" not in array.coords or "time" not in scene.coords):
        return array
    wanted = np.atleast_1d(scene["time"].values)
    if np.array_equal(array["time"].values, wanted):
        return array
    if not array.indexes["time"].is_unique:
        raise SceneError(
            f"{key} has a time twice, and is not of the very times of the scene; group what was taken at one time, "
            "e.g. with group_by='solar_day'."
        )
    try:
        selected: xr.DataArray = array.sel(time=wanted)
    except KeyError:
        raise _other_times(key, array, scene) from None
    return selected


def _other_times(key: str, array: xr.DataArray, scene: xr.Dataset) -> SceneError:
    return SceneError(
        f"{key} is of other times than the scene, which has {', '.join(_days(scene))}; it has "
        f"{', '.join(_days(array))}."
    )


def _days(data: Any, most: int = 3) -> list[str]:
    if "time" not in data.coords:
        return ["none"]
    days = [str(t)[:16] for t in np.atleast_1d(data["time"].values)]
    return days if len(days) <= most else [*days[:most], f"{len(days) - most} more"]


def select_date(array: xr.DataArray, i: int) -> xr.DataArray:
    """Return one date of an array.

    Parameters
    ----------
    array
        Dims ``([time,] y, x)``, any dtype. Without time it is of every date.
    i
        Index of the date.
    """
    return array.isel(time=i) if "time" in array.dims else array


def layer_codes(key: str, array: xr.DataArray) -> np.ndarray:
    """Return the codes of a layer as they are shown.

    Parameters
    ----------
    key
        ``scl``, ``ucl``, ``label`` or ``confidence``.
    array
        Dims ``(y, x)``, codes in integers, or in floating-point numbers with NaN for nodata.

    Returns
    -------
    numpy.ndarray
        ``(h, w)`` uint8, nodata 0.

    Raises
    ------
    SceneError
        If a UCL or a label holds other codes.
    """
    values = array.values
    if values.dtype.kind == "f":
        filler = CONFIDENCE_NODATA if key == "confidence" else CloudClass.NODATA
        values = np.where(np.isfinite(values), values, filler)
    if key == "scl":
        return scl_to_ucl(values)
    if key == "confidence":
        return confidence_codes(np.clip(values, 0, CONFIDENCE_NODATA).astype("uint8"))
    known = np.isin(values, [int(c) for c in CloudClass])
    nodata = array.attrs.get("nodata")
    if nodata is not None:
        known |= values == nodata
        values = np.where(values == nodata, CloudClass.NODATA, values)
    if not known.all():
        strange = ", ".join(f"{v:g}" for v in np.unique(values[~known])[:5])
        raise SceneError(
            f"{key} holds {strange}, which are no codes of a UCL: those go from 0 to {max(CloudClass):d}, "
            "and no data is 0. Map its codes to them first."
        )
    return values.astype("uint8")
