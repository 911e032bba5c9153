"""Random changes of tiles: turned, cropped, of another brightness, clipped, blurred.

Arrays are ``(C, h, w)`` float32 reflectance.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from .clouds import visible_bands

CLIPPED_SHARE = 0.35
"""Share of the tiles whose visible bands end at a level that clouds and snow reach. So do images that were made to be
looked at."""

BLURRED_SHARE = 0.2
"""Share of the tiles that are blurred, as scenes are that were interpolated from another grid.

The networks of ukis-csmask take smooth ground for cloud. In two scenes over Manila that were blurred by 0.8 pixels they
called 29 and 40 % cloud (`benchmarks/resampling.py`). So the teacher answers for the tile before it is blurred."""

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


def change_light(
    rng: np.random.Generator, pixels: np.ndarray, bands: tuple[str, ...]
) -> np.ndarray:
    """Return ``(C, h, w)`` reflectance under another sun and of another sensor.

    It is brighter or darker, of another tint and hazier, and in some tiles clipped.
    """
    count = len(pixels)
    spread = 0.12 if rng.random() < 1 - _UNUSUAL_LIGHT_SHARE else 0.4
    gain = np.exp(rng.normal(0, spread) + rng.normal(0, 0.03, count)).astype("float32")
    haze = rng.normal(0, 0.008) + rng.normal(0, 0.003, count)
    pixels = pixels * gain[:, None, None] + haze.astype("float32")[:, None, None]
    if rng.random() < CLIPPED_SHARE:
        visible = visible_bands(bands)
        pixels[visible] = np.minimum(pixels[visible], np.float32(0.3 + 0.7 * rng.random() ** 2))
    return pixels


def blur(rng: np.random.Generator, pixels: np.ndarray) -> np.ndarray:
    """Return ``(C, h, w)`` reflectance, blurred by 0.3 to 1.2 pixels in some of the tiles."""
    if rng.random() >= BLURRED_SHARE:
        return pixels
    width = rng.uniform(0.3, 1.2)
    blurred: np.ndarray = ndimage.gaussian_filter(pixels, (0, width, width))
    return blurred
