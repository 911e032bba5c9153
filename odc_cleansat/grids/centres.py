"""Which pixel of one grid contains the centre of a pixel of another grid.

The transformed centres alone decide. So the answer depends neither on the extent that is asked for nor on
the chunks.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from odc.geo.geobox import GeoBox

Roi = tuple[slice, slice]
"""Rows and columns of a rectangle of pixels."""

TILE = 512
"""Side of the tiles of a target grid that are sampled at a time, pixels."""

LARGEST = 2048**2
"""Source pixels that are read at a time."""

TIE = 1e-6
"""Distance from the edge of a pixel, in pixels, below which a centre counts as on the edge.

It then belongs to the pixel with the greater row or column. Coordinates are rounded by less than that."""

NODES = 12
"""Nodes along each axis of a block at which coordinates are transformed exactly.

Between the nodes a polynomial interpolates them."""

PRECISION = 1e-7
"""Greatest error of that interpolation, pixels. Where it is greater, each pixel is transformed."""


def sample_nearest(
    source: GeoBox, target: GeoBox, read: Callable[[Roi], np.ndarray], result: np.ndarray
) -> None:
    """Fill an array with the source pixels in which the centres of the target pixels lie.

    At most :data:`LARGEST` source pixels are read at a time, however coarse the target is: a tile whose
    window would be larger is sampled in halves.

    Parameters
    ----------
    source
        Grid of the pixels that `read` gives.
    target
        Grid of the result.
    read
        Returns a window of the source, dims ``(..., rows, columns)``, of the result's dtype.
    result
        Dims ``(..., *target.shape)``, any dtype. Pixels whose centre is not on the source keep their values:
        fill it with nodata before.
    """
    near = reach(source, target)
    if near is None:
        return
    rows, columns = near
    for row in tiles((rows.stop - rows.start, columns.stop - columns.start), TILE, TILE):
        for y, x in row:
            roi = _shifted(y, rows.start), _shifted(x, columns.start)
            _sample_tile(source, target[roi], read, result[..., roi[0], roi[1]])


def _sample_tile(
    source: GeoBox, target: GeoBox, read: Callable[[Roi], np.ndarray], result: np.ndarray
) -> None:
    inside, row, column = pixel_indices(target, source)
    if not row.size:
        return
    top, left = int(row.min()), int(column.min())
    bottom, right = int(row.max()) + 1, int(column.max()) + 1
    if (bottom - top) * (right - left) > LARGEST and row.size > 1:
        for half in _halves(*target.shape):
            _sample_tile(source, target[half], read, result[..., half[0], half[1]])
        return
    window = slice(top, bottom), slice(left, right)
    result[..., inside] = read(window)[..., row - top, column - left]


def _shifted(span: slice, by: int) -> slice:
    return slice(span.start + by, span.stop + by)


def tiles(shape: tuple[int, int], height: int, width: int) -> list[list[Roi]]:
    """Cut a grid into tiles.

    Parameters
    ----------
    shape
        Rows and columns of the grid.
    height, width
        Of the tiles, pixels; those at the end of the grid may be smaller.

    Returns
    -------
    list of list of tuple
        The tiles, row by row.
    """
    rows, columns = shape
    return [
        [
            (slice(y, min(y + height, rows)), slice(x, min(x + width, columns)))
            for x in range(0, columns, width)
        ]
        for y in range(0, rows, height)
    ]


def pixel_indices(of: GeoBox, on: GeoBox) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Find the pixels of the grid `on` that contain the centres of the pixels of the grid `of`.

    Returns
    -------
    inside : numpy.ndarray
        ``of.shape``, bool: whether the centre is on the grid `on`.
    row, column : numpy.ndarray
        1-d, int64: the pixels of `on` for the centres that are on it, in their order.
    """
    x, y = _positions(of, on)
    column, row = np.floor(x + TIE), np.floor(y + TIE)
    inside = (row >= 0) & (row < on.shape[0]) & (column >= 0) & (column < on.shape[1])
    return inside, row[inside].astype("int64"), column[inside].astype("int64")


def _positions(of: GeoBox, on: GeoBox) -> tuple[np.ndarray, np.ndarray]:
    """Return x and y of the centres of `of` in pixels of `on`, each ``of.shape`` float64.

    They are NaN or infinite where a point has no place in the other coordinate system.
    """
    height, width = of.shape
    y, x = np.arange(height) + 0.5, np.arange(width) + 0.5
    if of.crs == on.crs or height * width <= NODES**2:
        return _transform(of, on, *np.meshgrid(x, y))
    node_y, weight_y, check_y, weight_check_y = _interpolation(height)
    node_x, weight_x, check_x, weight_check_x = _interpolation(width)
    nodes = _transform(of, on, *np.meshgrid(node_x, node_y))
    exact = _transform(of, on, *np.meshgrid(check_x, check_y))
    with np.errstate(invalid="ignore"):
        error = [
            np.abs(weight_check_y @ n @ weight_check_x.T - e).max()
            for n, e in zip(nodes, exact, strict=True)
        ]
        if max(error) <= PRECISION:
            return weight_y @ nodes[0] @ weight_x.T, weight_y @ nodes[1] @ weight_x.T
    return _transform(of, on, *np.meshgrid(x, y))


@lru_cache(maxsize=64)  # tiles are of few sizes
def _interpolation(size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return nodes from 0 to `size`, their weights at pixel centres, points to check, and the weights there."""
    from numpy.polynomial.chebyshev import chebpts1, chebpts2, chebvander

    def weights(at: np.ndarray) -> np.ndarray:
        found: np.ndarray = np.linalg.solve(
            chebvander(chebpts1(NODES), NODES - 1).T, chebvander(at, NODES - 1).T
        ).T
        return found

    centres = (np.arange(size) + 0.5) / size * 2 - 1
    check = chebpts2(6)
    return (
        (chebpts1(NODES) + 1) * size / 2,
        weights(centres),
        (check + 1) * size / 2,
        weights(check),
    )


def _transform(
    source: GeoBox, target: GeoBox, x: np.ndarray, y: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Turn pixel coordinates of one grid into those of another."""
    if source.crs == target.crs:
        return (~target.affine * source.affine) * (x, y)  # type: ignore[no-any-return]
    x, y = source.crs.transformer_to_crs(target.crs)(*(source.affine * (x, y)))
    with np.errstate(invalid="ignore"):
        return ~target.affine * (x, y)  # type: ignore[no-any-return]


def reach(source: GeoBox, target: GeoBox) -> Roi | None:
    """Find the part of `target` that pixels of `source` may lie in.

    odc-geo's `compute_reproject_roi` follows the edges of the target. So it misses a source in the
    midst of a world map, and fails where these edges leave the map.

    Returns
    -------
    tuple of slice or None
        Rows and columns, with a margin of a pixel or more; None if the grids do not meet.
    """
    height, width = source.shape
    lattice = np.meshgrid(np.linspace(0, width, 17), np.linspace(0, height, 17))
    found = _transform(source, target, *lattice)
    if not all(np.isfinite(each).all() for each in found):
        return slice(0, target.shape[0]), slice(0, target.shape[1])
    roi = []
    for each, size in zip(found[::-1], target.shape, strict=True):
        margin = 1.0
        if source.crs != target.crs:  # the map is curved between the points
            margin += max(np.abs(np.diff(each, n=2, axis=axis)).max() for axis in (0, 1))
        start, stop = math.floor(each.min() - margin), math.ceil(each.max() + margin)
        start, stop = max(start, 0), min(stop, size)
        if start >= stop:
            return None
        roi.append(slice(start, stop))
    return roi[0], roi[1]


def _halves(height: int, width: int) -> list[Roi]:
    """Cut a grid in two across its longer side."""
    if height >= width:
        return [
            (slice(0, height // 2), slice(0, width)),
            (slice(height // 2, height), slice(0, width)),
        ]
    return [
        (slice(0, height), slice(0, width // 2)),
        (slice(0, height), slice(width // 2, width)),
    ]
