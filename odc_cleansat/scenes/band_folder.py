"""A scene on disk, as a folder of band files: found, described as an EO3 dataset, given an id."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid5

from ..errors import SceneError
from ..storage.eo3 import own_properties, scene_product
from .bands import S2_BANDS

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox
    from rasterio.crs import CRS


_NAMESPACE = UUID("0c1ea25a-7000-5000-8000-0dc000000001")
_PLACEHOLDER = datetime(1970, 1, 1, tzinfo=timezone.utc)
_DATE = re.compile(r"(?<!\d)(20\d\d)-?([01]\d)-?([0-3]\d)(?:T?(\d\d)(\d\d)(\d\d))?(?!\d)")
IMAGES = (".tif", ".tiff", ".jp2")
"""Suffixes of the files of bands."""


@dataclass(frozen=True)
class SceneFolder:
    """A folder with one GeoTIFF or JPEG 2000 file a band."""

    folder: Path
    """Where the files are."""

    bands: dict[str, Path]
    """Canonical band name to file."""

    moment: datetime
    """When it was acquired, in UTC."""

    moment_source: str
    """What told: ``argument``, ``scene.json``, ``file names``, ``folder name`` or ``placeholder``."""

    simulated: bool = False
    """Whether it is made up."""

    properties: dict[str, Any] = field(default_factory=dict)
    """More properties for the EO3 document."""

    @property
    def label(self) -> str:
        """Name for people and files."""
        return re.sub(r"[^A-Za-z0-9_.-]+", "-", self.folder.resolve().name)


def open_scene(folder: Path, moment: datetime | None = None) -> SceneFolder:
    """Find the bands and the date of a scene in a folder.

    Files are recognised by a band name in their names, such as ``B02.tif``,
    ``T51PTS_20240401T021549_B02_10m.jp2`` or ``blue.tif``. The date is the argument, or
    stands in ``scene.json`` or in the names of the files or the folder; else it is a placeholder,
    1970-01-01.

    Parameters
    ----------
    folder
        Folder with the band files.
    moment
        When the scene was acquired; without a time zone, UTC.

    Raises
    ------
    SceneError
        If the folder or the bands are not there, or the files are of several dates.
    """
    if not folder.is_dir():
        raise SceneError(f"there is no folder {folder}; give the folder that holds the band files.")
    try:
        files = sorted(p for p in folder.iterdir() if p.suffix.lower() in IMAGES)
    except OSError as error:
        raise SceneError(f"cannot read the folder {folder}: {error.strerror}.") from error
    bands = band_files(files)
    if not bands:
        found = ", ".join(p.name for p in files[:8]) or "no GeoTIFF or JPEG 2000 file"
        scenes, masks = _below(folder)
        if scenes:
            advice = f"Give one of the scenes below it, such as {', '.join(scenes[:3])}."
        elif masks:
            advice = (
                f"Below it are masks, such as {masks[0]}; `cleansat compare` takes one of them."
            )
        else:
            advice = (
                "Name them after their bands, e.g. B02.tif, B03.tif, B04.tif, B08.tif, SCL.tif."
            )
        raise SceneError(f"no band files in {folder}: found {found}. {advice}")
    recorded = _recorded(folder)
    every = [file for file in files if band_files([file])]
    when, source = _moment(folder, every, moment, recorded.get("datetime"))
    properties = {}
    if baseline := recorded.get("processing_baseline"):
        properties["s2:processing_baseline"] = str(baseline)
    return SceneFolder(
        folder, bands, when, source, bool(recorded.get("simulated", False)), properties
    )


def _below(folder: Path, looked: int = 2000) -> tuple[list[str], list[str]]:
    """Scenes and mask products further down, in the first of its folders."""
    scenes, masks = [], []
    for place, folders, names in islice(os.walk(folder), looked):
        folders.sort()
        if Path(place) == folder:
            continue
        images = (Path(name) for name in names if name.lower().endswith(IMAGES))
        if any(name.endswith("_ucl.tif") for name in names):
            masks.append(place)
        elif place.upper().endswith(".SAFE") or band_files(images):
            scenes.append(place)
            folders.clear()
    return scenes, masks


def parse_moment(text: str) -> datetime:
    """A date or date and time in ISO 8601; UTC if it names no time zone.

    Raises
    ------
    SceneError
        If it is neither.
    """
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        raise SceneError(
            f"{text!r} is not a date and time in ISO 8601; write it like 2024-04-01T02:00:00Z."
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)


def _moment(
    folder: Path, files: Iterable[Path], argument: datetime | None, recorded: str | None
) -> tuple[datetime, str]:
    found = {_named_moment(path.stem) for path in files} - {None}
    if len(found) > 1:
        raise SceneError(
            f"the files in {folder} are of {len(found)} dates; keep one scene in a folder."
        )
    if argument is not None:
        aware = argument if argument.tzinfo else argument.replace(tzinfo=timezone.utc)
        return aware.astimezone(timezone.utc), "argument"
    if recorded:
        return parse_moment(recorded), "scene.json"
    for moment, source in (
        (next(iter(found)) if len(found) == 1 else None, "file names"),
        (_named_moment(folder.resolve().name), "folder name"),
    ):
        if moment is not None:
            return moment, source
    return _PLACEHOLDER, "placeholder"


def _named_moment(name: str) -> datetime | None:
    """The first date in a name, with the time of day if it follows."""
    if match := _DATE.search(name):
        digits = "".join(part or "00" for part in match.groups())
        with contextlib.suppress(ValueError):
            return datetime.strptime(digits, "%Y%m%d%H%M%S").replace(tzinfo=timezone.utc)
    return None


def _recorded(folder: Path) -> dict[str, Any]:
    path = folder / "scene.json"
    if not path.exists():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SceneError(f"cannot read {path}: {error}. Correct it or remove it.") from error
    if not isinstance(found, dict):
        raise SceneError(f"{path} does not hold a JSON object. Correct it or remove it.")
    return found


def band_files(files: Iterable[Path]) -> dict[str, Path]:
    """Which file holds which band, by its canonical name; of several resolutions the finest by name."""
    found: dict[str, Path] = {}
    for path in files:
        stem = path.stem.lower()
        parts = re.split(r"[^a-z0-9]+", stem)
        for band, names in S2_BANDS.items():
            code = names[0].lower()
            # What products call `mask` and `qa` may be anything in a folder.
            others = () if band == "scl" else (name.lower() for name in names)
            if code in parts or stem in (band, *others):
                if band not in found or _resolution(path) < _resolution(found[band]):
                    found[band] = path
                break
    return found


def _resolution(path: Path) -> int:
    """The ``10m`` of a name like ``..._B02_10m.jp2``; 0 where there is none."""
    match = re.search(r"_(\d+)m$", path.stem)
    return int(match.group(1)) if match else 0


def write_scene_document(scene: SceneFolder, folder: Path) -> Path:
    """Describe a scene as an EO3 dataset, its band files staying where they are.

    The id follows from the content of the files and the date, so that the same scene is
    the same dataset wherever its folder is.

    Parameters
    ----------
    scene
        The scene.
    folder
        Where the document goes.

    Returns
    -------
    Path
        The ``.odc-metadata.yaml``.

    Raises
    ------
    SceneError
        If a file cannot be read, or the files have no or not the same coordinate system.
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
    region = _region(finest)
    dataset_id = _content_id(scene)
    with own_properties():
        document = DatasetDoc(id=dataset_id, properties=Eo3Dict(_properties(scene, region)))
    path = folder / f"{scene.label}_{str(dataset_id)[:8]}.odc-metadata.yaml"
    with (
        own_properties(),
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
    """Where a band file stands, after a look at what it holds."""
    import rasterio
    from odc.geo.geobox import GeoBox
    from rasterio.errors import RasterioError

    try:
        with rasterio.open(path) as file:
            _check_crs(path, file.crs)
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


def _check_extents(scene: SceneFolder, grids: dict[str, GeoBox]) -> None:
    """All bands must cover the same ground, to within a pixel of the coarser."""
    reference = max(grids, key=lambda band: grids[band].extent.area)
    for band, grid in grids.items():
        pixel = max(abs(grid.affine.a), abs(grids[reference].affine.a))
        ends = zip(grid.boundingbox.bbox, grids[reference].boundingbox.bbox, strict=True)
        if any(abs(a - b) > pixel for a, b in ends):
            raise SceneError(
                f"{scene.bands[band].name} covers another extent than "
                f"{scene.bands[reference].name}; cut or pad the files to one."
            )


def _check_crs(path: Path, crs: CRS | None) -> None:
    if not crs:
        raise SceneError(
            f"{path} has no coordinate system; set it, e.g. with `rio edit-info --crs EPSG:32633 {path}`."
        )


def _properties(scene: SceneFolder, region: str) -> dict[str, Any]:
    modified = max(path.stat().st_mtime for path in scene.bands.values())
    placeholder = scene.moment_source == "placeholder"
    return {
        "datetime": scene.moment,
        "eo:platform": "sentinel-2",
        "eo:instrument": "MSI",
        "odc:processing_datetime": datetime.fromtimestamp(int(modified), timezone.utc),
        "odc:producer": "odc-cleansat.org" if scene.simulated else "esa.int",
        "odc:product_family": "level2",
        "odc:file_format": "JPEG2000" if _is_jp2(scene) else "GeoTIFF",
        "odc:region_code": region,
        **({"cleansat:simulated": True} if scene.simulated else {}),
        **({"cleansat:datetime_placeholder": True} if placeholder else {}),
        **scene.properties,
    }


def _is_jp2(scene: SceneFolder) -> bool:
    return all(path.suffix.lower() == ".jp2" for path in scene.bands.values())


def _region(grid: GeoBox) -> str:
    """EPSG code and upper left corner in whole kilometres or degrees, as ``32651_278_1618``."""
    scale = 1 if grid.crs.geographic else 1000
    bounds = grid.boundingbox
    return f"{grid.crs.epsg or 'local'}_{bounds.left / scale:.0f}_{bounds.top / scale:.0f}"


def _content_id(scene: SceneFolder) -> UUID:
    from eodatasets3.verify import calculate_file_sha1

    try:
        hashes = {band: calculate_file_sha1(path) for band, path in sorted(scene.bands.items())}
    except OSError as error:
        raise SceneError(f"cannot read {error.filename}: {error.strerror}.") from error
    by_band = [f"{band}={value}" for band, value in hashes.items()]
    return uuid5(_NAMESPACE, "\n".join([scene.moment.isoformat(), *by_band]))
