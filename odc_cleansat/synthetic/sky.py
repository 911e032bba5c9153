"""Simulated sky: clouds, their shadows, and the SCL that Sen2Cor might give."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..classes import CloudClass
from .land import _PALETTE, _SPECTRA, _VARIANTS, _Land
from .noise import Array, _fractal, _octaves, _salt, _subdivide, _white, _Window

CLOUD_OPACITY = 0.25
"""Truth is CLOUD where the cloud hides more than this share of the ground's signal.

At a quarter, a white cloud over dark land already sends up more light than the land
below it: a person sees it, and the surface reflectance is of no more use. Fainter veils are
left CLEAR, as labellers leave them.
"""

SHADOW_ATTENUATION = 0.25
"""Truth is SHADOW where more than this share of the direct sun is taken away, and no
cloud is above.

The same number as for clouds, so that a cloud and its shadow have one outline: less
than this changes reflectance by no more than the texture of a field does.
"""

# White in the visible; liquid droplets absorb some of the short-wave infrared. B09 is
# overcorrected for water vapour by Sen2Cor above clouds, hence brighter than white.
_CLOUD_SPECTRUM = (1.01, 1.0, 0.99, 0.99, 0.99, 0.98, 0.97, 0.97, 0.96, 1.35, 0.76, 0.62)
# Share of the light that comes straight from the sun. The rest lights the shadow too: skylight,
# which is blue, and what the clouds themselves scatter and let through, which is white.
_DIRECT_SHARE = (0.66, 0.71, 0.75, 0.79, 0.81, 0.83, 0.84, 0.86, 0.86, 0.87, 0.91, 0.92)


# --- sky ------------------------------------------------------------------------------

# Octave 0 is 10 m, octave 10 is 10 km. A slope of 1 up to a few hundred metres keeps the edges
# smooth; beyond 1 km the sky is much the same everywhere.
_CLOUDS = _octaves(1.0, 0, 10, {7: 0.9, 8: 0.45, 9: 0.2, 10: 0.1})
_CLOUD_SOFTNESS = 0.55
"""How far the cloud field rises, in its standard deviations, from no cloud to an opaque one."""


class _Sky(NamedTuple):
    """What the sky does to the ground, 0..1 each."""

    opacity: Array  # of the cloud above
    cloud: Array  # reflectance of that cloud in the visible
    dimming: Array  # share of the direct sun that is taken away


def _opacity(depth: Array) -> Array:
    """Return opacity: 0 below depth 0, 1 above depth 1, smooth between (smoothstep)."""
    x = np.clip(depth, 0, 1)
    opacity: Array = x * x * (np.float32(3) - np.float32(2) * x)
    return opacity


def _depth_at(opacity: float) -> float:
    """Return the depth at which `_opacity` gives `opacity`: the inverse of smoothstep."""
    return 0.5 - math.sin(math.asin(1 - 2 * opacity) / 3)


def _sky(
    window: _Window, salt: int, base: float, sun: tuple[float, float], shift: tuple[int, int]
) -> _Sky:
    """Lay the clouds and their shadows.

    `base` is the field's value at depth 0, `sun` the unit vector (row, column) towards the sun and
    `shift` the offset in 20 m pixels from a point on the ground to the point of the cloud layer
    that stands between it and the sun.
    """
    half = window.coarser()
    margin = 4  # pixels on either side over which the relief of the cloud's top is measured

    def depth(of: _Window) -> Array:
        field = _fractal(of, salt + 1, _CLOUDS[1:])
        field -= np.float32(base)
        field *= np.float32(1 / _CLOUD_SOFTNESS)
        return field

    wide = depth(half.grow(margin))
    rows, columns = wide.shape[0] - 2 * margin, wide.shape[1] - 2 * margin

    def moved(steps: float) -> Array:
        dy, dx = margin + round(sun[0] * steps), margin + round(sun[1] * steps)
        return wide[dy : dy + rows, dx : dx + columns]

    # A slope that faces the sun falls towards it.
    slope = np.clip(moved(-margin) - moved(margin), -1.5, 1.5)
    body = np.clip(moved(0), 0, 3)
    cloud = np.float32(0.50) + np.float32(0.12) * body + np.float32(0.09) * slope
    np.clip(cloud, 0.3, 0.95, out=cloud)

    fine = _subdivide(moved(0), window)
    fine += _white(window, salt) * np.float32(_CLOUDS[0] / _CLOUD_SOFTNESS)
    dimming = _subdivide(_opacity(depth(half.shift(*shift))), window)
    return _Sky(_opacity(fine), _subdivide(cloud, window), dimming)


# --- what the sensor and the processor make of it -------------------------------------


def _reflectance(band: int, land: _Land, sky: _Sky) -> Array:
    """Return the reflectance of one band (its position in BANDS) on the 10 m grid."""
    ground: Array = _PALETTE[band][land.column]
    ground *= land.gain
    ground *= np.float32(1) - np.float32(_DIRECT_SHARE[band]) * sky.dimming
    cloud = sky.cloud * np.float32(_CLOUD_SPECTRUM[band])
    cloud -= ground
    cloud *= sky.opacity
    ground += cloud
    return ground


def _mean(values: Array, factor: int) -> Array:
    """Return the means of `factor` x `factor` blocks."""
    if factor == 1:
        return values
    # Slices are added in a fixed order: a reduction's order may depend on the shape.
    tall = values[0::factor].copy()
    for k in range(1, factor):
        tall += values[k::factor]
    wide: Array = tall[:, 0::factor].copy()
    for k in range(1, factor):
        wide += tall[:, k::factor]
    wide *= np.float32(1 / factor**2)
    return wide


def _truth(sky: _Sky) -> NDArray[np.uint8]:
    """Return the CloudClass codes by the thresholds above."""
    truth = np.full(sky.opacity.shape, CloudClass.CLEAR, np.uint8)
    truth[sky.dimming > SHADOW_ATTENUATION] = CloudClass.SHADOW
    truth[sky.opacity > CLOUD_OPACITY] = CloudClass.CLOUD
    return truth


_VEGETATED = np.repeat([_SPECTRA[name][8] > 2 * _SPECTRA[name][3] for name in _SPECTRA], _VARIANTS)
_WET = np.repeat(["water" in name or name == "shoal" for name in _SPECTRA], _VARIANTS)
_DETECTION = _octaves(0.6, 0, 4)


def _scl(window: _Window, seed: int, land: _Land, sky: _Sky) -> NDArray[np.uint8]:
    """Return what Sen2Cor would call the scene: SCL codes on the 20 m grid.

    Its failings are kept: it finds the darkest part of some shadows only, misses cloud edges and
    thin clouds, and takes bright roofs for clouds.
    """
    opacity, dimming = _mean(sky.opacity, 2), _mean(sky.dimming, 2)
    plants = _mean(_VEGETATED[land.column].astype(np.float32), 2)
    water = _mean(_WET[land.column].astype(np.float32), 2)
    red = _mean(_PALETTE[3][land.column], 2)
    coarse = _Window(*(edge // 2 for edge in window))
    luck = _fractal(coarse, _salt(seed, "detection"), _DETECTION)
    chance = _white(coarse, _salt(seed, "chance"))

    scl = np.full(opacity.shape, 5, np.uint8)
    scl[plants > 0.5] = 4
    scl[(chance > 0.985) & (plants < 0.8)] = 7
    scl[(red < 0.035) & (luck > 1.4)] = 2  # dark woods
    scl[water > 0.5] = 6
    scl[red > 0.27] = 8
    scl[red > 0.50] = 9
    # Where luck is low, a shadow stays unseen however dark it is.
    seen = dimming + luck * np.float32(0.25)
    scl[(dimming > 0.6) & (seen > 0.98)] = 2
    scl[(dimming > 0.6) & (seen > 1.03)] = 3
    thin = (opacity > 0.15) & (opacity <= 0.45)
    scl[thin & (luck > 0.5)] = 10
    scl[thin & (luck < -0.5)] = 7
    scl[opacity + luck * np.float32(0.04) > 0.45] = 8
    scl[opacity + luck * np.float32(0.04) > 0.75] = 9
    return scl
