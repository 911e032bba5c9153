"""Read a scene from a folder of band files: find the bands, and describe them as an EO3 dataset."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid5

from ..classes import CLOUDS, class_percent, scl_to_ucl
from ..errors import SceneError, first_line
from ..storage.eo3 import allow_own_properties, scene_product
from ..storage.rasters import open_file
from ..storage.reader import DocumentError, parse_json, parse_yaml, read_file
from .angles import recorded_angles
from .bands import S2_BANDS, is_reflective
from .files import BandFile
from .offset import FILE_TAGS
from .packing import read_packing
from .product_name import said_by_names
from .scene import Scene, eo3_scene

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox


_NAMESPACE = UUID("0c1ea25a-7000-5000-8000-0dc000000001")
"""Namespace of the ids of scenes."""

_PLACEHOLDER = datetime(1970, 1, 1, tzinfo=UTC)
"""Acquisition time of scenes that give none."""

_DATE = re.compile(r"(?<!\d)(20\d\d)-?([01]\d)-?([0-3]\d)(?:T?(\d\d)(\d\d)(\d\d))?(?!\d)")
_RESOLUTION = re.compile(r"_(\d+)m$")
IMAGES = (".tif", ".tiff", ".jp2")
"""Suffixes of the files of bands."""


@dataclass(frozen=True)
class BandFolder:
    """A folder with one GeoTIFF or JPEG 2000 file per band."""

    folder: Path
    """Path of the folder."""

    bands: dict[str, Path]
    """Canonical band name to file."""

    moment: datetime
    """Acquisition time, UTC."""

    moment_source: str
    """Source of the time: ``argument``, ``scene.json``, ``file names``, ``folder name`` or ``placeholder``."""

    simulated: bool = False
    """Whether the scene is simulated."""

    properties: dict[str, Any] = field(default_factory=dict)
    """Further properties for the EO3 document."""

    @property
    def label(self) -> str:
        """Name of the folder, for people and files, in letters that EO3 allows."""
        return re.sub(r"[^A-Za-z0-9_-]+", "-", self.folder.resolve().name)


def open_scene(folder: Path, moment: datetime | None = None) -> BandFolder:
    """Find the bands and the date of a scene in a folder.

    Files are recognised by a band name in their names, such as ``B02.tif``, ``blue.tif`` or
    ``T51PTS_20240401T021549_B02_10m.jp2``. The date is the argument, or it is in ``scene.json``, or in the
    names of the files or of the folder. If none gives a date, it is a placeholder, 1970-01-01.

    Parameters
    ----------
    folder
        Folder with the band files.
    moment
        Acquisition time; UTC without a time zone.

    Raises
    ------
    SceneError
        If there is no folder or no band in it, the files are of several dates, or a band has several files. If names say
        that they are not of Sentinel-2 L2A.
    """
    if not folder.is_dir():
        raise SceneError(f"there is no folder {folder}; give the folder that holds the band files.")
    try:
        files = sorted(p for p in folder.iterdir() if p.suffix.lower() in IMAGES)
    except OSError as error:
        raise SceneError(f"cannot read the folder {folder}: {error.strerror}.") from error
    named = [file for file in files if _band_of(file)]
    if not named:
        raise SceneError(_no_bands(folder, files))
    recorded = _read_scene_json(folder)
    when, source = _acquisition(folder, named, moment, recorded.get("datetime"))
    bands = band_files(named)
    properties: dict[str, Any] = {**recorded_angles(recorded), **said_by_names(folder, named)}
    if baseline := recorded.get("processing_baseline"):
        properties["s2:processing_baseline"] = str(baseline)
    return BandFolder(
        folder, bands, when, source, bool(recorded.get("simulated", False)), properties
    )


def _no_bands(folder: Path, files: list[Path]) -> str:
    """Return the message for a folder without band files, with scenes or masks further down."""
    found = ", ".join(p.name for p in files[:8]) or "no GeoTIFF or JPEG 2000 file"
    scenes, masks = _products_below(folder)
    if scenes:
        advice = f"Give one of the scenes below it, such as {', '.join(scenes[:3])}."
    elif masks:
        advice = f"Below it are masks, such as {masks[0]}; `cleansat compare` takes one of them."
    else:
        advice = "Name them after their bands, e.g. B02.tif, B03.tif, B04.tif, B08.tif, SCL.tif."
    return f"no band files in {folder}: found {found}. {advice}"


def _products_below(folder: Path, most: int = 2000) -> tuple[list[str], list[str]]:
    """Return the folders of scenes and of masks below a folder, looking at a limited number of folders."""
    scenes, masks = [], []
    for place, folders, names in islice(os.walk(folder), most):
        folders.sort()
        if Path(place) == folder:
            continue
        images = (Path(name) for name in names if name.lower().endswith(IMAGES))
        if any(name.endswith("_ucl.tif") for name in names):
            masks.append(place)
        elif place.upper().endswith(".SAFE") or any(map(_band_of, images)):
            scenes.append(place)
            folders.clear()
    return scenes, masks


def parse_moment(text: str) -> datetime:
    """Return a date, or a date and time, from ISO 8601; in UTC if the text names no time zone.

    Raises
    ------
    SceneError
        If the text is neither.
    """
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        raise SceneError(
            f"{text!r} is not a date and time in ISO 8601; write it like 2024-04-01T02:00:00Z."
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _acquisition(
    folder: Path, files: Iterable[Path], argument: datetime | None, recorded: str | None
) -> tuple[datetime, str]:
    """Return the acquisition time, UTC, and its source, for the files of one scene."""
    dates = {_date_in(path.stem) for path in files} - {None}
    if len(dates) > 1:
        raise SceneError(
            f"the files in {folder} are of {len(dates)} dates; keep one scene in a folder."
        )
    if argument is not None:
        return argument.replace(tzinfo=argument.tzinfo or UTC).astimezone(UTC), "argument"
    if recorded:
        return parse_moment(str(recorded)), "scene.json"
    if date := next(iter(dates), None):
        return date, "file names"
    if date := _date_in(folder.resolve().name):
        return date, "folder name"
    return _PLACEHOLDER, "placeholder"


def _date_in(name: str) -> datetime | None:
    """Return the first date in a name, UTC, with the time of day if it follows."""
    if match := _DATE.search(name):
        digits = "".join(part or "00" for part in match.groups())
        with contextlib.suppress(ValueError):
            return datetime.strptime(digits, "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    return None


def _read_scene_json(folder: Path) -> dict[str, Any]:
    """Return the contents of ``scene.json``, empty if there is none."""
    path = folder / "scene.json"
    if not path.exists():
        return {}
    try:
        document = parse_json(read_file(path), path.name)
    except (OSError, DocumentError) as error:
        raise SceneError(
            f"cannot read {path}: {first_line(error)}. Correct it or remove it."
        ) from error
    if not isinstance(document, dict):
        raise SceneError(f"{path} does not hold a JSON object. Correct it or remove it.")
    return document


def band_files(files: Iterable[Path]) -> dict[str, Path]:
    """Return the file of each band among some files, by the band names in the file names.

    Two files of one band may differ in their resolution alone, which both names have to tell. Else they are of several scenes, such as two tiles
    of one day, and to take one would pass over the other.

    Parameters
    ----------
    files
        Paths of images.

    Returns
    -------
    dict
        Canonical band name to file. Of several resolutions it is the finest, by the file name.

    Raises
    ------
    SceneError
        If a band has several files.
    """
    several: dict[str, list[Path]] = {}
    for path in files:
        if band := _band_of(path):
            several.setdefault(band, []).append(path)
    for band, paths in several.items():
        stems = {_RESOLUTION.sub("", path.stem) + path.suffix for path in paths}
        if len(stems) > 1 or (len(paths) > 1 and not all(map(_resolution, paths))):
            names = ", ".join(path.name for path in paths[:4])
            more = f" and {len(paths) - 4} more" if len(paths) > 4 else ""
            raise SceneError(
                f"{paths[0].parent} holds {len(paths)} files of the band {band}: {names}{more}. Keep one scene in a "
                "folder, and one file of each band."
            )
    return {band: min(paths, key=_resolution) for band, paths in several.items()}


def _band_of(path: Path) -> str | None:
    """Return the canonical name of the band in a file's name; None if there is none."""
    stem = path.stem.lower()
    parts = re.split(r"[^a-z0-9]+", stem)
    for band, names in S2_BANDS.items():
        # `mask` and `qa`, other names of the SCL, may be anything in a folder.
        others = () if band == "scl" else (name.lower() for name in names)
        if names[0].lower() in parts or stem in (band, *others):
            return band
    return None


def _resolution(path: Path) -> int:
    """Return the resolution in a name like ``..._B02_10m.jp2``, metres; 0 if there is none."""
    match = _RESOLUTION.search(path.stem)
    return int(match.group(1)) if match else 0


def folder_scene(folder: Path, moment: datetime | None = None) -> Scene:
    """Return the scene of a folder of band files.

    Parameters
    ----------
    folder, moment
        See :func:`open_scene`.

    Raises
    ------
    SceneError
        See :func:`open_scene` and :func:`write_scene_document`.
    """
    bands = open_scene(folder, moment)
    with tempfile.TemporaryDirectory(prefix="cleansat-") as temporary:
        path = write_scene_document(bands, Path(temporary))
        document = parse_yaml(path.read_bytes(), path.name)
    return eo3_scene(document, folder.resolve().as_uri() + "/")


def write_scene_document(scene: BandFolder, folder: Path) -> Path:
    """Write an EO3 document of a scene, whose band files stay where they are.

    The id depends only on the contents of the files and the date. So a scene is the same dataset wherever its
    folder is.

    Parameters
    ----------
    scene
        The scene.
    folder
        Folder for the document.

    Returns
    -------
    Path
        The ``.odc-metadata.yaml``.

    Raises
    ------
    SceneError
        If a file cannot be read, or the files have no or not the same coordinate system or extent.
    """
    from eodatasets3 import DatasetPrepare
    from eodatasets3.model import DatasetDoc
    from eodatasets3.properties import Eo3Dict

    grids = {band: _grid(band, path) for band, path in scene.bands.items()}
    systems = {str(grid.crs) for grid in grids.values()}
    if len(systems) > 1:
        raise SceneError(
            f"the band files in {scene.folder} are in {len(systems)} coordinate systems; "
            "reproject them to one."
        )
    _check_extents(scene, grids)
    finest: GeoBox = min(grids.values(), key=lambda grid: abs(grid.affine.a))
    of_pixels = {"odc:region_code": _region(finest), **_cloud_cover(scene)}
    dataset_id = content_id(scene)
    with allow_own_properties():
        properties = Eo3Dict(of_pixels | stated_properties(scene) | _offset_in_tags(scene))
        document = DatasetDoc(id=dataset_id, properties=properties)
    path = folder / f"{scene.label}_{str(dataset_id)[:8]}.odc-metadata.yaml"
    with (
        allow_own_properties(),
        DatasetPrepare(metadata_path=path, dataset=document, allow_absolute_paths=True) as package,
    ):
        package.names.product_name = scene_product(scene.bands)["name"]
        package.names.product_uri = None
        package.names.dataset_label = scene.label
        package.geometry = finest.extent.geom
        for band, file in scene.bands.items():
            package.note_measurement(band, file.resolve(), expand_valid_data=False)
        package.done()
    return path


def _grid(band: str, path: Path) -> GeoBox:
    """Return the grid of a band file; raise if the file cannot be a band."""
    from odc.geo.geobox import GeoBox
    from rasterio.errors import RasterioError

    try:
        with open_file(path) as file:
            if not file.crs:
                raise SceneError(
                    f"{path} has no coordinate system; set it, e.g. with `rio edit-info --crs EPSG:32633 {path}`."
                )
            grid, dtypes = GeoBox.from_rio(file), file.dtypes
    except RasterioError as error:
        raise SceneError(f"cannot read {path}: {error}. Is the file whole?") from error
    allowed = ("uint8",) if band == "scl" else ("uint8", "uint16")
    if len(dtypes) > 1:
        raise SceneError(
            f"{path} holds {len(dtypes)} bands, and a scene's folder has a file for each; split it, e.g. with "
            f"`gdal_translate -b 1 {path.name} B02.tif`."
        )
    if dtypes[0] not in allowed:
        raise SceneError(
            f"{path} holds {dtypes[0]}; needed is {allowed[-1]}"
            + ("." if band == "scl" else ", Sentinel-2's digital numbers.")
        )
    if not grid.axis_aligned:
        raise SceneError(
            f"{path} is rotated against its coordinate system; warp it, e.g. with `rio warp`."
        )
    return grid


def _offset_in_tags(scene: BandFolder) -> dict[str, float]:
    """Return the radiometric offset in the files' tags of scale and offset as a property; empty without tags."""
    found: dict[str, float] = {}
    for band, path in scene.bands.items():
        if is_reflective(band):
            file = BandFile(str(path), 1, None)
            with contextlib.suppress(SceneError), contextlib.closing(file.open().data) as data:
                found[band] = read_packing(data).offset
    if len(set(found.values())) > 1:
        listed = ", ".join(f"{band}: {value:g}" for band, value in found.items())
        raise SceneError(
            f"the files in {scene.folder} have different offsets in their tags ({listed}), and a scene has one; correct "
            "the tags, e.g. with gdal_edit.py -offset."
        )
    offset = next(iter(found.values()), 0.0)
    return {FILE_TAGS: offset} if offset else {}


def _check_extents(scene: BandFolder, grids: dict[str, GeoBox]) -> None:
    """Raise if the bands do not cover the same ground, to within a pixel of the coarser."""
    reference = max(grids, key=lambda band: grids[band].extent.area)
    for band, grid in grids.items():
        pixel = max(abs(grid.affine.a), abs(grids[reference].affine.a))
        ends = zip(grid.boundingbox.bbox, grids[reference].boundingbox.bbox, strict=True)
        if any(abs(a - b) > pixel for a, b in ends):
            raise SceneError(
                f"{scene.bands[band].name} covers another extent than "
                f"{scene.bands[reference].name}; cut or pad the files to one."
            )


def stated_properties(scene: BandFolder) -> dict[str, Any]:
    """Return the properties for the EO3 document for which no picture is opened."""
    modified = max(int(path.stat().st_mtime) for path in scene.bands.values())
    kinds = {path.suffix.lower() for path in scene.bands.values()}
    return {
        "datetime": scene.moment,
        "eo:platform": "sentinel-2",
        "eo:instrument": "MSI",
        "odc:processing_datetime": datetime.fromtimestamp(modified, UTC),
        "odc:producer": "odc-cleansat.org" if scene.simulated else "esa.int",
        "odc:product_family": "level2",
        "odc:file_format": "JPEG2000" if kinds == {".jp2"} else "GeoTIFF",
        **({"cleansat:simulated": True} if scene.simulated else {}),
        **({"cleansat:datetime_placeholder": True} if scene.moment_source == "placeholder" else {}),
        **scene.properties,
    }


def _cloud_cover(scene: BandFolder) -> dict[str, float]:
    """Return the percent of cloud by the SCL as a property; empty without SCL or data."""
    if (path := scene.bands.get("scl")) is None:
        return {}
    with open_file(path) as file:
        percent = class_percent(classes := scl_to_ucl(file.read(1)))
    if not classes.any():
        return {}
    return {"eo:cloud_cover": round(sum(float(percent[each]) for each in CLOUDS), 2)}


def _region(grid: GeoBox) -> str:
    """Return EPSG code and upper left corner, in whole kilometres or degrees, as ``32651_278_1618``."""
    scale = 1 if grid.crs.geographic else 1000
    bounds = grid.boundingbox
    return f"{grid.crs.epsg or 'local'}_{bounds.left / scale:.0f}_{bounds.top / scale:.0f}"


def content_id(scene: BandFolder) -> UUID:
    """Return the id that follows from the contents of the files and the date.

    Raises
    ------
    SceneError
        If a file cannot be read.
    """
    from eodatasets3.verify import calculate_file_sha1

    try:
        hashes = {band: calculate_file_sha1(path) for band, path in sorted(scene.bands.items())}
    except OSError as error:
        raise SceneError(f"cannot read {error.filename}: {error.strerror}.") from error
    lines = [scene.moment.isoformat(), *(f"{band}={value}" for band, value in hashes.items())]
    return uuid5(_NAMESPACE, "\n".join(lines))
