"""Compare a part of some scenes, as a datacube knows them, with their masks: what the swipe viewer shows of a map."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import xarray as xr
from odc.geo.geobox import GeoBox
from odc.geo.xr import wrap_xr

from ..classes import CloudClass, confidence_attrs, ucl_attrs
from ..errors import SceneError
from ..evaluate.rasters import ClassRaster
from ..products.product import MaskProduct
from ..scenes.files import BandFile, SceneFiles, reading
from ..scenes.settle import settle_offset
from ..storage.eo3 import acquisition_time
from .bands import read_band
from .comparison import DRAWN, OTHER, Comparison, compare
from .datasets import BBox, grid_part
from .other_masks import Other, read_classes

COLOURS = ("red", "green", "blue")


@dataclass(frozen=True)
class MaskedFiles:
    """The files of a scene, and of one of its masks."""

    scene: SceneFiles
    """The scene."""

    mask: MaskProduct | None = None
    """Its mask; None if it has none."""

    others: Mapping[str, ClassRaster] = field(default_factory=dict)
    """Masks by others, by their names."""


def compare_view(
    scenes: Sequence[MaskedFiles], bbox: BBox | None = None, title: str = "", pixels: int = DRAWN
) -> Comparison:
    """Compare scenes with their masks in a box, all on the grid of the first scene.

    Parameters
    ----------
    scenes
        One for each date, in any order.
    bbox
        West, south, east and north, degrees; by default all of the first scene.
    title
        Title of the comparison.
    pixels
        Most pixels of true colour, of all dates together; more are averaged.

    Raises
    ------
    SceneError
        If there is none, two are of one time, a file cannot be read, or the box lies outside the first scene.
    """
    if not scenes:
        raise SceneError("no scene is named; choose one at least.")
    first = scenes[0].scene
    with reading(first.label):
        grid = grid_part(first.wanted(COLOURS)["red"].open().grid, bbox)
    factor = math.ceil(math.sqrt(math.prod(grid.shape) * len(scenes) / pixels))
    grid = grid if factor <= 1 else grid.zoom_out(factor)
    dates = sorted((_date(each, grid) for each in scenes), key=lambda each: each.time.item())
    times = [each.time.item() for each in dates]
    if len(set(times)) < len(times):
        raise SceneError("two of the scenes are of the same time; choose one of them.")
    shared = set.intersection(*(set(each.data_vars) for each in dates))
    if "ucl" not in shared:
        raise SceneError("a scene has no mask yet, so there is nothing to compare; mask it first.")
    beside: dict[str, Other] = {
        name: (f"{OTHER}{name}", raster.mapping.of_classes)
        for name, raster in scenes[0].others.items()
        if f"{OTHER}{name}" in shared
    }
    if len(dates) == 1:
        return compare(dates[0], others=beside, confidence="ucl_confidence" in shared, title=title)
    names = sorted(map(str, shared))
    layers = [each[names].drop_vars("offset") for each in dates]
    together = xr.concat(layers, "time", data_vars="all", coords="minimal", compat="override")
    together = together.assign_coords(offset=("time", [float(each.offset) for each in dates]))
    return compare(together, others=beside, confidence="ucl_confidence" in shared, title=title)


def _date(each: MaskedFiles, grid: GeoBox) -> xr.Dataset:
    """Return a scene and its mask on a grid, dims ``(y, x)``, each layer in the dtype of its file."""
    scene, label = each.scene, each.scene.label
    with reading(label):
        bands = scene.wanted(COLOURS)
        data = {}
        for name, file in bands.items():
            values, nodata = read_band(file, grid, "average", overviews=True)
            data[name] = wrap_xr(values, grid, nodata=nodata)
        if scene.scl is not None:
            data["scl"] = wrap_xr(_codes(scene.scl, grid), grid, nodata=0)
        offset = 0.0
        if data["red"].dtype.kind in "ui":
            offset = _offset(each, bands)
    if each.mask is not None:
        with reading(each.mask.label):
            for name, attrs in (
                ("ucl", ucl_attrs(CloudClass)),
                ("ucl_confidence", confidence_attrs()),
            ):
                if name in each.mask.document["measurements"]:
                    file = BandFile(
                        each.mask.layer_file(name), 1, attrs["nodata"], of_stranger=True
                    )
                    data[name] = wrap_xr(_codes(file, grid), grid, **attrs)
    ucl = data["ucl"].values if "ucl" in data else None
    for name, raster in each.others.items():
        data[f"{OTHER}{name}"] = read_classes(name, raster, grid, ucl, anywhere=True)
    moment = acquisition_time(scene.properties)
    if moment is None:
        raise SceneError(f"{label} does not say when it was acquired.")
    found: xr.Dataset = xr.Dataset(data).assign_coords(
        time=np.datetime64(moment, "ns"), offset=offset
    )
    return found


def _codes(file: BandFile, grid: GeoBox) -> np.ndarray:
    return read_band(file, grid, "nearest", overviews=False)[0]


def _offset(each: MaskedFiles, bands: dict[str, BandFile]) -> float:
    """Return the offset that the mask was made with, or else that of the scene, DN."""
    if each.mask is not None and "cleansat:offset" in each.mask.properties:
        return float(each.mask.properties["cleansat:offset"])
    return settle_offset(bands, each.scene.offset(), each.scene.label).value
