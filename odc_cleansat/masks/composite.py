"""`composite`: one unclouded picture of the ground from a series of masked scenes.

It stands in a module of another name than its own for the reason that `classification` does.

Everything is xarray, so that lazy scenes stay lazy: masks are made date by date, then each spatial
chunk is reduced with all of its dates at once.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from datetime import date
from types import MappingProxyType

import numpy as np
import xarray as xr
from odc.geo.geobox import GeoBox

from ..classes import CLOUDS, CloudClass
from ..errors import CleansatError, SceneError
from ..grids.grid import crs_name, ground_resolution
from ..scenes.bands import is_reflective
from .dilate import widen
from .reduce import _best, _count, _fits, _gap, _geomedian, _is_class, _median, _nodata, _score

METHODS = ("median", "geomedian", "best")

CLEAR = ("clear", "snow", "water")
"""The classes in which the ground is seen, whatever lies on it. Most models call snow and water
clear, so leaving them out by default would make composites depend on the model."""

MARGIN: Mapping[str, float] = MappingProxyType({"cloud": 60.0, "shadow": 60.0})
"""Metres that are left out around cloud and shadow unless said otherwise: two pixels of the grid on
which the default models work, for their edges are no sharper than that, and cloud frays out."""

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

    All dates must be on one radiometric scale. Digital numbers of Sentinel-2 from before and after
    processing baseline 04.00 are not (see :func:`~odc_cleansat.scenes.offset.resolve_offset`): add
    each date's offset before, or load reflectance. Only where the scene has a coordinate
    ``offset`` along time can this be checked, and is.

    Parameters
    ----------
    scene
        Dims ``(time, y, x)`` with an odc-geo geobox: bands, integer digital numbers or
        floating point, and ``ucl``, uint8 :class:`CloudClass` codes. A band's nodata value
        is its attribute ``nodata``, else 0 for integers; in floating point NaN is nodata too.
        With dask arrays the result is lazy; all dates of one spatial chunk are in memory together.
    method
        - ``median``: of each band by itself; the mean of the middle two where their number is even.
        - ``geomedian``: of all bands together, which keeps the relations between them
          (`odc.algo.xr_geomedian`).
        - ``best``: all bands from the one date with the highest sum of: the distance from cloud
          and shadow, 0 to 1 at :data:`REACH` metres; ``ucl_confidence``, if the scene has it, 0 to
          1; with a `target`, nearness to it, 2 on the day and half of that
          :data:`HALF_LIFE` days away. Of equals the latest.
    bands
        The variables to combine; by default all with a Sentinel-2 band's name, SCL excepted.
    clear
        Labels of the classes that count as clear. Nodata never does. A model without a class
        ``snow`` calls snow clear. To keep what is seen through thin cloud, add ``thin_cloud``, which
        then is not widened either.
    dilation
        ``cloud`` and ``shadow`` to metres on the ground by which they are widened first, in whole
        pixels; thin cloud is widened with cloud. By default :data:`MARGIN`; None for not at all.
    min_observations
        Pixels with fewer clear observations are nodata.
    target
        The date wished for, UTC; only for ``best``.

    Returns
    -------
    xarray.Dataset
        On the scene's grid, dims ``(y, x)``. The bands, with their dtype and attributes; nodata,
        which is NaN in floating point, where no observation, or too few, were clear. ``clear_count``, uint16:
        observations that were clear, outside the widened cloud and shadow.
        ``observation_count``, uint16: observations with data in ``ucl`` and in every band.
        ``clear_share``, float32: the first over the second, 0 to 1, NaN without observations. With ``best`` also ``best_time``, datetime64: when the pixel was taken,
        NaT where it is nodata.

    Raises
    ------
    SceneError
        If the scene lacks ``ucl``, bands, time or a grid, its variables stand on different
        grids or have unsuitable types, or the dates' offsets differ.
    CleansatError
        If an option is unknown or out of range, or the geomedian's library is not installed.
    """
    classes = _check(method, clear, dilation, min_observations, target)
    grid = _grid(scene)
    chosen = _bands(scene, bands)
    extra = ["ucl_confidence"] if method == "best" and "ucl_confidence" in scene else []
    scene = _in_order(scene[[*chosen, "ucl", *extra]])
    hidden = _hidden(scene.ucl, classes, dilation or {}, grid)
    observed = _observed(scene, chosen)
    used = observed & ~hidden & _is_class(scene.ucl, classes)
    clear_count, observation_count = _count(used), _count(observed)
    kept = used & (clear_count >= min_observations)
    layers: dict[Hashable, xr.DataArray]
    if method == "median":
        layers = {name: _median(scene[name], kept) for name in chosen}
    elif method == "geomedian":
        layers = _geomedian(scene[chosen], kept)
    else:
        layers = _best(scene, chosen, kept, _score(scene, hidden, target, grid))
    return _dataset(scene, layers, clear_count, observation_count, method, grid)


# --- what goes in ---------------------------------------------------------------------


def _check(
    method: str,
    clear: Iterable[str],
    dilation: Mapping[str, float] | None,
    min_observations: int,
    target: object,
) -> set[CloudClass]:
    """The classes that count as clear, once the options are known to make sense."""
    if method not in METHODS:
        raise CleansatError(f"there is no method {method!r}; choose from {', '.join(METHODS)}.")
    if target is not None and method != "best":
        raise CleansatError(f"a {method} has no target date; leave it out, or use method='best'.")
    if min_observations < 1:
        raise CleansatError(f"min_observations is {min_observations}; it must be 1 or more.")
    for name, metres in (dilation or {}).items():
        if name not in _HIDING:
            raise CleansatError(f"cannot dilate {name!r}; choose from {', '.join(_HIDING)}.")
        if not 0 <= metres < math.inf:
            raise CleansatError(
                f"the dilation of {name} is {metres}; it must be metres, 0 or more."
            )
    labels = {clear} if isinstance(clear, str) else set(clear)
    known = {c.label: c for c in CloudClass if c is not CloudClass.NODATA}
    if not labels or labels - set(known):
        raise CleansatError(
            f"clear is {', '.join(sorted(map(str, labels))) or 'empty'}; name one or more of "
            f"{', '.join(known)}."
        )
    return {known[label] for label in labels}


def _grid(scene: xr.Dataset) -> GeoBox:
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
    if "time" not in ucl.dims or 0 in ucl.shape:
        raise SceneError(
            f"`ucl` has the dims {dict(ucl.sizes)}; a composite needs one date or more along `time`. "
            "Join dates with xr.concat(scenes, 'time'), or give a single one .expand_dims('time')."
        )
    if ucl.dtype.kind not in "ui":
        raise SceneError(
            f"`ucl` is {ucl.dtype}, but class codes are uint8: it has been interpolated, or joined to "
            "bands whose coordinates are not exactly its own. Where the grid is the same, give it "
            "the bands' coordinates with .assign_coords before; else resample it by nearest."
        )
    grid: GeoBox | None = ucl.odc.geobox
    if grid is None or grid.crs is None:
        raise SceneError(
            "the scene has no grid with a coordinate system; give it one, e.g. "
            "scene.odc.assign_crs('EPSG:32633')."
        )
    if not all(_is_regular(ucl[dim]) for dim in ucl.odc.spatial_dims if dim in ucl.coords):
        raise SceneError(
            "the scene's pixels are not evenly spaced: dates on different grids have been joined, or "
            "some rows or columns left out. Load all dates on one grid, e.g. with like=."
        )
    return grid


def _is_regular(axis: xr.DataArray) -> bool:
    steps = np.diff(axis.values.astype("float64"))
    return bool(steps.size == 0 or np.ptp(steps) <= 0.01 * abs(steps.mean()))


def _bands(scene: xr.Dataset, wanted: Iterable[str] | None) -> list[Hashable]:
    """The variables to combine, checked."""
    names: list[Hashable]
    if wanted is None:
        names = [name for name in scene.data_vars if is_reflective(name)]
    else:
        names = [wanted] if isinstance(wanted, str) else list(wanted)
    present = ", ".join(map(str, scene.data_vars))
    missing = [str(name) for name in names if name not in scene.data_vars]
    if missing or not names:
        raise SceneError(
            f"the scene lacks {', '.join(missing) or 'Sentinel-2 bands'}; it has {present}. Name "
            "the variables to combine as bands=, or load them too."
        )
    for name in [*names, *({"ucl_confidence"} & set(scene.data_vars))]:
        band = scene[name]
        if set(band.dims) != set(scene.ucl.dims):
            raise SceneError(
                f"{name} has the dims {dict(band.sizes)}, `ucl` {dict(scene.ucl.sizes)}; bring all "
                "to one grid and to the same dates."
            )
        if band.dtype.kind not in "uif":
            raise SceneError(f"{name} is {band.dtype}; a band holds integers or floating point.")
        if band.dtype.kind in "ui" and not _fits(_nodata(band), band.dtype):
            raise SceneError(
                f"{name} is {band.dtype}, which cannot hold its nodata value {_nodata(band)}; correct "
                "its attribute `nodata`, or load it in a type that can."
            )
    offsets = np.unique(scene["offset"]) if "offset" in scene.coords else np.empty(0)
    known = len(offsets) < 2 and not np.isnan(offsets).any()  # NaN: the scenes of one date differ
    if not known and any(scene[name].dtype.kind in "ui" for name in names):
        raise SceneError(
            f"the digital numbers have different offsets ({', '.join(map(str, offsets))}) and "
            "cannot be mixed. Turn them into reflectance first: (band + scene.offset) / 10000 where "
            "the band has data, NaN elsewhere."
        )
    return names


def _in_order(scene: xr.Dataset) -> xr.Dataset:
    """Dims ``(time, y, x)``, by time: the result must not depend on the order of the dates."""
    ordered: xr.Dataset = scene.transpose("time", *scene.ucl.odc.spatial_dims)
    if "time" in scene.indexes and not scene.indexes["time"].is_monotonic_increasing:
        ordered = ordered.sortby("time")
    return ordered


# --- which observations are used ------------------------------------------------------


def _observed(scene: xr.Dataset, bands: Sequence[Hashable]) -> xr.DataArray:
    """Where ``ucl`` and every band have data."""
    observed: xr.DataArray = scene.ucl != CloudClass.NODATA
    for name in bands:
        observed &= scene[name] != _nodata(scene[name])
        if scene[name].dtype.kind == "f":
            observed &= np.isfinite(scene[name])
    return observed


def _hidden(
    ucl: xr.DataArray, clear: set[CloudClass], dilation: Mapping[str, float], grid: GeoBox
) -> xr.DataArray:
    """Cloud and shadow, widened."""
    pixel = sum(ground_resolution(grid)) / 2
    hidden = xr.zeros_like(ucl, dtype=bool)
    for name, classes in _HIDING.items():
        if hiding := set(classes) - clear:
            found = _is_class(ucl, hiding)
            radius = round(dilation.get(name, 0) / pixel)
            hidden |= widen(found, radius) if radius else found
    return hidden


# --- what comes out -------------------------------------------------------------------


def _dataset(
    scene: xr.Dataset,
    layers: Mapping[Hashable, xr.DataArray],
    clear_count: xr.DataArray,
    observation_count: xr.DataArray,
    method: str,
    grid: GeoBox,
) -> xr.Dataset:
    counts = {
        "clear_count": (clear_count, "number of clear observations"),
        "observation_count": (observation_count, "number of observations with data"),
        "clear_share": (
            (clear_count / observation_count.where(observation_count > 0)).astype("float32"),
            "share of the observations with data that were clear",
        ),
    }
    crs_coord = scene.ucl.encoding.get("grid_mapping", scene.ucl.attrs.get("grid_mapping"))
    mapping = {"grid_mapping": crs_coord} if crs_coord else {}
    variables = {}
    for name, layer in layers.items():
        attrs = layer.attrs
        if name in scene:
            attrs = {**scene[name].attrs, "ancillary_variables": " ".join(counts)}
            if layer.dtype.kind in "ui" or "nodata" in attrs:
                attrs["nodata"] = _gap(scene[name])
            if method == "median":
                attrs["cell_methods"] = "time: median"
        variables[name] = (layer.dims, layer.data, {**attrs, **mapping})
    for name, (layer, meaning) in counts.items():
        variables[name] = (layer.dims, layer.data, {"units": "1", "long_name": meaning, **mapping})
    # Straight from the scene, for reductions may strip the attributes of `spatial_ref`.
    coords = {n: c for n, c in scene.coords.items() if n != "time" and "time" not in c.dims}
    attrs = {"crs": crs_name(grid.crs), "composite_method": method}
    if "time" in scene.coords:
        first, last = scene.time.values[[0, -1]]
        attrs |= {"time_coverage_start": str(first), "time_coverage_end": str(last)}
    return xr.Dataset(variables, coords=coords, attrs=attrs)
