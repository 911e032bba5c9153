"""`classify`: the one function behind every surface.

It stands in a module of another name than its own, because a module `classify` would hide the
function of that name in the package as soon as anything imported it.

The work is a dask graph, whether the scene is lazy or not: one task for each canonical window and
one for each block of the output, so that nothing is computed twice and memory is bounded by what
is under way. Graphs hold coordinates and the model's description, never weights.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from typing import Any

import dask
import dask.array as da
import numpy as np
import xarray as xr
from dask.delayed import Delayed, delayed
from odc.geo.geobox import GeoBox
from odc.geo.xr import xr_coords

from .classes import CLOUDS, CONFIDENCE_NODATA, CloudClass, confidence_attrs, ucl_attrs
from .engines import available_cpus, check_engine, get_engine
from .errors import ModelError, ReflectanceWarning, SceneError
from .grids import (
    Band,
    box_geobox,
    check_scale,
    crs_name,
    ground_resolution,
    has_data,
    model_grid,
    overlap,
    to_model_grid,
    warp,
)
from .models import Model, get_model
from .reflectance import OffsetCheck, find_bands, native_resolution
from .windows import Box, Window, blend, prepare, windows

COARSEST = 1.5
"""A band may be this much coarser than the model's resolution or its own, and no more."""

BLOCK = 2048
"""Side of the blocks in which the output is made where the scene's chunks do not say."""

Progress = Callable[[int, int], None]

Area = tuple[Box, GeoBox]
"""A rectangle of the model grid, in pixels and on the ground."""


def classify(
    scene: xr.Dataset | xr.DataArray | Mapping[str, xr.DataArray],
    *,
    model: str | Model | None = None,
    geobox: GeoBox | None = None,
    resolution: float | None = None,
    confidence: bool = False,
    probabilities: bool = False,
    thresholds: Mapping[str, float] | None = None,
    dilation: Mapping[str, float] | None = None,
    scale: float | None = None,
    offset: float = 0,
    engine: str | None = None,
    precision: str | None = None,
    progress: Progress | None = None,
) -> xr.Dataset:
    """Label cloud and cloud shadow in a Sentinel-2 scene.

    Whatever the grid of the scene, the network sees it at the ground resolution it was
    trained at; the probabilities then go to the output grid, and the likeliest class wins.
    A pixel's class does not depend on the output's extent or chunks: windows are read whole
    from the scene even where the output stops earlier. To mask a part of a scene, pass the
    whole scene, lazy, and the part as `geobox`.

    Parameters
    ----------
    scene
        Bands with dims ``([time,] y, x)`` and an odc-geo geobox, e.g. from `dc.load` or
        `odc.stac.load`: integer digital numbers, or floating-point reflectance with NaN for
        nodata. Also a DataArray with a dimension ``band``, e.g. from `stackstac.stack`, or a
        mapping of names to bands that each stand on a grid of their own, e.g. from
        `rioxarray.open_rasterio`. Which bands are needed depends on the model; they are found by
        any of their names in :data:`~odc_cleansat.reflectance.S2_BANDS`. An integer band's nodata
        value is its attribute ``nodata``; if none has one, a pixel that is 0 in all bands has no
        data, or of bands on several grids in any. With dask arrays the result is lazy.
    model
        Name or :class:`Model`; by default the best whose bands the scene has.
    geobox
        Output grid in any coordinate system; by default the scene's own, the finest if its bands
        have several.
    resolution
        Instead of `geobox`: the scene's extent with pixels of this size, in units of its
        coordinate system.
    confidence
        Also give ``ucl_confidence``.
    probabilities
        Also give ``ucl_probability``.
    thresholds
        Class label to probability. A class named here is taken wherever it reaches its
        threshold (the likeliest, if several do) and nowhere else; other pixels take the
        likeliest of the classes not named.
    dilation
        ``cloud`` and ``shadow`` to metres on the ground: both grow into clear pixels, and
        where they meet, cloud wins. Thin cloud grows as cloud does and stays thin; thick wins.
    scale
        Reflectance per digital number, by default 1/10000 for integers and 1 for
        floating-point numbers.
    offset
        Radiometric offset in digital numbers: ``reflectance = (DN + offset) * scale``; reflectance itself has
        none; see :func:`~odc_cleansat.reflectance.resolve_offset`.
    engine, precision
        See :func:`~odc_cleansat.engines.get_engine`.
    progress
        Called with the number of windows done and the number there are; not for lazy scenes.

    Returns
    -------
    xarray.Dataset
        On the output grid, with the scene's dims: ``ucl``, uint8 :class:`CloudClass` codes,
        nodata 0 wherever a band has no data; ``ucl_confidence``, uint8, percent
        probability of the class (before dilation), for thick and thin cloud that of either, nodata
        255; ``ucl_probability``, float32 of 0 to
        1, dims ``([time,] ucl_class, y, x)``, NaN without data; its coordinates ``ucl_class`` and
        ``ucl_code`` have the label and the code of each plane, in the order of the model.

    Raises
    ------
    SceneError
        If bands are missing or have an unsuitable shape or type, the scene has no
        coordinate system, is too coarse for the model, has no data at all, its values are not
        what the scale says, or an offset is given with reflectance. What only the pixels tell, a lazy scene raises when it is computed,
        but for a scene without data, which is then nodata.
    ModelError
        If the model is unknown or its weights cannot be used, or an option names a class
        that it does not have.

    Warns
    -----
    ReflectanceWarning
        If the pixels look as if the offset were wrong (not for lazy scenes).
    """
    check_scale_factor(scale)
    if not np.isfinite(offset):
        raise SceneError(f"the offset {offset} is not a number of digital numbers, such as -1000.")
    arrays = _arrays(scene)
    chosen = get_model(model, bands=arrays)
    check_engine(engine, precision)
    bands = _select(arrays, chosen, one_grid=isinstance(scene, xr.Dataset | xr.DataArray))
    check_offset(bands.values(), scale, offset)
    time = _times(bands)
    lazy = any(band.data.chunks is not None for band in bands.values())
    watch = None if lazy else Watch(progress)
    how = How(chosen, engine, precision, scale, offset, check_thresholds(thresholds, chosen))
    output = _output(finest(bands.values()), geobox, resolution)
    names = ["ucl"] + ["ucl_confidence"] * confidence + ["ucl_probability"] * probabilities
    dates = _dates(bands)
    # Dask would fuse reading into each part of a scene by itself, and so read what several need several times.
    with dask.config.set({"optimization.fuse.active": False}):
        layers = [_layers(how, date, output, names, watch) for date in dates]
    same = next((band.data for band in bands.values() if band.grid == output), None)
    result: xr.Dataset = _dataset(layers, names, output, same, time, chosen)
    if dilation:
        result["ucl"] = dilate(result["ucl"], dilation, output)
    if watch is None:
        return result
    result = result.compute(scheduler="threads", num_workers=available_cpus())
    _judge(result, watch, chosen, offset, whole=geobox is None)
    return result


@dataclass(frozen=True)
class How:
    """What every task needs to know; small, and goes into the graph."""

    model: Model
    engine: str | None
    precision: str | None
    scale: float | None
    offset: float
    thresholds: tuple[tuple[CloudClass, float], ...]


@dataclass
class Watch:
    """Follows the tasks of a scene in memory: counts them, and looks at what they read."""

    progress: Progress | None
    check: OffsetCheck = field(default_factory=OffsetCheck)
    done: int = 0
    total: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def saw(self, visible: np.ndarray) -> None:
        with self._lock:
            self.check.add(visible)

    def finished(self) -> None:
        with self._lock:
            self.done += 1
            if self.progress:
                self.progress(self.done, self.total)


# --- what goes in ---------------------------------------------------------------------


def _arrays(
    scene: xr.Dataset | xr.DataArray | Mapping[str, xr.DataArray],
) -> dict[str, xr.DataArray]:
    """The bands of whatever stands for a scene."""
    if isinstance(scene, xr.Dataset):
        return {str(name): band for name, band in scene.data_vars.items()}
    if isinstance(scene, xr.DataArray):
        return _split(scene)
    if isinstance(scene, Mapping) and all(isinstance(b, xr.DataArray) for b in scene.values()):
        # A file as rioxarray opens it has a dimension `band` of length one.
        return {
            str(name): band.squeeze("band", drop=True) if band.sizes.get("band") == 1 else band
            for name, band in scene.items()
        }
    raise SceneError(
        "a scene is an xarray.Dataset, a DataArray with a dimension `band`, or a mapping of names "
        f"to DataArrays, not {type(scene).__name__}."
    )


def _split(scene: xr.DataArray) -> dict[str, xr.DataArray]:
    """The bands of an array with a dimension `band`, which has to name them."""
    if "band" not in scene.dims:
        raise SceneError(
            f"the array has the dims {scene.dims}; a scene in one array has a dimension `band`."
        )
    names = scene["band"].values
    described = scene.attrs.get("long_name")
    if isinstance(described, tuple | list) and len(described) == len(names):  # rioxarray's way
        names = np.asarray(described)
    if names.dtype.kind in "iuf":
        raise SceneError(
            f"the bands are numbered {list(names)}, not named; name them in their order, e.g. "
            "scene.assign_coords(band=['B02', 'B03', 'B04', 'B08'])."
        )
    return {str(name): scene.isel(band=i, drop=True) for i, name in enumerate(names)}


def _select(arrays: Mapping[str, xr.DataArray], model: Model, *, one_grid: bool) -> dict[str, Band]:
    """The model's bands under their canonical names, checked."""
    names = find_bands(arrays, model.bands)
    chosen = {band: arrays[name] for band, name in names.items()}
    for band, data in chosen.items():
        if data.dtype.kind not in "uif":
            raise SceneError(
                f"band {names[band]} has dtype {data.dtype}; digital numbers or reflectance are needed."
            )
        spatial = data.odc.spatial_dims
        if spatial is not None and set(data.dims) in ({*spatial}, {"time", *spatial}):
            data = chosen[band] = data.transpose(..., *spatial)
        if data.ndim not in (2, 3) or (data.ndim == 3 and data.dims[0] != "time"):
            raise SceneError(
                f"band {names[band]} has the dims {data.dims}; they must be ([time,] y, x)."
            )
        if 0 in data.shape:
            raise SceneError(
                f"the scene is empty: band {names[band]} has the shape {data.shape}; load it for an extent and "
                "times for which there are data."
            )
    shapes = {names[b]: data.shape if one_grid else data.shape[:-2] for b, data in chosen.items()}
    if len(set(shapes.values())) > 1:
        raise SceneError(
            f"the bands differ in shape: {shapes}; load them on one grid and for the same times."
        )
    times = [data["time"].values for data in chosen.values() if "time" in data.coords]
    if any(not np.array_equal(times[0], each) for each in times[1:]):
        raise SceneError(
            "the bands have different times, or the same in another order; load them for the same times, or align "
            "them, e.g. with xarray.align."
        )
    # Of the selected bands together: an array may have lost its reference to the coordinate system, and
    # an attribute of the whole Dataset may be left over from before a reprojection.
    common = _grid(xr.Dataset(chosen)) if one_grid else None
    bands = {b: Band(data, common or _grid(data)) for b, data in chosen.items()}
    check_resolution(bands.values(), model)
    return bands


def _grid(data: xr.Dataset | xr.DataArray) -> GeoBox:
    """Where the pixels stand."""
    grid = data.odc.geobox
    if grid is None or grid.crs is None:
        raise SceneError(
            "the scene has no coordinate system; give it one, e.g. scene.odc.assign_crs('EPSG:32633')."
        )
    arrays = data.data_vars.values() if isinstance(data, xr.Dataset) else [data]
    spec = next((a.attrs["spec"] for a in arrays if "spec" in a.attrs), None)
    if spec is not None and hasattr(spec, "bounds"):
        # stackstac says where pixels begin and not where their centres are, unless asked to.
        beyond = ((grid.affine.c - spec.bounds[0]) / grid.affine.a) % 1
        if abs(beyond - 0.5) < 0.1:
            grid = grid.translate_pix(0.5, 0.5)
    return grid


def check_resolution(bands: Iterable[Band], model: Model) -> None:
    """Refuse bands whose pixels are too large for the model, though the sensor's are not.

    Parameters
    ----------
    bands
        In the order of the model's.

    Raises
    ------
    SceneError
        Saying what to load.
    """
    for name, band in zip(model.bands, bands, strict=True):
        # A model of 10 m is fed the bands of 20 and 60 m too, and nobody has those any finer.
        own = native_resolution(name)
        limit = COARSEST * max(model.resolution, own)
        coarse = max(ground_resolution(band.grid))
        if coarse > limit:
            raise SceneError(
                f"the pixels of {name} are {coarse:.0f} m wide, too coarse for {model.name}, which was "
                f"trained at {model.resolution:g} m. Load the bands at {limit:g} m or finer (the sensor's own "
                f"pixels are of {own} m), and ask for the mask on a coarse grid: with geobox=, or reproject "
                "in a recipe."
            )


def _times(bands: Mapping[str, Band]) -> xr.DataArray | None:
    data = next(iter(bands.values())).data
    return data["time"] if "time" in data.dims else None


def finest(bands: Iterable[Band]) -> GeoBox:
    """The grid of the smallest pixels, which stands for the scene."""
    return min((band.grid for band in bands), key=lambda grid: max(ground_resolution(grid)))


def _output(grid: GeoBox, geobox: GeoBox | None, resolution: float | None) -> GeoBox:
    if geobox is not None and resolution is not None:
        raise SceneError("pass geobox= or resolution=, not both.")
    if resolution is not None:
        if not 0 < resolution < np.inf:
            raise SceneError(
                f"the resolution {resolution} is not above 0; it is in units of {crs_name(grid.crs)}."
            )
        return GeoBox.from_bbox(grid.boundingbox, grid.crs, resolution=resolution, tight=True)
    if geobox is None:
        return grid
    if isinstance(geobox, xr.Dataset | xr.DataArray):
        geobox = geobox.odc.geobox
    if not isinstance(geobox, GeoBox) or geobox.crs is None or 0 in geobox.shape:
        raise SceneError(
            f"geobox= is {geobox!r}; it must be a GeoBox with a coordinate system and pixels, such as scene.odc.geobox."
        )
    return geobox


def check_scale_factor(scale: float | None) -> None:
    if scale is not None and not 0 < scale < np.inf:
        raise SceneError(f"the scale {scale} is not above 0; 1/10000 is that of Sentinel-2.")


def check_offset(bands: Iterable[Band], scale: float | None, offset: float) -> None:
    """Refuse an offset in digital numbers for reflectance, of which it would make nothing.

    Raises
    ------
    SceneError
        If a band is of floating point, no scale says that these are digital numbers, and the offset is not 0.
    """
    if offset and scale is None and any(band.data.dtype.kind == "f" for band in bands):
        raise SceneError(
            f"the bands are of floating point, which is taken for reflectance, and an offset of {offset:g} is for "
            "digital numbers. Pass offset=0 (--offset 0) for reflectance, or scale=1/10000 if these are Sentinel-2's "
            "digital numbers."
        )


def check_thresholds(
    thresholds: Mapping[str, float] | None, model: Model
) -> tuple[tuple[CloudClass, float], ...]:
    known = {c.label: c for c in model.classes}
    for name, value in (thresholds or {}).items():
        if name not in known:
            raise ModelError(f"{model.name} has no class {name!r}; it has {', '.join(known)}.")
        if not 0 <= value <= 1:
            raise ModelError(f"the threshold of {name} is {value}; it must be between 0 and 1.")
    if thresholds and len(thresholds) == len(known):
        raise ModelError(
            f"thresholds name every class of {model.name}; leave out the one, such as clear, that "
            "takes the pixels where no threshold is reached."
        )
    return tuple((known[name], float(value)) for name, value in (thresholds or {}).items())


def _dates(bands: Mapping[str, Band]) -> list[list[Band]]:
    """The bands of each date."""
    count = next(iter(bands.values())).data.sizes.get("time")
    if count is None:
        return [list(bands.values())]
    return [[Band(data[i], grid) for data, grid in bands.values()] for i in range(count)]


# --- the graph ------------------------------------------------------------------------


def _layers(
    how: How, bands: list[Band], output: GeoBox, names: list[str], watch: Watch | None
) -> dict[str, da.Array]:
    """The layers of one date, lazy: ``(y, x)``, or ``(K, y, x)`` for probabilities."""
    answers: dict[Window, Delayed] = {}
    extent = finest(bands)

    def answer(window: Window, target: GeoBox) -> Delayed:
        if window not in answers:
            answers[window] = delayed(window_answer, name="cleansat-window")(
                how, parts_of(bands, target), target, watch
            )
        return answers[window]

    def block(target: GeoBox) -> Delayed:
        area, found = plan(how.model, extent, target)
        return delayed(block_layers, name="cleansat-block")(
            how, area, [(w, answer(w, grid)) for w, grid in found], parts_of(bands, target), target, names
        )  # fmt: skip

    rows, columns = block_slices(bands, output)
    blocks = [[(block(output[y, x]), output[y, x].shape) for x in columns] for y in rows]
    if watch is not None:
        watch.total += len(answers)
    return {name: _assemble(blocks, name, len(how.model.classes)) for name in names}


def plan(
    model: Model, extent: GeoBox, target: GeoBox
) -> tuple[Area | None, list[tuple[Window, GeoBox]]]:
    """What a block of the output needs.

    Returns
    -------
    tuple
        The part of the model grid that decides the block, None if there is none, and the windows that touch it.
    """
    crs, scene = model_grid(extent, model.resolution)
    roi = overlap(box_geobox(scene, crs, model.resolution), target)
    if roi is None:
        return None, []
    rows, columns = roi
    box = Box(
        scene.top + rows.start, scene.top + rows.stop,
        scene.left + columns.start, scene.left + columns.stop,
    )  # fmt: skip
    found = windows(scene, box, model.tiling)
    return (box, box_geobox(box, crs, model.resolution)), [
        (window, box_geobox(window.box, crs, model.resolution)) for window in found
    ]


def parts_of(bands: Sequence[Band], target: GeoBox) -> list[Band] | None:
    """The parts of a scene that decide a part of another grid; None if one of the bands ends before."""
    parts = [band.part(target) for band in bands]
    return None if None in parts else parts  # type: ignore[return-value]


def block_slices(bands: Sequence[Band], output: GeoBox) -> tuple[list[slice], list[slice]]:
    """Rows and columns of the output that are made together, so many that memory stays bounded."""
    chunks = next((b.data.chunks for b in bands if b.grid == output), None)
    if chunks is not None:
        return tuple([slice(*ends) for ends in pairwise(accumulate(c, initial=0))] for c in chunks)  # type: ignore[return-value]
    extent = finest(bands)
    near = overlap(output, extent) or np.s_[0:0, 0:0]
    share = 1.0
    if 0 not in output[near].shape:
        # A pixel of a coarse output takes as many of the scene as it covers.
        share = max(ground_resolution(extent)) / max(ground_resolution(output[near]))
    side = max(1, round(BLOCK * min(1.0, share)))
    found = []
    for size, span in zip(output.shape, near, strict=True):
        # Beyond the scene nothing is read, and blocks may be large.
        cuts = {*range(0, span.start, BLOCK), *range(span.start, span.stop, side)}
        cuts |= {*range(span.stop, size, BLOCK), size}
        found.append([slice(*ends) for ends in pairwise(sorted(cuts))])
    return found[0], found[1]


def _assemble(blocks: list[list[tuple[Delayed, Any]]], name: str, classes: int) -> da.Array:
    lead = (classes,) if name == "ucl_probability" else ()
    dtype = "float32" if lead else "uint8"
    return da.block(
        [
            [da.from_delayed(b[name], shape=(*lead, *shape), dtype=dtype) for b, shape in row]
            for row in blocks
        ]
    )


# --- the tasks ------------------------------------------------------------------------


def window_answer(
    how: How, parts: list[Band] | None, target: GeoBox, watch: Watch | None = None
) -> np.ndarray | None:
    """Probabilities of one window, ``(K, h, w)`` float32, or None if it holds no data."""
    answer = None
    if parts is not None:
        pixels = to_model_grid(parts, target, how.scale, how.offset)
        check_scale(pixels)
        if watch is not None:
            visible = [b in ("blue", "green", "red") for b in how.model.bands]
            if any(visible):
                watch.saw(pixels[visible])
        batch = prepare(pixels)
        if batch is not None:
            run = get_engine(how.model, how.engine, how.precision)
            answer = run(batch)[0, :, : target.shape[0], : target.shape[1]]
    if watch is not None:
        watch.finished()
    return answer


def block_layers(
    how: How,
    area: Area | None,
    answers: list[tuple[Window, np.ndarray | None]],
    parts: list[Band] | None,
    target: GeoBox,
    names: list[str],
) -> dict[str, np.ndarray]:
    """The layers of one block of the output."""
    classes = len(how.model.classes)
    on_target = np.full((classes, *target.shape), np.nan, dtype="float32")
    valid = np.zeros(target.shape, dtype=bool)
    if area is not None and parts is not None:
        box, grid = area
        on_target = warp(blend(box, answers, classes), grid, target, "bilinear")
        valid = has_data(parts, target) & np.isfinite(on_target).all(axis=0)
    codes, percent = _decide(on_target, valid, how)
    layers = {"ucl": codes, "ucl_confidence": percent}
    if "ucl_probability" in names:
        layers["ucl_probability"] = np.where(valid, on_target, np.float32(np.nan))
    return {name: layers[name] for name in names}


def _decide(
    probabilities: np.ndarray, valid: np.ndarray, how: How
) -> tuple[np.ndarray, np.ndarray]:
    """The class and its percent; nodata where not valid."""
    thresholds = dict(how.thresholds)
    codes = np.full(valid.shape, CloudClass.NODATA, dtype="uint8")
    best = np.full(valid.shape, -np.inf, dtype="float32")
    percent = np.zeros(valid.shape, dtype="float32")
    for c, plane in zip(how.model.classes, probabilities, strict=True):
        candidate = plane
        if c in thresholds:
            # Above any class not named where the threshold is reached, below them elsewhere.
            candidate = plane + np.where(plane >= thresholds[c], np.float32(2), np.float32(-2))
        better = candidate > best
        np.copyto(best, candidate, where=better)
        np.copyto(percent, plane, where=better)
        codes[better] = c
    clouds = [p for c, p in zip(how.model.classes, probabilities, strict=True) if c in CLOUDS]
    if len(clouds) > 1:
        # Doubt between thick and thin is no doubt that it is cloud.
        np.copyto(percent, sum(clouds), where=np.isin(codes, CLOUDS))
    codes[~valid] = CloudClass.NODATA
    percent = np.rint(100 * percent)
    percent[~valid] = CONFIDENCE_NODATA
    return codes, percent.astype("uint8")


# --- what comes out -------------------------------------------------------------------


def _dataset(
    layers: list[dict[str, da.Array]],
    names: list[str],
    output: GeoBox,
    same: xr.DataArray | None,
    time: xr.DataArray | None,
    model: Model,
) -> xr.Dataset:
    """The layers of all dates, with the coordinates of a band on the same grid if there is one."""
    codes = [CloudClass.NODATA, *sorted(model.classes)]
    attrs: dict[str, dict[str, Any]] = {
        "ucl": ucl_attrs(codes),
        "ucl_confidence": confidence_attrs(),
        "ucl_probability": {
            "units": "1",
            "nodata": np.nan,
            "long_name": "probability of each class",
        },
    }
    coords = dict(xr_coords(output))
    spatial, reference = tuple(output.dimensions), "spatial_ref"
    if same is not None:
        # Not made anew from the grid: they may differ by rounding, and xarray then aligns to nothing.
        spatial = same.dims[-2:]
        reference = same.encoding.get("grid_mapping", same.attrs.get("grid_mapping", reference))
        own = {name: same[name] for name in (*spatial, reference) if name in same.coords}
        coords = {reference: coords["spatial_ref"], **own}
    found = {}
    for name in names:
        dims = [*["ucl_class"] * (name == "ucl_probability"), *spatial]
        data = layers[0][name] if time is None else da.stack([each[name] for each in layers])
        if time is not None:
            dims = ["time", *dims]
            coords["time"] = time
        if name == "ucl_probability":
            coords["ucl_class"] = [c.label for c in model.classes]
            coords["ucl_code"] = ("ucl_class", np.array(model.classes, dtype="uint8"))
        found[name] = xr.DataArray(
            data, dims=dims, attrs={**attrs[name], "grid_mapping": reference}
        )
    return xr.Dataset(found, coords=coords, attrs={"crs": crs_name(output.crs)})


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


def _judge(result: xr.Dataset, watch: Watch, model: Model, offset: float, whole: bool) -> None:
    """Speak up about a result in memory that cannot be right."""
    if whole and not (result.ucl != CloudClass.NODATA).any():
        raise SceneError(
            f"no pixel has data in all of the bands {', '.join(model.bands)}; check the area, and "
            "the nodata values of the bands."
        )
    if complaint := watch.check.complaint(offset):
        warnings.warn(
            f"the offset {offset:g} looks wrong: {complaint}", ReflectanceWarning, stacklevel=3
        )
