"""`classify`: the one function behind every surface.

It stands in a module of another name than its own, because a module `classify` would hide the
function of that name in the package as soon as anything imported it.

The work is a dask graph, whether the scene is lazy or not: one task for each canonical window and
one for each block of the output, so that nothing is computed twice and memory is bounded by what
is under way. Graphs hold coordinates and the model's description, never weights.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import dask
import dask.array as da
import numpy as np
import xarray as xr
from dask.delayed import Delayed, delayed
from odc.geo.geobox import GeoBox
from odc.geo.xr import xr_coords

from ..classes import CloudClass, confidence_attrs, ucl_attrs
from ..errors import ReflectanceWarning, SceneError
from ..grids.grid import crs_name
from ..grids.windows import Window
from ..models.engines import available_cpus, check_engine
from ..models.model import Model
from ..models.registry import get_model
from ..scenes.bands import find_bands
from ..scenes.reflectance import Band
from .dilate import dilate
from .tasks import (
    How,
    Progress,
    Watch,
    block_layers,
    block_slices,
    check_offset,
    check_resolution,
    check_scale_factor,
    check_thresholds,
    finest,
    parts_of,
    plan,
    window_answer,
)


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
        any of their names in :data:`~odc_cleansat.scenes.bands.S2_BANDS`. An integer band's nodata
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
        none; see :func:`~odc_cleansat.scenes.offset.resolve_offset`.
    engine, precision
        See :func:`~odc_cleansat.models.engines.get_engine`.
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


def _times(bands: Mapping[str, Band]) -> xr.DataArray | None:
    data = next(iter(bands.values())).data
    return data["time"] if "time" in data.dims else None


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


def _assemble(blocks: list[list[tuple[Delayed, Any]]], name: str, classes: int) -> da.Array:
    lead = (classes,) if name == "ucl_probability" else ()
    dtype = "float32" if lead else "uint8"
    return da.block(
        [
            [da.from_delayed(b[name], shape=(*lead, *shape), dtype=dtype) for b, shape in row]
            for row in blocks
        ]
    )


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
