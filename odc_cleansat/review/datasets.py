"""Read masks and scenes from their files, as Datasets for :func:`~odc_cleansat.review.compare`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from odc.geo.geobox import GeoBox
from odc.geo.geom import box
from odc.geo.xr import wrap_xr

from ..classes import CloudClass, confidence_attrs, scl_to_ucl, ucl_attrs
from ..errors import CleansatError, SceneError
from ..evaluate.mappings import get_mapping
from ..evaluate.rasters import ClassRaster, open_raster
from ..grids.centres import reach
from ..masks.classify import classify
from ..models.registry import DEFAULTS, get_model
from ..products.job import mask_grid
from ..products.product import DOCUMENT, MaskProduct
from ..products.provenance import scene_light
from ..scenes.files import BandFile, SceneFiles, open_bands, reading
from ..scenes.read import read_metadata, read_scene
from ..storage.eo3 import acquisition_time
from ..storage.folder import Folder, split_file
from ..storage.reader import strange_values
from .bands import COLOURS, given_scl, read_band, scene_bands, scl_beside, warp_band
from .comparison import DRAWN

LARGEST = 6000**2
"""Most pixels that are read of each layer. A whole tile at 20 m has fewer."""

_LAYER = "_ucl.tif"
"""How the name of the file of a mask product's UCL ends."""

BBox = tuple[float, float, float, float]
"""West, south, east and north in degrees."""


def is_mask(place: Path | str) -> bool:
    """Return whether a path or URL is that of a mask product: its folder, or its document.

    Raises
    ------
    SceneError
        If a document cannot be read.
    OutputError
        If a store cannot be reached.
    """
    text = str(place)
    if text.endswith(DOCUMENT):
        measurements = read_metadata(text).get("measurements")
        return isinstance(measurements, Mapping) and "ucl" in measurements
    if text.startswith(("http://", "https://")) or ("://" not in text and not Path(text).is_dir()):
        return False
    return any(name.endswith(DOCUMENT) for name in Folder(place).files())


def mask_dataset(
    place: Path | str | MaskProduct,
    *,
    bbox: BBox | None = None,
    scl: str | None = None,
    fetch_scenes: bool = False,
) -> xr.Dataset:
    """Read a mask product with the true colour and the SCL of its scene.

    The files of the scene are those that a datacube has, or else those that the product names. An SCL that it does not
    name is looked for beside them. They are opened near the mask and on its host; see
    :mod:`odc_cleansat.products.scene_files`.

    Parameters
    ----------
    place
        Path or URL of the product's folder or document; or the product.
    bbox
        Read only this box: west, south, east and north in degrees.
    scl
        File of the SCL, if it is not found.
    fetch_scenes
        Whether to open the files of the scene wherever the product says that they are.

    Returns
    -------
    xarray.Dataset
        ``red``, ``green``, ``blue``, ``scl`` if there is one, ``ucl`` and ``ucl_confidence``, all in the
        dtype of their files, dims ``(y, x)``. They are on the grid of true colour if that has few enough
        pixels, else on the mask's. It has the coordinates ``time`` and ``offset``, and the attribute
        ``model``.

    Raises
    ------
    OutputError
        If there is no mask product.
    SceneError
        If its scene is not where it was or not opened, or the box lies elsewhere.
    """
    product = place if isinstance(place, MaskProduct) else MaskProduct(place)
    own = _layer_grid(product)
    record = product.own_record
    bands = scene_bands(product, record, fetch_scenes=fetch_scenes)
    if scl is not None:
        bands["scl"] = given_scl(scl, bands["red"])
    grid = _drawn_grid(own, bands["red"], bbox)
    data = _read_bands(bands, grid, product.name)
    _check_scl(data, scl)
    with strange_values(f"the processing record of {product.name}"):
        known = {CloudClass.NODATA.label, *record["model"]["classes"]}
        offset = float(record["offset"]["value"])
    codes = {name: _read_layer(product, name, grid) for name in ("ucl", "ucl_confidence")}
    _add_mask(data, codes, grid, [c for c in CloudClass if c.label in known])
    data.attrs["model"] = product.model
    return _describe(data, product.properties, product.name, offset)


def scene_dataset(
    source: str,
    *,
    moment: datetime | None = None,
    bbox: BBox | None = None,
    model: str | None = None,
    offset: float | None = None,
    scl: str | None = None,
    ucl: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> xr.Dataset:
    """Read a scene with its true colour and its SCL, and read or compute its UCL.

    Parameters
    ----------
    source, moment
        See :func:`odc_cleansat.scenes.read.read_scene`.
    bbox, scl
        See :func:`mask_dataset`.
    model, offset
        See :func:`~odc_cleansat.classify`; by default the scene's metadata decide.
    ucl
        File of a UCL, which is then not computed.
    progress
        Called with the number of windows done and the number of all windows.

    Returns
    -------
    xarray.Dataset
        See :func:`mask_dataset` for dims and dtype. It has ``ucl_confidence`` only if the UCL is computed.

    Raises
    ------
    SceneError
        If it is no scene, lacks bands, cannot be read, or the box lies elsewhere.
    ModelError
        If there is no such model.
    """
    scene = read_scene(source, moment)
    properties = scene.dataset.metadata_doc["properties"]
    decided = scene.files.offset(offset)
    bands = _bands(scene.files, scl)
    given = None if ucl is None else BandFile(ucl, 1, 0)
    if ucl is not None:
        _check_day(ucl, properties)
    own = mask_grid(scene.dataset) if given is None else given.open().grid
    if reach(own, bands["red"].open().grid) is None:
        raise SceneError(f"{ucl} lies elsewhere than the scene: none of its pixels is in it.")
    grid = _drawn_grid(own, bands["red"], bbox)
    data = _read_bands(bands, grid, scene.label)
    _check_scl(data, scl)
    if given is not None:
        _add_mask(data, {"ucl": _read_codes(given, grid)}, grid, CloudClass)
    else:
        chosen = get_model(model, bands=scene.files.files)
        data.attrs["model"] = chosen.name
        with reading(scene.files.label):
            mask = classify(
                open_bands(scene.files.wanted(chosen.bands)),
                model=chosen,
                geobox=grid_part(own, bbox),
                confidence=True,
                offset=decided.value,
                refine=scene_light(properties, own),
                progress=progress,
            )
        mask = mask.odc.reproject(grid, resampling="nearest")
        classes = [CloudClass.NODATA, *sorted(chosen.classes)]
        layers = {name: mask[name].values for name in ("ucl", "ucl_confidence")}
        _add_mask(data, layers, grid, classes)
    return _describe(data, properties, scene.label, decided.value)


def class_file(path: str, mapping: str = "ucl") -> xr.DataArray:
    """Read a file of classes drawn by hand or made by others, as codes of the UCL.

    Parameters
    ----------
    path
        Path or URL of the raster. Its first band is read.
    mapping
        Meaning of its codes; see :func:`odc_cleansat.evaluate.mappings.get_mapping`.

    Returns
    -------
    xarray.DataArray
        uint8 :class:`CloudClass` codes, dims ``(y, x)``, nodata 0.

    Raises
    ------
    CleansatError
        If it cannot be read, or there is no such mapping.

    Warns
    -----
    GapWarning
        If it holds values that the mapping does not name.
    """
    with reading(path), open_raster(ClassRaster(path, get_mapping(mapping))) as opened:
        rows, columns = opened.grid.shape
        codes = opened.read(slice(0, rows), slice(0, columns))
        classes: xr.DataArray = wrap_xr(codes, opened.grid, nodata=0)
    return classes


def layer_names(data: xr.Dataset, model: str | None = None) -> dict[str, str]:
    """Return names of layers that are not what they usually are, for :func:`~odc_cleansat.review.compare`.

    Parameters
    ----------
    data
        A scene with its masks, dims ``([time,] y, x)``, any dtype.
    model
        The model that made the UCL, if `data` does not say it.
    """
    names = {}
    made_by = data.attrs.get("model", model)
    if made_by and made_by not in DEFAULTS:
        names["ucl"] = f"UCL ({made_by})"
    if data.attrs.get("simulated", False):
        names["scl"] = "SCL (simulated)"
    return names


def _bands(scene: SceneFiles, scl: str | None) -> dict[str, BandFile]:
    """Files of red, green and blue, and of the SCL if there is one."""
    bands = scene.wanted(COLOURS)
    if scl is not None:
        return {**bands, "scl": given_scl(scl, bands["red"])}
    if scene.scl is not None:
        return {**bands, "scl": scene.scl}
    return bands | scl_beside(bands)


def _drawn_grid(mask: GeoBox, red: BandFile, bbox: BBox | None) -> GeoBox:
    """The grid of the red band if it has few enough pixels to be drawn; else the mask's, thinned if needed."""
    fine = grid_part(red.open().grid, bbox)
    if math.prod(fine.shape) <= DRAWN:
        return fine
    part = grid_part(mask, bbox)
    factor = math.ceil(math.sqrt(math.prod(part.shape) / LARGEST))
    return part if factor <= 1 else part.zoom_out(factor)


def grid_part(grid: GeoBox, bbox: BBox | None) -> GeoBox:
    """Return the pixels of a grid that a box in degrees touches; all of them without a box.

    Raises
    ------
    SceneError
        If the box lies outside.
    """
    if bbox is None:
        return grid
    west, south, east, north = bbox
    area = box(west, south, east + 360 * (west > east), north, "EPSG:4326")
    edges = area.to_crs(grid.crs, resolution=0.05).boundingbox
    corners = [~grid.affine * (x, y) for x in edges.range_x for y in edges.range_y]
    spans = []
    for axis, size in ((1, grid.shape[0]), (0, grid.shape[1])):
        places = [corner[axis] for corner in corners]
        start, stop = math.floor(min(places)), math.ceil(max(places))
        spans.append(slice(min(max(start, 0), size), min(max(stop, 0), size)))
    if any(span.start >= span.stop for span in spans):
        lonlat = grid.geographic_extent.boundingbox
        raise SceneError(
            f"the box {','.join(f'{x:g}' for x in bbox)} lies outside the scene, which reaches from "
            f"{lonlat.left:.3f},{lonlat.bottom:.3f} to {lonlat.right:.3f},{lonlat.top:.3f}."
        )
    return grid[tuple(spans)]


def _read_bands(bands: Mapping[str, BandFile], grid: GeoBox, label: str) -> xr.Dataset:
    data = {}
    with reading(label):
        for name, file in bands.items():
            if name == "scl":
                values, nodata = _read_codes(file, grid), 0.0
            else:
                values, nodata = read_band(file, grid, "average", overviews=True)
            data[name] = wrap_xr(values, grid, nodata=nodata)
    return xr.Dataset(data)


def _check_scl(data: xr.Dataset, given: str | None) -> None:
    """Raise if a file is given as SCL and holds no class of an SCL."""
    if given is not None and not scl_to_ucl(data.scl.values).any():
        raise SceneError(
            f"{given} has no class of an SCL on the scene: is it one? A label goes with label=."
        )


def _check_day(ucl: str, scene: Mapping[str, Any]) -> None:
    """Raise if a mask is of another day than the scene with these properties, if both days are known."""
    folder, name = split_file(ucl)
    if not name.endswith(_LAYER):
        return
    product = MaskProduct(folder.file(name.removesuffix(_LAYER) + DOCUMENT))
    try:
        moments = [acquisition_time(each) for each in (product.properties, scene)]
    except (CleansatError, OSError, TypeError):
        return  # a file by itself
    days = [each.date() for each in moments if each is not None]
    if len(days) == 2 and days[0] != days[1]:
        raise SceneError(
            f"{ucl} is the mask of another scene: it is of {days[0]}, and this is of {days[1]}. The folder of the mask "
            "alone finds its scene."
        )


def _layer_grid(product: MaskProduct) -> GeoBox:
    with reading(product.label), product.open_layer("ucl") as opened:
        if opened.crs is None:
            raise SceneError(f"the ucl of {product.label} has no coordinate system.")
        return GeoBox.from_rio(opened)


def _read_layer(product: MaskProduct, name: str, grid: GeoBox) -> np.ndarray:
    with reading(product.label), product.open_layer(name) as opened:
        return warp_band(opened, 1, grid, "nearest")[0]


def _read_codes(file: BandFile, grid: GeoBox) -> np.ndarray:
    return read_band(file, grid, "nearest", overviews=False)[0]


def _add_mask(
    data: xr.Dataset,
    layers: Mapping[str, np.ndarray],
    grid: GeoBox,
    classes: Iterable[CloudClass],
) -> None:
    """Add layers of a mask with their attributes. `classes` are those that its model knows."""
    attrs = {"ucl": ucl_attrs(classes), "ucl_confidence": confidence_attrs()}
    for name, values in layers.items():
        data[name] = wrap_xr(values, grid, **attrs[name])


def _describe(
    data: xr.Dataset, properties: Mapping[str, Any], label: str, offset: float
) -> xr.Dataset:
    """Add time and offset as coordinates, and what a picture should say as attributes."""
    data = data.assign_coords(offset=float(offset))
    data.attrs["title"] = label
    data.attrs["tile"] = str(properties.get("odc:region_code") or "")
    data.attrs["simulated"] = bool(properties.get("cleansat:simulated", False))
    if (moment := acquisition_time(properties)) is not None:
        data = data.assign_coords(time=np.datetime64(moment, "ns"))
    return data
