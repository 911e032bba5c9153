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
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr
from dask.delayed import Delayed, delayed
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox
from odc.geo.xr import xr_coords

from .classes import CONFIDENCE_NODATA, CloudClass, confidence_attrs, ucl_attrs
from .engines import check_engine, get_engine
from .errors import ModelError, ReflectanceWarning, SceneError
from .grids import (
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
from .reflectance import OffsetCheck, find_bands
from .windows import Box, Window, blend, prepare, windows

COARSEST = 1.5
"""A scene may be this much coarser than the model's resolution, and no more."""

BLOCK = 2048
"""Side of the blocks in which the output is made where the scene's chunks do not say."""

Progress = Callable[[int, int], None]


def classify(
    scene: xr.Dataset,
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
        Bands with dims ``([time,] y, x)`` and an odc-geo geobox, e.g. from `dc.load`: integer
        digital numbers, or floating-point reflectance with NaN for nodata. Which bands are
        needed depends on the model; they are found by any of their names in
        :data:`~odc_cleansat.reflectance.S2_BANDS`. An integer band's nodata value is its
        attribute ``nodata``; if none has one, a pixel that is 0 in all bands has no data.
        With dask arrays the result is lazy.
    model
        Name or :class:`Model`; by default the best whose bands the scene has.
    geobox
        Output grid in any coordinate system; by default the scene's own.
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
        where they meet, cloud wins.
    scale
        Reflectance per digital number, by default 1/10000 for integers and 1 for
        floating-point numbers.
    offset
        Radiometric offset in digital numbers: ``reflectance = (DN + offset) * scale``;
        see :func:`~odc_cleansat.reflectance.resolve_offset`.
    engine, precision
        See :func:`~odc_cleansat.engines.get_engine`.
    progress
        Called with the number of windows done and the number there are; not for lazy scenes.

    Returns
    -------
    xarray.Dataset
        On the output grid, with the scene's dims: ``ucl``, uint8 :class:`CloudClass` codes,
        nodata 0 wherever a band has no data; ``ucl_confidence``, uint8, percent
        probability of the class (before dilation), nodata 255; ``ucl_probability``, float32 of 0 to
        1, dims ``([time,] ucl_class, y, x)``, NaN without data.

    Raises
    ------
    SceneError
        If bands are missing or have an unsuitable shape or type, the scene has no
        coordinate system, is too coarse for the model, has no data at all, or its values are not
        what the scale says. What only the pixels tell, a lazy scene raises when it is computed,
        but for a scene without data, which is then nodata.
    ModelError
        If the model is unknown or its weights cannot be used, or an option names a class
        that it does not have.

    Warns
    -----
    ReflectanceWarning
        If the pixels look as if the offset were wrong (not for lazy scenes).
    """
    if scale is not None and not scale > 0:
        raise SceneError(f"the scale {scale} is not above 0; 1/10000 is that of Sentinel-2.")
    if not np.isfinite(offset):
        raise SceneError(f"the offset {offset} is not a number of digital numbers, such as -1000.")
    chosen = get_model(model, bands=_names(scene))
    check_engine(engine, precision)
    bands = _select(scene, chosen)
    grid = _geobox(bands, chosen)
    lazy = any(band.chunks is not None for band in bands.data_vars.values())
    watch = None if lazy else _Watch(progress)
    how = _How(chosen, engine, precision, scale, offset, _checked(thresholds, chosen))
    output = _output(grid, geobox, resolution)
    names = ["ucl"] + ["ucl_confidence"] * confidence + ["ucl_probability"] * probabilities
    dates = _dates(bands)
    layers = [_layers(how, date, grid, output, names, watch) for date in dates]
    result: xr.Dataset = _dataset(
        layers, names, output, scene.get("time") if "time" in bands.dims else None, chosen
    )
    if dilation:
        result["ucl"] = _dilate(result["ucl"], dilation, output)
    if watch is None:
        return result
    result = result.compute(scheduler="threads")
    _judge(result, watch, chosen, offset, whole=geobox is None)
    return result


@dataclass(frozen=True)
class _How:
    """What every task needs to know; small, and goes into the graph."""

    model: Model
    engine: str | None
    precision: str | None
    scale: float | None
    offset: float
    thresholds: tuple[tuple[CloudClass, float], ...]


@dataclass
class _Watch:
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


def _names(scene: xr.Dataset) -> list[Hashable]:
    if not isinstance(scene, xr.Dataset):
        raise SceneError(
            f"a scene is an xarray.Dataset with one variable a band, not {type(scene).__name__}; "
            "for a DataArray with a `band` dimension use .to_dataset('band')."
        )
    return list(scene.data_vars)


def _select(scene: xr.Dataset, model: Model) -> xr.Dataset:
    """The model's bands under their canonical names, checked."""
    names = find_bands(scene.data_vars, model.bands)
    bands = {band: scene[name] for band, name in names.items()}
    for band, data in bands.items():
        if data.dtype.kind not in "uif":
            raise SceneError(
                f"band {names[band]} has dtype {data.dtype}; digital numbers or reflectance are needed."
            )
        spatial = data.odc.spatial_dims
        if spatial is not None and set(data.dims) in ({*spatial}, {"time", *spatial}):
            data = bands[band] = data.transpose(..., *spatial)
        if data.ndim not in (2, 3) or (data.ndim == 3 and data.dims[0] != "time"):
            raise SceneError(
                f"band {names[band]} has the dims {data.dims}; they must be ([time,] y, x)."
            )
    shapes = {names[band]: data.shape for band, data in bands.items()}
    if len(set(shapes.values())) > 1:
        raise SceneError(f"the bands differ in shape: {shapes}; load them on one grid.")
    if 0 in next(iter(shapes.values())):
        raise SceneError(f"the scene is empty: its shape is {next(iter(shapes.values()))}.")
    return xr.Dataset(bands)


def _geobox(bands: xr.Dataset, model: Model) -> GeoBox:
    # Of the bands: an attribute `crs` of the whole Dataset may be left over from before a reprojection.
    grid = bands.odc.geobox
    if grid is None or grid.crs is None:
        raise SceneError(
            "the scene has no coordinate system; give it one, e.g. scene.odc.assign_crs('EPSG:32633')."
        )
    coarse = max(ground_resolution(grid))
    if coarse > COARSEST * model.resolution:
        raise SceneError(
            f"the scene's pixels are {coarse:.0f} m wide, too coarse for {model.name}, which was "
            f"trained at {model.resolution:g} m. Load the bands at {COARSEST * model.resolution:g} m "
            "or finer, and classify with geobox= to get the mask on a coarse grid."
        )
    return grid


def _output(grid: GeoBox, geobox: GeoBox | None, resolution: float | None) -> GeoBox:
    if geobox is not None and resolution is not None:
        raise SceneError("pass geobox= or resolution=, not both.")
    if resolution is not None:
        return GeoBox.from_bbox(grid.boundingbox, grid.crs, resolution=resolution, tight=True)
    return grid if geobox is None else geobox


def _checked(
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


def _dates(bands: xr.Dataset) -> list[xr.Dataset]:
    if "time" not in bands.dims:
        return [bands]
    return [bands.isel(time=i) for i in range(bands.sizes["time"])]


# --- the graph ------------------------------------------------------------------------


def _layers(
    how: _How,
    bands: xr.Dataset,
    grid: GeoBox,
    output: GeoBox,
    names: list[str],
    watch: _Watch | None,
) -> dict[str, da.Array]:
    """The layers of one date, lazy: ``(y, x)``, or ``(K, y, x)`` for probabilities."""
    crs, scene = model_grid(grid, how.model.resolution)
    answers: dict[Window, Delayed] = {}

    def answer(window: Window) -> Delayed:
        if window not in answers:
            target = box_geobox(window.box, crs, how.model.resolution)
            part, part_grid = _part(bands, grid, target)
            answers[window] = delayed(_answer, name="cleansat-window")(
                how, part, part_grid, target, watch
            )
        return answers[window]

    def block(target: GeoBox) -> Delayed:
        area = _area(scene, crs, how.model.resolution, target)
        found = windows(scene, area, how.model.stride, how.model.overlap) if area else []
        part, part_grid = _part(bands, grid, target)
        return delayed(_block, name="cleansat-block")(
            how, found, [answer(w) for w in found], area, crs, part, part_grid, target, names
        )

    rows, columns = _chunks(bands, grid, output)
    blocks = [[(block(output[y, x]), output[y, x].shape) for x in columns] for y in rows]
    if watch is not None:
        watch.total += len(answers)
    return {name: _assemble(blocks, name, len(how.model.classes)) for name in names}


def _part(
    bands: xr.Dataset, grid: GeoBox, target: GeoBox
) -> tuple[xr.Dataset | None, GeoBox | None]:
    """The part of a scene that decides a part of another grid."""
    roi = overlap(grid, target)
    if roi is None:
        return None, None
    return bands.isel(dict(zip(grid.dimensions, roi, strict=True))), grid[roi]


def _area(scene: Box, crs: CRS, resolution: float, target: GeoBox) -> Box | None:
    """The part of the model grid that decides a block of the output."""
    roi = overlap(box_geobox(scene, crs, resolution), target)
    if roi is None:
        return None
    rows, columns = roi
    return Box(
        scene.top + rows.start, scene.top + rows.stop,
        scene.left + columns.start, scene.left + columns.stop,
    )  # fmt: skip


def _chunks(bands: xr.Dataset, grid: GeoBox, output: GeoBox) -> tuple[list[slice], list[slice]]:
    """Rows and columns of the output that are made together."""
    chunks = next(iter(bands.data_vars.values())).chunks
    if chunks is None or output != grid:
        chunks = da.core.normalize_chunks(BLOCK, shape=tuple(output.shape))
    return tuple(  # type: ignore[return-value]
        [slice(*ends) for ends in pairwise(accumulate(sizes, initial=0))] for sizes in chunks
    )


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


def _answer(
    how: _How,
    part: xr.Dataset | None,
    grid: GeoBox | None,
    target: GeoBox,
    watch: _Watch | None,
) -> np.ndarray | None:
    """Probabilities of one window, ``(K, h, w)`` float32, or None if it holds no data."""
    answer = None
    if part is not None and grid is not None:
        pixels = to_model_grid(part, grid, target, how.scale, how.offset)
        check_scale(pixels)
        if watch is not None:
            watch.saw(pixels[[i for i, b in enumerate(part) if b in ("blue", "green", "red")]])
        batch = prepare(pixels)
        if batch is not None:
            run = get_engine(how.model, how.engine, how.precision)
            answer = run(batch)[0, :, : target.shape[0], : target.shape[1]]
    if watch is not None:
        watch.finished()
    return answer


def _block(
    how: _How,
    found: list[Window],
    answers: list[np.ndarray | None],
    area: Box | None,
    crs: CRS,
    part: xr.Dataset | None,
    grid: GeoBox | None,
    target: GeoBox,
    names: list[str],
) -> dict[str, np.ndarray]:
    """The layers of one block of the output."""
    model = how.model
    shape = (len(model.classes), *target.shape)
    on_target = np.full(shape, np.nan, dtype="float32")
    valid = np.zeros(target.shape, dtype=bool)
    if area is not None and part is not None and grid is not None:
        blended = blend(area, zip(found, answers, strict=True), len(model.classes))
        on_area = box_geobox(area, crs, model.resolution)
        on_target = warp(blended, on_area, target, "bilinear")
        valid = has_data(part, grid, target) & np.isfinite(on_target).all(axis=0)
    codes, percent = _decide(on_target, valid, how)
    layers = {"ucl": codes, "ucl_confidence": percent}
    if "ucl_probability" in names:
        layers["ucl_probability"] = np.where(valid, on_target, np.float32(np.nan))
    return {name: layers[name] for name in names}


def _decide(
    probabilities: np.ndarray, valid: np.ndarray, how: _How
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
    codes[~valid] = CloudClass.NODATA
    percent = np.rint(100 * percent)
    percent[~valid] = CONFIDENCE_NODATA
    return codes, percent.astype("uint8")


# --- what comes out -------------------------------------------------------------------


def _dataset(
    layers: list[dict[str, da.Array]],
    names: list[str],
    output: GeoBox,
    time: xr.DataArray | None,
    model: Model,
) -> xr.Dataset:
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
    found = {}
    for name in names:
        dims = [*["ucl_class"] * (name == "ucl_probability"), *output.dimensions]
        data = layers[0][name] if time is None else da.stack([each[name] for each in layers])
        if time is not None:
            dims = ["time", *dims]
            coords["time"] = time
        if name == "ucl_probability":
            coords["ucl_class"] = [c.label for c in model.classes]
        found[name] = xr.DataArray(
            data, dims=dims, attrs={**attrs[name], "grid_mapping": "spatial_ref"}
        )
    return xr.Dataset(found, coords=coords, attrs={"crs": crs_name(output.crs)})


def _dilate(ucl: xr.DataArray, dilation: Mapping[str, float], output: GeoBox) -> xr.DataArray:
    from odc.algo import mask_cleanup

    kinds = {"shadow": [CloudClass.SHADOW], "cloud": [CloudClass.CLOUD, CloudClass.THIN_CLOUD]}
    if unknown := set(dilation) - set(kinds):
        raise ModelError(
            f"cannot dilate {', '.join(sorted(unknown))}; choose from cloud and shadow."
        )
    pixel = sum(ground_resolution(output)) / 2
    clear = ucl == CloudClass.CLEAR
    grown = ucl
    for name, classes in kinds.items():
        radius = round(dilation.get(name, 0) / pixel)
        if radius > 0:
            reached = mask_cleanup(ucl.isin(classes), [("dilation", radius)])
            grown = grown.where(~(reached & clear), np.uint8(classes[0]))
    dilated: xr.DataArray = grown.astype("uint8").assign_attrs(ucl.attrs)
    return dilated


def _judge(result: xr.Dataset, watch: _Watch, model: Model, offset: float, whole: bool) -> None:
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
