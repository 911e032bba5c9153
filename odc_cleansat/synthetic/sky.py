"""Simulate the sky: clouds, their shadows, and the SCL that Sen2Cor might give."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..classes import CloudClass
from .land import PALETTE, SPECTRA, VARIANTS, Land
from .noise import (
    Array,
    PixelWindow,
    field_seed,
    fractal_noise,
    octave_amplitudes,
    subdivide,
    white_noise,
)

CLOUD_OPACITY = 0.25
"""Truth is CLOUD where the cloud hides more than this share of the ground's signal.

At a quarter, a white cloud over dark land already reflects more light than the land below it. A person sees
such a cloud, and the surface reflectance is of no more use. Fainter veils stay CLEAR, as labellers leave them.
"""

SHADOW_ATTENUATION = 0.25
"""Truth is SHADOW where clouds take away more than this share of the direct sun, and no cloud is above.

It equals CLOUD_OPACITY, so that a cloud and its shadow have one outline. A weaker shadow changes reflectance
no more than the texture of a field does.
"""

_CLOUD_SPECTRUM = (1.01, 1.0, 0.99, 0.99, 0.99, 0.98, 0.97, 0.97, 0.96, 1.35, 0.76, 0.62)
"""Reflectance of clouds in each of BANDS, relative to that in the visible.

Clouds are white in the visible. Liquid droplets absorb some of the short-wave infrared. Sen2Cor corrects B09 too
much for water vapour above clouds, so it is brighter than white.
"""

_DIRECT_SHARE = (0.66, 0.71, 0.75, 0.79, 0.81, 0.83, 0.84, 0.86, 0.86, 0.87, 0.91, 0.92)
"""Share of the light that comes directly from the sun, in each of BANDS.

The rest lights the shadow too. It is blue skylight, and the white light that clouds scatter and let through.
"""

CLOUD_OCTAVES = octave_amplitudes(1.0, 0, 10, {7: 0.9, 8: 0.45, 9: 0.2, 10: 0.1})
"""Amplitudes of the cloud field, from octave 0 of 10 m to octave 10 of 10 km.

The slope of 1 up to a few hundred metres keeps the edges of clouds smooth. Beyond 1 km the field hardly varies.
"""

CLOUD_SOFTNESS = 0.55
"""Rise of the cloud field from no cloud to an opaque one, in standard deviations."""


class Sky(NamedTuple):
    """Clouds and shadows; all fields have the dims (y, x) and are 0..1."""

    opacity: Array
    """Opacity of the cloud above."""

    cloud: Array
    """Reflectance of that cloud in the visible."""

    dimming: Array
    """Share of the direct sun that clouds take away."""


def _opacity(depth: Array) -> Array:
    """Return the opacity, 0 below depth 0, 1 above depth 1, and smooth between (smoothstep)."""
    x = np.clip(depth, 0, 1)
    opacity: Array = x * x * (np.float32(3) - np.float32(2) * x)
    return opacity


def depth_at_opacity(opacity: float) -> float:
    """Return the depth of a cloud of some opacity: the inverse of smoothstep."""
    return 0.5 - math.sin(math.asin(1 - 2 * opacity) / 3)


def make_sky(
    window: PixelWindow, salt: int, base: float, sun: tuple[float, float], shift: tuple[int, int]
) -> Sky:
    """Return the clouds and their shadows over a window.

    Parameters
    ----------
    window
        Window on the 10 m grid.
    salt
        Seed of the cloud field, from `field_seed`.
    base
        Value of the cloud field at which clouds begin.
    sun
        Unit vector (row, column) towards the sun.
    shift
        Rows and columns, in pixels of 20 m, from a point on the ground to the cloud that shades it.
    """
    half = window.coarser()
    margin = 4  # pixels on either side over which the relief of the cloud's top is measured
    wide = _cloud_depth(half.grow(margin), salt, base)

    # A slope that faces the sun falls towards it.
    slope = np.clip(
        _moved(wide, margin, sun, -margin) - _moved(wide, margin, sun, margin), -1.5, 1.5
    )
    centre = _moved(wide, margin, sun, 0)
    cloud = np.float32(0.50) + np.float32(0.12) * np.clip(centre, 0, 3) + np.float32(0.09) * slope
    np.clip(cloud, 0.3, 0.95, out=cloud)

    fine = subdivide(centre, window)
    fine += white_noise(window, salt) * np.float32(CLOUD_OCTAVES[0] / CLOUD_SOFTNESS)
    shade = _opacity(_cloud_depth(half.shift(*shift), salt, base))
    return Sky(_opacity(fine), subdivide(cloud, window), subdivide(shade, window))


def _cloud_depth(window: PixelWindow, salt: int, base: float) -> Array:
    """Return the depth of the clouds in a window on the 20 m grid: 0 where they begin, 1 where they are opaque."""
    depth = fractal_noise(window, salt + 1, CLOUD_OCTAVES[1:])
    depth -= np.float32(base)
    depth *= np.float32(1 / CLOUD_SOFTNESS)
    return depth


def _moved(wide: Array, margin: int, sun: tuple[float, float], steps: float) -> Array:
    """Return the part of a plane within its margin, moved by so many pixels towards the sun."""
    rows, columns = wide.shape[0] - 2 * margin, wide.shape[1] - 2 * margin
    dy, dx = margin + round(sun[0] * steps), margin + round(sun[1] * steps)
    return wide[dy : dy + rows, dx : dx + columns]


def band_reflectance(band: int, land: Land, sky: Sky) -> Array:
    """Return the reflectance of one band, given by its position in BANDS, on the 10 m grid."""
    ground: Array = PALETTE[band][land.column]
    ground *= land.gain
    ground *= np.float32(1) - np.float32(_DIRECT_SHARE[band]) * sky.dimming
    cloud = sky.cloud * np.float32(_CLOUD_SPECTRUM[band])
    cloud -= ground
    cloud *= sky.opacity
    ground += cloud
    return ground


def block_mean(values: Array, factor: int) -> Array:
    """Return the means of blocks of `factor` x `factor` pixels, dims (y, x), float32."""
    if factor == 1:
        return values
    # Slices are added in a fixed order; the order of numpy's sum may depend on the shape.
    tall = values[0::factor].copy()
    for k in range(1, factor):
        tall += values[k::factor]
    wide: Array = tall[:, 0::factor].copy()
    for k in range(1, factor):
        wide += tall[:, k::factor]
    wide *= np.float32(1 / factor**2)
    return wide


def truth_classes(sky: Sky) -> NDArray[np.uint8]:
    """Return the codes of CloudClass, dims (y, x), uint8, by CLOUD_OPACITY and SHADOW_ATTENUATION."""
    truth = np.full(sky.opacity.shape, CloudClass.CLEAR, np.uint8)
    truth[sky.dimming > SHADOW_ATTENUATION] = CloudClass.SHADOW
    truth[sky.opacity > CLOUD_OPACITY] = CloudClass.CLOUD
    return truth


# For each column of PALETTE: whether it is vegetation, and whether it is water.
_VEGETATED = np.repeat([SPECTRA[name][8] > 2 * SPECTRA[name][3] for name in SPECTRA], VARIANTS)
_WET = np.repeat(["water" in name or name == "shoal" for name in SPECTRA], VARIANTS)

_DETECTION = octave_amplitudes(0.6, 0, 4)
"""Amplitudes of the field that decides where Sen2Cor finds a shadow or a thin cloud."""


def simulated_scl(window: PixelWindow, seed: int, land: Land, sky: Sky) -> NDArray[np.uint8]:
    """Return the SCL that Sen2Cor might give, dims (y, x), uint8 codes, on the 20 m grid.

    It has Sen2Cor's failings. It finds the darkest part of some shadows only, misses edges of clouds and thin
    clouds, and takes bright roofs for clouds.

    Parameters
    ----------
    window
        Window on the 10 m grid.
    seed
        Seed of the sky.
    land, sky
        The scene in the window.
    """
    opacity, dimming = block_mean(sky.opacity, 2), block_mean(sky.dimming, 2)
    plants = block_mean(_VEGETATED[land.column].astype(np.float32), 2)
    water = block_mean(_WET[land.column].astype(np.float32), 2)
    red = block_mean(PALETTE[3][land.column], 2)
    coarse = PixelWindow(*(edge // 2 for edge in window))
    luck = fractal_noise(coarse, field_seed(seed, "detection"), _DETECTION)
    chance = white_noise(coarse, field_seed(seed, "chance"))

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
