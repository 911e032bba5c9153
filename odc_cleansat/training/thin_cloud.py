"""Simulated thin cloud over real ground. Its optical depth is known, so its truth is known too.

Thin is a cloud through which the ground can be read. Here that is an optical depth of 0.1 to 1: it hides 10 to 63 % of
the ground's signal. From 1 to 1.5 some would call it thin and some thick, so either is right. Below 0.1 clear is right
as well, and below 0.03 there is nothing to see. Optical depth means the direct beam: a pixel shows ``exp(-depth)`` of
the ground, and the rest is cloud. Real ice scatters most light forward, so that its depth by other measures is greater.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..classes import CloudClass
from ..synthetic.sky import SHADOW_ATTENUATION
from .clouds import TRACE, CloudLayer, power_law_noise, smoothstep
from .truths import class_bits

FAINTEST, THINNEST, THICKEST, OPAQUE = 0.03, 0.1, 1.0, 1.5
"""Optical depths. Below the first there is nothing to see, from the second on it is thin cloud. Above the third it may be
thick, above the last it is."""

_DEPTHS = 0.1, 1.5
"""Greatest optical depth of a simulated layer: from, to."""

_FORWARD = 0.5
"""Share of the light that thin cloud takes from the beam and still sends forward. So its shadow is weak."""

_ICE = {
    "coastal": 1.0, "blue": 1.0, "green": 1.0, "red": 1.0, "rededge1": 1.0, "rededge2": 1.0, "rededge3": 0.99,
    "nir": 0.98, "nir08": 0.98, "nir09": 0.95, "cirrus": 0.6, "swir16": 0.55, "swir22": 0.45,
}  # fmt: skip
"""Reflectance of ice cloud in each band, relative to blue. Ice absorbs more of the short-wave infrared than water."""


def opacity_of(depth: float) -> float:
    """Return the share of the ground's signal that an optical depth hides, 0 to 1.

    >>> round(opacity_of(1.0), 2)
    0.63
    """
    return float(-np.expm1(-depth))


def draw_thin_cloud(rng: np.random.Generator, size: int) -> CloudLayer:
    """Draw thin cloud for a tile of ``size`` x ``size`` pixels of about 30 m.

    Half of the layers are smooth, half are streaks as of cirrus. Some cover the whole tile. The weak shadow lies in a
    random direction, often beyond the tile.
    """
    coarsest = rng.uniform(40, 250)
    if streaks := rng.random() < 0.5:
        noise = streaked_noise(rng, size, rng.uniform(1.6, 2.4), coarsest)
    else:
        noise = power_law_noise(rng, size, rng.uniform(2.2, 3.2), coarsest)
    cover = 1.0 if rng.random() < 0.1 else rng.beta(1.3, 1.6)
    form = smoothstep((noise - np.quantile(noise, 1 - cover)) / rng.uniform(0.4, 2.5))
    if cover == 1.0:
        form = 0.6 + 0.4 * form
    depth = rng.uniform(*_DEPTHS) * form
    opacity = -np.expm1(-depth)
    brightness = np.full_like(opacity, rng.uniform(0.45, 0.9))
    reach = rng.uniform(10, 200) if streaks else rng.uniform(3, 100)
    angle = rng.uniform(0, 2 * np.pi)
    down, right = round(reach * np.sin(angle)), round(reach * np.cos(angle))
    # The noise is periodic, so a shadow may come from a cloud beyond the opposite edge.
    dimming = (1 - _FORWARD) * np.roll(opacity, (down, right), (0, 1))
    clouds = CloudLayer(
        opacity.astype("float32"), brightness.astype("float32"), dimming.astype("float32")
    )
    return replace(clouds, spectrum=_ICE) if rng.random() < 0.6 else clouds


def streaked_noise(
    rng: np.random.Generator, size: int, slope: float, coarsest: float
) -> np.ndarray:
    """Return noise that is drawn out into streaks.

    Parameters
    ----------
    rng
        Random numbers.
    size
        Side, pixels.
    slope
        Exponent of the power law by which amplitudes fall with frequency.
    coarsest
        Longest wave across the streaks, pixels.

    Returns
    -------
    numpy.ndarray
        ``(size, size)`` float64 with mean 0 and standard deviation 1. It is periodic.
    """
    angle, stretch = rng.uniform(0, np.pi), rng.uniform(3, 10)
    y, x = np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None]
    along = x * np.cos(angle) + y * np.sin(angle)
    across = y * np.cos(angle) - x * np.sin(angle)
    amplitude = np.maximum(np.hypot(stretch * along, across), 1 / coarsest) ** -slope
    amplitude[0, 0] = 0
    noise: np.ndarray = np.fft.irfft2(
        amplitude * np.exp(2j * np.pi * rng.random(amplitude.shape)), (size, size)
    )
    noise /= noise.std()
    return noise


def veil_truth(clouds: CloudLayer) -> np.ndarray:
    """Return the classes that simulated cloud leaves possible where the ground below it is clear.

    Returns
    -------
    numpy.ndarray
        ``(h, w)`` uint8 :func:`~odc_cleansat.training.truths.class_bits`; 0 where there is nothing to see.
    """
    clear, cloud, shadow, thin = (
        class_bits([each])
        for each in (CloudClass.CLEAR, CloudClass.CLOUD, CloudClass.SHADOW, CloudClass.THIN_CLOUD)
    )
    truth = np.zeros(clouds.opacity.shape, dtype="uint8")
    truth[clouds.dimming > TRACE] = clear | shadow
    truth[clouds.dimming > SHADOW_ATTENUATION] = shadow
    for least, possible in (
        (FAINTEST, clear | thin), (THINNEST, thin), (THICKEST, thin | cloud), (OPAQUE, cloud)
    ):  # fmt: skip
        found = clouds.opacity > opacity_of(least)
        truth[found] = possible
        if possible == (clear | thin):
            # A trace of cloud hides no shadow.
            truth[found & (clouds.dimming > TRACE)] |= shadow
    return truth
