"""Noise for simulated scenes: the same seed and place give the same values, whatever window is asked."""

from __future__ import annotations

import math
import zlib
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# --- random fields --------------------------------------------------------------------


class _Window(NamedTuple):
    """Half-open ranges of absolute pixel indices on one grid."""

    y0: int
    y1: int
    x0: int
    x1: int

    def grow(self, margin: int) -> _Window:
        return _Window(self.y0 - margin, self.y1 + margin, self.x0 - margin, self.x1 + margin)

    def shift(self, dy: int, dx: int) -> _Window:
        return _Window(self.y0 + dy, self.y1 + dy, self.x0 + dx, self.x1 + dx)

    def coarser(self) -> _Window:
        """Return the window of the grid of half the resolution that `_subdivide` needs."""
        return _Window(
            self.y0 // 2 - 1, (self.y1 - 1) // 2 + 3, self.x0 // 2 - 1, (self.x1 - 1) // 2 + 3
        )


Array = NDArray[np.float32]


def _mix(key: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Scramble 32-bit integers, in place: an integer hash that avalanches."""
    key ^= key >> np.uint32(16)
    key *= np.uint32(0x7FEB352D)
    key ^= key >> np.uint32(15)
    key *= np.uint32(0x846CA68B)
    key ^= key >> np.uint32(16)
    return key


def _salt(seed: int, name: str) -> int:
    """Return a 32-bit seed for one named field."""
    return zlib.crc32(f"{seed}/{name}".encode())


def _keys(start: int, stop: int, salt: int) -> NDArray[np.uint32]:
    key = np.arange(start, stop, dtype=np.int64).astype(np.uint32)
    key ^= np.uint32(salt & 0xFFFFFFFF)
    return _mix(key)


def _white(window: _Window, salt: int) -> Array:
    """Return white noise, uniform in -1..1."""
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


def _subdivide(coarse: Array, window: _Window) -> Array:
    """Refine by two with the cubic B-spline rule, which keeps the field smooth.

    `coarse` covers `window.coarser()`; its pixel i falls on pixel 2 i of the result.
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


def _fractal(window: _Window, salt: int, octaves: tuple[float, ...]) -> Array:
    """Return smooth noise; `octaves` are the amplitudes from the window's grid upwards.

    Octave k is white noise on the grid 2**k times coarser. The recursion refines the sum of
    the coarser octaves, so all octaves together cost little more than the finest.
    """
    if len(octaves) == 1:
        coarsest = _white(window, salt)
        coarsest *= np.float32(octaves[0])
        return coarsest
    field = _subdivide(_fractal(window.coarser(), salt + 1, octaves[1:]), window)
    if octaves[0]:
        field += _white(window, salt) * np.float32(octaves[0])
    return field


def _octaves(
    slope: float, first: int, last: int, boost: dict[int, float] | None = None
) -> tuple[float, ...]:
    """Return amplitudes for `_fractal` from octave `first` to `last`, for a unit variance.

    They grow by 2**slope per octave; `boost` multiplies single octaves.
    """
    amplitude = np.array([2.0 ** (slope * k) if k >= first else 0.0 for k in range(last + 1)])
    for octave, factor in (boost or {}).items():
        amplitude[octave] *= factor
    # Uniform noise in -1..1 has the variance 1/3; a cubic B-spline in two dimensions
    # leaves (151/315)**2 of it.
    variance = amplitude**2 / 3
    variance[1:] *= (151 / 315) ** 2
    return tuple((amplitude / math.sqrt(variance.sum())).tolist())


class _Cells(NamedTuple):
    """A pattern of rectangles: an id per pixel, and where it lies in its rectangle."""

    id: NDArray[np.uint32]
    across: NDArray[np.uint32]  # 0..65535 over the rectangle's width
    along: NDArray[np.uint32]


def _cells(
    window: _Window, salt: int, angle: float, size: tuple[float, float], bend: Array | None
) -> _Cells:
    """Tile the plane with rows of rectangles of `size` pixels, turned by `angle` degrees.

    16.16 fixed point in wrapping 32-bit integers: exact at any distance from the
    origin, where float32 would not be, and a wrap falls on a rectangle's border.
    """
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))

    def axis(by_x: float, by_y: float) -> NDArray[np.uint32]:
        x = np.arange(window.x0, window.x1, dtype=np.int64) * round(65536 * by_x)
        y = np.arange(window.y0, window.y1, dtype=np.int64) * round(65536 * by_y)
        steps: NDArray[np.uint32] = y.astype(np.uint32)[:, None] + x.astype(np.uint32)[None, :]
        return steps

    across, along = axis(cos / size[0], sin / size[0]), axis(-sin / size[1], cos / size[1])
    if bend is not None:
        across += (bend * np.float32(65536 / size[0])).astype(np.int32).view(np.uint32)
    row = across >> np.uint32(16)
    # Each row of rectangles is shifted along itself, so that no cross roads run through.
    along += row * np.uint32(0x9E3779B1)
    key = (row << np.uint32(16)) | (along >> np.uint32(16))
    key ^= np.uint32(salt)
    return _Cells(_mix(key), across & np.uint32(0xFFFF), along & np.uint32(0xFFFF))
