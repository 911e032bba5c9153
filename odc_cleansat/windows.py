"""Canonical windows: which squares of the model grid the network sees, and how answers are blended.

Windows stand at whole multiples of their stride, counted from the origin of the coordinate
system and not from the array at hand. So a pixel is seen in the same windows whatever part of
a scene is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import ndimage

MULTIPLE = 32
"""A UNet of five levels halves its input five times."""


class Box(NamedTuple):
    """A rectangle of pixels of the model grid, counted from the origin of the coordinate system."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.bottom - self.top, self.right - self.left


@dataclass(frozen=True)
class Span:
    """One window along one axis, cut off where the scene ends."""

    start: int
    """First pixel inside the scene."""

    stop: int
    """One past the last pixel inside the scene."""

    weights: np.ndarray
    """Float32 blending weight of each pixel from start to stop, in (0, 1]."""


def spans(start: int, stop: int, size: int, overlap: int) -> list[Span]:
    """The windows along one axis of a scene that covers the pixels `start` to `stop`.

    Weights rise and fall linearly over the overlap. A window that would add nothing but
    pixels which its neighbour covers too is left out.

    >>> [(s.start, s.stop) for s in spans(100, 1000, size=512, overlap=64)]
    [(100, 512), (448, 960), (896, 1000)]
    """
    stride = size - overlap
    found = []
    for origin in range((start - size) // stride * stride, stop, stride):
        low, high = max(origin, start), min(origin + size, stop)
        first, last = low == start, high == stop
        # Cut down to the overlap: the neighbouring window has these pixels, with context.
        redundant = high - low <= overlap and not (first and last)
        if high <= low or redundant:
            continue
        position = np.arange(low, high, dtype="float32") - origin + 0.5
        weights = np.minimum(np.minimum(position, size - position) / overlap, 1)
        found.append(Span(low, high, weights))
    return found


def blend(
    read: Callable[[Box], np.ndarray],
    network: Callable[[np.ndarray], np.ndarray],
    scene: Box,
    area: Box,
    *,
    classes: int,
    size: int,
    overlap: int,
    progress: Callable[[int, int], None] | None = None,
) -> np.ndarray:
    """Class probabilities on the model grid.

    Parameters
    ----------
    read
        Gives the reflectance of a box within the scene, ``(C, h, w)`` float32, NaN where
        there is no data.
    network
        ``(1, C, H, W)`` to ``(1, K, H, W)`` float32, H and W multiples of 32.
    scene
        Where the scene ends; beyond, windows are padded by reflection.
    area
        The part of the scene that is wanted. Windows are read whole even where they
        reach outside it.
    classes
        K, the number of probabilities per pixel.
    size, overlap
        Side of a window and pixels shared by neighbours.
    progress
        Called with the windows done and the windows there are.

    Returns
    -------
    numpy.ndarray
        ``(K, *area.shape)`` float32, summing to 1 over K; NaN where no window holds data.
    """
    rows = [s for s in spans(scene.top, scene.bottom, size, overlap) if _meets(s, area[:2])]
    columns = [s for s in spans(scene.left, scene.right, size, overlap) if _meets(s, area[2:])]
    total = np.zeros((classes, *area.shape), dtype="float32")
    weight = np.zeros(area.shape, dtype="float32")
    done = 0
    for row in rows:
        strip = read(Box(row.start, row.stop, columns[0].start, columns[-1].stop))
        for column in columns:
            left = columns[0].start
            window = strip[:, :, column.start - left : column.stop - left]
            if (valid := np.isfinite(window).all(axis=0)).any():
                answer = network(_prepare(window, valid)[np.newaxis])[0]
                here, there = _common(row, column, area)
                share = (row.weights[:, np.newaxis] * column.weights)[there]
                height, width = window.shape[1:]
                total[:, here[0], here[1]] += (
                    answer[:, :height, :width][:, there[0], there[1]] * share
                )
                weight[here] += share
            done += 1
            if progress:
                progress(done, len(rows) * len(columns))
    with np.errstate(invalid="ignore"):
        total /= weight
    return total


def _meets(span: Span, limits: tuple[int, int]) -> bool:
    return span.start < limits[1] and span.stop > limits[0]


def _common(row: Span, column: Span, area: Box) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """The part of a window inside the area: as slices of the area, and of the window."""
    top, bottom = max(row.start, area.top), min(row.stop, area.bottom)
    left, right = max(column.start, area.left), min(column.stop, area.right)
    return (
        (slice(top - area.top, bottom - area.top), slice(left - area.left, right - area.left)),
        (
            slice(top - row.start, bottom - row.start),
            slice(left - column.start, right - column.start),
        ),
    )


def _prepare(window: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Fill what has no data, and pad at the bottom and right to a multiple of 32."""
    if not valid.all():
        window = _mirror(window, valid)
    height, width = valid.shape
    padding = (-height % MULTIPLE, -width % MULTIPLE)
    return np.pad(window, ((0, 0), (0, padding[0]), (0, padding[1])), mode="symmetric")


def _mirror(window: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Reflect the data at its edge into where there is none.

    Each pixel without data takes the one as far behind its nearest valid pixel, or that
    pixel itself where nothing lies behind. Of the fills tried this disturbs the classes of
    the remaining pixels least.
    """
    y, x = ndimage.distance_transform_edt(~valid, return_distances=False, return_indices=True)
    rows, columns = np.indices(valid.shape)
    height, width = valid.shape
    behind_y = np.clip(2 * y - rows, 0, height - 1)
    behind_x = np.clip(2 * x - columns, 0, width - 1)
    usable = valid[behind_y, behind_x]
    return window[:, np.where(usable, behind_y, y), np.where(usable, behind_x, x)]


def grid_box(start: float, stop: float, resolution: float) -> tuple[int, int]:
    """Pixels of a grid anchored at 0 that cover the coordinates `start` to `stop`.

    A sliver thinner than a hundredth of a pixel, as rounding leaves it, does not count.

    >>> grid_box(95.0, 240.0, 30.0)
    (3, 8)
    """
    tolerance = 0.01
    return (
        int(np.floor(start / resolution + tolerance)),
        int(np.ceil(stop / resolution - tolerance)),
    )
