"""A mask at a glance: thinned layers, how far UCL and SCL agree and where they do not, and what is odd."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import numpy as np
from affine import Affine
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox

from ..classes import CLOUDS, CONFIDENCE_NODATA, CloudClass, class_percent, scl_to_ucl
from ..errors import CleansatError, CubeError, ModelError
from ..evaluate import agreement
from ..grids import crs_name, ground_resolution
from ..models import get_model
from ..product import DOCUMENT
from ..reflectance import QUANTIFICATION, Offset
from ..sources import BandFile, SceneFiles, dataset_files, local_path, reading
from ..storage import Folder, gdal_settings, split_file
from .files import acquired, read_band, scene_bands, scl_file
from .flags import Flag, contradiction, little_data, low_confidence, offset_doubt, seams
from .layers import thin, without
from .verdicts import THREADS, Verdict, _document, _read

if TYPE_CHECKING:
    from datacube import Datacube
    from datacube.model import Dataset

SIDE = 512
"""Greatest number of pixels along a side that are compared and drawn."""

CELLS = 16
"""Cells along the longer side in which disagreement is counted."""

SPOTS = 3
"""Hot spots that are described."""

_LEAST = 0.25  # share of a cell that must have data in both
_WORST = 0.1  # share of the cells that make the score


@dataclass(frozen=True)
class Mask:
    """A mask product to look at."""

    id: UUID
    """Of its dataset."""

    folder: Folder
    """Where its files are."""

    document: Mapping[str, Any]
    """EO3."""

    indexed: bool
    """Whether a datacube knows it by its id."""

    scene: SceneFiles | None = None
    """The files of its scene, if a datacube knows that."""

    @property
    def label(self) -> str:
        """Name for people."""
        return str(self.document.get("label") or self.id)

    @property
    def properties(self) -> Mapping[str, Any]:
        """Of the document."""
        found: Mapping[str, Any] = self.document.get("properties", {})
        return found

    @property
    def model(self) -> str:
        """Name of the model that made it; empty if that is not known."""
        return str(self.properties.get("cleansat:model") or "")

    @property
    def day(self) -> str:
        """When its scene was acquired, ISO 8601 in UTC; empty if that is not known."""
        moment = acquired(self.properties)
        return "" if moment is None else f"{moment:%Y-%m-%dT%H:%M:%SZ}"


@dataclass(frozen=True)
class Spot:
    """A part of a scene where UCL and SCL disagree."""

    cell: int
    """Which cell, counted along the rows."""

    percent: float
    """Of its pixels with data in both, how many differ."""

    ucl: str
    """What most of these are by the UCL."""

    scl: str
    """And by SCL."""

    place: str
    """Latitude and longitude of its centre."""


@dataclass(frozen=True)
class HotSpots:
    """Where UCL and SCL disagree."""

    score: float
    """Percent that differ in the worst tenth of the cells; it puts the masks in order."""

    side: int
    """Of a cell, thinned pixels."""

    columns: int
    """Cells in a row."""

    percent: tuple[float | None, ...]
    """That differ in each cell, row by row; None where a quarter of it or less has data in both."""

    spots: tuple[Spot, ...]
    """The worst cells, the worst first."""


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
    """Of UCL and SCL; see :func:`~odc_cleansat.evaluate.agreement`."""

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


# --- which masks ----------------------------------------------------------------------


def masks_at(place: Path | str) -> list[Mask | tuple[str, str]]:
    """The mask products at a place: a product, or all below a folder or URL.

    Returns
    -------
    list
        Masks; and for what is none, or is not whole, its place and why.

    Raises
    ------
    OutputError
        If there is nothing, or a store cannot be read.
    """
    from ..verifying import find_products

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(_mask_or_why, find_products(place)))


def _mask_or_why(place: Path | str) -> Mask | tuple[str, str]:
    try:
        return _mask_at(place)
    except (CleansatError, OSError) as error:
        return str(place), _line(error)


def _mask_at(place: Path | str) -> Mask:
    if str(place).endswith(DOCUMENT):
        folder, name = split_file(place)
    else:
        folder = Folder(place)
        names = [each for each in folder.files() if each.endswith(DOCUMENT)]
        if len(names) != 1:
            raise CleansatError(f"it has {len(names)} documents; a product was not finished here.")
        (name,) = names
    document = _document(folder, name)
    return Mask(UUID(document["id"]), folder, document, indexed=False)


def search_masks(dc: Datacube, product: str, **query: Any) -> list[Dataset]:
    """The indexed masks of a query.

    Raises
    ------
    CubeError
        If there is no such product, no mask matches, or the query cannot be understood.
    """
    from ..recalling import _checked_product, _find, check_longitudes

    check_longitudes(query)
    found = _find(dc, _checked_product(dc, product), query)
    if not found:
        asked = ", ".join(f"{key}={value!r}" for key, value in query.items()) or "anything"
        raise CubeError(f"no mask of {product} matches {asked}; check the time and the area.")
    return found


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
        files = dataset_files(scene) if scene is not None else None
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


def _line(error: BaseException) -> str:
    """An error in one line."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if isinstance(error, CleansatError | OSError) else f"{type(error).__name__} {text}"


# --- hot spots ------------------------------------------------------------------------

_KINDS = np.zeros(256, dtype="uint8")  # cloud of any kind, shadow, and the rest as clear
_KINDS[[c for c in CloudClass if c != CloudClass.NODATA]] = CloudClass.CLEAR
_KINDS[list(CLOUDS)] = CloudClass.CLOUD
_KINDS[CloudClass.SHADOW] = CloudClass.SHADOW


def hot_spots(ucl: np.ndarray, scl: np.ndarray, grid: GeoBox, cells: int = CELLS) -> HotSpots:
    """Where two classifications disagree on cloud, shadow and neither, in coarse cells.

    Parameters
    ----------
    ucl, scl
        ``grid.shape``, uint8 :class:`CloudClass` codes.
    grid
        Where they stand.
    cells
        Along the longer side.
    """
    mine, theirs = _KINDS[ucl], _KINDS[scl]
    both = (mine != CloudClass.NODATA) & (theirs != CloudClass.NODATA)
    differ = both & (mine != theirs)
    side = math.ceil(max(ucl.shape) / cells)
    known, wrong = _sums(both, side), _sums(differ, side)
    with np.errstate(invalid="ignore", divide="ignore"):
        percent = np.where(known > _LEAST * side**2, 100 * wrong / known, np.nan)
    # Of equals, those with more data, and then the first.
    order = np.lexsort((-known.ravel(), -np.nan_to_num(percent, nan=-1.0).ravel()))
    count = int(np.isfinite(percent).sum())
    worst = order[: math.ceil(_WORST * count)]
    score = float(percent.ravel()[worst].mean()) if count else math.nan
    spots = []
    for cell in order[: min(SPOTS, count)]:
        row, column = (int(i) for i in np.unravel_index(cell, percent.shape))
        value = float(percent[row, column])
        if value > 0:
            part = np.s_[row * side : (row + 1) * side, column * side : (column + 1) * side]
            pairs = 16 * mine[part][differ[part]].astype(int) + theirs[part][differ[part]]
            pair = int(np.bincount(pairs).argmax())
            names = (CloudClass(pair // 16).description, CloudClass(pair % 16).description)
            centre = ((column + 0.5) * side, (row + 0.5) * side)
            spots.append(Spot(int(cell), value, *names, _lonlat(grid, centre)))
    listed = tuple(None if math.isnan(p) else round(float(p), 1) for p in percent.ravel())
    return HotSpots(score, side, percent.shape[1], listed, tuple(spots))


def _sums(plane: np.ndarray, side: int) -> np.ndarray:
    """Counts in square cells; those at the end are filled up with nothing."""
    rows, columns = plane.shape
    padded = np.pad(plane, ((0, -rows % side), (0, -columns % side)))
    rows, columns = padded.shape
    blocks = padded.reshape(rows // side, side, columns // side, side)
    counts: np.ndarray = blocks.sum(axis=(1, 3))
    return counts


def _lonlat(grid: GeoBox, pixel: tuple[float, float]) -> str:
    rows, columns = grid.shape
    x, y = grid.affine * (min(pixel[0], columns), min(pixel[1], rows))
    (lon,), (lat,) = grid.crs.transformer_to_crs(CRS("EPSG:4326"))([x], [y])
    return f"{abs(lat):.4f}° {'N' if lat >= 0 else 'S'}, {abs(lon):.4f}° {'E' if lon >= 0 else 'W'}"


def cell_size(grid: GeoBox, side: int) -> str:
    """Of a cell of so many pixels, for people."""
    metres = [side * each for each in ground_resolution(grid)]
    if max(metres) >= 1000:
        return f"{metres[0] / 1000:.1f} x {metres[1] / 1000:.1f} km"
    return f"{metres[0]:.0f} x {metres[1]:.0f} m"


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
