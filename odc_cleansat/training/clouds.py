"""Simulated clouds of known truth, and simulated snow. They are cheap to draw, and different every time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from ..classes import CloudClass
from ..synthetic.sky import CLOUD_OPACITY, SHADOW_ATTENUATION

TRACE = 0.02
"""Opacity, dimming or snow cover, 0 to 1, below which a person would label nothing."""

_CLOUD_BRIGHTNESS = {
    "coastal": 1.01, "blue": 1.0, "green": 0.99, "red": 0.99, "rededge1": 0.99, "rededge2": 0.98,
    "rededge3": 0.97, "nir": 0.97, "nir08": 0.96, "nir09": 0.9, "cirrus": 0.03, "swir16": 0.76,
    "swir22": 0.62,
}  # fmt: skip
"""Reflectance of a cloud in each band, relative to blue. Low clouds are dark in the cirrus band."""

_DIRECT_LIGHT = {
    "coastal": 0.66, "blue": 0.71, "green": 0.75, "red": 0.79, "rededge1": 0.81, "rededge2": 0.83,
    "rededge3": 0.84, "nir": 0.86, "nir08": 0.86, "nir09": 0.87, "cirrus": 0.9, "swir16": 0.91,
    "swir22": 0.92,
}  # fmt: skip
"""Share of the light in each band that comes straight from the sun. A shadow lacks this share."""

_SNOW_BRIGHTNESS = {
    "coastal": 1.0, "blue": 1.0, "green": 1.0, "red": 0.98, "rededge1": 0.97, "rededge2": 0.95,
    "rededge3": 0.93, "nir": 0.91, "nir08": 0.88, "nir09": 0.85, "cirrus": 0.02, "swir16": 0.13,
    "swir22": 0.11,
}  # fmt: skip
"""Reflectance of snow in each band, relative to blue."""


@dataclass(frozen=True)
class CloudLayer:
    """Clouds and their shadows over a tile; arrays are ``(h, w)`` float32."""

    opacity: np.ndarray
    """Share of the ground's signal that the cloud hides, 0 to 1."""

    brightness: np.ndarray
    """Reflectance of the cloud in blue."""

    dimming: np.ndarray
    """Share of the direct sunlight that the ground lacks, 0 to 1."""

    spectrum: Mapping[str, float] = field(default_factory=lambda: _CLOUD_BRIGHTNESS)
    """Reflectance of the cloud in each band, relative to blue; by default that of water cloud."""

    def over(self, ground: np.ndarray, bands: tuple[str, ...]) -> np.ndarray:
        """Return what is seen of the ground below these clouds.

        Parameters
        ----------
        ground
            ``(C, h, w)`` float32 reflectance.
        bands
            Canonical names of the C bands.

        Returns
        -------
        numpy.ndarray
            ``(C, h, w)`` float32 reflectance.
        """
        seen = np.empty_like(ground)
        for i, band in enumerate(bands):
            lit = ground[i] * (1 - np.float32(_DIRECT_LIGHT[band]) * self.dimming)
            cloud = self.brightness * np.float32(self.spectrum[band])
            seen[i] = lit + (cloud - lit) * self.opacity
        return seen

    def cut(self, shape: tuple[int, ...]) -> CloudLayer:
        """Return the upper left part of this shape."""
        rows, columns = shape
        opacity, brightness, dimming = (
            each[:rows, :columns] for each in (self.opacity, self.brightness, self.dimming)
        )
        return CloudLayer(opacity, brightness, dimming, self.spectrum)

    def classes(self) -> np.ndarray:
        """Return the class of each pixel.

        Returns
        -------
        numpy.ndarray
            ``(h, w)`` uint8 codes: CLOUD, SHADOW, CLEAR; NODATA where a trace of cloud or shadow is less than a
            person would label.
        """
        codes = np.full(self.opacity.shape, CloudClass.NODATA, dtype="uint8")
        codes[(self.opacity < TRACE) & (self.dimming < TRACE)] = CloudClass.CLEAR
        codes[self.dimming > SHADOW_ATTENUATION] = CloudClass.SHADOW
        codes[(self.opacity > TRACE) & (self.opacity <= CLOUD_OPACITY)] = CloudClass.NODATA
        codes[self.opacity > CLOUD_OPACITY] = CloudClass.CLOUD
        return codes


def draw_clouds(rng: np.random.Generator, size: int) -> CloudLayer:
    """Draw clouds for a tile of ``size`` x ``size`` pixels of about 30 m.

    They range from small cumulus to sheets and from thin to thick, with smooth edges. The shadow lies in a random
    direction, at a random distance.
    """
    noise = power_law_noise(rng, size, slope=rng.uniform(2.0, 3.2), coarsest=rng.uniform(15, 200))
    cover = rng.beta(1.2, 3.0)
    softness = rng.uniform(0.3, 1.8)
    depth = (noise - np.quantile(noise, 1 - cover)) / softness
    thickest = 1.0 if rng.random() < 0.75 else rng.uniform(0.3, 0.9)
    opacity = thickest * smoothstep(depth)
    relief = power_law_noise(rng, size, slope=1.8, coarsest=20)
    base = rng.uniform(0.35, 0.75)
    brightness = np.clip(base + 0.12 * np.clip(depth, 0, 2.5) + 0.05 * relief, 0.25, 1.1)
    distance = rng.uniform(3, 70) if rng.random() < 0.8 else 0.0
    angle = rng.uniform(0, 2 * np.pi)
    down, right = round(distance * np.sin(angle)), round(distance * np.cos(angle))
    # The noise is periodic, so a shadow may come from a cloud beyond the opposite edge.
    dimming = np.roll(opacity, (down, right), (0, 1)) if distance else np.zeros_like(opacity)
    return CloudLayer(
        opacity.astype("float32"), brightness.astype("float32"), dimming.astype("float32")
    )


def lay_snow(
    rng: np.random.Generator, ground: np.ndarray, bands: tuple[str, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Lay random snow on the ground, from thin to closed. The ground's own light and dark shows through.

    Parameters
    ----------
    rng
        Random numbers.
    ground
        ``(C, h, h)`` float32 reflectance.
    bands
        Canonical names of the C bands.

    Returns
    -------
    tuple of numpy.ndarray
        ``(C, h, h)`` float32 reflectance, and ``(h, h)`` float32, the share of each pixel that snow covers, 0 to 1.
    """
    noise = power_law_noise(
        rng, ground.shape[1], slope=rng.uniform(1.6, 2.6), coarsest=rng.uniform(20, 200)
    )
    depth = (noise - np.quantile(noise, rng.beta(1.2, 1.2))) / rng.uniform(0.2, 1.5)
    cover = (rng.uniform(0.4, 1.0) * smoothstep(depth)).astype("float32")
    light = ground[visible_bands(bands)].mean(axis=0)
    relief = np.sqrt(np.clip(light / max(float(np.median(light)), 0.01), 0.4, 1.6))
    tint = np.array([_SNOW_BRIGHTNESS[band] for band in bands], dtype="float32")[:, None, None]
    snow = np.float32(rng.uniform(0.5, 0.95)) * tint * relief
    return ground + (snow - ground) * cover, cover


def visible_bands(bands: tuple[str, ...]) -> list[int]:
    """Return the indices of the bands that the eye sees; of all bands if it sees none of them."""
    seen = ("coastal", "blue", "green", "red")
    return [i for i, band in enumerate(bands) if band in seen] or list(range(len(bands)))


def smoothstep(values: np.ndarray) -> np.ndarray:
    """Return values of any shape, clipped to 0 to 1 and then smoothed, so that they are level at both ends."""
    x = np.clip(values, 0, 1)
    smooth: np.ndarray = x * x * (3 - 2 * x)
    return smooth


def power_law_noise(
    rng: np.random.Generator, size: int, slope: float, coarsest: float
) -> np.ndarray:
    """Return random noise whose amplitudes fall with frequency by a power law.

    Parameters
    ----------
    rng
        Random numbers.
    size
        Side, pixels.
    slope
        Exponent of the power law.
    coarsest
        Longest wave, pixels.

    Returns
    -------
    numpy.ndarray
        ``(size, size)`` float64 with mean 0 and standard deviation 1. It is periodic.
    """
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None])
    amplitude = np.maximum(frequency, 1 / coarsest) ** -slope
    amplitude[0, 0] = 0
    spectrum = amplitude * np.exp(2j * np.pi * rng.random(frequency.shape))
    noise: np.ndarray = np.fft.irfft2(spectrum, (size, size))
    noise /= noise.std()
    return noise
