"""Bring simulated layers to other resolutions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray


def _repeat(values: NDArray[Any], factor: int) -> NDArray[Any]:
    return np.repeat(np.repeat(values, factor, axis=0), factor, axis=1)


def _regrid(values: NDArray[Any], native: int, resolution: int, *, classes: bool) -> NDArray[Any]:
    """Bring a layer from its native grid onto one of 10, 20 or 30 m; see `to_xarray`."""
    if native % resolution == 0:
        return _repeat(values, native // resolution)
    # 20 m pixels do not nest in 30 m ones, but both are made of 10 m pixels.
    fine = _repeat(values, native // 10)
    factor = resolution // 10
    return _majority(fine, factor) if classes else _valid_mean(fine, factor)


def _blocks(values: NDArray[Any], factor: int) -> Iterator[NDArray[Any]]:
    """Yield the factor**2 pixels of each block, as arrays of the coarse shape."""
    for dy in range(factor):
        for dx in range(factor):
            yield values[dy::factor, dx::factor]


def _valid_mean(values: NDArray[Any], factor: int) -> NDArray[Any]:
    total = np.zeros(values[::factor, ::factor].shape, np.uint32)
    valid = np.zeros_like(total)
    for pixel in _blocks(values, factor):
        total += pixel
        valid += pixel != 0
    np.maximum(valid, 1, out=valid)
    return ((total + valid // 2) // valid).astype(values.dtype)


def _majority(values: NDArray[Any], factor: int) -> NDArray[Any]:
    winner = np.zeros_like(values[::factor, ::factor])
    most = np.zeros_like(winner)
    for code in np.unique(values):
        votes = np.zeros_like(winner)
        for pixel in _blocks(values, factor):
            votes += pixel == code
        better = votes > most
        winner[better] = code
        most[better] = votes[better]
    return winner
