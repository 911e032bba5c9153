"""Find the places where UCL and SCL disagree most."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox

from ..classes import CLOUDS, CloudClass
from ..grids.grid import ground_resolution

CELLS = 16
"""Number of cells along the longer side."""

SPOTS = 3
"""Most hot spots that are described."""

_LEAST = 0.25  # least share of a cell with data in both
_WORST = 0.1  # share of the cells that make the score, the worst ones


@dataclass(frozen=True)
class Spot:
    """A cell of a scene where UCL and SCL disagree."""

    cell: int
    """Number of the cell, counted along the rows from 0."""

    percent: float
    """Percent of the cell's pixels with data in both that differ."""

    ucl: str
    """Name of the class that most of these pixels have by UCL."""

    scl: str
    """Name of the class that they have by SCL."""

    place: str
    """Latitude and longitude of the cell's centre, for people."""


@dataclass(frozen=True)
class HotSpots:
    """Where UCL and SCL disagree."""

    score: float
    """Mean percent of pixels that differ in the worst tenth of the cells; NaN if no cell has enough data."""

    side: int
    """Side of a cell in thinned pixels."""

    columns: int
    """Number of cells in a row."""

    percent: tuple[float | None, ...]
    """Percent that differ in each cell, row by row; None where a quarter or less has data in both."""

    spots: tuple[Spot, ...]
    """The worst cells, in order."""


@dataclass(frozen=True)
class Cells:
    """What share of the pixels has a property, by coarse cells."""

    percent: np.ndarray
    """``(rows, columns)`` float64; NaN where a quarter of a cell or less has data."""

    known: np.ndarray
    """``(rows, columns)`` integer count of the pixels with data."""

    side: int
    """Side of a cell in pixels."""

    @property
    def worst(self) -> float:
        """Mean percent in the worst tenth of the cells; NaN if no cell has enough data."""
        found = np.sort(self.percent[np.isfinite(self.percent)])[::-1]
        return float(found[: math.ceil(_WORST * found.size)].mean()) if found.size else math.nan


def count_cells(those: np.ndarray, known: np.ndarray, cells: int = CELLS) -> Cells:
    """Count pixels with a property in coarse cells.

    Parameters
    ----------
    those, known
        ``(h, w)`` bool: the pixels with the property, and all pixels with data.
    cells
        Number of cells along the longer side.
    """
    side = math.ceil(max(known.shape) / cells)
    counts, part = _sums(known, side), _sums(those & known, side)
    with np.errstate(invalid="ignore", divide="ignore"):
        percent = np.where(counts > _LEAST * side**2, 100 * part / counts, np.nan)
    return Cells(percent, counts, side)


_KINDS = np.zeros(256, dtype="uint8")  # class to clear, cloud (of any kind) or shadow
_KINDS[[c for c in CloudClass if c != CloudClass.NODATA]] = CloudClass.CLEAR
_KINDS[list(CLOUDS)] = CloudClass.CLOUD
_KINDS[CloudClass.SHADOW] = CloudClass.SHADOW


def kinds(codes: np.ndarray) -> np.ndarray:
    """Return what pixels are as far as comparisons go: clear, cloud of any kind, or shadow.

    Parameters
    ----------
    codes
        Any shape, uint8 :class:`CloudClass` codes, nodata 0.
    """
    found: np.ndarray = _KINDS[codes]
    return found


def hot_spots(ucl: np.ndarray, scl: np.ndarray, grid: GeoBox, cells: int = CELLS) -> HotSpots:
    """Find the coarse cells where two classifications disagree most on cloud, shadow and clear.

    Parameters
    ----------
    ucl, scl
        ``grid.shape``, uint8 :class:`CloudClass` codes.
    grid
        Their grid.
    cells
        Number of cells along the longer side.
    """
    mine, theirs = kinds(ucl), kinds(scl)
    both = (mine != CloudClass.NODATA) & (theirs != CloudClass.NODATA)
    differ = both & (mine != theirs)
    found = count_cells(differ, both, cells)
    percent, side = found.percent, found.side
    # Of equal cells, the one with more data comes first, and then the first in the grid.
    order = np.lexsort((-found.known.ravel(), -np.nan_to_num(percent, nan=-1.0).ravel()))
    count = int(np.isfinite(percent).sum())
    spots = []
    for cell in order[: min(SPOTS, count)]:
        row, column = (int(i) for i in np.unravel_index(cell, percent.shape))
        value = float(percent[row, column])
        if value > 0:
            part = np.s_[row * side : (row + 1) * side, column * side : (column + 1) * side]
            names = _commonest_pair(mine[part][differ[part]], theirs[part][differ[part]])
            centre = ((column + 0.5) * side, (row + 0.5) * side)
            spots.append(Spot(int(cell), value, *names, _latlon(grid, centre)))
    listed = tuple(None if math.isnan(p) else round(float(p), 1) for p in percent.ravel())
    return HotSpots(found.worst, side, percent.shape[1], listed, tuple(spots))


def _commonest_pair(mine: np.ndarray, theirs: np.ndarray) -> tuple[str, str]:
    """Names of the two classes that occur together most often."""
    pair = int(np.bincount(16 * mine.astype(int) + theirs).argmax())
    return CloudClass(pair // 16).description, CloudClass(pair % 16).description


def _sums(plane: np.ndarray, side: int) -> np.ndarray:
    """Counts in square cells; pixels beyond the edge count as False."""
    rows, columns = plane.shape
    padded = np.pad(plane, ((0, -rows % side), (0, -columns % side)))
    rows, columns = padded.shape
    blocks = padded.reshape(rows // side, side, columns // side, side)
    counts: np.ndarray = blocks.sum(axis=(1, 3))
    return counts


def _latlon(grid: GeoBox, pixel: tuple[float, float]) -> str:
    rows, columns = grid.shape
    x, y = grid.affine * (min(pixel[0], columns), min(pixel[1], rows))
    (lon,), (lat,) = grid.crs.transformer_to_crs(CRS("EPSG:4326"))([x], [y])
    return f"{abs(lat):.4f}° {'N' if lat >= 0 else 'S'}, {abs(lon):.4f}° {'E' if lon >= 0 else 'W'}"


def cell_size(grid: GeoBox, side: int) -> str:
    """Return the size of a cell of `side` x `side` pixels, for people."""
    metres = [side * each for each in ground_resolution(grid)]
    if max(metres) >= 1000:
        return f"{metres[0] / 1000:.1f} x {metres[1] / 1000:.1f} km"
    return f"{metres[0]:.0f} x {metres[1]:.0f} m"
