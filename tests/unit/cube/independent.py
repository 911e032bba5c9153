"""An implementation of `recall` of its own, with rasterio alone, and grids to compare the two on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import rasterio
import rasterio.warp
from affine import Affine
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox

from .mask_archive import Truth

WORST = [2, 6, 3, 4, 5, 1]


EDGE = 1e-5
"""Distance from an edge below which rounding may decide, pixels."""

EDGE_ACROSS = 1e-4
"""The same between two coordinate systems, pixels.

rasterio and pyproj each bring a PROJ of their own. From EPSG:6933 to UTM the two differ by .4 mm."""


def centres(grid: GeoBox) -> tuple[np.ndarray, np.ndarray]:
    columns, rows = np.meshgrid(np.arange(grid.shape[1]), np.arange(grid.shape[0]))
    x, y = rasterio.transform.xy(grid.affine, rows.ravel(), columns.ravel())
    return np.asarray(x), np.asarray(y)


def locate(
    of: GeoBox, on: GeoBox
) -> tuple[np.ndarray, np.ndarray, np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """Row and column of every centre, -1 outside, and whether rounding may decide; and the pixel that is nearest."""
    x, y = centres(of)
    if of.crs != on.crs:
        x, y = map(np.asarray, rasterio.warp.transform(str(of.crs), str(on.crs), x, y))
    edge = EDGE if of.crs == on.crs else EDGE_ACROSS
    with np.errstate(invalid="ignore"):
        column, row = ~on.affine * (x, y)
        delicate = (np.abs(column - np.rint(column)) < edge) | (np.abs(row - np.rint(row)) < edge)
        row, column = np.floor(row), np.floor(column)
        nearest = tuple(
            np.clip(np.nan_to_num(each), 0, size - 1).astype(int)
            for each, size in zip((row, column), on.shape, strict=True)
        )
        outside = ~((row >= 0) & (row < on.shape[0]) & (column >= 0) & (column < on.shape[1]))
    row[outside] = column[outside] = -1
    return row.astype(int), column.astype(int), delicate, (nearest[0], nearest[1])


def expected_nearest(
    masks: Sequence[Truth], target: GeoBox
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    size = target.shape[0] * target.shape[1]
    ucl, percent, unsure = (
        np.zeros(size, "uint8"),
        np.full(size, 255, "uint8"),
        np.zeros(size, bool),
    )
    for grid, codes, percents in masks:
        row, column, delicate, _ = locate(target, grid)
        unsure |= delicate
        take = (row >= 0) & (ucl == 0)
        ucl[take] = codes[row[take], column[take]]
        percent[take] = percents[row[take], column[take]]
    shape = tuple(target.shape)
    return ucl.reshape(shape), percent.reshape(shape), unsure.reshape(shape)


def expected_counts(
    masks: Sequence[Truth], target: GeoBox
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The native pixels of every pixel: their number and the sum of their confidences, each ``(pixels, 7)`` by class.

    And where rounding may decide, ``target.shape`` bool.
    """
    size = target.shape[0] * target.shape[1]
    counts, percents = np.zeros((size, 7), int), np.zeros((size, 7), int)
    unsure = np.zeros(target.shape, bool)
    for i, (grid, codes, confidences) in enumerate(masks):
        row, column, delicate, nearest = locate(grid, target)
        before, _, doubtful = expected_nearest(masks[:i], grid)
        own = (row >= 0) & (before.ravel() == 0)
        where = row[own] * target.shape[1] + column[own], codes.ravel()[own]
        np.add.at(counts, where, 1)
        np.add.at(percents, where, confidences.ravel()[own])
        for r, c in zip(*(each[delicate | doubtful.ravel()] for each in nearest), strict=True):
            unsure[max(r - 1, 0) : r + 2, max(c - 1, 0) : c + 2] = True
    ucl, percent, doubtful = expected_nearest(masks, target)
    empty = np.flatnonzero(counts.sum(axis=1) == 0)
    counts[empty, ucl.ravel()[empty]] = 1
    percents[empty, ucl.ravel()[empty]] = percent.ravel()[empty]
    unsure.ravel()[empty] |= doubtful.ravel()[empty]
    return counts, percents, unsure


def winner(counts: np.ndarray, percents: np.ndarray, how: str) -> tuple[int, int]:
    """The class of one pixel and its mean confidence, from the counts of its native pixels."""
    ranked = (
        WORST if how == "any_cloud" else sorted(WORST, key=lambda c: (-counts[c], WORST.index(c)))
    )
    code = next((c for c in ranked if counts[c]), 0)
    return (code, round(percents[code] / counts[code])) if code else (0, 255)


def share(counts: np.ndarray, *classes: int) -> float:
    """The share of some classes among the native pixels of one pixel that have data."""
    data = counts[1:].sum()
    return counts[list(classes)].sum() / data if data else np.nan


DEGREE = 111_320


SYSTEMS = ["EPSG:32633", "EPSG:32632", "EPSG:3857", "EPSG:3577", "EPSG:6933", "EPSG:4326"]


@st.composite
def grids(draw: st.DrawFn, native: GeoBox, finest: float = 5, coarsest: float = 5000) -> GeoBox:
    """Any grid around a native one: inside it, across its edge, or beside it; now and then rotated."""
    crs = draw(st.sampled_from(SYSTEMS))
    extent = native.footprint(crs, npoints=10).boundingbox
    metres = float(np.exp(draw(st.floats(np.log(finest), np.log(coarsest)))))
    pixel = metres / DEGREE if crs == "EPSG:4326" else metres
    height, width = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    at_x, at_y = draw(st.floats(-0.8, 1.8)), draw(st.floats(-0.8, 1.8))
    x = extent.left + at_x * extent.span_x - pixel * width / 2
    y = extent.bottom + at_y * extent.span_y + pixel * height / 2
    turn = Affine.rotation(draw(st.sampled_from([0, 0, 0, 30, 135])))
    return GeoBox(
        (height, width), Affine.translation(x, y) * turn * Affine.scale(pixel, -pixel), crs
    )


ANY = settings(
    max_examples=45, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
