"""Noise for simulated scenes: a seed and a place give the same values in every window."""

from __future__ import annotations

import math
import zlib
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
"""A plane of values, dims (y, x)."""


class PixelWindow(NamedTuple):
    """Half-open ranges of absolute pixel indices on one grid."""

    y0: int
    """First row."""

    y1: int
    """Row after the last."""

    x0: int
    """First column."""

    x1: int
    """Column after the last."""

    def grow(self, margin: int) -> PixelWindow:
        """Return the window with so many more pixels on each side."""
        return PixelWindow(self.y0 - margin, self.y1 + margin, self.x0 - margin, self.x1 + margin)

    def shift(self, dy: int, dx: int) -> PixelWindow:
        """Return the window moved by so many rows and columns."""
        return PixelWindow(self.y0 + dy, self.y1 + dy, self.x0 + dx, self.x1 + dx)

    def coarser(self) -> PixelWindow:
        """Return the window of the grid of half the resolution that `subdivide` needs."""
        return PixelWindow(
            self.y0 // 2 - 1, (self.y1 - 1) // 2 + 3, self.x0 // 2 - 1, (self.x1 - 1) // 2 + 3
        )


def _mix(key: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Hash 32-bit integers in place, so that each bit of a key changes about half of the result."""
    key ^= key >> np.uint32(16)
    key *= np.uint32(0x7FEB352D)
    key ^= key >> np.uint32(15)
    key *= np.uint32(0x846CA68B)
    key ^= key >> np.uint32(16)
    return key


def field_seed(seed: int, name: str) -> int:
    """Return a 32-bit seed for one named field of a scene."""
    return zlib.crc32(f"{seed}/{name}".encode())


def _keys(start: int, stop: int, salt: int) -> NDArray[np.uint32]:
    """Return a hash for each row or column of a range."""
    key = np.arange(start, stop, dtype=np.int64).astype(np.uint32)
    key ^= np.uint32(salt & 0xFFFFFFFF)
    return _mix(key)


def white_noise(window: PixelWindow, salt: int) -> Array:
    """Return white noise in the shape of the window, float32, uniform in -1..1."""
    rows = _keys(window.y0, window.y1, salt)
    columns = _keys(window.x0, window.x1, ~salt)
    key = rows[:, None] + columns[None, :]
    key *= np.uint32(0x7FEB352D)
    key ^= key >> np.uint32(15)
    key *= np.uint32(0x846CA68B)
    noise: Array = (key >> np.uint32(8)).astype(np.float32)
    noise *= np.float32(2.0**-23)
    noise -= np.float32(1)
    return noise


def subdivide(coarse: Array, window: PixelWindow) -> Array:
    """Refine a field by two with the cubic B-spline rule, which keeps it smooth.

    Parameters
    ----------
    coarse
        The field in `window.coarser()`, dims (y, x), float32. Its pixel i is pixel 2 i of the result.
    window
        The window of the result.

    Returns
    -------
    numpy.ndarray
        The field in the shape of `window`, float32.
    """
    top, left = window.y0 % 2, window.x0 % 2
    height, width = window.y1 - window.y0, window.x1 - window.x0
    tall = np.empty((2 * coarse.shape[0] - 4, coarse.shape[1]), np.float32)
    middle = coarse[1:-1]
    np.add(coarse[:-2], coarse[2:], out=tall[0::2])
    tall[0::2] *= np.float32(0.125)
    tall[0::2] += middle * np.float32(0.75)
    np.add(middle, coarse[2:], out=tall[1::2])
    tall[1::2] *= np.float32(0.5)
    tall = tall[top : top + height]
    wide = np.empty((height, 2 * coarse.shape[1] - 4), np.float32)
    middle = tall[:, 1:-1]
    even = tall[:, :-2] + tall[:, 2:]
    even *= np.float32(0.125)
    even += middle * np.float32(0.75)
    wide[:, 0::2] = even
    odd = middle + tall[:, 2:]
    odd *= np.float32(0.5)
    wide[:, 1::2] = odd
    return wide[:, left : left + width]


def fractal_noise(window: PixelWindow, salt: int, octaves: tuple[float, ...]) -> Array:
    """Return smooth noise: the sum of white noise on grids of several resolutions.

    Octave k is white noise on the grid 2**k times coarser. The recursion refines the sum of the coarser octaves.
    So all octaves together cost little more than the finest.

    Parameters
    ----------
    window
        The window of the result.
    salt
        Seed of the field, from `field_seed`.
    octaves
        Amplitudes, from the finest octave to the coarsest.

    Returns
    -------
    numpy.ndarray
        In the shape of `window`, float32.
    """
    if len(octaves) == 1:
        coarsest = white_noise(window, salt)
        coarsest *= np.float32(octaves[0])
        return coarsest
    field = subdivide(fractal_noise(window.coarser(), salt + 1, octaves[1:]), window)
    if octaves[0]:
        field += white_noise(window, salt) * np.float32(octaves[0])
    return field


def octave_amplitudes(
    slope: float, first: int, last: int, boost: dict[int, float] | None = None
) -> tuple[float, ...]:
    """Return amplitudes for `fractal_noise` of unit variance.

    Parameters
    ----------
    slope
        The amplitudes grow by 2**slope per octave.
    first, last
        First and last octave with noise.
    boost
        Octave to a factor for its amplitude.
    """
    amplitude = np.array([2.0 ** (slope * k) if k >= first else 0.0 for k in range(last + 1)])
    for octave, factor in (boost or {}).items():
        amplitude[octave] *= factor
    # Uniform noise in -1..1 has the variance 1/3; a cubic B-spline in two dimensions
    # leaves (151/315)**2 of it.
    variance = amplitude**2 / 3
    variance[1:] *= (151 / 315) ** 2
    return tuple((amplitude / math.sqrt(variance.sum())).tolist())


class CellPattern(NamedTuple):
    """A pattern of rectangles; all fields have the dims (y, x)."""

    id: NDArray[np.uint32]
    """A random id of each pixel's rectangle."""

    across: NDArray[np.uint32]
    """Position over the width of the rectangle, 0..65535."""

    along: NDArray[np.uint32]
    """Position over the length of the rectangle, 0..65535."""


def cell_pattern(
    window: PixelWindow, salt: int, angle: float, size: tuple[float, float], bend: Array | None
) -> CellPattern:
    """Tile the plane with rows of rectangles.

    The positions are 16.16 fixed point in 32-bit integers that wrap. Unlike float32 they are exact at any
    distance from the origin, and a wrap falls on the border of a rectangle.

    Parameters
    ----------
    window
        The window of the result.
    salt
        Seed of the ids, from `field_seed`.
    angle
        Rotation of the pattern, degrees.
    size
        Width and length of a rectangle, pixels.
    bend
        Shift of each pixel across the rows, pixels, in the shape of `window`; None for straight rows.
    """
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    across = _steps(window, cos / size[0], sin / size[0])
    along = _steps(window, -sin / size[1], cos / size[1])
    if bend is not None:
        across += (bend * np.float32(65536 / size[0])).astype(np.int32).view(np.uint32)
    row = across >> np.uint32(16)
    # Each row of rectangles is shifted along itself, so that cross roads end at the row.
    along += row * np.uint32(0x9E3779B1)
    key = (row << np.uint32(16)) | (along >> np.uint32(16))
    key ^= np.uint32(salt)
    return CellPattern(_mix(key), across & np.uint32(0xFFFF), along & np.uint32(0xFFFF))


def _steps(window: PixelWindow, by_x: float, by_y: float) -> NDArray[np.uint32]:
    """Return a plane that grows by so much per column and per row, in 16.16 fixed point."""
    x = np.arange(window.x0, window.x1, dtype=np.int64) * round(65536 * by_x)
    y = np.arange(window.y0, window.y1, dtype=np.int64) * round(65536 * by_y)
    steps: NDArray[np.uint32] = y.astype(np.uint32)[:, None] + x.astype(np.uint32)[None, :]
    return steps
