"""Masks and scenes from their files, as Datasets for :func:`~odc_cleansat.review.comparison.compare`."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
import yaml
from odc.geo.geobox import GeoBox
from odc.geo.geom import box
from odc.geo.xr import wrap_xr

from ..classes import CloudClass, confidence_attrs, scl_to_ucl, ucl_attrs
from ..errors import CleansatError, SceneError
from ..grids.centres import reach
from ..models.model import Model
from ..models.registry import get_model
from ..products.product import DOCUMENT
from ..scenes.bands import find_bands
from ..scenes.files import BandFile, reading
from ..storage.eo3 import acquisition_time
from ..storage.folder import Folder, split_file
from ..storage.settings import gdal_settings
from .bands import read_band, scene_bands, scl_file
from .comparison import DRAWN

if TYPE_CHECKING:
    from ..scenes.scene import Scene


LARGEST = 6000**2
"""Pixels that are read of each layer at most; a whole tile at 20 m has fewer."""

BBox = tuple[float, float, float, float]


def is_mask(place: Path | str) -> bool:
    """Whether a path or URL is that of a mask product: its folder, or its document.

    Raises
    ------
    OutputError
        If a store cannot be reached.
    """
    text = str(place)
    if text.endswith(DOCUMENT):
        return "ucl" in (_metadata(text).get("measurements") or {})
    if text.startswith(("http://", "https://")) or ("://" not in text and not Path(text).is_dir()):
        return False
    return any(name.endswith(DOCUMENT) for name in Folder(place).files())


def mask_dataset(
    place: Path | str, *, bbox: BBox | None = None, scl: str | None = None
) -> xr.Dataset:
    """A mask product with the true colour and the SCL of its scene.

    The scene's files are those that the product names; its SCL, which it does not, is looked for beside
    them and in the STAC item they are of.

    Parameters
    ----------
    place
        Path or URL of the product's folder or document.
    bbox
        West, south, east and north in degrees: only this part.
    scl
        File of the SCL, if it is not found.

    Returns
    -------
    xarray.Dataset
        ``red``, ``green``, ``blue``, ``scl`` where there is one, ``ucl`` and ``ucl_confidence``, dims
        ``(y, x)``, on the grid of the true colour if few enough pixels are asked for, else on the mask's;
        with the coordinates ``time`` and ``offset``, and the attribute ``model``, which made it.

    Raises
    ------
    SceneError
        If it is no mask product, its scene is not where it was, or the box lies elsewhere.
    """
    folder, label = _product(place)
    document = _metadata(str(folder.file(label + DOCUMENT)))
    record = _metadata(str(folder.file(label + ".proc-info.yaml"))).get("cleansat", {})
    masks = {
        name: BandFile(str(folder.file(each["path"])), 1, None)
        for name, each in document.get("measurements", {}).items()
    }
    if "ucl" not in masks:
        raise SceneError(f"{place} is no mask product: its document has no measurement ucl.")
    bands = scene_bands(document["properties"], record)
    bands |= scl_file(bands, scl)
    grid = _view(masks["ucl"].open().grid, bands["red"], bbox)
    data = _read_bands(bands, grid, label)
    _check_scl(data, scl)
    known = {CloudClass.NODATA.label, *record["model"]["classes"]}
    classes = [c for c in CloudClass if c.label in known]
    for name, attrs in {"ucl": ucl_attrs(classes), "ucl_confidence": confidence_attrs()}.items():
        data[name] = wrap_xr(_classes(masks[name], grid), grid, **attrs)
    data.attrs["model"] = str(document["properties"].get("cleansat:model", ""))
    return _described(data, document["properties"], label, record["offset"]["value"])


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
    """A scene with its true colour, its SCL, and the UCL, computed or from a file.

    Parameters
    ----------
    source, moment
        See :func:`odc_cleansat.scenes.read.read_scene`.
    bbox, scl
        See :func:`mask_dataset`.
    model, offset
        As in :func:`~odc_cleansat.classify`; by default the metadata decide.
    ucl
        File of a UCL, instead of computing it.
    progress
        Called with the number of windows done and the number there are.

    Returns
    -------
    xarray.Dataset
        See :func:`mask_dataset`; ``ucl_confidence`` only where the UCL is computed.

    Raises
    ------
    SceneError
        If it is no scene, lacks bands, cannot be read, or the box lies elsewhere.
    ModelError
        If there is no such model.
    """
    from ..products.job import mask_grid
    from ..scenes.read import read_scene

    scene = read_scene(source, moment)
    found = scene.files.offset(offset)
    names = find_bands(scene.files.files, ["red", "green", "blue"])
    bands = {band: scene.files.files[name] for band, name in names.items()}
    with contextlib.suppress(SceneError):  # it may have none
        bands |= scene.files.wanted(["scl"])
    bands |= scl_file(bands, scl)
    given = None if ucl is None else BandFile(ucl, 1, 0)
    if ucl is not None:
        _check_day(ucl, scene.dataset.metadata_doc["properties"])
    stands = mask_grid(scene.dataset) if given is None else given.open().grid
    if reach(stands, bands["red"].open().grid) is None:
        raise SceneError(f"{ucl} lies elsewhere than the scene: none of its pixels is in it.")
    grid = _view(stands, bands["red"], bbox)
    data = _read_bands(bands, grid, scene.label)
    _check_scl(data, scl)
    if given is not None:
        data["ucl"] = wrap_xr(_classes(given, grid), grid, **ucl_attrs())
    else:
        chosen = get_model(model, bands=scene.files.files)
        data.attrs["model"] = chosen.name
        mask = _computed(scene, _part(stands, bbox), chosen, found.value, progress)
        mask = mask.odc.reproject(grid, resampling="nearest")
        classes = [CloudClass.NODATA, *sorted(chosen.classes)]
        for name, attrs in {
            "ucl": ucl_attrs(classes),
            "ucl_confidence": confidence_attrs(),
        }.items():
            data[name] = wrap_xr(mask[name].values, grid, **attrs)
    return _described(
        data, scene.dataset.metadata_doc["properties"], scene.label, float(found.value)
    )


def class_file(path: str, mapping: str = "ucl") -> xr.DataArray:
    """A file of classes drawn by hand or made by others, as codes of the UCL.

    Parameters
    ----------
    path
        Path or URL of the raster; its first band is read.
    mapping
        What its codes mean, see :func:`odc_cleansat.evaluate.mappings.get_mapping`.

    Raises
    ------
    CleansatError
        If it cannot be read, or there is no such mapping.
    """
    from ..evaluate.mappings import check_codes, get_mapping

    found = get_mapping(mapping)
    with reading(path), gdal_settings(path):
        data, grid = BandFile(path, 1, None).open()
        check_codes(found, data.values, data.rio.nodata, path)
        classes: xr.DataArray = wrap_xr(found.apply(data.values), grid, nodata=0)
    return classes


# --- which files ----------------------------------------------------------------------


def _metadata(address: str) -> dict[str, Any]:
    from ..scenes.read import read_metadata

    return read_metadata(address)


def _product(place: Path | str) -> tuple[Folder, str]:
    """The folder of a product, and how the names of its files begin."""
    if str(place).endswith(DOCUMENT):
        folder, name = split_file(place)
        return folder, name.removesuffix(DOCUMENT)
    folder = Folder(place)
    found = [name.removesuffix(DOCUMENT) for name in folder.files() if name.endswith(DOCUMENT)]
    if len(found) != 1:
        raise SceneError(
            f"{place} is no mask product: it holds {len(found)} files that end in {DOCUMENT}. Give the "
            "folder of one product, or its document."
        )
    return folder, found[0]


# --- which grid -----------------------------------------------------------------------


def _view(mask: GeoBox, red: BandFile, bbox: BBox | None) -> GeoBox:
    """The grid of the red band, if that has few enough pixels to be drawn; else the mask's, at most thinned."""
    fine = _part(red.open().grid, bbox)
    if math.prod(fine.shape) <= DRAWN:
        return fine
    part = _part(mask, bbox)
    factor = math.ceil(math.sqrt(math.prod(part.shape) / LARGEST))
    return part if factor <= 1 else part.zoom_out(factor)


def _part(grid: GeoBox, bbox: BBox | None) -> GeoBox:
    """The pixels of a grid that a box in degrees touches."""
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


# --- pixels ---------------------------------------------------------------------------


def _read_bands(bands: Mapping[str, BandFile], grid: GeoBox, label: str) -> xr.Dataset:
    data = {}
    with reading(label):
        for name, file in bands.items():
            if name == "scl":
                values, nodata = _classes(file, grid), 0.0
            else:
                values, nodata = read_band(file, grid, "average", overviews=True)
            data[name] = wrap_xr(values, grid, nodata=nodata)
    return xr.Dataset(data)


def _check_scl(data: xr.Dataset, given: str | None) -> None:
    """Refuse a file that is given as SCL and has none of its classes."""
    if given is not None and not scl_to_ucl(data.scl.values).any():
        raise SceneError(
            f"{given} has no class of an SCL on the scene: is it one? A label goes with --label."
        )


def _check_day(ucl: str, scene: Mapping[str, Any]) -> None:
    """Refuse the mask of another day than that of the scene's properties, if both say theirs."""
    folder, name = split_file(ucl)
    if not name.endswith("_ucl.tif"):
        return
    try:
        document = folder.read(name.removesuffix("_ucl.tif") + DOCUMENT)
        said = yaml.safe_load(document)["properties"]
        moments = [acquisition_time(each) for each in (said, scene)]
    except (OSError, CleansatError, KeyError, TypeError, ValueError, yaml.YAMLError):
        return  # a file by itself
    days = [each.date() for each in moments if each is not None]
    if len(days) == 2 and days[0] != days[1]:
        raise SceneError(
            f"{ucl} is the mask of another scene: it is of {days[0]}, and this is of {days[1]}. The folder of the mask "
            "alone finds its scene."
        )


def _classes(file: BandFile, grid: GeoBox) -> np.ndarray:
    return read_band(file, grid, "nearest", overviews=False)[0]


def _computed(
    scene: Scene,
    grid: GeoBox,
    model: Model,
    offset: float,
    progress: Callable[[int, int], None] | None,
) -> xr.Dataset:
    from ..masks.classify import classify

    bands = scene.files.wanted(model.bands)
    with reading(scene.files.label):
        return classify(
            {name: file.open().data for name, file in bands.items()},
            model=model,
            geobox=grid,
            confidence=True,
            offset=offset,
            progress=progress,
        )


def _described(
    data: xr.Dataset, properties: Mapping[str, Any], label: str, offset: float
) -> xr.Dataset:
    """With time and offset as coordinates, and what a picture should say as attributes."""
    data = data.assign_coords(offset=float(offset))
    data.attrs["title"] = label
    data.attrs["simulated"] = bool(properties.get("cleansat:simulated", False))
    if (moment := acquisition_time(properties)) is not None:
        data = data.assign_coords(time=np.datetime64(moment, "ns"))
    return data
