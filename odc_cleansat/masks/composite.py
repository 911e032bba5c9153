"""`composite`: one unclouded picture of the ground from a series of masked scenes.

Everything is xarray, so that lazy scenes stay lazy. Masks are widened date by date, then each spatial
chunk is reduced with all of its dates at once.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from datetime import date
from types import MappingProxyType

import numpy as np
import xarray as xr
from odc.geo.geobox import GeoBox

from ..arguments import fault_of_metres, is_number, meant, texts
from ..classes import CLOUDS, CloudClass
from ..errors import CleansatError, SceneError
from ..grids.grid import crs_name, unevenness
from ..scenes.bands import is_reflective
from .codes import with_checked_codes
from .dilate import radius_in_pixels, widen
from .reduce import (
    best_pixel,
    geomedian,
    input_nodata,
    median,
    output_nodata,
    score_observations,
)
from .storable import storable

METHODS = ("median", "geomedian", "best")

CLEAR = ("clear", "snow", "water")
"""Classes in which the ground is seen. Most models call snow and water clear, so without these two
composites would depend on the model."""

MARGIN: Mapping[str, float] = MappingProxyType({"cloud": 60.0, "shadow": 60.0})
"""Metres that are left out around cloud and shadow by default. They are two pixels of the grid of the default
models: the edges of a mask are no sharper than that, and cloud frays out."""

_HIDING = {
    "cloud": CLOUDS,
    "shadow": (CloudClass.SHADOW,),
}


def composite(
    scene: xr.Dataset,
    *,
    method: str = "median",
    bands: Iterable[str] | None = None,
    clear: Iterable[str] = CLEAR,
    dilation: Mapping[str, float] | None = MARGIN,
    min_observations: int = 1,
    target: str | date | np.datetime64 | None = None,
) -> xr.Dataset:
    """Combine the clear observations of a time series into one picture of the ground.

    All dates must have the same radiometric offset. Digital numbers of Sentinel-2 from before and after
    processing baseline 04.00 differ in it; see :func:`~odc_cleansat.scenes.offset.resolve_offset`. Add
    the offset of each date before, or load reflectance. This is checked if the scene has a coordinate
    ``offset`` along time. The composite then has it too: what the offset of its digital numbers is.

    Parameters
    ----------
    scene
        Dims ``(time, y, x)`` with an odc-geo geobox: bands, integer digital numbers or
        floating point, and ``ucl``, uint8 :class:`CloudClass` codes. The nodata value of a band
        is its attribute ``nodata``, else 0 for integers; in floating point NaN is nodata too. A 0 in one of
        several bands is data.
        With dask arrays the result is lazy; all dates of one spatial chunk are in memory together.
    method
        - ``median``: of each band by itself; the mean of the middle two if the number of dates is even.
        - ``geomedian``: of all bands together, which keeps the relations between them
          (`odc.algo.xr_geomedian`).
        - ``best``: all bands from the date with the highest score, and of equals from the latest. The
          score adds the distance from cloud and shadow, 0 to 1 at 500 m; ``ucl_confidence``, 0 to 1, if
          the scene has it; and with a `target` nearness to it, 2 on the day and 1 after 30 days.
    bands
        The variables to combine; by default all with a Sentinel-2 band's name, SCL excepted.
    clear
        Labels of the classes that count as clear; nodata cannot. A model without a class
        ``snow`` calls snow clear. To keep what is seen through thin cloud, add ``thin_cloud``; it is
        then not widened either.
    dilation
        ``cloud`` and ``shadow`` to metres on the ground by which they are widened first, rounded to
        whole pixels. Thin cloud is widened by the metres of cloud. By default :data:`MARGIN`; None
        widens nothing.
    min_observations
        Pixels with fewer clear observations are nodata.
    target
        The date wished for, UTC; only for ``best``.

    Returns
    -------
    xarray.Dataset
        On the scene's grid, dims ``(y, x)``:

        - the bands, with their dtype and attributes. Where too few observations are clear they have
          their nodata value, which is NaN in floating point;
        - ``clear_count``, uint16: clear observations outside the widened cloud and shadow;
        - ``observation_count``, uint16: observations with data in ``ucl`` and in every band;
        - ``clear_share``, float32: ``clear_count`` over ``observation_count``, 0 to 1, NaN without
          observations;
        - with ``best`` also ``best_time``, datetime64: when the pixel was taken, NaT for nodata.

    Raises
    ------
    SceneError
        If the scene lacks ``ucl``, bands, time or a grid, its variables stand on different
        grids or have unsuitable types, ``ucl`` holds codes that are no classes, or the dates' offsets differ.
    CleansatError
        If an option is unknown or out of range, or the geomedian's library is not installed.
    """
    _check_options(method, dilation, min_observations, target)
    clear_classes = _classes_of_labels(clear)
    _check_ucl(scene)
    grid = _grid(scene.ucl)
    names = _band_names(scene, bands)
    extra = ["ucl_confidence"] if method == "best" and "ucl_confidence" in scene else []
    scene = _in_order(scene[[*names, "ucl", *extra]])
    scene = scene.assign(ucl=with_checked_codes(scene.ucl))
    hidden = _hidden(scene.ucl, clear_classes, dilation or {}, grid)
    observed = _observed(scene, names)
    clear_observations = observed & ~hidden & _is_class(scene.ucl, clear_classes)
    clear_count = _count(clear_observations)
    kept = clear_observations & (clear_count >= min_observations)
    layers: dict[Hashable, xr.DataArray]
    if method == "median":
        layers = {name: median(scene[name], kept) for name in names}
    elif method == "geomedian":
        layers = geomedian(scene[names], kept)
    else:
        layers = best_pixel(scene, names, kept, score_observations(scene, hidden, target, grid))
    variables = {
        **_band_variables(layers, scene, method),
        **_count_variables(clear_count, _count(observed)),
    }
    return _dataset(variables, scene, grid, method)


# --- checks ---------------------------------------------------------------------------


def _check_options(
    method: str, dilation: Mapping[str, float] | None, min_observations: int, target: object
) -> None:
    if not isinstance(method, str) or method not in METHODS:
        raise CleansatError(
            f"there is no method {method!r}; choose from {', '.join(METHODS)}.{meant(method, METHODS)}"
        )
    if target is not None and method != "best":
        raise CleansatError(f"a {method} has no target date; leave it out, or use method='best'.")
    if not is_number(min_observations) or min_observations < 1:
        raise CleansatError(f"min_observations is {min_observations!r}; it must be 1 or more.")
    if fault := fault_of_metres(dilation, tuple(_HIDING)):
        raise CleansatError(fault)


def _classes_of_labels(clear: Iterable[str]) -> set[CloudClass]:
    labels = texts(clear)
    known = {c.label: c for c in CloudClass if c is not CloudClass.NODATA}
    if not labels or not known.keys() >= set(labels):
        shown = repr(clear) if labels is None else ", ".join(sorted(set(labels))) or "empty"
        raise CleansatError(f"clear is {shown}; name one or more of {', '.join(known)}.")
    return {known[label] for label in labels}


def _check_ucl(scene: xr.Dataset) -> None:
    if not isinstance(scene, xr.Dataset):
        raise SceneError(
            "a composite is made of an xarray.Dataset with one variable a band and `ucl`, not of "
            f"{type(scene).__name__}; for a DataArray with a `band` dimension use .to_dataset('band')."
        )
    if "ucl" not in scene:
        raise SceneError(
            "the scene has no `ucl`, so nothing tells clear from cloud; add one, e.g. "
            "scene['ucl'] = classify(scene).ucl."
        )
    ucl = scene.ucl
    if ucl.ndim != 3 or "time" not in ucl.dims or 0 in ucl.shape:
        raise SceneError(
            f"`ucl` has the dims {dict(ucl.sizes)}; a composite needs one date or more along `time`. "
            "Join dates with xr.concat(scenes, 'time'), or give a single one .expand_dims('time')."
        )
    if "time" in scene.indexes and scene.time.dtype.kind not in "Mui":
        raise SceneError(
            f"the times are {scene.time.dtype}; give the scene a coordinate `time` of datetime64."
        )
    if "time" in scene.indexes and scene.indexes["time"].hasnans:
        raise SceneError(
            "a time is missing (NaT), so that the dates have no order; give each its own."
        )
    if ucl.dtype.kind not in "ui":
        raise SceneError(
            f"`ucl` is {ucl.dtype}, but class codes are uint8: it has been interpolated, or joined to "
            "bands whose coordinates are not exactly its own. Where the grid is the same, give it "
            "the bands' coordinates with .assign_coords before; else resample it by nearest."
        )


def _grid(ucl: xr.DataArray) -> GeoBox:
    if reason := unevenness(ucl):
        raise SceneError(
            f"{reason}. Or dates on different grids have been joined: load them on one grid, e.g. with like=."
        )
    grid: GeoBox | None = ucl.odc.geobox
    if grid is None or grid.crs is None:
        raise SceneError(
            "the scene has no grid with a coordinate system; give it one, e.g. "
            "scene.odc.assign_crs('EPSG:32633')."
        )
    return grid


def _band_names(scene: xr.Dataset, wanted: Iterable[str] | None) -> list[Hashable]:
    """Return the variables to combine; raise SceneError if they cannot be combined."""
    names: list[Hashable]
    if wanted is None:
        names = [name for name in scene.data_vars if is_reflective(name)]
    else:
        if (given := texts(wanted)) is None:
            raise CleansatError(f"bands= is {wanted!r}; pass the names of variables.")
        names = list(dict.fromkeys(given))
    missing = [str(name) for name in names if name not in scene.data_vars]
    if missing or not names:
        raise SceneError(
            f"the scene lacks {', '.join(missing) or 'Sentinel-2 bands'}; it has "
            f"{', '.join(map(str, scene.data_vars))}. Name the variables to combine as bands=, or load them too."
        )
    for name in [*names, *({"ucl_confidence"} & set(scene.data_vars))]:
        _check_band(scene[name], scene.ucl, str(name))
    if any(scene[name].dtype.kind in "ui" for name in names):
        _check_offsets(scene)
    return names


def _check_band(band: xr.DataArray, ucl: xr.DataArray, name: str) -> None:
    if set(band.dims) != set(ucl.dims):
        raise SceneError(
            f"{name} has the dims {dict(band.sizes)}, `ucl` {dict(ucl.sizes)}; bring all "
            "to one grid and to the same dates."
        )
    if band.dtype.kind not in "uif":
        raise SceneError(f"{name} is {band.dtype}; a band holds integers or floating point.")
    if band.dtype.kind in "ui":
        limits, nodata = np.iinfo(band.dtype), input_nodata(band)
        if not limits.min <= nodata <= limits.max:
            raise SceneError(
                f"{name} is {band.dtype}, which cannot hold its nodata value {nodata}; correct "
                "its attribute `nodata`, or load it in a type that can."
            )


def _check_offsets(scene: xr.Dataset) -> None:
    offsets = _offsets(scene)
    # NaN: the scenes of one date differ.
    if len(offsets) > 1 or np.isnan(offsets).any():
        raise SceneError(
            f"the digital numbers have different offsets ({', '.join(map(str, offsets))}) and "
            "cannot be mixed. Turn them into reflectance first: (band + scene.offset) / 10000 where "
            "the band has data, NaN elsewhere."
        )


def _offsets(scene: xr.Dataset) -> np.ndarray:
    """Return the radiometric offsets of the dates, each once and in order; none if the scene does not tell them."""
    if "offset" not in scene.coords:
        return np.empty(0)
    if scene["offset"].dtype.kind not in "iuf":
        raise SceneError(
            f"the coordinate offset is not of numbers but {scene['offset'].dtype}; give each date its offset, "
            "such as 0 or -1000, or drop the coordinate."
        )
    return np.unique(scene["offset"])


# --- observations ---------------------------------------------------------------------


def _in_order(scene: xr.Dataset) -> xr.Dataset:
    """Return dims ``(time, y, x)``, sorted by time: the result must not depend on the order of the dates."""
    ordered: xr.Dataset = scene.transpose("time", *scene.ucl.odc.spatial_dims)
    if "time" in scene.indexes and not scene.indexes["time"].is_monotonic_increasing:
        ordered = ordered.sortby("time")
    return ordered


def _observed(scene: xr.Dataset, bands: Sequence[Hashable]) -> xr.DataArray:
    """Return where ``ucl`` and every band have data; a 0 says nothing of one band by itself."""
    # Not in place: some of the variables may be lazy, and others not.
    observed: xr.DataArray = scene.ucl != CloudClass.NODATA
    any_above = xr.zeros_like(observed)
    for name in bands:
        nodata = input_nodata(scene[name])
        if nodata == 0:
            any_above = any_above | (scene[name] != 0)
        else:
            observed = observed & (scene[name] != nodata)
            any_above = any_above | True
        if scene[name].dtype.kind == "f":
            observed = observed & np.isfinite(scene[name])
    seen: xr.DataArray = observed & any_above
    return seen


def _hidden(
    ucl: xr.DataArray, clear: set[CloudClass], dilation: Mapping[str, float], grid: GeoBox
) -> xr.DataArray:
    """Return the widened cloud and shadow."""
    hidden = xr.zeros_like(ucl, dtype=bool)
    for name, classes in _HIDING.items():
        if hiding := set(classes) - clear:
            found = _is_class(ucl, hiding)
            radius = radius_in_pixels(dilation.get(name, 0), grid)
            hidden = hidden | (widen(found, radius) if radius else found)
    return hidden


def _is_class(ucl: xr.DataArray, classes: Iterable[CloudClass]) -> xr.DataArray:
    from odc.algo import enum_to_bool

    # By number: the flags of a mask name only the classes that its model knows.
    found: xr.DataArray = enum_to_bool(ucl, [int(c) for c in classes])
    return found


def _count(mask: xr.DataArray) -> xr.DataArray:
    count: xr.DataArray = mask.sum("time", dtype="uint16")
    return count


# --- the result -----------------------------------------------------------------------

_COUNTS = {
    "clear_count": "number of clear observations",
    "observation_count": "number of observations with data",
    "clear_share": "share of the observations with data that were clear",
}


def _band_variables(
    layers: Mapping[Hashable, xr.DataArray], scene: xr.Dataset, method: str
) -> dict[Hashable, xr.Variable]:
    """Return the layers with the attributes of their bands."""
    found = {}
    for name, layer in layers.items():
        attrs = dict(layer.attrs)
        if name in scene:
            attrs = {**scene[name].attrs, "ancillary_variables": " ".join(_COUNTS)}
            if layer.dtype.kind in "ui" or "nodata" in attrs:
                attrs["nodata"] = output_nodata(scene[name])
            if method == "median":
                attrs["cell_methods"] = "time: median"
        found[name] = xr.Variable(layer.dims, layer.data, attrs)
    return found


def _count_variables(
    clear_count: xr.DataArray, observation_count: xr.DataArray
) -> dict[Hashable, xr.Variable]:
    share = (clear_count / observation_count.where(observation_count > 0)).astype("float32")
    layers = (clear_count, observation_count, share)
    return {
        name: xr.Variable(layer.dims, layer.data, {"units": "1", "long_name": meaning})
        for (name, meaning), layer in zip(_COUNTS.items(), layers, strict=True)
    }


def _dataset(
    variables: Mapping[Hashable, xr.Variable], scene: xr.Dataset, grid: GeoBox, method: str
) -> xr.Dataset:
    """Return the variables with the coordinates of the scene."""
    crs_coord = scene.ucl.encoding.get("grid_mapping", scene.ucl.attrs.get("grid_mapping"))
    if crs_coord:
        for variable in variables.values():
            variable.attrs["grid_mapping"] = crs_coord
    # Straight from the scene, for reductions may strip the attributes of `spatial_ref`.
    coords = {n: c for n, c in scene.coords.items() if n != "time" and "time" not in c.dims}
    attrs = {"crs": crs_name(grid.crs), "composite_method": method}
    # Where the dates differ, the bands are reflectance, and none of the offsets is theirs.
    if len(_offsets(scene)) == 1:
        coords["offset"] = scene["offset"].isel(time=0, drop=True, missing_dims="ignore")
    if "time" in scene.coords:
        first, last = scene.time.values[[0, -1]]
        attrs |= {"time_coverage_start": str(first), "time_coverage_end": str(last)}
    return storable(xr.Dataset(variables, coords=coords, attrs=attrs))
