"""Labelled patches in the layouts in which public datasets are published."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..errors import SceneError
from ..evaluate.mappings import ClassMapping
from ..evaluate.pairing import LAYOUTS, find_layout
from ..evaluate.rasters import ClassRaster, opened
from ..scenes.band_folder import IMAGES, band_files
from ..scenes.bands import S2_BANDS
from ..scenes.offset import QUANTIFICATION
from .patches import Patch, available
from .truths import truth_of

L1C_BANDS = tuple(names[0] for band, names in S2_BANDS.items() if band != "scl")
L2A_BANDS = tuple(name for name in L1C_BANDS if name != "B10")


def read_labels(
    folder: Path,
    layout: str,
    bands: Sequence[str],
    *,
    level: str = "L2A",
    resolution: float | None = None,
    offset: int = 0,
    sampling: float | None = None,
) -> list[Patch]:
    """Read patches with labels that people have drawn.

    ``cloudsen12``: ``ROI/ID/S2L1C.tif`` and ``S2L2A.tif`` with ``ROI/ID/labels/manual_hq.tif``; a site is a
    region of interest. ``on-cloud-n``: ``train_features/CHIP/B02.tif`` and so on, with ``train_labels/CHIP.tif``; or
    ``CHIP/B02.tif`` and so on, with ``CHIP/label.tif``. A site is a location, as ``train_metadata.csv`` has it, or else
    a chip.

    Parameters
    ----------
    folder
        Of the dataset, or of a part of it.
    layout
        ``cloudsen12`` or ``on-cloud-n``.
    bands
        Canonical names of those wanted; what the files lack is left out.
    level
        ``L1C`` or ``L2A``: which file of CloudSEN12 is read.
    resolution
        To which patches are brought if they are finer, metres; None for none.
    offset
        Of the digital numbers, 0 or -1000.
    sampling
        Of the files, metres; by default what their coordinates say.

    Returns
    -------
    list of Patch
        In the order of their names. To save memory their pixels are float16, which is finer than the labels
        deserve.

    Raises
    ------
    SceneError
        If there is none, or a file is missing or cannot be read.
    """
    mapping = LAYOUTS[layout].mapping if layout in LAYOUTS else None
    labels = _find(folder, layout)
    assert mapping is not None
    locations = _locations(folder)
    patches = []
    for scene, label in labels.items():
        files = _cloudsen12(label, level) if layout == "cloudsen12" else _chip(folder, scene, label)
        site = scene.partition("/")[0] if layout == "cloudsen12" else locations.get(scene, scene)
        patch = read_scene(files, bands, level=level, site=site, resolution=sampling, offset=offset)
        patch = replace(patch, truth=_truth(label, mapping, patch))
        if resolution is not None and patch.resolution < resolution:
            patch = patch.resampled(resolution)
        patches.append(replace(patch, pixels=patch.pixels.astype("float16")))
    return patches


def read_scene(
    files: dict[str, tuple[Path, int]] | Path,
    bands: Sequence[str],
    *,
    level: str = "L2A",
    site: str = "",
    resolution: float | None = None,
    offset: int = 0,
) -> Patch:
    """Read a scene, or a piece of one, from files of digital numbers or of reflectance.

    Floating point is reflectance already; whole numbers are 10000 times that. No data are NaN, what a file declares
    so, and 0 of digital numbers.

    Parameters
    ----------
    files
        For the name of each band, a file and which of its bands; or a folder of files named after theirs.
    bands
        Canonical names of those wanted; what the files lack is left out. Coarser ones are repeated onto the
        grid of the finest.
    level, site
        Of the patch.
    resolution
        Metres; by default what the file's coordinates say.
    offset
        Of the digital numbers; not used for reflectance.

    Raises
    ------
    SceneError
        If a file cannot be read, has no coordinates, or no band is there.
    """
    if isinstance(files, Path):
        site = site or str(files)
        files = _folder(files)
    names = available(files, bands)
    if not names:
        raise SceneError(f"{site}: none of the bands {', '.join(bands)} is there.")
    planes, ground = [], []
    for name in names.values():
        values, metres = _read(*files[name], offset, needs_grid=resolution is None)
        planes.append(values)
        ground.append(metres)
    rows = max(plane.shape[0] for plane in planes)
    finest = next(i for i, plane in enumerate(planes) if plane.shape[0] == rows)
    fine = [_repeated(plane, planes[finest].shape, site) for plane in planes]
    first = files[next(iter(names.values()))][0]
    return Patch(
        np.stack(fine), tuple(names), resolution or ground[finest], level, site, source=str(first.resolve())
    )  # fmt: skip


def _find(folder: Path, layout: str) -> dict[str, str]:
    if layout == "on-cloud-n" and (chips := sorted(folder.glob("*/label.tif"))):
        return {path.parent.name: str(path) for path in chips}
    return find_layout(str(folder), layout)


def _cloudsen12(label: str, level: str) -> dict[str, tuple[Path, int]]:
    path = Path(label).parents[1] / f"S2{level}.tif"
    names = L1C_BANDS if level == "L1C" else L2A_BANDS
    return {name: (path, i) for i, name in enumerate(names, 1)}


def _chip(folder: Path, scene: str, label: str) -> dict[str, tuple[Path, int]]:
    if Path(label).name == "label.tif":
        return _folder(Path(label).parent)
    part = Path(label).parent.name.removesuffix("_labels")
    for candidate in (folder / f"{part}_features", folder.parent / f"{part}_features"):
        if (candidate / scene).is_dir():
            return _folder(candidate / scene)
    raise SceneError(
        f"{label} has no bands beside it; they should be in {folder / f'{part}_features' / scene}."
    )


def _folder(folder: Path) -> dict[str, tuple[Path, int]]:
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGES)
    return {band: (path, 1) for band, path in band_files(files).items()}


def _locations(folder: Path) -> dict[str, str]:
    """Where each chip of On Cloud N is, if the table that says so is there or in the folder above."""
    paths = [each / "train_metadata.csv" for each in (folder, folder.parent)]
    path = next((each for each in paths if each.exists()), None)
    if path is None:
        return {}
    with path.open(newline="", encoding="utf-8") as file:
        return {
            row["chip_id"]: row["location"] for row in csv.DictReader(file) if row.get("location")
        }


def _truth(label: str, mapping: ClassMapping, patch: Patch) -> np.ndarray:
    with opened(ClassRaster(label, mapping)) as layer:
        codes = layer.file.read(1)
    if codes.shape != patch.pixels.shape[1:]:
        raise SceneError(
            f"{label} has {codes.shape[0]} x {codes.shape[1]} pixels and its bands "
            f"{patch.pixels.shape[1]} x {patch.pixels.shape[2]}; they must be on one grid."
        )
    return truth_of(codes, mapping)


def _read(path: Path, band: int, offset: int, needs_grid: bool) -> tuple[np.ndarray, float]:
    """Reflectance, NaN without data, and the size of a pixel on the ground if it is needed."""
    from ..grids.grid import ground_resolution

    with opened(ClassRaster(str(path))) as layer:
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
    factors = [n / side for n, side in zip(shape, plane.shape, strict=True)]
    if factors[0] != factors[1] or factors[0] != round(factors[0]):
        raise SceneError(
            f"{site}: a band of {plane.shape} pixels does not fit onto one of {shape}."
        )
    factor = round(factors[0])
    return plane.repeat(factor, 0).repeat(factor, 1)
