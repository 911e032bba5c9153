"""Simulate land: kinds of ground, their spectra and their pattern."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .noise import (
    Array,
    PixelWindow,
    cell_pattern,
    field_seed,
    fractal_noise,
    octave_amplitudes,
    white_noise,
)

BANDS: dict[str, int] = {
    "B01": 60,
    "B02": 10,
    "B03": 10,
    "B04": 10,
    "B05": 20,
    "B06": 20,
    "B07": 20,
    "B08": 10,
    "B8A": 20,
    "B09": 60,
    "B11": 20,
    "B12": 20,
}
"""Band of a Sentinel-2 L2A product to its native resolution, metres."""

SPECTRA: dict[str, tuple[float, ...]] = {
    "cereal": (2.5, 3.0, 5.8, 3.2, 9.0, 31, 40, 43, 45, 46, 20, 9.5),
    "maize": (3.0, 3.6, 6.5, 4.2, 10, 26, 33, 36, 38, 39, 22, 11),
    "rape": (4.6, 5.2, 11, 9.5, 15, 29, 35, 39, 41, 42, 22, 12),
    "ripe": (5.5, 7.3, 11, 14.5, 19, 23, 26, 29, 31, 32, 35, 25),
    "stubble": (6.3, 8.2, 12, 15.5, 19, 21, 23, 26, 28, 29, 36, 28),
    "soil": (4.5, 5.6, 7.8, 10, 12, 13.5, 15, 16.5, 18, 19, 25, 21),
    "light soil": (6.8, 8.8, 12.5, 16.5, 19, 21, 22.5, 25, 26.5, 27.5, 35, 30),
    "meadow": (3.0, 3.8, 7.3, 5.0, 11, 26, 31, 33.5, 35.5, 36.5, 23, 12),
    "track": (6.0, 7.6, 10.5, 12, 15, 20, 22, 24, 25.5, 26, 29, 23),
    "conifer": (2.1, 2.4, 4.0, 2.7, 5.8, 17, 21, 23, 24.5, 25, 12, 6.0),
    "broadleaf": (2.0, 2.5, 4.9, 2.9, 7.5, 25, 32, 35, 37, 38, 17, 7.8),
    "deep water": (2.8, 3.0, 2.6, 1.2, 1.0, 0.8, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3),
    "shoal": (4.4, 5.4, 7.0, 5.0, 4.2, 2.0, 1.9, 1.6, 1.4, 1.1, 0.6, 0.4),
    "sand": (10, 13, 17.5, 21.5, 24, 26, 27, 29, 30, 31, 37, 33),
    "asphalt": (7.0, 8.0, 9.2, 10, 11, 12, 12.6, 13.4, 14, 14.5, 16, 15),
    "tiles": (5.8, 7.0, 9.2, 14, 17, 19, 20, 21, 22, 23, 27, 25),
    "concrete": (10, 12, 14, 15.3, 16.4, 17, 17.6, 18.6, 19.3, 20, 23, 21.5),
    "garden": (3.3, 4.2, 7.0, 5.2, 10.5, 22, 26, 28, 29.5, 30.5, 20, 11),
    "metal": (32, 36, 38, 39, 40, 40, 40.5, 41, 41, 41, 36, 31),
    "white roof": (62, 68, 72, 74, 74, 74, 74, 74, 73, 72, 62, 52),
}
"""Kind of ground to its typical surface reflectance in each of BANDS, percent.

The values are rounded from published spectral libraries and from clear Sentinel-2 L2A scenes. The kinds up to
``meadow`` are those of fields.
"""

_KINDS = {name: code for code, name in enumerate(SPECTRA)}
"""Kind of ground to its code."""

VARIANTS = 8
"""Number of variants of each kind, from lush to dry."""

_WILTING = ("cereal", "maize", "rape", "meadow", "broadleaf", "garden")
"""Kinds whose dry variants show some soil."""

_GRAIN = {"conifer": 16, "broadleaf": 13, "tiles": 14, "concrete": 16, "garden": 16}
_GRAIN |= {"asphalt": 10, "metal": 10, "white roof": 6, "deep water": 5, "shoal": 5}
"""Kind of ground to how its brightness varies from pixel to pixel: the standard deviation, percent; else 5."""


def _palette() -> Array:
    """Return the reflectance, dims (band, kind * variants): each kind in variants, lush to dry."""
    table = np.array(list(SPECTRA.values()), np.float64) / 100
    step = np.linspace(-1, 1, VARIANTS)
    palette = np.repeat(table[:, None, :], VARIANTS, axis=1)
    palette *= (1 + 0.10 * step)[None, :, None]
    for name in _WILTING:
        plant, soil = table[_KINDS[name]], table[_KINDS["soil"]]
        share = (0.20 * (step + 1) / 2)[:, None]
        palette[_KINDS[name]] = plant * (1 - share) + soil * share
    flat: Array = palette.reshape(-1, len(BANDS)).T.astype(np.float32)
    return flat


def _grain() -> Array:
    """Return the amplitude of the texture, dims (kind * variants), a share of the reflectance."""
    # Uniform noise in -1..1 has the standard deviation 1 / sqrt(3).
    sigma = [_GRAIN.get(name, 5) / 100 * math.sqrt(3) for name in SPECTRA]
    return np.repeat(np.array(sigma, np.float32), VARIANTS)


PALETTE = _palette()
"""Reflectance, dims (band, kind * variants), float32."""

_PALETTE_GRAIN = _grain()
"""Amplitude of the texture of each column of PALETTE."""


def _draw(shares: dict[str, int]) -> NDArray[np.uint8]:
    """Return a table from 8 random bits to a kind; the shares are of 256."""
    kinds = np.repeat([_KINDS[name] for name in shares], list(shares.values()))
    return kinds.astype(np.uint8)


_CROPS = _draw({"cereal": 62, "maize": 42, "rape": 14, "ripe": 30, "stubble": 24}
               | {"soil": 32, "light soil": 14, "meadow": 38})  # fmt: skip
_BUILDINGS = _draw({"tiles": 66, "concrete": 72, "asphalt": 40, "garden": 66}
                   | {"metal": 9, "white roof": 3})  # fmt: skip

# Amplitudes of the smooth fields that lay out the land.
_RELIEF = octave_amplitudes(0.9, 0, 9)
_WOODS = octave_amplitudes(0.75, 0, 7)
_TOWNS = octave_amplitudes(0.6, 1, 7)
_RIVER = octave_amplitudes(1.0, 2, 9)
_SYSTEM = octave_amplitudes(0.8, 2, 8)
_BEND = octave_amplitudes(1.0, 3, 7)


class Land(NamedTuple):
    """The ground; both fields have the dims (y, x)."""

    column: NDArray[np.intp]
    """Column of PALETTE."""

    gain: Array
    """Texture, a factor around 1 for the reflectance."""


def _farmland(window: PixelWindow, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.uint32]]:
    """Return the kind of crop and a random id of the parcel of each pixel."""
    bend = fractal_noise(window, field_seed(seed, "bend"), _BEND) * np.float32(5)
    turn = field_seed(seed, "turn")
    systems = (
        cell_pattern(window, field_seed(seed, "parcels 1"), turn % 90, (15.3, 34.7), bend),
        cell_pattern(
            window, field_seed(seed, "parcels 2"), (turn // 90) % 90 + 20, (26.1, 41.9), bend
        ),
    )
    first = fractal_noise(window, field_seed(seed, "system"), _SYSTEM) > 0
    parcel = np.where(first, systems[0].id, systems[1].id)
    kind = _CROPS[parcel & np.uint32(255)]
    margin = np.where(first, systems[0].across < 65536 // 15, systems[1].along < 65536 // 41)
    kind[margin] = _KINDS["track"]
    return kind, parcel


def _town(window: PixelWindow, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.uint32]]:
    """Return the kind (building, garden or street) and a random id of the house of each pixel."""
    turn = field_seed(seed, "streets") % 90
    houses = cell_pattern(window, field_seed(seed, "houses"), turn, (2.3, 3.1), None)
    blocks = cell_pattern(window, field_seed(seed, "blocks"), turn, (11.5, 18.6), None)
    kind = _BUILDINGS[houses.id & np.uint32(255)]
    kind[(blocks.across < 65536 // 10) | (blocks.along < 65536 // 14)] = _KINDS["asphalt"]
    return kind, houses.id


def make_land(window: PixelWindow, seed: int) -> Land:
    """Return the land of a window: water, woods, towns and fields.

    Parameters
    ----------
    window
        Window on the 10 m grid.
    seed
        Seed of the scene.
    """
    relief = fractal_noise(window, field_seed(seed, "relief"), _RELIEF)
    woods = fractal_noise(window, field_seed(seed, "woods"), _WOODS)
    towns = fractal_noise(window, field_seed(seed, "towns"), _TOWNS)
    course = fractal_noise(window, field_seed(seed, "river"), _RIVER)
    noise = white_noise(window, field_seed(seed, "grain"))

    kind, random_id = _farmland(window, seed)
    wood = woods > 0.7
    kind[wood] = np.where(towns[wood] > 0, _KINDS["broadleaf"], _KINDS["conifer"])
    built = (towns > 1.2) & ~wood
    if built.any():
        town, house_id = _town(window, seed)
        kind[built] = town[built]
        random_id = np.where(built, house_id, random_id)
    kind[relief < -1.17] = _KINDS["sand"]
    kind[(relief < -1.2) | (np.abs(course) < 0.025)] = _KINDS["shoal"]
    kind[relief + noise * np.float32(0.15) < -1.4] = _KINDS["deep water"]

    # The variant depends on the parcel, on a smooth field and on noise, so that fields have gradients.
    level = (random_id >> np.uint32(8) & np.uint32(1023)).astype(np.float32)
    level *= np.float32(5 / 1023)
    level += woods * np.float32(0.6)
    level += noise
    level += np.float32(1.5)
    np.clip(level, 0, VARIANTS - 1, out=level)
    column = kind.astype(np.intp) * VARIANTS + level.astype(np.intp)
    gain = white_noise(window, field_seed(seed, "texture"))
    gain *= _PALETTE_GRAIN[column]
    gain += np.float32(1)
    gain += towns * np.float32(0.02)
    return Land(column, gain)
