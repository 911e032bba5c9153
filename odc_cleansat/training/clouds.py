"""Simulated clouds with their truth, and simulated snow: cheap, endless, and different every time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..classes import CloudClass
from ..synthetic.sky import CLOUD_OPACITY, SHADOW_ATTENUATION

_SPECTRUM = {
    "coastal": 1.01, "blue": 1.0, "green": 0.99, "red": 0.99, "rededge1": 0.99, "rededge2": 0.98,
    "rededge3": 0.97, "nir": 0.97, "nir08": 0.96, "nir09": 0.9, "cirrus": 0.03, "swir16": 0.76,
    "swir22": 0.62,
}  # fmt: skip
"""Brightness of a cloud in each band, of that in blue. Low clouds are dark in the band of cirrus."""

_DIRECT = {
    "coastal": 0.66, "blue": 0.71, "green": 0.75, "red": 0.79, "rededge1": 0.81, "rededge2": 0.83,
    "rededge3": 0.84, "nir": 0.86, "nir08": 0.86, "nir09": 0.87, "cirrus": 0.9, "swir16": 0.91,
    "swir22": 0.92,
}  # fmt: skip
"""Share of the light that comes straight from the sun, and that a shadow lacks."""

_SNOW = {
    "coastal": 1.0, "blue": 1.0, "green": 1.0, "red": 0.98, "rededge1": 0.97, "rededge2": 0.95,
    "rededge3": 0.93, "nir": 0.91, "nir08": 0.88, "nir09": 0.85, "cirrus": 0.02, "swir16": 0.13,
    "swir22": 0.11,
}  # fmt: skip
"""Brightness of snow in each band, of that in blue."""


@dataclass(frozen=True)
class Clouds:
    """A sky over a tile; arrays are ``(h, w)`` float32, 0 to 1."""

    opacity: np.ndarray
    """Share of the ground's signal that the cloud hides."""

    brightness: np.ndarray
    """Reflectance of the cloud in blue."""

    dimming: np.ndarray
    """Share of the direct sunlight that is taken from the ground."""

    def over(self, ground: np.ndarray, bands: tuple[str, ...]) -> np.ndarray:
        """Reflectance of the ground, ``(C, h, w)`` float32, seen below these clouds."""
        seen = np.empty_like(ground)
        for i, band in enumerate(bands):
            lit = ground[i] * (1 - np.float32(_DIRECT[band]) * self.dimming)
            cloud = self.brightness * np.float32(_SPECTRUM[band])
            seen[i] = lit + (cloud - lit) * self.opacity
        return seen

    def truth(self) -> np.ndarray:
        """``(h, w)`` uint8 codes: CLOUD, SHADOW, CLEAR, and NODATA where the sky leaves it open.

        Open is where a trace of cloud or shadow stays below what a person would label.
        """
        codes = np.full(self.opacity.shape, CloudClass.NODATA, dtype="uint8")
        codes[(self.opacity < 0.02) & (self.dimming < 0.02)] = CloudClass.CLEAR
        codes[self.dimming > SHADOW_ATTENUATION] = CloudClass.SHADOW
        codes[(self.opacity > 0.02) & (self.opacity <= CLOUD_OPACITY)] = CloudClass.NODATA
        codes[self.opacity > CLOUD_OPACITY] = CloudClass.CLOUD
        return codes


def draw_clouds(rng: np.random.Generator, size: int) -> Clouds:
    """Clouds for a tile of ``size`` x ``size`` pixels of about 30 m.

    Cumulus of many sizes to sheets, thin to thick, with smooth edges; the shadow lies as far from the
    cloud as height and sun have it, in any direction.
    """
    field = _noise(rng, size, slope=rng.uniform(2.0, 3.2), coarsest=rng.uniform(15, 200))
    cover = rng.beta(1.2, 3.0)
    softness = rng.uniform(0.3, 1.8)
    depth = (field - np.quantile(field, 1 - cover)) / softness
    thickest = 1.0 if rng.random() < 0.75 else rng.uniform(0.3, 0.9)
    opacity = thickest * _smooth(depth)
    relief = _noise(rng, size, slope=1.8, coarsest=20)
    base = rng.uniform(0.35, 0.75)
    brightness = np.clip(base + 0.12 * np.clip(depth, 0, 2.5) + 0.05 * relief, 0.25, 1.1)
    distance = rng.uniform(3, 70) if rng.random() < 0.8 else 0.0
    angle = rng.uniform(0, 2 * np.pi)
    down, right = round(distance * np.sin(angle)), round(distance * np.cos(angle))
    # The field is periodic, and so a shadow may come from a cloud beyond the other edge.
    dimming = np.roll(opacity, (down, right), (0, 1)) if distance else np.zeros_like(opacity)
    return Clouds(*(layer.astype("float32") for layer in (opacity, brightness, dimming)))


def snowed(
    rng: np.random.Generator, ground: np.ndarray, bands: tuple[str, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Ground of ``(C, h, h)`` reflectance below snow, and the share of it that snow covers, ``(h, h)``.

    Drifts of any size, thin to closed; the ground's own light and dark shows through.
    """
    field = _noise(rng, ground.shape[1], slope=rng.uniform(1.6, 2.6), coarsest=rng.uniform(20, 200))
    depth = (field - np.quantile(field, rng.beta(1.2, 1.2))) / rng.uniform(0.2, 1.5)
    share = (rng.uniform(0.4, 1.0) * _smooth(depth)).astype("float32")
    light = ground[visible(bands)].mean(axis=0)
    relief = np.sqrt(np.clip(light / max(float(np.median(light)), 0.01), 0.4, 1.6))
    tint = np.array([_SNOW[band] for band in bands], dtype="float32")[:, None, None]
    snow = np.float32(rng.uniform(0.5, 0.95)) * tint * relief
    return ground + (snow - ground) * share, share


def visible(bands: tuple[str, ...]) -> list[int]:
    """Which of the bands the eye sees; all, if there are none of these."""
    seen = ("coastal", "blue", "green", "red")
    return [i for i, band in enumerate(bands) if band in seen] or list(range(len(bands)))


def _smooth(depth: np.ndarray) -> np.ndarray:
    x = np.clip(depth, 0, 1)
    smooth: np.ndarray = x * x * (3 - 2 * x)
    return smooth


def _noise(rng: np.random.Generator, size: int, slope: float, coarsest: float) -> np.ndarray:
    """A random field of mean 0 and deviation 1 whose amplitudes fall with frequency by a power law.

    `coarsest` is the longest wave, pixels.
    """
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None])
    amplitude = np.maximum(frequency, 1 / coarsest) ** -slope
    amplitude[0, 0] = 0
    spectrum = amplitude * np.exp(2j * np.pi * rng.random(frequency.shape))
    field: np.ndarray = np.fft.irfft2(spectrum, (size, size))
    field /= field.std()
    return field
