"""`classify`: make the mask of a scene.

Everything that makes masks calls it: the command line, the datacube driver, virtual products. The work is a dask graph, whether the scene is lazy or not. It has one task for each canonical window
and one for each block of the output. So nothing is computed twice, and memory is bounded by what
is under way. Graphs contain coordinates and the model's description, never weights.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

import dask
import dask.array as da
import numpy as np
import xarray as xr
from dask.delayed import Delayed, delayed
from odc.geo.geobox import GeoBox
from odc.geo.xr import xr_coords

from ..classes import CloudClass, confidence_attrs, ucl_attrs
from ..errors import ReflectanceWarning, SceneError, warn_caller
from ..grids.grid import crs_name
from ..grids.windows import Window
from ..models.engines import check_engine
from ..models.model import Model
from ..models.registry import get_model
from ..scenes.angles import Angles
from ..scenes.baseline import processing_level
from ..scenes.files import Band, parts_of
from ..scenes.packing import item_metadata
from ..scenes.sensor import check_sensor, warn_of_level
from ..storage.settings import small_cache
from ..threads import compute, no_fork
from .dilate import dilate
from .inputs import (
    arrays_of_scene,
    bands_by_date,
    describe_lights,
    finest_grid,
    lights_of,
    output_grid,
    select_bands,
    times_of_bands,
)
from .light import Light
from .options import Options, check_reflectance_has_no_offset, check_result
from .storable import storable
from .tasks import (
    Monitor,
    Progress,
    block_layers,
    block_slices,
    window_probabilities,
    windows_of_block,
)

_T = TypeVar("_T")

DOUBT = "reflectance_doubt"
"""Attribute of ``ucl``: what looks wrong with the values that it was made of, for people. Most scenes have none."""


def classify(
    scene: xr.Dataset | xr.DataArray | Mapping[str, xr.DataArray] | xr.DataTree,
    *,
    model: str | Model | None = None,
    geobox: GeoBox | None = None,
    resolution: float | None = None,
    confidence: bool = False,
    probabilities: bool = False,
    thresholds: Mapping[str, float] | None = None,
    dilation: Mapping[str, float] | None = None,
    scale: float | None = None,
    offset: float | None = None,
    engine: str | None = None,
    precision: str | None = None,
    refine: bool | Angles | Light = True,
    progress: Progress | None = None,
) -> xr.Dataset:
    """Label cloud and cloud shadow in a Sentinel-2 scene.

    The network sees the scene at the ground resolution that it was trained at, whatever the grid of
    the scene. Its probabilities are then resampled to the output grid, and the likeliest class wins.

    The class of a pixel does not depend on the extent or the chunks of the output, because windows are
    read whole even where the output stops earlier. To mask a part of a scene, pass the whole scene,
    lazy, and the part as `geobox`.

    Parameters
    ----------
    scene
        Bands with dims ``([time,] y, x)`` and an odc-geo geobox, e.g. from `dc.load` or
        `odc.stac.load`: integer digital numbers, or floating-point reflectance with NaN for
        nodata. Also a DataArray with a dimension ``band``, e.g. from `stackstac.stack`, or a
        mapping of names to bands that each stand on a grid of their own, e.g. from
        `rioxarray.open_rasterio`. Also the datatree of a product in ESA's Zarr form, from
        `xarray.open_datatree`. The model says which bands are needed; they are found by any of their names in :data:`~odc_cleansat.scenes.bands.S2_BANDS`. Which pixels have no data says
        :mod:`~odc_cleansat.scenes.nodata`: above all those where all bands are 0. With dask arrays the result is lazy.
    model
        Name or :class:`Model`; by default the best model whose bands the scene has.
    geobox
        Output grid in any coordinate system; by default that of the scene, or of its finest band.
    resolution
        Instead of `geobox`: the scene's extent with pixels of this size, in units of its
        coordinate system.
    confidence
        Also give ``ucl_confidence``.
    probabilities
        Also give ``ucl_probability``.
    thresholds
        Class label to probability, 0 to 1. A class named here is taken wherever it reaches its
        threshold, and nowhere else. If several reach theirs, the likeliest of them is taken. All other
        pixels take the likeliest of the classes that are not named.
    dilation
        ``cloud`` and ``shadow`` to metres on the ground: both grow into clear pixels, and
        where they meet, cloud wins. Thin cloud grows by the metres of cloud; where thick and thin
        cloud meet, thick cloud wins.
    scale
        Reflectance per digital number; by default what the bands say of themselves, else 1/10000 for integers and 1
        for floating-point numbers.
    offset
        Radiometric offset in digital numbers: ``reflectance = (DN + offset) * scale``. Between -1 and 1 it is in
        reflectance. By default what the bands say of themselves, else 0. See
        :func:`~odc_cleansat.scenes.packing.read_packing` and
        :func:`~odc_cleansat.scenes.offset.resolve_offset`.
    engine, precision
        See :func:`~odc_cleansat.models.engines.get_engine`.
    refine
        Whether light refines what the network says: shadow stays only where a cloud can cast it, and clipped white
        in the midst of cloud is cloud. The angles of the sun are those of the coordinates and attributes, as
        STAC names them, else they follow from the time and the place; or pass :class:`~odc_cleansat.scenes.angles.Angles`.
        False gives the network's own answer.
    progress
        Called with the number of windows done and the number there are, also while a window is worked on. An error
        that it raises ends the work. It is not called for lazy scenes.

    Returns
    -------
    xarray.Dataset
        On the output grid, with the scene's dims:

        - ``ucl``, uint8 :class:`CloudClass` codes, nodata 0 wherever a band has no data. Its attribute ``light``
          says which angles refined it. If the pixels look as if scale or offset were wrong, ``reflectance_doubt``
          says so, but not of lazy scenes;
        - ``ucl_confidence``, uint8 percent, nodata 255: how often a pixel with this class and probability was
          right, by the model's `calibration`. For a class without a curve it is the probability before dilation,
          for thick and thin cloud that of either. Where light has deleted shadow, the probability is the low one
          that the network gave the new class. White cores have 100;
        - ``ucl_probability``, float32 of 0 to 1, dims ``([time,] ucl_class, y, x)``, NaN without data.
          Its coordinates ``ucl_class`` and ``ucl_code`` have the label and the code of each plane, in
          the order of the model.

    Raises
    ------
    SceneError
        If bands are missing, or have an unsuitable shape, type or coordinate system. If the scene is too
        coarse for the model, has no data at all, or is of another satellite. If its values cannot be reflectance
        with the scale, or an offset of digital numbers is given with reflectance. For a lazy scene, errors that need
        the pixels come when it is computed, and a scene without data gives nodata.
    ModelError
        If the model is unknown or its weights cannot be used, or an option names a class
        that it does not have.

    Warns
    -----
    ReflectanceWarning
        If the pixels look as if the scale or the offset were wrong, or as if a value for no data were not
        declared. For a lazy scene this comes when it is computed; other threads than the main one write it to the
        log ``odc_cleansat``. Also if two things cannot both be true that the bands say of themselves.
    ModelWarning
        If the bands name another processing level than that of the model.
    LightWarning
        If the angles of the scene cannot be right, so that its shadow is left as the network gave it.
    """
    check_result(confidence, probabilities, progress, refine)
    with no_fork():  # coordinate systems hold locks of PROJ
        arrays = arrays_of_scene(scene)
        for each in (scene, *arrays.values()):
            check_sensor(getattr(each, "attrs", {}), (), "the scene")
        chosen = get_model(model, bands=arrays)
        check_engine(engine, precision)
        options = Options.of(
            chosen,
            engine=engine,
            precision=precision,
            scale=scale,
            offset=offset,
            thresholds=thresholds,
        )
        one_grid = isinstance(scene, xr.Dataset | xr.DataArray)
        bands = list(select_bands(arrays, chosen, one_grid=one_grid).values())
        output = output_grid(finest_grid(bands), geobox, resolution)
        names = ["ucl"] + ["ucl_confidence"] * confidence + ["ucl_probability"] * probabilities
        lazy = any(band.data.chunks is not None for band in bands)
        monitor = None if lazy else Monitor(progress)
        dates = [[band.packed(scale, offset) for band in date] for date in bands_by_date(bands)]
        _check_dates(dates, chosen, offset)
        # Dask would fuse the reading of a chunk into each task that needs it, and so read it several times.
        lights = lights_of(scene, dates, refine)
        with dask.config.set({"optimization.fuse.active": False}):
            layers = [
                _date_layers(replace(options, light=light), date, output, names, monitor)
                for date, light in zip(dates, lights, strict=True)
            ]
        result: xr.Dataset = _dataset(layers, output, bands, chosen)
        if said := describe_lights(lights):
            result.ucl.attrs["light"] = said
        if dilation:
            result["ucl"] = dilate(result["ucl"], dilation, output)
    if monitor is None:
        return result
    with small_cache():
        result = compute(result)
    if geobox is None:
        _check_some_data(result, chosen)
    _tell(monitor.complaints(), result)
    return result


def _tell(complaints: list[str], result: xr.Dataset) -> None:
    """Warn the caller of `classify` of what looks wrong with the values, and note it in the result."""
    if complaints:
        result.ucl.attrs[DOUBT] = " ".join(complaints)
    for complaint in complaints:
        warnings.warn(complaint, ReflectanceWarning, stacklevel=3)


def _check_dates(dates: list[list[Band]], model: Model, offset: float | None) -> None:
    """Raise if the bands are not of Sentinel-2 or do not suit the offset; warn of what they say and cannot be true."""
    bands = [band for date in dates for band in date]
    check_reflectance_has_no_offset(bands, offset)
    for date in dates:
        properties = item_metadata(date[0].data)["properties"]
        check_sensor(properties, [properties.get("id")], "the scene")
        warn_of_level(processing_level(properties), model.name, model.level)
    for text in dict.fromkeys(band.packing.contradiction for band in bands if band.packing):
        if text:
            warn_caller(f"{text}.", ReflectanceWarning)


# --- the graph ------------------------------------------------------------------------


class _DateGraph:
    """The tasks of one date; blocks that touch the same window share its task."""

    def __init__(self, options: Options, bands: list[Band], monitor: Monitor | None) -> None:
        self.options = options
        self.bands = bands
        self.scene = finest_grid(bands)
        self.monitor = monitor
        self.windows: dict[Window, Delayed] = {}
        self.gapless: set[GeoBox] = set()
        """Windows in which each pixel of each band has data."""

    def window(self, window: Window, grid: GeoBox) -> Delayed:
        """Return the task of a window."""
        if window not in self.windows:
            run = partial(
                window_probabilities,
                self.options,
                target=grid,
                monitor=self.monitor,
                gapless=self._here(self.gapless),
            )
            self.windows[window] = self.task(run, "cleansat-window", parts_of(self.bands, grid))
        return self.windows[window]

    def block(self, block: GeoBox, names: list[str]) -> Delayed:
        """Return the task of a block of the output, a mapping of layers."""
        area, found = windows_of_block(self.options.model, self.scene, block)
        answers = [(window, self.window(window, grid)) for window, grid in found]
        known = self._here(partial(self.gapless.issuperset, [grid for _, grid in found]))
        run = partial(block_layers, self.options, area, target=block, names=names, gapless=known)
        return self.task(run, "cleansat-block", parts_of(self.bands, block), answers=answers)

    def _here(self, shared: _T) -> _T | None:
        """Return what tasks share in memory; None for lazy scenes, whose tasks may run in several processes."""
        return None if self.monitor is None else shared

    def task(
        self, run: Callable[..., Any], name: str, parts: list[Band] | None, **lazy: Any
    ) -> Delayed:
        """Return a task that calls `run` with `parts` and what is lazy.

        Dask looks for lazy values in all arguments, however deep they are nested, and spends longer on that
        than on a small window. It does not look into a partial function, so what is in memory stands there.
        """
        if self.monitor is not None:
            return delayed(partial(run, parts=parts), name=name)(**lazy)
        return delayed(run, name=name)(parts=parts, **lazy)


def _date_layers(
    options: Options, bands: list[Band], output: GeoBox, names: list[str], monitor: Monitor | None
) -> dict[str, da.Array]:
    """Return the layers of one date, lazy: ``(y, x)``, or ``(K, y, x)`` for probabilities."""
    graph = _DateGraph(options, bands, monitor)
    rows, columns = block_slices(bands, output)
    grids = [[output[y, x] for x in columns] for y in rows]
    blocks = [[(graph.block(grid, names), grid.shape) for grid in row] for row in grids]
    if monitor is not None:
        monitor.total += len(graph.windows)
    return {name: _assemble(blocks, name, len(options.model.classes)) for name in names}


def _assemble(blocks: list[list[tuple[Delayed, Any]]], name: str, classes: int) -> da.Array:
    lead = (classes,) if name == "ucl_probability" else ()
    dtype = "float32" if lead else "uint8"
    return da.block(
        [
            [da.from_delayed(b[name], shape=(*lead, *shape), dtype=dtype) for b, shape in row]
            for row in blocks
        ]
    )


# --- the result -----------------------------------------------------------------------


def _dataset(
    layers: list[dict[str, da.Array]], output: GeoBox, bands: list[Band], model: Model
) -> xr.Dataset:
    """Return the layers of all dates with the coordinates of a band on the same grid, if there is one."""
    time = times_of_bands(bands)
    spatial, reference, coords = _coordinates(output, bands)
    attrs = _attributes(model)
    if time is not None:
        coords["time"] = time
    variables = {}
    for name in layers[0]:
        dims = [*["ucl_class"] * (name == "ucl_probability"), *spatial]
        if time is None:
            data = layers[0][name]
        else:
            dims = ["time", *dims]
            data = da.stack([each[name] for each in layers])
        if name == "ucl_probability":
            coords["ucl_class"] = [c.label for c in model.classes]
            coords["ucl_code"] = ("ucl_class", np.array(model.classes, dtype="uint8"))
        variables[name] = xr.DataArray(
            data, dims=dims, attrs={**attrs[name], "grid_mapping": reference}
        )
    return storable(xr.Dataset(variables, coords=coords, attrs={"crs": crs_name(output.crs)}))


def _coordinates(output: GeoBox, bands: list[Band]) -> tuple[tuple[Any, ...], str, dict[Any, Any]]:
    """Return the spatial dims, the name of the coordinate with the CRS, and the coordinates."""
    own = dict(xr_coords(output))
    same = next((band.data for band in bands if band.grid == output), None)
    if same is None:
        return tuple(output.dimensions), "spatial_ref", own
    # Not made anew from the grid: coordinates that differ by rounding would be aligned to nothing.
    spatial = same.dims[-2:]
    reference = same.encoding.get("grid_mapping", same.attrs.get("grid_mapping", "spatial_ref"))
    kept = {name: same[name] for name in (*spatial, reference) if name in same.coords}
    return spatial, reference, {reference: own["spatial_ref"], **kept}


def _attributes(model: Model) -> dict[str, dict[str, Any]]:
    return {
        "ucl": ucl_attrs([CloudClass.NODATA, *sorted(model.classes)]),
        "ucl_confidence": confidence_attrs(),
        "ucl_probability": {
            "units": "1",
            "nodata": np.nan,
            "long_name": "probability of each class",
        },
    }


def _check_some_data(result: xr.Dataset, model: Model) -> None:
    if not (result.ucl != CloudClass.NODATA).any():
        raise SceneError(
            f"no pixel has data in all of the bands {', '.join(model.bands)}; check the area, and "
            "the nodata values of the bands."
        )
