"""Simulated land: its kinds, their spectra and their pattern."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .noise import Array, _cells, _fractal, _octaves, _salt, _white, _Window

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
"""The bands of a Sentinel-2 L2A product and the native resolution of each, in metres."""

# Typical surface reflectance in BANDS order (percent), rounded from published
# spectral libraries and from clear Sentinel-2 L2A scenes. The kinds up to "meadow" are what a
# field can bear. "wilt" is added (percent) from the first to the last variant of a kind.
_SPECTRA: dict[str, tuple[float, ...]] = {
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
_KINDS = {name: code for code, name in enumerate(_SPECTRA)}
_VARIANTS = 8  # of each kind, from lush to dry
_WILTING = ("cereal", "maize", "rape", "meadow", "broadleaf", "garden")

# How much a kind's brightness varies from pixel to pixel, standard deviation in percent.
_GRAIN = {"conifer": 16, "broadleaf": 13, "tiles": 14, "concrete": 16, "garden": 16}
_GRAIN |= {"asphalt": 10, "metal": 10, "white roof": 6, "deep water": 5, "shoal": 5}


# --- land -----------------------------------------------------------------------------


def _palette() -> Array:
    """Return reflectance (band, kind * variants): each kind in variants, lush to dry."""
    table = np.array(list(_SPECTRA.values()), np.float64) / 100
    step = np.linspace(-1, 1, _VARIANTS)
    palette = np.repeat(table[:, None, :], _VARIANTS, axis=1)
    palette *= (1 + 0.10 * step)[None, :, None]
    for name in _WILTING:
        plant, soil = table[_KINDS[name]], table[_KINDS["soil"]]
        share = (0.20 * (step + 1) / 2)[:, None]
        palette[_KINDS[name]] = plant * (1 - share) + soil * share
    flat: Array = palette.reshape(-1, len(BANDS)).T.astype(np.float32)
    return flat


def _grain() -> Array:
    # Uniform noise in -1..1 has the standard deviation 1 / sqrt(3).
    sigma = [_GRAIN.get(name, 5) / 100 * math.sqrt(3) for name in _SPECTRA]
    return np.repeat(np.array(sigma, np.float32), _VARIANTS)


_PALETTE, _PALETTE_GRAIN = _palette(), _grain()


def _draw(shares: dict[str, int]) -> NDArray[np.uint8]:
    """Return a table from 8 random bits to a kind, with the shares asked for (of 256)."""
    kinds = np.repeat([_KINDS[name] for name in shares], list(shares.values()))
    return kinds.astype(np.uint8)


_CROPS = _draw({"cereal": 62, "maize": 42, "rape": 14, "ripe": 30, "stubble": 24}
               | {"soil": 32, "light soil": 14, "meadow": 38})  # fmt: skip
_BUILDINGS = _draw({"tiles": 66, "concrete": 72, "asphalt": 40, "garden": 66}
                   | {"metal": 9, "white roof": 3})  # fmt: skip

_RELIEF = _octaves(0.9, 0, 9)
_WOODS = _octaves(0.75, 0, 7)
_TOWNS = _octaves(0.6, 1, 7)
_RIVER = _octaves(1.0, 2, 9)
_SYSTEM = _octaves(0.8, 2, 8)
_BEND = _octaves(1.0, 3, 7)


class _Land(NamedTuple):
    """What the ground is made of."""

    column: NDArray[np.intp]  # of _PALETTE
    gain: Array  # texture, a factor around 1


def _farmland(window: _Window, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.uint32]]:
    """Return the kind of crop and the random id of each pixel's parcel."""
    bend = _fractal(window, _salt(seed, "bend"), _BEND) * np.float32(5)
    turn = _salt(seed, "turn")
    systems = (
        _cells(window, _salt(seed, "parcels 1"), turn % 90, (15.3, 34.7), bend),
        _cells(window, _salt(seed, "parcels 2"), (turn // 90) % 90 + 20, (26.1, 41.9), bend),
    )
    first = _fractal(window, _salt(seed, "system"), _SYSTEM) > 0
    parcel = np.where(first, systems[0].id, systems[1].id)
    kind = _CROPS[parcel & np.uint32(255)]
    margin = np.where(first, systems[0].across < 65536 // 15, systems[1].along < 65536 // 41)
    kind[margin] = _KINDS["track"]
    return kind, parcel


def _town(window: _Window, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.uint32]]:
    """Return the kind of building, garden or street, and a random id, of each pixel."""
    turn = _salt(seed, "streets") % 90
    houses = _cells(window, _salt(seed, "houses"), turn, (2.3, 3.1), None)
    blocks = _cells(window, _salt(seed, "blocks"), turn, (11.5, 18.6), None)
    kind = _BUILDINGS[houses.id & np.uint32(255)]
    kind[(blocks.across < 65536 // 10) | (blocks.along < 65536 // 14)] = _KINDS["asphalt"]
    return kind, houses.id


def _land(window: _Window, seed: int) -> _Land:
    """Lay out water, woods, towns and fields."""
    relief = _fractal(window, _salt(seed, "relief"), _RELIEF)
    woods = _fractal(window, _salt(seed, "woods"), _WOODS)
    towns = _fractal(window, _salt(seed, "towns"), _TOWNS)
    course = _fractal(window, _salt(seed, "river"), _RIVER)
    noise = _white(window, _salt(seed, "grain"))

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

    # The variant follows the parcel, its relief and some grain, so fields have gradients.
    level = (random_id >> np.uint32(8) & np.uint32(1023)).astype(np.float32)
    level *= np.float32(5 / 1023)
    level += woods * np.float32(0.6)
    level += noise
    level += np.float32(1.5)
    np.clip(level, 0, _VARIANTS - 1, out=level)
    column = kind.astype(np.intp) * _VARIANTS + level.astype(np.intp)
    gain = _white(window, _salt(seed, "texture"))
    gain *= _PALETTE_GRAIN[column]
    gain += np.float32(1)
    gain += towns * np.float32(0.02)
    return _Land(column, gain)
