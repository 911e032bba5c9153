"""Random changes of tiles, which teacher and student both see: turned, cropped, of another brightness.

Arrays are ``(C, h, w)`` float32 reflectance.
"""

from __future__ import annotations

import numpy as np

_UNUSUAL_LIGHT_SHARE = 0.15
"""Share of the tiles that may be as dark as a lake, or as bright as a desert."""


def turn(rng: np.random.Generator, pixels: np.ndarray) -> np.ndarray:
    """Return ``(C, h, w)`` pixels of any dtype, turned by quarters and mirrored at random."""
    turned = np.rot90(pixels, int(rng.integers(4)), axes=(1, 2))
    return turned[:, :, :: rng.choice([-1, 1])]


def crop(rng: np.random.Generator, pixels: np.ndarray, side: int) -> np.ndarray:
    """Return a random piece of ``(C, h, w)`` pixels of any dtype, at most `side` x `side`."""
    row, column = (int(rng.integers(0, max(each - side, 0) + 1)) for each in pixels.shape[1:])
    return pixels[:, row : row + side, column : column + side]


def change_light(rng: np.random.Generator, pixels: np.ndarray) -> np.ndarray:
    """Return ``(C, h, w)`` reflectance under another sun: brighter or darker, of another tint and hazier."""
    count = len(pixels)
    spread = 0.12 if rng.random() < 1 - _UNUSUAL_LIGHT_SHARE else 0.4
    gain = np.exp(rng.normal(0, spread) + rng.normal(0, 0.03, count)).astype("float32")
    added = rng.normal(0, 0.008) + rng.normal(0, 0.003, count)
    changed: np.ndarray = pixels * gain[:, None, None] + added.astype("float32")[:, None, None]
    return changed
