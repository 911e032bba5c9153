"""Which pixels of one grid belong to which of another, exactly.

It follows from the transformed centres alone, so that it depends neither on the extent asked for nor on
the chunks.
"""

from __future__ import annotations

import math

import numpy as np
from odc.geo.geobox import GeoBox

Roi = tuple[slice, slice]

TIE = 1e-6
"""A centre this close to a native pixel's edge, in native pixels, is taken to be on it, and belongs
to the pixel with the greater row or column. That is more than the rounding of coordinates."""

NODES = 12
"""Coordinates of a block are transformed exactly at this many nodes along each axis, and those
between interpolated by a polynomial."""

PRECISION = 1e-7
"""Greatest error of that interpolation, pixels; where it is more, each pixel is transformed."""


def tiles(shape: tuple[int, int], height: int, width: int) -> list[list[Roi]]:
    rows, columns = shape
    return [
        [
            (slice(y, min(y + height, rows)), slice(x, min(x + width, columns)))
            for x in range(0, columns, width)
        ]
        for y in range(0, rows, height)
    ]


def pixel_indices(of: GeoBox, on: GeoBox) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which pixels of a grid the centres of another grid's pixels are in.

    Returns
    -------
    inside
        ``of.shape`` bool: whether the centre is on the grid `on` at all.
    row, column
        Of those that are, 1-d, int64.
    """
    x, y = _positions(of, on)
    column, row = np.floor(x + TIE), np.floor(y + TIE)
    inside = (row >= 0) & (row < on.shape[0]) & (column >= 0) & (column < on.shape[1])
    return inside, row[inside].astype("int64"), column[inside].astype("int64")


def _positions(of: GeoBox, on: GeoBox) -> tuple[np.ndarray, np.ndarray]:
    """Centres of all pixels of a grid in pixel coordinates of another, ``of.shape`` float64.

    NaN or infinite where a point has no place in the other coordinate system.
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


def _interpolation(size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Nodes from 0 to `size`, the weights that lead from them to pixel centres, and points to check."""
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
    """Pixel coordinates of one grid as those of another."""
    if source.crs == target.crs:
        return (~target.affine * source.affine) * (x, y)  # type: ignore[no-any-return]
    x, y = source.crs.transformer_to_crs(target.crs)(*(source.affine * (x, y)))
    with np.errstate(invalid="ignore"):
        return ~target.affine * (x, y)  # type: ignore[no-any-return]


def reach(source: GeoBox, target: GeoBox) -> Roi | None:
    """The part of `target` where pixels of `source` may be, generously, or None.

    odc-geo's `compute_reproject_roi` follows the edges of the target, and so misses a source in the
    midst of a world map and fails where these edges leave the map.
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


def halves(height: int, width: int) -> list[Roi]:
    """A grid in two, across its longer side."""
    if height >= width:
        return [
            (slice(0, height // 2), slice(0, width)),
            (slice(height // 2, height), slice(0, width)),
        ]
    return [
        (slice(0, height), slice(0, width // 2)),
        (slice(0, height), slice(width // 2, width)),
    ]
