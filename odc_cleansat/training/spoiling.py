"""Spoilt pictures: the student sees them, and its teacher answers for the tile as it was.

So a network learns to answer the same, whatever has happened to a picture on its way. Each kind has a share, the
probability that it happens to a tile. Several can happen to one.

Arrays are ``(C, h, w)`` float32 reflectance, NaN where there are no data.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping

import numpy as np
from scipy import ndimage

from ..grids.windows import MULTIPLE
from .clouds import visible_bands

FEWER_BANDS = "fewer_bands"
"""Of the tiles with all bands, those of which the network sees the first few only."""

PHASE = "phase"
"""The network sees the tile moved by less than a multiple of 32 pixels, as if its windows began elsewhere."""

USUAL: Mapping[str, float] = {"blur": 0.2, "clip": 0.35, FEWER_BANDS: 0.4}
"""Shares of a recipe that says none."""

_WAVELENGTHS = {
    "coastal": 0.443, "blue": 0.49, "green": 0.56, "red": 0.665, "rededge1": 0.705, "rededge2": 0.74,
    "rededge3": 0.783, "nir": 0.842, "nir08": 0.865, "nir09": 0.945, "cirrus": 1.375, "swir16": 1.61,
    "swir22": 2.19,
}  # fmt: skip
"""Wavelength of each band, micrometres."""

_BACKWARD = 0.5
"""Share of the light that haze takes from the direct beam and from the picture. The rest goes on nearly straight."""

_Spoil = Callable[[np.random.Generator, np.ndarray, tuple[str, ...]], np.ndarray]


def haze(pixels: np.ndarray, bands: tuple[str, ...], depth: float, exponent: float) -> np.ndarray:
    """Return what is seen of a picture through even haze.

    Parameters
    ----------
    pixels
        ``(C, h, w)`` float32 reflectance.
    bands
        Canonical names of the C bands.
    depth
        Optical depth at 0.55 micrometres.
    exponent
        Angstrom's exponent: how fast the optical depth falls with wavelength. It is 1.3 for smoke and 0 for fog.

    Returns
    -------
    numpy.ndarray
        ``(C, h, w)`` float32 reflectance.
    """
    waves = np.array([_WAVELENGTHS[band] for band in bands])
    hidden = 1 - np.exp(-_BACKWARD * depth * (waves / 0.55) ** -exponent)
    hidden = hidden.astype("float32")[:, None, None]
    light = np.float32(0.4)  # what haze that hides everything would reflect
    hazy: np.ndarray = pixels + (light - pixels) * hidden
    return hazy


def _haze(rng: np.random.Generator, pixels: np.ndarray, bands: tuple[str, ...]) -> np.ndarray:
    return haze(pixels, bands, rng.uniform(0.05, 0.5), rng.uniform(0.8, 1.8))


def _offset(rng: np.random.Generator, pixels: np.ndarray, bands: tuple[str, ...]) -> np.ndarray:
    """Add what a wrong offset leaves: a few hundred digital numbers."""
    return pixels + np.float32(rng.uniform(-0.03, 0.05))


def _gain(rng: np.random.Generator, pixels: np.ndarray, bands: tuple[str, ...]) -> np.ndarray:
    factors = np.exp(rng.normal(0, 0.04) + rng.normal(0, 0.015, len(pixels)))
    changed: np.ndarray = pixels * factors.astype("float32")[:, None, None]
    return changed


def _blur(rng: np.random.Generator, pixels: np.ndarray, bands: tuple[str, ...]) -> np.ndarray:
    width = rng.uniform(0.3, 1.2)
    blurred: np.ndarray = ndimage.gaussian_filter(pixels, (0, width, width))
    return blurred


def _resample(rng: np.random.Generator, pixels: np.ndarray, bands: tuple[str, ...]) -> np.ndarray:
    """Bring the picture to another grid and back: of 10 to 45 m if its own is of 30, turned and moved a little."""
    scale, angle = np.exp(rng.uniform(np.log(0.33), np.log(1.5))), np.radians(rng.uniform(-6, 6))
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    shape = [int(np.ceil(side / scale)) + 2 for side in pixels.shape[1:]]
    centre = (np.array(pixels.shape[1:]) - 1) / 2 + rng.uniform(-0.5, 0.5, 2)
    there = centre - turn @ ((np.array(shape) - 1) / 2)
    back = np.linalg.inv(turn)
    orders = rng.integers(0, 2, 2)
    planes = []
    for plane in pixels:
        other = ndimage.affine_transform(plane, turn, there, shape, order=orders[0], mode="mirror")
        planes.append(
            ndimage.affine_transform(
                other, back, -back @ there, plane.shape, order=orders[1], mode="mirror"
            )
        )
    return np.stack(planes)


def _noise(rng: np.random.Generator, pixels: np.ndarray, bands: tuple[str, ...]) -> np.ndarray:
    spread = np.float32(rng.uniform(0.001, 0.008))
    noisy: np.ndarray = pixels + spread * rng.standard_normal(pixels.shape, dtype="float32")
    return noisy


def _clip(rng: np.random.Generator, pixels: np.ndarray, bands: tuple[str, ...]) -> np.ndarray:
    """Clip the visible bands at a level that clouds and snow reach, as in images that were made to be looked at."""
    clipped, visible = pixels.copy(), visible_bands(bands)
    clipped[visible] = np.minimum(pixels[visible], np.float32(0.3 + 0.7 * rng.random() ** 2))
    return clipped


def _eight_bit(rng: np.random.Generator, pixels: np.ndarray, bands: tuple[str, ...]) -> np.ndarray:
    step = np.float32(rng.uniform(0.8, 1.5) / 255)
    steps: np.ndarray = np.clip(np.rint(pixels / step), 0, 255) * step
    return steps


def jpeg2000(pixels: np.ndarray, quality: float) -> np.ndarray:
    """Return a picture as it comes back from lossy JPEG 2000.

    Parameters
    ----------
    pixels
        ``(C, h, w)`` float32 reflectance, finite.
    quality
        Size that is aimed at, percent of the digital numbers as they are.

    Returns
    -------
    numpy.ndarray
        ``(C, h, w)`` float32 reflectance, 0 to 6.5535.
    """
    from PIL import Image

    numbers = np.clip(np.rint(pixels * 10000), 0, 65535).astype("uint16")
    planes = []
    for plane in numbers:
        file = io.BytesIO()
        Image.fromarray(plane).save(
            file,
            "JPEG2000",
            irreversible=True,
            quality_mode="rates",
            quality_layers=[100 / quality],
        )
        with Image.open(file) as read:
            planes.append(np.asarray(read))
    return np.stack(planes).astype("float32") / np.float32(10000)


def _jpeg2000(rng: np.random.Generator, pixels: np.ndarray, bands: tuple[str, ...]) -> np.ndarray:
    return jpeg2000(pixels, rng.uniform(4, 25))


def _stripes(rng: np.random.Generator, pixels: np.ndarray, bands: tuple[str, ...]) -> np.ndarray:
    """Take away the data of slanting stripes."""
    period, width = rng.uniform(16, 60), rng.uniform(1, 5)
    slope = rng.uniform(-0.3, 0.3)
    rows, columns = np.indices(pixels.shape[1:])
    along = rows + slope * columns if rng.random() < 0.5 else columns + slope * rows
    return np.where((along + rng.uniform(0, period)) % period < width, np.float32(np.nan), pixels)


def _cut(rng: np.random.Generator, pixels: np.ndarray, bands: tuple[str, ...]) -> np.ndarray:
    """Take away the data beyond a straight edge, as at the edge of a swath."""
    height, width = pixels.shape[1:]
    angle, reach = rng.uniform(0, 2 * np.pi), rng.uniform(-0.1, 0.45)
    rows, columns = np.indices((height, width))
    y, x = rows / height - 0.5, columns / width - 0.5
    return np.where(y * np.sin(angle) + x * np.cos(angle) > reach, np.float32(np.nan), pixels)


_KINDS: dict[str, _Spoil] = {
    "haze": _haze, "offset": _offset, "gain": _gain, "blur": _blur, "resample": _resample,
    "noise": _noise, "clip": _clip, "eight_bit": _eight_bit, "jpeg2000": _jpeg2000,
    "stripes": _stripes, "cut": _cut,
}  # fmt: skip
"""In the order in which they happen: in the air, in the instrument, in processing, in storage."""

KINDS = (*_KINDS, PHASE, FEWER_BANDS)
"""Names of all kinds."""


def spoil(
    rng: np.random.Generator,
    pixels: np.ndarray,
    bands: tuple[str, ...],
    shares: Mapping[str, float],
) -> np.ndarray:
    """Return a picture that is spoilt at random.

    Parameters
    ----------
    rng
        Random numbers.
    pixels
        ``(C, h, w)`` float32 reflectance, finite.
    bands
        Canonical names of the C bands.
    shares
        Probability of each kind, 0 to 1. Bands and phase are left as they are.

    Returns
    -------
    numpy.ndarray
        ``(C, h, w)`` float32 reflectance, NaN in stripes and beyond cuts.
    """
    for name, change in _KINDS.items():
        # A number is drawn even where the share is 0, so that shares do not change each other's choices.
        if rng.random() < shares.get(name, 0.0):
            pixels = change(np.random.default_rng(rng.integers(2**63)), pixels, bands)
        else:
            rng.integers(2**63)
    return pixels.astype("float32", copy=False)


def spoil_once(
    rng: np.random.Generator,
    pixels: np.ndarray,
    bands: tuple[str, ...],
    shares: Mapping[str, float],
) -> np.ndarray:
    """Return a picture that is spoilt in one way, chosen by the shares.

    Parameters
    ----------
    rng
        Random numbers.
    pixels
        ``(C, h, w)`` float32 reflectance, finite.
    bands
        Canonical names of the C bands.
    shares
        Share of each kind. If only bands and phase have one, the picture stays as it is.

    Returns
    -------
    numpy.ndarray
        ``(C, h, w)`` float32 reflectance, NaN in stripes and beyond cuts.
    """
    chances = np.array([shares.get(name, 0.0) for name in _KINDS])
    if not chances.any():
        return pixels
    name = rng.choice(list(_KINDS), p=chances / chances.sum())
    return spoil(rng, pixels, bands, {str(name): 1.0})


def draw_phase(rng: np.random.Generator, shares: Mapping[str, float], size: int) -> tuple[int, int]:
    """Return by how many rows and columns a tile of a side is moved up and left, (0, 0) for most tiles."""
    down, right = (int(rng.integers(0, min(MULTIPLE, size // 2))) for _ in range(2))
    return (down, right) if rng.random() < shares.get(PHASE, 0.0) else (0, 0)


def move(planes: np.ndarray, phase: tuple[int, int], fill: float) -> np.ndarray:
    """Return ``(..., h, w)`` planes of any dtype, moved up and left; what comes in at the other edges is the fill."""
    down, right = phase
    if not (down or right):
        return planes
    moved = np.full_like(planes, fill)
    height, width = planes.shape[-2:]
    moved[..., : height - down, : width - right] = planes[..., down:, right:]
    return moved
