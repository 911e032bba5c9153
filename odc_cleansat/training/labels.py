"""Labelled patches in the layouts in which public datasets are published."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..errors import SceneError
from ..evaluate.cloudsen12 import patches_of
from ..evaluate.mappings import ClassMapping
from ..evaluate.pairing import LAYOUTS, find_layout
from ..evaluate.rasters import ClassRaster, open_raster
from ..grids.grid import ground_resolution
from ..scenes.band_folder import IMAGES, band_files
from ..scenes.bands import S2_BANDS
from ..scenes.offset import QUANTIFICATION
from .patches import Patch, available_bands
from .truths import truth_of

BandFile = tuple[Path, int]
"""A file and the number of a band in it, from 1."""

TACO = "cloudsen12plus"
"""Layout of CloudSEN12+, whose patches lie in TACO files."""

LABEL_LAYOUTS = (*LAYOUTS, TACO)
"""Names of the layouts that can be read."""

_L1C_BANDS = tuple(names[0] for band, names in S2_BANDS.items() if band != "scl")
_L2A_BANDS = tuple(name for name in _L1C_BANDS if name != "B10")


def read_labels(
    folder: Path,
    layout: str,
    bands: Sequence[str],
    *,
    level: str = "L2A",
    finest: float | None = None,
    offset: int = 0,
    resolution: float | None = None,
    split: str = "train",
) -> list[Patch]:
    """Read patches with labels that people have drawn.

    ``cloudsen12``: ``ROI/ID/S2L1C.tif`` and ``S2L2A.tif`` with ``ROI/ID/labels/manual_hq.tif``. A site is a
    region of interest.

    ``cloudsen12plus``: files such as ``cloudsen12-l2a.0000.part.taco``, of which the patches with labels of high
    quality count. A site is a region of interest.

    ``on-cloud-n``: ``train_features/CHIP/B02.tif`` and so on, with ``train_labels/CHIP.tif``; or
    ``CHIP/B02.tif`` and so on, with ``CHIP/label.tif``. A site is a location of ``train_metadata.csv``, or a chip where
    there is no such file.

    Parameters
    ----------
    folder
        Folder of the dataset, or of a part of it.
    layout
        One of :data:`LABEL_LAYOUTS`.
    bands
        Canonical names of the bands to read. Those that the files lack are left out.
    level
        ``L1C`` or ``L2A``. It chooses between the two files of CloudSEN12.
    finest
        Resolution to which finer patches are averaged, metres; None to keep theirs.
    offset
        Offset of the digital numbers, 0 or -1000.
    resolution
        Ground sampling of the files, metres; by default what their coordinates say.
    split
        ``train``, ``validation`` or ``test``, for ``cloudsen12plus``.

    Returns
    -------
    list of Patch
        In the order of their names. Pixels are float16 to save memory: this is more exact than labels need.

    Raises
    ------
    SceneError
        If there is no label, or a file is missing or cannot be read.
    """
    mapping = LAYOUTS["cloudsen12" if layout == TACO else layout].mapping
    patches = []
    for label, files, site in _labelled_files(folder, layout, level, split):
        patch = read_scene(
            files, bands, level=level, site=site, resolution=resolution, offset=offset
        )
        patch = replace(patch, truth=_read_truth(label, mapping, patch))
        if finest is not None and patch.resolution < finest:
            patch = patch.resampled(finest)
        patches.append(replace(patch, pixels=patch.pixels.astype("float16")))
    return patches


def read_scene(
    files: Mapping[str, BandFile] | Path,
    bands: Sequence[str],
    *,
    level: str = "L2A",
    site: str = "",
    resolution: float | None = None,
    offset: int = 0,
) -> Patch:
    """Read a scene, or a piece of one, from files of digital numbers or of reflectance.

    Floating-point numbers are reflectance. Whole numbers are digital numbers, 10000 times reflectance. The nodata value of
    the file becomes NaN, and so does a digital number of 0.

    Parameters
    ----------
    files
        File and band number for the name of each band; or a folder whose files are named after their bands.
    bands
        Canonical names of the bands to read. Those that the files lack are left out. Coarser bands are repeated onto
        the grid of the finest.
    level
        ``L1C`` or ``L2A``.
    site
        Name of the place; by default the path of the folder.
    resolution
        Ground sampling, metres; by default what the coordinates of the files say.
    offset
        Offset of the digital numbers, 0 or -1000. It is not used for reflectance.

    Raises
    ------
    SceneError
        If no band is there, or a file cannot be read or has no coordinates.
    """
    if isinstance(files, Path):
        site = site or str(files)
        files = _files_of_folder(files)
    names = available_bands(files, bands)
    if not names:
        raise SceneError(f"{site}: none of the bands {', '.join(bands)} is there.")
    planes, resolutions = [], []
    for name in names.values():
        values, metres = _read_band(files[name], offset, needs_grid=resolution is None)
        planes.append(values)
        resolutions.append(metres)
    rows = max(plane.shape[0] for plane in planes)
    finest = next(i for i, plane in enumerate(planes) if plane.shape[0] == rows)
    pixels = np.stack([_repeated(plane, planes[finest].shape, site) for plane in planes])
    first_file, _ = files[next(iter(names.values()))]
    return Patch(
        pixels, tuple(names), resolution or resolutions[finest], level, site,
        file=str(first_file.resolve()),
    )  # fmt: skip


def _labelled_files(
    folder: Path, layout: str, level: str, split: str
) -> Iterator[tuple[str, dict[str, BandFile], str]]:
    """Yield the path of each label, the files of its bands, and its site."""
    if layout == TACO:
        names = _L1C_BANDS if level == "L1C" else _L2A_BANDS
        for patch in patches_of(folder, level, split):
            image = Path(patch.image)
            yield patch.label, {name: (image, i) for i, name in enumerate(names, 1)}, patch.site
        return
    locations = _locations(folder)
    for scene, label in _find_labels(folder, layout).items():
        if layout == "cloudsen12":
            yield label, _files_of_cloudsen12(label, level), scene.partition("/")[0]
        else:
            yield label, _files_of_chip(folder, scene, label), locations.get(scene, scene)


def _find_labels(folder: Path, layout: str) -> dict[str, str]:
    """Return the path of the label of each scene."""
    if layout == "on-cloud-n" and (chips := sorted(folder.glob("*/label.tif"))):
        return {path.parent.name: str(path) for path in chips}
    return find_layout(str(folder), layout)


def _files_of_cloudsen12(label: str, level: str) -> dict[str, BandFile]:
    path = Path(label).parents[1] / f"S2{level}.tif"
    names = _L1C_BANDS if level == "L1C" else _L2A_BANDS
    return {name: (path, i) for i, name in enumerate(names, 1)}


def _files_of_chip(folder: Path, chip: str, label: str) -> dict[str, BandFile]:
    if Path(label).name == "label.tif":
        return _files_of_folder(Path(label).parent)
    part = Path(label).parent.name.removesuffix("_labels")
    for features in (folder / f"{part}_features", folder.parent / f"{part}_features"):
        if (features / chip).is_dir():
            return _files_of_folder(features / chip)
    raise SceneError(
        f"{label} has no bands beside it; they should be in {folder / f'{part}_features' / chip}."
    )


def _files_of_folder(folder: Path) -> dict[str, BandFile]:
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGES)
    return {band: (path, 1) for band, path in band_files(files).items()}


def _locations(folder: Path) -> dict[str, str]:
    """Return the location of each chip of On Cloud N, from the table in the folder or in the folder above."""
    tables = [each / "train_metadata.csv" for each in (folder, folder.parent)]
    path = next((each for each in tables if each.exists()), None)
    if path is None:
        return {}
    with path.open(newline="", encoding="utf-8") as file:
        return {
            row["chip_id"]: row["location"] for row in csv.DictReader(file) if row.get("location")
        }


def _read_truth(label: str, mapping: ClassMapping, patch: Patch) -> np.ndarray:
    with open_raster(ClassRaster(label, mapping)) as layer:
        codes = layer.file.read(1)
        layer.unknown.update(mapping.unknown(codes, layer.file.nodata).tolist())
    if codes.shape != patch.pixels.shape[1:]:
        raise SceneError(
            f"{label} has {codes.shape[0]} x {codes.shape[1]} pixels and its bands "
            f"{patch.pixels.shape[1]} x {patch.pixels.shape[2]}; they must be on one grid."
        )
    return truth_of(codes, mapping)


def _read_band(band_file: BandFile, offset: int, needs_grid: bool) -> tuple[np.ndarray, float]:
    """Return reflectance, NaN without data, and the ground sampling in metres, 0 if it is not needed."""
    path, band = band_file
    with open_raster(ClassRaster(str(path))) as layer:
        if band > layer.file.count:
            raise SceneError(f"{path} has {layer.file.count} band(s) and no band {band}.")
        values = _reflectance(layer.file.read(band), layer.file.nodatavals[band - 1], offset)
        if not needs_grid:
            return values, 0.0
        if layer.grid.crs is None:
            raise SceneError(f"{path} has no coordinate system; say its resolution in the recipe.")
        along_y, along_x = ground_resolution(layer.grid)
        return values, (along_y * along_x) ** 0.5


def _reflectance(values: np.ndarray, nodata: float | None, offset: int) -> np.ndarray:
    missing = ~np.isfinite(values)
    if nodata is not None:
        missing |= values == nodata
    if values.dtype.kind != "f":
        missing |= values == 0
        values = (values.astype("float32") + np.float32(offset)) / QUANTIFICATION
    return np.where(missing, np.float32(np.nan), values).astype("float32")


def _repeated(plane: np.ndarray, shape: tuple[int, ...], site: str) -> np.ndarray:
    """Return a band on a grid of a finer one of this shape, each pixel repeated."""
    factors = [n / side for n, side in zip(shape, plane.shape, strict=True)]
    if factors[0] != factors[1] or factors[0] != round(factors[0]):
        raise SceneError(
            f"{site}: a band of {plane.shape} pixels does not fit onto one of {shape}."
        )
    factor = round(factors[0])
    return plane.repeat(factor, 0).repeat(factor, 1)
