"""Canonical windows: which rectangles of the model grid the network sees, and how answers are blended.

The model grid is cut into cells at whole multiples of a stride. They are counted from the origin of the
coordinate system, not from the array at hand. A window is a cell with half the overlap on each
side. So a pixel is seen in the same windows whatever part of a scene is asked for. A cut less than
half a stride from the scene's edge is left out: a narrow window there would lack context. A scene
small enough for one window is not cut at all.

The network sees a window from a multiple of 32 pixels to a multiple of 32, again counted from the origin.
It halves its input five times, and answers differently where the halvings begin at another pixel. So where an
array happens to begin must not move them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy import ndimage

MULTIPLE = 32
"""Sides of the network's input are multiples of this, pixels: a UNet of five levels halves it five times."""

_STRIP = 32
"""Rows that are blended at a time, so that they stay in the processor's cache."""


class Box(NamedTuple):
    """A rectangle of pixels of the model grid, counted from the origin of the coordinate system."""

    top: int
    """First row."""

    bottom: int
    """One past the last row."""

    left: int
    """First column."""

    right: int
    """One past the last column."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.bottom - self.top, self.right - self.left


@dataclass(frozen=True)
class Span:
    """One window along one axis."""

    start: int
    """First pixel."""

    stop: int
    """One past the last pixel."""

    rise: int
    """Pixels at the start that are shared with the window before; 0 at the scene's edge."""

    fall: int
    """Pixels at the end that are shared with the window after; 0 at the scene's edge."""

    def weights(self) -> np.ndarray:
        """Return the share of each pixel in the blend: a linear ramp over the shared pixels.

        Returns
        -------
        numpy.ndarray
            ``(stop - start,)`` float32, above 0 to 1. Those of two neighbours add up to 1.
        """
        weights = np.ones(self.stop - self.start, dtype="float32")
        ramp = (np.arange(self.rise, dtype="float32") + 0.5) / max(self.rise, 1)
        weights[: self.rise] = ramp
        ramp = (np.arange(self.fall, dtype="float32") + 0.5) / max(self.fall, 1)
        weights[len(weights) - self.fall :] *= ramp[::-1]
        return weights


def spans(start: int, stop: int, stride: int, overlap: int) -> list[Span]:
    """Cut one axis of a scene into windows.

    They are half a stride to two strides long, plus the overlap, or as short as the scene. Neighbours share
    `overlap` pixels.

    Parameters
    ----------
    start, stop
        First pixel of the scene, and one past its last.
    stride
        Distance between cuts, pixels.
    overlap
        Pixels that neighbours share; even.

    >>> [(s.start, s.stop) for s in spans(100, 1000, stride=448, overlap=64)]
    [(100, 480), (416, 1000)]
    """
    half = overlap // 2
    nearest = stride // 2
    cuts = [
        cut
        for cut in range(-(-start // stride) * stride, stop + 1, stride)
        if cut - start >= nearest and stop - cut >= nearest
    ]
    edges = [start, *cuts, stop]
    last = len(edges) - 2
    return [
        Span(
            edges[i] - (half if i else 0),
            edges[i + 1] + (half if i < last else 0),
            2 * half if i else 0,
            2 * half if i < last else 0,
        )
        for i in range(last + 1)
    ]


@dataclass(frozen=True)
class Window:
    """A rectangle that the network sees at once."""

    rows: Span
    """Along y."""

    columns: Span
    """Along x."""

    @property
    def box(self) -> Box:
        """Its pixels."""
        return Box(self.rows.start, self.rows.stop, self.columns.start, self.columns.stop)


@dataclass(frozen=True)
class Tiling:
    """How scenes are cut into windows."""

    stride: tuple[int, int] = (896, 1920)
    """Distance between cuts of the model grid down and across, pixels. With the overlap it is a multiple of 32."""

    overlap: int = 128
    """Pixels that neighbouring windows share, and over which their answers are blended."""

    whole: int = 2048 * 2048
    """Most pixels of the model grid of a scene that is not cut, but is one window."""

    @classmethod
    def of(cls, stride: Any, overlap: Any, whole: Any) -> Tiling:
        """Return the tiling of values that somebody wrote.

        Raises
        ------
        ValueError
            If there is none. The message completes a sentence: "should ...".
        """
        numbers = [*stride, overlap, whole] if isinstance(stride, list) and len(stride) == 2 else []
        if not numbers or not all(type(each) is int and each >= 0 for each in numbers):
            raise ValueError(
                "should have two whole numbers for stride, one for overlap, one for whole"
            )
        if any((each + overlap) % MULTIPLE or each <= overlap for each in stride) or overlap % 2:
            raise ValueError(
                f"should have strides that are longer than the overlap and a multiple of {MULTIPLE} with it"
            )
        return cls((stride[0], stride[1]), overlap, whole)

    def spans(self, scene: Box) -> tuple[list[Span], list[Span]]:
        """Return the windows of a scene along y and along x."""
        rows, columns = (scene.top, scene.bottom), (scene.left, scene.right)
        if scene.shape[0] * scene.shape[1] <= self.whole:
            return [Span(*rows, 0, 0)], [Span(*columns, 0, 0)]
        return (
            spans(*rows, self.stride[0], self.overlap),
            spans(*columns, self.stride[1], self.overlap),
        )


DEFAULT_TILING = Tiling()
"""The tiling of most models, chosen by measurement; see docs/accuracy/windows.md."""


def windows(scene: Box, area: Box, tiling: Tiling) -> list[Window]:
    """Return the windows of a scene that touch an area of it, row by row."""
    rows, columns = tiling.spans(scene)
    return [
        Window(row, column)
        for row in rows
        if row.start < area.bottom and row.stop > area.top
        for column in columns
        if column.start < area.right and column.stop > area.left
    ]


def prepare_window(window: np.ndarray, corner: tuple[int, int] = (0, 0)) -> np.ndarray | None:
    """Make a window fit for the network: fill what is missing, and pad it to whole multiples on all sides.

    Parameters
    ----------
    window
        ``(C, h, w)`` float32 reflectance, NaN where a band has no data.
    corner
        Row and column of its first pixel in the model grid, counted from the origin of the coordinate system.

    Returns
    -------
    numpy.ndarray or None
        ``(1, C, H, W)`` float32 without NaN, from the multiple of 32 at the corner or before it to the one at the
        end or after it. The first pixel is at ``corner % 32``. None if no pixel has data in all bands.
    """
    valid = np.isfinite(window).all(axis=0)
    if not valid.any():
        return None
    if not valid.all():
        window = _mirror(window, valid)
    around = [
        (first % MULTIPLE, -(first + size) % MULTIPLE)
        for first, size in zip(corner, valid.shape, strict=True)
    ]
    if np.any(around):  # copying a large window for nothing takes as long as a few rows of it
        window = np.pad(window, ((0, 0), *around), mode="symmetric")
    return window[np.newaxis]


def blend(
    area: Box, answers: Iterable[tuple[Window, np.ndarray | None]], classes: int
) -> np.ndarray:
    """Blend the answers of overlapping windows.

    Parameters
    ----------
    area
        The pixels that are wanted.
    answers
        Windows that touch the area, with ``(K, h, w)`` float32 probabilities of their pixels, or
        None where they hold no data. Always in the same order, or rounding differs.
    classes
        K, the number of probabilities a pixel.

    Returns
    -------
    numpy.ndarray
        ``(K, *area.shape)`` float32, summing to 1 over K; NaN where no window holds data.
    """
    total = np.zeros((classes, *area.shape), dtype="float32")
    weight = np.zeros(area.shape, dtype="float32")
    for window, answer in answers:
        if answer is not None:
            box = window.box
            top, bottom = max(box.top, area.top), min(box.bottom, area.bottom)
            left, right = max(box.left, area.left), min(box.right, area.right)
            columns = np.s_[left - area.left : right - area.left]
            theirs = np.s_[left - box.left : right - box.left]
            down = window.rows.weights()
            across = window.columns.weights()[theirs]
            for row in range(top, bottom, _STRIP):
                end = min(row + _STRIP, bottom)
                here = np.s_[row - area.top : end - area.top, columns]
                there = np.s_[row - box.top : end - box.top, theirs]
                share = np.outer(down[there[0]], across)
                weight[here] += share
                for plane, each in zip(total, answer, strict=True):
                    plane[here] += each[there] * share
    with np.errstate(invalid="ignore"):
        for row in range(0, area.shape[0], _STRIP):
            total[:, row : row + _STRIP] /= weight[row : row + _STRIP]
    return total


def _mirror(window: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Fill pixels without data by reflection at the edge of the data.

    A pixel takes the value of the one that is as far behind the edge as it is before it. If that one has no data,
    it takes the value at the edge. Of the fills that were tried this one disturbs the other classes least.
    """
    y, x = ndimage.distance_transform_edt(~valid, return_distances=False, return_indices=True)
    rows, columns = np.indices(valid.shape)
    height, width = valid.shape
    behind_y = np.clip(2 * y - rows, 0, height - 1)
    behind_x = np.clip(2 * x - columns, 0, width - 1)
    usable = valid[behind_y, behind_x]
    return window[:, np.where(usable, behind_y, y), np.where(usable, behind_x, x)]


def pixels_covering(start: float, stop: float, resolution: float) -> tuple[int, int]:
    """Return the pixels of a grid anchored at 0 that cover the coordinates `start` to `stop`.

    A sliver thinner than a hundredth of a pixel, as rounding leaves it, does not count.

    Returns
    -------
    tuple of int
        The first pixel, and one past the last.

    Examples
    --------
    >>> pixels_covering(95.0, 240.0, 30.0)
    (3, 8)
    """
    tolerance = 0.01
    return (
        int(np.floor(start / resolution + tolerance)),
        int(np.ceil(stop / resolution - tolerance)),
    )
