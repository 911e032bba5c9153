"""Bring simulated layers to other resolutions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray


def _repeat(values: NDArray[Any], factor: int) -> NDArray[Any]:
    """Return each pixel as `factor` x `factor` pixels."""
    return np.repeat(np.repeat(values, factor, axis=0), factor, axis=1)


def regrid(values: NDArray[Any], native: int, resolution: int, *, classes: bool) -> NDArray[Any]:
    """Return a layer on another grid; `SimulatedScene.to_xarray` gives the rules.

    Parameters
    ----------
    values
        The layer on its native grid, dims (y, x), uint8 or uint16.
    native
        Native resolution, metres.
    resolution
        Resolution of the result: 10, 20 or 30 metres.
    classes
        Whether the values are classes, which are voted on and not averaged.
    """
    if native % resolution == 0:
        return _repeat(values, native // resolution)
    # 20 m pixels do not nest in 30 m ones, but both are made of 10 m pixels.
    fine = _repeat(values, native // 10)
    factor = resolution // 10
    return _majority(fine, factor) if classes else _valid_mean(fine, factor)


def _blocks(values: NDArray[Any], factor: int) -> Iterator[NDArray[Any]]:
    """Yield the `factor` x `factor` pixels of each block, as arrays of the coarse shape."""
    for dy in range(factor):
        for dx in range(factor):
            yield values[dy::factor, dx::factor]


def _valid_mean(values: NDArray[Any], factor: int) -> NDArray[Any]:
    """Return the mean of the pixels of each block that are not 0, rounded; 0 if there is none."""
    total = np.zeros(values[::factor, ::factor].shape, np.uint32)
    valid = np.zeros_like(total)
    for pixel in _blocks(values, factor):
        total += pixel
        valid += pixel != 0
    np.maximum(valid, 1, out=valid)
    return ((total + valid // 2) // valid).astype(values.dtype)


def _majority(values: NDArray[Any], factor: int) -> NDArray[Any]:
    """Return the most frequent code of each block, the lowest of equals."""
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
