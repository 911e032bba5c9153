"""Predictions against single pixels that a person has classified, from a CSV."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from odc.geo.crs import CRS

from ..classes import CloudClass
from ..errors import CleansatError, SceneError
from .confusion import Confusion
from .counting import Counts, Protocol
from .mappings import MAPPINGS, ClassMapping
from .rasters import ClassRaster, Layer, opened
from .results import Evaluation

ALONE = "all"
"""Name of the scene of points that name none."""

_POINTS = Protocol(ignored=(0,), boundary=0)


@dataclass(frozen=True, eq=False)
class Points:
    """Classified pixels of one scene."""

    x: np.ndarray
    """``(N,)`` float64: coordinate, or column from 0 if there is no `crs`."""

    y: np.ndarray
    """``(N,)`` float64: coordinate, or row from 0."""

    classes: np.ndarray
    """``(N,)`` uint8 :class:`~odc_cleansat.CloudClass` codes."""

    crs: str | None
    """Of the coordinates; None for rows and columns."""


def read_points(
    path: str | Path, mapping: ClassMapping = MAPPINGS["ucl"], crs: str | None = None
) -> dict[str, Points]:
    """Read classified pixels from a CSV with a header.

    Columns are ``class`` and either ``row`` and ``column`` (or ``col``), from 0 at the upper left,
    or ``x`` and ``y``; and ``scene``, if there are several. Other columns do not matter.

    Parameters
    ----------
    path
        The file. A class is the name of a :class:`~odc_cleansat.CloudClass` or a code of `mapping`.
    mapping
        What codes mean.
    crs
        Coordinate system of ``x`` and ``y``; by default longitude and latitude, EPSG:4326.

    Returns
    -------
    dict
        :class:`Points` by scene, which is ``all`` where there is no such column.

    Raises
    ------
    CleansatError
        If the file cannot be read, lacks a column, or a row cannot be understood.
    """
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file, skipinitialspace=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CleansatError(f"cannot read the points {path}: {error}.") from error
    if not rows:
        raise CleansatError(f"{path} has no points; its first line names the columns.")
    names = {str(name).strip().lower(): name for name in rows[0]}
    column = names.get("column", names.get("col"))
    by_pixel = "row" in names and column is not None
    across, down = (column, names["row"]) if by_pixel else (names.get("x"), names.get("y"))
    if across is None or down is None or "class" not in names:
        raise CleansatError(
            f"{path} has the columns {', '.join(names)}; it needs class, and row and column or x and y."
        )
    scenes: dict[str, list[tuple[float, float, int]]] = {}
    for number, row in enumerate(rows, start=2):
        try:
            point = float(row[across]), float(row[down]), _class(row[names["class"]], mapping)
        except (TypeError, ValueError) as error:
            raise CleansatError(f"{path}, line {number}: {error}.") from None
        scene = (row[names["scene"]] or "").strip() if "scene" in names else ALONE
        if not scene:
            raise CleansatError(f"{path}, line {number}: the scene is missing.")
        scenes.setdefault(scene, []).append(point)
    system = None if by_pixel else crs or "EPSG:4326"
    if system is not None:
        try:
            CRS(system)
        except Exception as error:  # pyproj's own
            raise CleansatError(f"{system!r} is no coordinate system: {error}") from error
    return {
        name: Points(x, y, classes.astype("uint8"), system)
        for name, (x, y, classes) in ((n, np.array(each).T) for n, each in scenes.items())
    }


def _class(text: str | None, mapping: ClassMapping) -> int:
    if text is None:
        raise ValueError("the class is missing")
    known = {c.label: c for c in CloudClass}
    label = text.strip().lower().replace("-", "_").replace(" ", "_")
    if label in known:
        return int(known[label])
    if label.isdecimal():
        return int(mapping.codes.get(int(label), CloudClass.NODATA))
    raise ValueError(f"there is no class {text.strip()!r}")


def evaluate_points(
    points: Mapping[str, Points],
    predictions: Mapping[str, Mapping[str, ClassRaster]],
    *,
    mapping: ClassMapping = MAPPINGS["ucl"],
    grid: ClassRaster | Mapping[str, ClassRaster] | None = None,
    common: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Judge classified rasters by classified pixels, scene by scene.

    Parameters
    ----------
    points
        By scene; see :func:`read_points`.
    predictions
        By the same scenes, the rasters by the name of what made them.
    mapping
        Of the points' codes: it says which questions they answer.
    grid
        The raster that rows and columns count in, or one for each scene; by default the first prediction
        of the scene.
    common
        Count only points that all predictions have data for.
    progress
        Called with the number of scenes done and the number there are.

    Raises
    ------
    SceneError
        If a raster cannot be read, lacks a coordinate system that the points or the other rasters have, or no
        point of a scene lies on it.
    """
    if not points or not all(predictions.get(name) for name in points):
        missing = [name for name in points if not predictions.get(name)]
        raise SceneError(f"there are no predictions for {', '.join(missing) or 'any point'}.")
    counts: dict[str, list[Counts]] = {}
    for i, (scene, each) in enumerate(points.items(), start=1):
        rasters = predictions[scene]
        at = grid.get(scene) if isinstance(grid, Mapping) else grid
        x, y, crs = _coordinates(each, at or next(iter(rasters.values())))
        found = {name: _sample(raster, x, y, crs) for name, raster in rasters.items()}
        classes = each.classes
        if common:
            classes = np.where(np.all(list(found.values()), axis=0), classes, np.uint8(0))
        for name, codes in found.items():
            if not codes.any():
                raise SceneError(f"no point of {scene} lies where {rasters[name].uri} has a class.")
            confusion = Confusion.of(classes, codes)
            empty = Counts.zero(_POINTS)
            counts.setdefault(name, []).append(
                Counts(confusion.matrix[np.newaxis], empty.boundaries)
            )
        if progress is not None:
            progress(i, len(points))
    first = predictions[next(iter(points))]
    return Evaluation(
        scenes=tuple(points),
        label=mapping,
        mappings={name: raster.mapping for name, raster in first.items()},
        counts={name: tuple(each) for name, each in counts.items()},
        protocol=_POINTS,
        unit="point",
        common=common,
    )


def _coordinates(points: Points, grid: ClassRaster) -> tuple[np.ndarray, np.ndarray, CRS | None]:
    """Where the points are on the ground."""
    if points.crs is not None:
        return points.x, points.y, CRS(points.crs)
    with opened(grid) as layer:
        x, y = layer.grid.affine * (np.floor(points.x) + 0.5, np.floor(points.y) + 0.5)
        return x, y, layer.grid.crs


def _sample(raster: ClassRaster, x: np.ndarray, y: np.ndarray, crs: CRS | None) -> np.ndarray:
    """The classes of the pixels in which points lie, ``(N,)`` uint8, nodata 0 beyond the raster."""
    codes = np.zeros(x.shape, dtype="uint8")
    with opened(raster) as layer:
        if (crs is None) != (layer.grid.crs is None):
            raise SceneError(
                f"{raster.uri} has {'a' if crs is None else 'no'} coordinate system, and the points have "
                f"{'none' if crs is None else str(crs)}: it is not known where they lie on it. Give row and column, "
                "and rasters that all have one or that all have none."
            )
        if crs is not None and crs != layer.grid.crs:
            x, y = crs.transformer_to_crs(layer.grid.crs)(x, y)
        with np.errstate(invalid="ignore"):
            across, down = ~layer.grid.affine * (np.asarray(x), np.asarray(y))
            rows, columns = layer.grid.shape
            inside = (across >= 0) & (across < columns) & (down >= 0) & (down < rows)
        codes[inside] = _pixels(layer, down[inside].astype(int), across[inside].astype(int))
    return codes


def _pixels(layer: Layer, row: np.ndarray, column: np.ndarray, size: int = 512) -> np.ndarray:
    """Single pixels, read a block at a time."""
    codes = np.zeros(row.shape, dtype="uint8")
    rows, columns = layer.grid.shape
    blocks: Sequence[tuple[int, int]] = sorted({*zip(row // size, column // size, strict=True)})
    for down, across in blocks:
        top, left = int(down) * size, int(across) * size
        here = (row // size == down) & (column // size == across)
        block = layer.read(
            slice(top, min(top + size, rows)), slice(left, min(left + size, columns))
        )
        codes[here] = block[row[here] - top, column[here] - left]
    return codes
