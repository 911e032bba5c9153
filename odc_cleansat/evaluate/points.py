"""Compare predictions with single pixels that a person has classified, from a CSV."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from odc.geo.crs import CRS

from ..errors import CleansatError, SceneError
from .confusion import Confusion
from .counting import Counts, Protocol
from .mappings import MAPPINGS, ClassMapping, parse_class
from .rasters import ClassRaster, OpenRaster, open_raster, tell_unknown
from .results import Evaluation

ONLY_SCENE = "all"
"""Name of the scene of points that name none."""

_NO_EDGES = Protocol(ignored=(0,), boundary=0)

_BLOCK = 512
"""Side, pixels, of the blocks in which a raster is read."""


@dataclass(frozen=True, eq=False)
class Points:
    """Classified pixels of one scene."""

    x: np.ndarray
    """``(N,)`` float64: coordinate, or column from 0 if there is no `crs`."""

    y: np.ndarray
    """``(N,)`` float64: coordinate, or row from 0 if there is no `crs`."""

    classes: np.ndarray
    """``(N,)`` uint8 :class:`~odc_cleansat.CloudClass` codes."""

    crs: str | None
    """Coordinate system; None for rows and columns."""


def read_points(
    path: str | Path, mapping: ClassMapping = MAPPINGS["ucl"], crs: str | None = None
) -> dict[str, Points]:
    """Read classified pixels from a CSV with a header.

    A column is named ``class``. Two columns are ``row`` and ``column`` (or ``col``), from 0 at the upper left,
    or ``x`` and ``y``. If there are several scenes, a column is named ``scene``. Other columns do not matter.

    Parameters
    ----------
    path
        The file. A class is the name of a :class:`~odc_cleansat.CloudClass`, or a code of `mapping`.
    mapping
        The meaning of codes.
    crs
        Coordinate system of ``x`` and ``y``; by default longitude and latitude, EPSG:4326.

    Returns
    -------
    dict
        :class:`Points` by scene; the scene is ``all`` if there is no such column.

    Raises
    ------
    CleansatError
        If the file cannot be read, lacks a column, or a row cannot be understood.

    Warns
    -----
    GapWarning
        If there are codes that the mapping does not name; these points have no class.
    """
    rows = _read_rows(path)
    columns = _find_columns(path, list(rows[0]))
    system = None if columns.by_pixel else _checked_crs(crs or "EPSG:4326")
    scenes: dict[str, list[tuple[float, float, int]]] = {}
    unknown: set[float] = set()
    for line, row in enumerate(rows, start=2):
        try:
            x, y = float(row[columns.x]), float(row[columns.y])
            point = x, y, _parse_code(row[columns.cls], mapping, unknown)
        except (TypeError, ValueError) as error:
            raise CleansatError(f"{path}, line {line}: {error}.") from None
        scene = ONLY_SCENE if columns.scene is None else (row[columns.scene] or "").strip()
        if not scene:
            raise CleansatError(f"{path}, line {line}: the scene is missing.")
        scenes.setdefault(scene, []).append(point)
    tell_unknown(mapping, unknown, str(path))
    found = {}
    for name, points in scenes.items():
        x_all, y_all, classes = np.array(points).T
        found[name] = Points(x_all, y_all, classes.astype("uint8"), system)
    return found


def _read_rows(path: str | Path) -> list[dict[str, str]]:
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file, skipinitialspace=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CleansatError(f"cannot read the points {path}: {error}.") from error
    if not rows:
        raise CleansatError(f"{path} has no points; its first line names the columns.")
    return rows


@dataclass(frozen=True)
class _Columns:
    """The names of the columns as they are written in the file."""

    x: str
    """Of x, or of the column of the pixel."""

    y: str
    """Of y, or of the row of the pixel."""

    cls: str
    """Of the class."""

    scene: str | None
    """Of the scene; None if there is none."""

    by_pixel: bool
    """Whether x and y are column and row."""


def _find_columns(path: str | Path, header: list[str]) -> _Columns:
    names = {str(name).strip().lower(): name for name in header}
    column = names.get("column", names.get("col"))
    by_pixel = "row" in names and column is not None
    x, y = (column, names["row"]) if by_pixel else (names.get("x"), names.get("y"))
    if x is None or y is None or "class" not in names:
        raise CleansatError(
            f"{path} has the columns {', '.join(names)}; it needs class, and row and column or x and y."
        )
    return _Columns(x, y, names["class"], names.get("scene"), by_pixel)


def _checked_crs(text: str) -> str:
    try:
        CRS(text)
    except Exception as error:  # pyproj's own
        raise CleansatError(f"{text!r} is no coordinate system: {error}") from error
    return text


def _parse_code(text: str | None, mapping: ClassMapping, unknown: set[float]) -> int:
    """Return the class code of a name, or of a code of the mapping; add a code that it does not name to `unknown`."""
    if text is None:
        raise ValueError("the class is missing")
    if (cls := parse_class(text)) is not None:
        return int(cls)
    if text.strip().isdecimal():
        code = np.array(int(text))
        unknown.update(mapping.unknown(code).tolist())
        return int(mapping.apply(code))
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
    """Compare classified rasters with classified pixels, scene by scene.

    Parameters
    ----------
    points
        Points by scene; see :func:`read_points`.
    predictions
        By the same scenes, the rasters by the name of what made them.
    mapping
        Mapping of the points' codes: it says which questions they answer.
    grid
        The raster in which rows and columns count, or one for each scene. By default it is the first
        prediction of the scene.
    common
        Whether to count only points for which all predictions have data.
    progress
        Called with the number of scenes done and the number there are.

    Returns
    -------
    Evaluation
        The counts, and every score from them.

    Raises
    ------
    SceneError
        If a scene has no predictions, a raster cannot be read, or no point of a scene lies where it has a
        class. Also if some of points and rasters have a coordinate system and others have none.
    """
    if not points or not all(predictions.get(name) for name in points):
        missing = [name for name in points if not predictions.get(name)]
        raise SceneError(f"there are no predictions for {', '.join(missing) or 'any point'}.")
    counts: dict[str, list[Counts]] = {}
    for i, (scene, each) in enumerate(points.items(), start=1):
        rasters = predictions[scene]
        own = grid.get(scene) if isinstance(grid, Mapping) else grid
        reference = own or next(iter(rasters.values()))
        for name, confusion in _count_points(scene, each, rasters, reference, common).items():
            empty = Counts.zero(_NO_EDGES)
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
        protocol=_NO_EDGES,
        unit="point",
        common=common,
    )


def _count_points(
    scene: str,
    points: Points,
    rasters: Mapping[str, ClassRaster],
    reference: ClassRaster,
    common: bool,
) -> dict[str, Confusion]:
    """Return the confusion of one scene for each prediction."""
    x, y, crs = _coordinates(points, reference)
    codes = {name: _sample(raster, x, y, crs) for name, raster in rasters.items()}
    for name, sampled in codes.items():
        if not sampled.any():
            raise SceneError(f"no point of {scene} lies where {rasters[name].uri} has a class.")
    classes = points.classes
    if common:
        classes = np.where(np.all(list(codes.values()), axis=0), classes, np.uint8(0))
    return {name: Confusion.of(classes, sampled) for name, sampled in codes.items()}


def _coordinates(
    points: Points, reference: ClassRaster
) -> tuple[np.ndarray, np.ndarray, CRS | None]:
    """Return x and y of the points, and their coordinate system."""
    if points.crs is not None:
        return points.x, points.y, CRS(points.crs)
    with open_raster(reference) as raster:
        x, y = raster.grid.affine * (np.floor(points.x) + 0.5, np.floor(points.y) + 0.5)
        return x, y, raster.grid.crs


def _sample(raster: ClassRaster, x: np.ndarray, y: np.ndarray, crs: CRS | None) -> np.ndarray:
    """Return the classes of the pixels in which points lie, ``(N,)`` uint8, nodata 0 beyond the raster."""
    codes = np.zeros(x.shape, dtype="uint8")
    with open_raster(raster) as file:
        grid = file.grid
        if (crs is None) != (grid.crs is None):
            raise SceneError(
                f"{raster.uri} has {'a' if crs is None else 'no'} coordinate system, and the points have "
                f"{'none' if crs is None else str(crs)}: it is not known where they lie on it. Give row and column, "
                "and rasters that all have one or that all have none."
            )
        if crs is not None and crs != grid.crs:
            x, y = crs.transformer_to_crs(grid.crs)(x, y)
        with np.errstate(invalid="ignore"):
            column, row = ~grid.affine * (np.asarray(x), np.asarray(y))
            rows, columns = grid.shape
            inside = (column >= 0) & (column < columns) & (row >= 0) & (row < rows)
        codes[inside] = _read_pixels(file, row[inside].astype(int), column[inside].astype(int))
    return codes


def _read_pixels(file: OpenRaster, row: np.ndarray, column: np.ndarray) -> np.ndarray:
    """Read single pixels, a block at a time."""
    codes = np.zeros(row.shape, dtype="uint8")
    rows, columns = file.grid.shape
    blocks = sorted({*zip((row // _BLOCK).tolist(), (column // _BLOCK).tolist(), strict=True)})
    for down, across in blocks:
        top, left = down * _BLOCK, across * _BLOCK
        here = (row // _BLOCK == down) & (column // _BLOCK == across)
        block = file.read(
            slice(top, min(top + _BLOCK, rows)), slice(left, min(left + _BLOCK, columns))
        )
        codes[here] = block[row[here] - top, column[here] - left]
    return codes
