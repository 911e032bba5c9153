"""A mask at a glance: thinned layers, how far UCL and SCL agree and where they do not, and what is odd."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID

import numpy as np
from affine import Affine
from odc.geo.geobox import GeoBox

from ..classes import CONFIDENCE_NODATA, CloudClass, class_percent, scl_to_ucl
from ..errors import CleansatError, ModelError
from ..evaluate.scores import agreement
from ..grids.grid import crs_name
from ..models.registry import get_model
from ..products.product import Mask, _line
from ..products.verdicts import Verdict, _read
from ..scenes.files import BandFile, SceneFiles, local_path, reading
from ..scenes.offset import QUANTIFICATION, Offset
from ..storage.folder import split_file
from ..storage.settings import gdal_settings
from .bands import read_band, scene_bands, scl_file
from .flags import Flag, contradiction, little_data, low_confidence, offset_doubt, seams
from .hot_spots import HotSpots, hot_spots
from .layers import thin, without

if TYPE_CHECKING:
    from datacube import Datacube
    from datacube.model import Dataset


SIDE = 512
"""Greatest number of pixels along a side that are compared and drawn."""


@dataclass
class Look:
    """What there is to see of a mask."""

    mask: Mask
    """Which."""

    grid: GeoBox
    """Of the thinned layers."""

    ucl: np.ndarray
    """``(h, w)`` :class:`CloudClass` codes, thinned."""

    percent: Mapping[str, float]
    """Of each class among the pixels with data: all of them, as the document says."""

    data_percent: float
    """Of the pixels with data."""

    scl: np.ndarray | None = None
    """``(h, w)`` SCL as :class:`CloudClass` codes."""

    rgb: np.ndarray | None = None
    """``(h, w, 3)`` reflectance, NaN without data."""

    agreement: Mapping[str, float] = field(default_factory=dict)
    """Of UCL and SCL; see :func:`~odc_cleansat.evaluate.scores.agreement`."""

    spots: HotSpots | None = None
    """None without SCL."""

    flags: list[Flag] = field(default_factory=list)
    """What is odd."""

    verdicts: list[Verdict] = field(default_factory=list)
    """What people said."""

    gaps: list[str] = field(default_factory=list)
    """What could not be had, and why."""

    record: Mapping[str, Any] = field(default_factory=dict)
    """How it was made, from the processing record."""


def indexed_masks(dc: Datacube | None, datasets: Sequence[Dataset]) -> list[Mask | tuple[str, str]]:
    """Masks of a datacube, with the files of their scenes where it knows these."""
    scenes = {
        each.id: str(each.metadata_doc.get("properties", {}).get("cleansat:scene", ""))
        for each in datasets
    }
    wanted = [UUID(scene) for scene in scenes.values() if scene]
    known = dc.index.datasets.bulk_get(wanted) if dc is not None and wanted else ()
    by_id = {str(scene.id): scene for scene in known if scene.uri is not None}
    found: list[Mask | tuple[str, str]] = []
    for each in datasets:
        if each.uri is None or "ucl" not in each.measurements:
            found.append((str(each.id), "it has no location, or no measurement ucl."))
            continue
        folder, _ = split_file(local_path(each.uri))
        scene = by_id.get(scenes[each.id])
        files = SceneFiles.of_dataset(scene) if scene is not None else None
        found.append(Mask(each.id, folder, each.metadata_doc, indexed=True, scene=files))
    return found


# --- one mask -------------------------------------------------------------------------


def look(mask: Mask) -> Look:
    """Read what there is to see of a mask.

    Classes are compared on every n-th pixel of every n-th row of the mask, not on overviews, which lose what
    is small; only of remote scenes the SCL is read from its overviews, where it has any. True colour is averaged.

    Raises
    ------
    CleansatError, OSError
        If the mask itself cannot be read. What else is missing is a gap.
    """
    whole, native = _layer(mask, "ucl")
    step = math.ceil(max(native.shape) / SIDE)
    ucl = thin(whole, step)
    grid = thinned(native, ucl.shape, step)
    said = mask.properties
    percent = {c.label: value for c, value in class_percent(whole).items() if value > 0}
    written = {c.label: said.get(f"cleansat:{c.label}_percent") for c in CloudClass}
    percent |= {name: float(value) for name, value in written.items() if value is not None}
    data = said.get("cleansat:data_percent", 100 * float(np.mean(whole != CloudClass.NODATA)))
    found = Look(mask, grid, ucl, percent, float(data))
    found.verdicts, gap = verdicts_on(mask)
    found.gaps += gap
    found.record = _record(found)
    _add_scene(found)
    found.flags += [each for each in _odd(found, whole, native, step) if each]
    return found


def thinned(grid: GeoBox, shape: tuple[int, ...], step: int) -> GeoBox:
    """The grid of the pixels that :func:`~odc_cleansat.review.layers.thin` keeps, in their centres."""
    shift = step // 2 + 0.5 - step / 2
    affine = grid.affine * Affine.translation(shift, shift) * Affine.scale(step)
    return GeoBox((shape[0], shape[1]), affine, grid.crs)


def cloud_percent(percent: Mapping[str, float]) -> float:
    """Percent of cloud and thin cloud; NaN without data."""
    return percent.get("cloud", math.nan if not percent else 0.0) + percent.get("thin_cloud", 0.0)


def scl_percent(scl: np.ndarray) -> dict[str, float]:
    """Percent of each class among the pixels with data, by label."""
    return {c.label: value for c, value in class_percent(scl).items()}


def _layer(mask: Mask, name: str) -> tuple[np.ndarray, GeoBox]:
    """All pixels of a layer of a mask, and its grid."""
    import rasterio

    measurement = mask.document["measurements"][name]
    uri = str(mask.folder.file(measurement["path"]))
    with reading(mask.label), gdal_settings(uri), rasterio.open(local_path(uri)) as file:
        values: np.ndarray = file.read(int(measurement.get("band", 1)))
        return values, GeoBox.from_rio(file)


def verdicts_on(mask: Mask) -> tuple[list[Verdict], list[str]]:
    """What was said of a mask, the latest last; and why that cannot be read, if so."""
    try:
        return _read(mask.folder, [mask.id])[mask.id], []
    except (CleansatError, OSError) as error:
        return [], [f"verdicts: {error}"]


def _record(found: Look) -> dict[str, Any]:
    """What the processing record says; nothing where it is missing."""
    from datacube.utils.documents import parse_yaml

    mask = found.mask
    name = mask.document.get("accessories", {}).get("metadata:processor", {}).get("path")
    try:
        document = parse_yaml(mask.folder.read(name or f"{mask.label}.proc-info.yaml").decode())
        return dict(document.get("cleansat") or {})
    except Exception as error:  # of stores and of YAML; a page is made of what there is
        found.gaps.append(f"processing record: {_line(error)}")
        return {}


def _add_scene(found: Look) -> None:
    """True colour and SCL, as far as they can be had."""
    try:
        bands = _bands(found)
    except Exception as error:  # also of providers' APIs
        found.gaps.append(f"scene: {_line(error)}")
        return
    try:
        planes = [
            read_band(bands[name], found.grid, "average", overviews=True)
            for name in ("red", "green", "blue")
        ]
        found.rgb = _reflectance(planes, float(found.mask.properties.get("cleansat:offset", 0)))
    except Exception as error:
        found.gaps.append(f"true colour: {_line(error)}")
    if "scl" not in bands:
        found.gaps.append("SCL: there is none with the scene")
        return
    try:
        file = bands["scl"]
        remote = "://" in local_path(file.uri) and not file.uri.lower().endswith(".jp2")
        scl, _ = read_band(file, found.grid, "nearest", overviews=remote)
    except Exception as error:
        found.gaps.append(f"SCL: {_line(error)}")
        return
    found.scl = scl_to_ucl(scl)
    found.agreement = agreement(found.ucl, scl)
    found.spots = hot_spots(found.ucl, found.scl, found.grid)


def _bands(found: Look) -> dict[str, BandFile]:
    scene = found.mask.scene
    if scene is None:
        bands = scene_bands(found.mask.properties, found.record)
        return bands | scl_file(bands, None)
    bands = scene.wanted(["red", "green", "blue"])
    return bands | ({"scl": scene.scl} if scene.scl else {})


def _reflectance(planes: Sequence[tuple[np.ndarray, float]], offset: float) -> np.ndarray:
    result = np.stack([values for values, _ in planes], axis=-1).astype("float32")
    gone = np.stack([values == nodata for values, nodata in planes], axis=-1)
    whole = planes[0][0].dtype.kind != "f"
    if whole:
        result = (result + np.float32(offset)) / np.float32(QUANTIFICATION)
    return without(result, gone, cut=whole)


def _odd(found: Look, whole: np.ndarray, native: GeoBox, step: int) -> Iterable[Flag | None]:
    said = found.mask.properties
    if found.scl is not None:
        theirs = cloud_percent(scl_percent(found.scl))
        yield contradiction(cloud_percent(found.percent), theirs)
    if "cleansat:offset" in said:
        source = str(said.get("cleansat:offset_source", ""))
        yield offset_doubt(Offset(int(said["cleansat:offset"]), source), found.rgb)
    try:
        yield low_confidence(_confidence(found.mask, step))
    except (CleansatError, KeyError) as error:
        found.gaps.append(f"confidence: {_line(error)}")
    yield little_data(found.data_percent)
    try:
        model = get_model(found.mask.model)
        if made_with := found.record.get("algorithm"):
            model = model.with_parameters(made_with)
        yield seams(whole, native, model)
    except (ModelError, KeyError):  # one that is not known here, or not how it was made
        return


def _confidence(mask: Mask, step: int) -> np.ndarray:
    if mask.folder.path is not None:
        return thin(_layer(mask, "ucl_confidence")[0], step)
    import rasterio

    # Many times larger than the classes: of a store only an overview, which has one pixel for each of several.
    uri = str(mask.folder.file(mask.document["measurements"]["ucl_confidence"]["path"]))
    with reading(mask.label), gdal_settings(uri), rasterio.open(uri) as file:
        shape = tuple(math.ceil(size / step) for size in file.shape)
        values: np.ndarray = file.read(1, out_shape=shape)
    return np.where(values > 100, CONFIDENCE_NODATA, values).astype("uint8")


def native_grid(mask: Mask) -> GeoBox:
    """As the document has it."""
    grid = mask.document["grids"][mask.document["measurements"]["ucl"].get("grid", "default")]
    return GeoBox(grid["shape"], Affine(*grid["transform"][:6]), mask.document["crs"])


def describe_grid(native: GeoBox) -> str:
    """Size, pixels and coordinate system, for people."""
    rows, columns = native.shape
    unit = "°" if native.crs.geographic else " m"
    return (
        f"{rows} x {columns} pixels of {abs(native.resolution.x):g}{unit}, {crs_name(native.crs)}"
    )
