"""Cells: canonical squares of any grid, in which something is measured that a pixel alone does not tell.

They are counted from the origin of the coordinate system. So a pixel is in the same cell, with the same
surroundings, whatever part of a place is loaded.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

from affine import Affine
from odc.geo.geobox import GeoBox

from .centres import Roi

CELL = 7680.0
"""Side of a cell, metres: 256 pixels of 30 m."""

MARGIN = 960.0
"""What is seen around a cell on each side, metres."""

_DEGREE = 111_320.0
"""Metres of a degree, the same everywhere, so that cells of geographic grids do not depend on where a grid lies."""


class Cell(NamedTuple):
    """One cell of a grid, and its window."""

    inner: Roi
    """Rows and columns of the cell, slices into the grid."""

    window: Roi
    """Those of the cell with its margin, as far as the grid goes."""

    @property
    def within(self) -> Roi:
        """The cell as slices into its window."""
        rows, columns = (
            slice(own.start - around.start, own.stop - around.start)
            for own, around in zip(self.inner, self.window, strict=True)
        )
        return rows, columns


def side_of_pixel(grid: GeoBox) -> float:
    """Return the nominal side of a grid's pixels, metres: no function of where the grid lies."""
    unit = _DEGREE if grid.crs is not None and grid.crs.geographic else 1.0
    return float(math.sqrt(abs(grid.affine.determinant)) * unit)


def odd_side(metres: float, grid: GeoBox) -> int:
    """Return the side of a square around a pixel that is about so many metres wide, whole pixels, odd."""
    return 2 * round((metres / side_of_pixel(grid) - 1) / 2) + 1 if metres > 0 else 1


def cells(grid: GeoBox) -> Iterator[list[Cell]]:
    """Return the cells of a grid, row by row.

    Parameters
    ----------
    grid
        A grid. The cells of a rotated one are counted from its first pixel.
    """
    margin = round(MARGIN / side_of_pixel(grid))
    rows, columns = (_cut(first, size, _stride(grid)) for first, size in _axes(grid))
    height, width = grid.shape
    for row in rows:
        yield [
            Cell((row, column), (_widened(row, margin, height), _widened(column, margin, width)))
            for column in columns
        ]


def parts(grid: GeoBox, most: int) -> Iterator[Roi]:
    """Return whole cells of a grid together, so many that they and their margins fit into a square; at least one.

    Parameters
    ----------
    grid
        A grid.
    most
        Pixels along a side of the square.
    """
    margin = round(MARGIN / side_of_pixel(grid))
    count = max((most - 2 * margin) // _stride(grid), 1)
    rows, columns = (_cut(first, size, count * _stride(grid)) for first, size in _axes(grid))
    yield from ((row, column) for row in rows for column in columns)


def with_context(grid: GeoBox) -> tuple[GeoBox, Roi]:
    """Return the grid of all cells that a grid touches, with their margins.

    Parameters
    ----------
    grid
        A grid. A rotated one is returned as it is.

    Returns
    -------
    grid : GeoBox
        The larger grid, of the same pixels.
    roi : tuple of slice
        Rows and columns of the smaller grid in it.
    """
    if not grid.axis_aligned:
        return grid, (slice(0, grid.shape[0]), slice(0, grid.shape[1]))
    margin, stride = round(MARGIN / side_of_pixel(grid)), _stride(grid)
    starts, sizes = [], []
    for first, size in _axes(grid):
        low = first // stride * stride - margin
        high = -(-(first + size) // stride) * stride + margin
        starts.append(first - low)
        sizes.append(high - low)
    affine = grid.affine * Affine.translation(-starts[1], -starts[0])
    roi = tuple(slice(s, s + n) for s, n in zip(starts, grid.shape, strict=True))
    return GeoBox((sizes[0], sizes[1]), affine, grid.crs), (roi[0], roi[1])


def _stride(grid: GeoBox) -> int:
    return max(round(CELL / side_of_pixel(grid)), 1)


def _axes(grid: GeoBox) -> list[tuple[int, int]]:
    """First pixel, counted from the origin, and number of pixels: along y and along x."""
    if not grid.axis_aligned:
        return [(0, size) for size in grid.shape]
    affine = grid.affine
    # A quarter of a pixel: neither grids at whole pixels nor those at half ones are torn by rounding.
    firsts = (math.floor(affine.f / affine.e + 0.25), math.floor(affine.c / affine.a + 0.25))
    return list(zip(firsts, grid.shape, strict=True))


def _cut(first: int, size: int, stride: int) -> list[slice]:
    """Cut an axis at whole multiples of the stride; slices from its first pixel."""
    cuts = range(-(-first // stride) * stride, first + size, stride)
    edges = sorted({0, size, *(cut - first for cut in cuts)})
    return [slice(a, b) for a, b in pairwise(edges)]


def _widened(part: slice, margin: int, size: int) -> slice:
    return slice(max(part.start - margin, 0), min(part.stop + margin, size))
