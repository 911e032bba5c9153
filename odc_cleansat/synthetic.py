"""Simulated Sentinel-2 L2A scenes with exact truth.

A simulated scene stands in for a real one where none can be shipped: in the demo,
the tests and the benchmarks. It has the twelve L2A bands on their native grids, an
SCL with Sen2Cor's known failings, and the truth that no real scene has.

Every random field here is a pure function of the seed and of absolute pixel
coordinates (CRS metres over ten), made of integer hashes, sums and products alone.
So a scene comes out the same bit for bit whether it is made whole or strip by strip,
and two scenes of one seed that share a border continue each other's land. The clouds
are drawn from the seed and the datetime, so that dates over one place are a time series.
"""

from __future__ import annotations

import json
import math
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import datetime as _datetime
from datetime import timezone
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import rasterio
import xarray as xr
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from odc.geo.xr import xr_coords
from rasterio.windows import Window

from odc_cleansat.classes import CloudClass
from odc_cleansat.errors import SceneError

__all__ = ["BANDS", "CLOUD_OPACITY", "SHADOW_ATTENUATION", "SimulatedScene"]

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

_LAYERS: dict[str, int] = {**BANDS, "SCL": 20, "truth": 10}
_BLOCK_ROWS = 120  # rows made at once: small enough for the processor's cache
_STRIP_ROWS = 480  # rows written at once: whole TIFF blocks on all three grids
_TIFF_BLOCK = {10: 240, 20: 240, 60: 80}

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

# White in the visible; liquid droplets absorb some of the short-wave infrared. B09 is
# overcorrected for water vapour by Sen2Cor above clouds, hence brighter than white.
_CLOUD_SPECTRUM = (1.01, 1.0, 0.99, 0.99, 0.99, 0.98, 0.97, 0.97, 0.96, 1.35, 0.76, 0.62)
# Share of the light that comes straight from the sun. The rest lights the shadow too: skylight,
# which is blue, and what the clouds themselves scatter and let through, which is white.
_DIRECT_SHARE = (0.66, 0.71, 0.75, 0.79, 0.81, 0.83, 0.84, 0.86, 0.86, 0.87, 0.91, 0.92)


# --- random fields --------------------------------------------------------------------


class _Window(NamedTuple):
    """Half-open ranges of absolute pixel indices on one grid."""

    y0: int
    y1: int
    x0: int
    x1: int

    def grow(self, margin: int) -> _Window:
        return _Window(self.y0 - margin, self.y1 + margin, self.x0 - margin, self.x1 + margin)

    def shift(self, dy: int, dx: int) -> _Window:
        return _Window(self.y0 + dy, self.y1 + dy, self.x0 + dx, self.x1 + dx)

    def coarser(self) -> _Window:
        """Return the window of the grid of half the resolution that `_subdivide` needs."""
        return _Window(
            self.y0 // 2 - 1, (self.y1 - 1) // 2 + 3, self.x0 // 2 - 1, (self.x1 - 1) // 2 + 3
        )


Array = NDArray[np.float32]


def _mix(key: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Scramble 32-bit integers, in place: an integer hash that avalanches."""
    key ^= key >> np.uint32(16)
    key *= np.uint32(0x7FEB352D)
    key ^= key >> np.uint32(15)
    key *= np.uint32(0x846CA68B)
    key ^= key >> np.uint32(16)
    return key


def _salt(seed: int, name: str) -> int:
    """Return a 32-bit seed for one named field."""
    return zlib.crc32(f"{seed}/{name}".encode())


def _keys(start: int, stop: int, salt: int) -> NDArray[np.uint32]:
    key = np.arange(start, stop, dtype=np.int64).astype(np.uint32)
    key ^= np.uint32(salt & 0xFFFFFFFF)
    return _mix(key)


def _white(window: _Window, salt: int) -> Array:
    """Return white noise, uniform in -1..1."""
    rows = _keys(window.y0, window.y1, salt)
    columns = _keys(window.x0, window.x1, ~salt)
    key = rows[:, None] + columns[None, :]
    key *= np.uint32(0x7FEB352D)
    key ^= key >> np.uint32(15)
    key *= np.uint32(0x846CA68B)
    noise: Array = (key >> np.uint32(8)).astype(np.float32)
    noise *= np.float32(2.0**-23)
    noise -= np.float32(1)
    return noise


def _subdivide(coarse: Array, window: _Window) -> Array:
    """Refine by two with the cubic B-spline rule, which keeps the field smooth.

    `coarse` covers `window.coarser()`; its pixel i falls on pixel 2 i of the result.
    """
    top, left = window.y0 % 2, window.x0 % 2
    height, width = window.y1 - window.y0, window.x1 - window.x0
    tall = np.empty((2 * coarse.shape[0] - 4, coarse.shape[1]), np.float32)
    middle = coarse[1:-1]
    np.add(coarse[:-2], coarse[2:], out=tall[0::2])
    tall[0::2] *= np.float32(0.125)
    tall[0::2] += middle * np.float32(0.75)
    np.add(middle, coarse[2:], out=tall[1::2])
    tall[1::2] *= np.float32(0.5)
    tall = tall[top : top + height]
    wide = np.empty((height, 2 * coarse.shape[1] - 4), np.float32)
    middle = tall[:, 1:-1]
    even = tall[:, :-2] + tall[:, 2:]
    even *= np.float32(0.125)
    even += middle * np.float32(0.75)
    wide[:, 0::2] = even
    odd = middle + tall[:, 2:]
    odd *= np.float32(0.5)
    wide[:, 1::2] = odd
    return wide[:, left : left + width]


def _fractal(window: _Window, salt: int, octaves: tuple[float, ...]) -> Array:
    """Return smooth noise; `octaves` are the amplitudes from the window's grid upwards.

    Octave k is white noise on the grid 2**k times coarser. The recursion refines the sum of
    the coarser octaves, so all octaves together cost little more than the finest.
    """
    if len(octaves) == 1:
        coarsest = _white(window, salt)
        coarsest *= np.float32(octaves[0])
        return coarsest
    field = _subdivide(_fractal(window.coarser(), salt + 1, octaves[1:]), window)
    if octaves[0]:
        field += _white(window, salt) * np.float32(octaves[0])
    return field


def _octaves(
    slope: float, first: int, last: int, boost: dict[int, float] | None = None
) -> tuple[float, ...]:
    """Return amplitudes for `_fractal` from octave `first` to `last`, for a unit variance.

    They grow by 2**slope per octave; `boost` multiplies single octaves.
    """
    amplitude = np.array([2.0 ** (slope * k) if k >= first else 0.0 for k in range(last + 1)])
    for octave, factor in (boost or {}).items():
        amplitude[octave] *= factor
    # Uniform noise in -1..1 has the variance 1/3; a cubic B-spline in two dimensions
    # leaves (151/315)**2 of it.
    variance = amplitude**2 / 3
    variance[1:] *= (151 / 315) ** 2
    return tuple((amplitude / math.sqrt(variance.sum())).tolist())


class _Cells(NamedTuple):
    """A pattern of rectangles: an id per pixel, and where it lies in its rectangle."""

    id: NDArray[np.uint32]
    across: NDArray[np.uint32]  # 0..65535 over the rectangle's width
    along: NDArray[np.uint32]


def _cells(
    window: _Window, salt: int, angle: float, size: tuple[float, float], bend: Array | None
) -> _Cells:
    """Tile the plane with rows of rectangles of `size` pixels, turned by `angle` degrees.

    16.16 fixed point in wrapping 32-bit integers: exact at any distance from the
    origin, where float32 would not be, and a wrap falls on a rectangle's border.
    """
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))

    def axis(by_x: float, by_y: float) -> NDArray[np.uint32]:
        x = np.arange(window.x0, window.x1, dtype=np.int64) * round(65536 * by_x)
        y = np.arange(window.y0, window.y1, dtype=np.int64) * round(65536 * by_y)
        steps: NDArray[np.uint32] = y.astype(np.uint32)[:, None] + x.astype(np.uint32)[None, :]
        return steps

    across, along = axis(cos / size[0], sin / size[0]), axis(-sin / size[1], cos / size[1])
    if bend is not None:
        across += (bend * np.float32(65536 / size[0])).astype(np.int32).view(np.uint32)
    row = across >> np.uint32(16)
    # Each row of rectangles is shifted along itself, so that no cross roads run through.
    along += row * np.uint32(0x9E3779B1)
    key = (row << np.uint32(16)) | (along >> np.uint32(16))
    key ^= np.uint32(salt)
    return _Cells(_mix(key), across & np.uint32(0xFFFF), along & np.uint32(0xFFFF))


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


# --- the scene ------------------------------------------------------------------------


@dataclass(frozen=True)
class SimulatedScene:
    """A simulated Sentinel-2 L2A scene whose clouds and shadows are known exactly.

    The values are made when they are asked for; the object holds the parameters only.
    The same parameters give the same pixels, bit for bit, in strips of any height.

    Raises
    ------
    SceneError
        If a parameter is out of its range; the message says which and what to use.

    Examples
    --------
    >>> scene = SimulatedScene(shape=(120, 180), seed=7)
    >>> scene.read()["B11"].shape
    (60, 90)
    """

    shape: tuple[int, int] = (1200, 1200)
    """Rows and columns at 10 m, each a multiple of 6; a full tile is (10980, 10980)."""
    epsg: int = 32633
    """A UTM zone: 32601 to 32660 (north) or 32701 to 32760 (south)."""
    origin: tuple[float, float] = (399960.0, 5300040.0)
    """Easting and northing of the upper left corner, metres, multiples of 60."""
    seed: int = 0
    """Chooses land and clouds."""
    cloud_cover: float = 0.25
    """Approximate share of the ground under cloud, 0..1."""
    sun_azimuth: float = 150.0
    """Direction of the sun, degrees clockwise from north."""
    sun_elevation: float = 45.0
    """Height of the sun above the horizon, degrees, above 5 and up to 90."""
    cloud_height: float = 1500.0
    """Height of the clouds above the ground, metres, 0 to 15000."""
    offset: int = -1000
    """Added to DN by a reader: reflectance = (DN + offset) / 10000. -1000 or 0."""
    swath_edge: bool = False
    """Whether a slanted part on the east side lies outside the swath (nodata)."""
    datetime: str = "2024-06-15T10:10:31Z"
    """When the scene was taken, ISO 8601. Another one gives other clouds over the same land."""

    def __post_init__(self) -> None:
        _check(self)

    # Sizes on the ground

    def geobox(self, resolution: int = 10) -> GeoBox:
        """Return the scene's grid.

        Parameters
        ----------
        resolution
            Pixel size in metres: 10, 20, 30 or 60.

        Returns
        -------
        GeoBox
            The same extent at any resolution, in ``EPSG:<epsg>``.

        Raises
        ------
        SceneError
            If the extent is not a whole number of pixels of that size.
        """
        if resolution not in (10, 20, 30, 60):
            raise SceneError(
                f"no grid of {resolution!r} m in a simulated scene: its extent divides by 10, 20, "
                "30 and 60 m. Choose one of these."
            )
        size = tuple(n * 10 // resolution for n in self.shape)
        left, top = self.origin
        affine = Affine(resolution, 0, left, 0, -resolution, top)
        return GeoBox(size, affine, f"EPSG:{self.epsg}")

    def read(self, rows: slice | None = None) -> dict[str, NDArray[Any]]:
        """Return a strip of the scene, each layer on its native grid.

        Parameters
        ----------
        rows
            Rows at 10 m, both ends multiples of 6, step 1. None means all.

        Returns
        -------
        dict
            The twelve bands (uint16 DN, nodata 0; reflectance is ``(DN + offset) / 10000``),
            ``SCL`` (uint8, Sen2Cor's classes 0..11, nodata 0) and ``truth`` (uint8 `CloudClass`
            codes, nodata 0). Shapes are (rows, columns) at 10 m, halved at 20 m, a sixth at 60 m.

        Raises
        ------
        SceneError
            If `rows` is not aligned to the 60 m grid.
        """
        start, stop = self._strip(rows)
        layers = {
            name: np.empty(
                ((stop - start) * 10 // metres, self.shape[1] * 10 // metres),
                np.uint8 if name in ("SCL", "truth") else np.uint16,
            )
            for name, metres in _LAYERS.items()
        }
        for top in range(start, stop, _BLOCK_ROWS):
            bottom = min(top + _BLOCK_ROWS, stop)
            for name, block in self._block(top, bottom).items():
                factor = _LAYERS[name] // 10
                first = (top - start) // factor
                layers[name][first : first + block.shape[0]] = block
        return layers

    def to_xarray(self, resolution: int = 10) -> xr.Dataset:
        """Return the whole scene on one grid.

        Parameters
        ----------
        resolution
            Pixel size in metres. At 10, coarser layers are repeated (nearest). At 20 and 30,
            bands are area averages of their valid pixels, rounded to whole DN; ``SCL`` and
            ``truth`` are the class with the largest area, the lowest code where two are equal.

        Returns
        -------
        xarray.Dataset
            Dims (time, y, x), time of length 1, with an odc-geo geobox. Bands are uint16 DN with
            the attributes ``nodata=0`` and ``units="1"``; ``SCL`` and ``truth`` are uint8, nodata
            0. The Dataset's attributes hold the parameters, ``offset`` (of the DN) among them,
            ``processing_baseline``, the truth's two thresholds and ``simulated=True``.

        Raises
        ------
        SceneError
            If `resolution` is not 10, 20 or 30.
        """
        if resolution not in (10, 20, 30):
            raise SceneError(
                f"a simulated scene has no single grid of {resolution!r} m: choose 10, 20 or 30, "
                "or read() for the native grids."
            )
        layers = {
            name: _regrid(values, _LAYERS[name], resolution, classes=name in ("SCL", "truth"))
            for name, values in self.read().items()
        }
        moment = _parse(self.datetime).astimezone(timezone.utc).replace(tzinfo=None)
        coords = dict(xr_coords(self.geobox(resolution)))
        coords["time"] = xr.DataArray([np.datetime64(moment, "ns")], dims="time")
        variables = {}
        for name, values in layers.items():
            attrs = {"nodata": 0, "units": "1", "grid_mapping": "spatial_ref"}
            if name in BANDS:
                attrs["long_name"] = f"simulated surface reflectance of {name}, DN"
            variables[name] = xr.DataArray(values[None], dims=("time", "y", "x"), attrs=attrs)
        return xr.Dataset(variables, coords=coords, attrs=self._attributes())

    def write(
        self, folder: str | Path, *, progress: Callable[[int, int], None] | None = None
    ) -> Path:
        """Write the scene as one GeoTIFF a layer on its native grid, and ``scene.json``.

        The files are made strip by strip in a temporary folder beside `folder`, which is then moved
        into place: nothing half-written is ever seen, and memory stays bounded (some 400 MB for a
        full tile).

        Parameters
        ----------
        folder
            Where to; must not exist yet, or be empty.
        progress
            Called with the rows done and the rows in total, at 10 m, after each strip.

        Returns
        -------
        Path
            The folder, holding ``B01.tif`` to ``B12.tif``, ``SCL.tif``, ``truth.tif`` (tiled,
            deflate, nodata 0) and ``scene.json``, the Dataset's attributes of `to_xarray`.

        Raises
        ------
        SceneError
            If `folder` exists and is not an empty folder.
        """
        folder = Path(folder)
        if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
            raise SceneError(
                f"{folder} exists already and is not overwritten: remove it or choose another "
                "folder."
            )
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        try:
            self._write_layers(partial, progress)
            document = json.dumps(self._attributes(), indent=2)
            (partial / "scene.json").write_text(document + "\n", encoding="utf-8")
            partial.chmod(0o755)  # mkdtemp gives a private folder
            partial.replace(folder)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        return folder

    # How it is made

    def _block(self, top: int, bottom: int) -> dict[str, NDArray[Any]]:
        """Return every layer of the rows from `top` to `bottom`, on its native grid."""
        window = self._window(top, bottom)
        land = _land(window, self.seed)
        sky = _sky(window, self._sky_salt, self._cloud_base, self._sun, self._cloud_shift)
        outside = self._outside_swath(top, bottom)
        layers: dict[str, NDArray[Any]] = {}
        for position, (name, metres) in enumerate(BANDS.items()):
            reflectance = _mean(_reflectance(position, land, sky), metres // 10)
            layers[name] = self._encode(reflectance)
        layers["SCL"] = _scl(window, self._sky_salt, land, sky)
        layers["truth"] = _truth(sky)
        for name, values in layers.items():
            repeat = 60 // _LAYERS[name]
            values[np.repeat(np.repeat(outside, repeat, 0), repeat, 1)] = 0
        return layers

    def _encode(self, reflectance: Array) -> NDArray[np.uint16]:
        dn = reflectance * np.float32(10000)
        # Rounded before the offset, so that both encodings hold the same reflectance.
        np.rint(dn, out=dn)
        dn -= np.float32(self.offset)
        # 0 is nodata: the darkest valid pixel is 1.
        encoded: NDArray[np.uint16] = np.clip(dn, 1, 65535).astype(np.uint16)
        return encoded

    def _window(self, top: int, bottom: int) -> _Window:
        left, north = (round(metres) // 10 for metres in self.origin)
        return _Window(top - north, bottom - north, left, left + self.shape[1])

    def _strip(self, rows: slice | None) -> tuple[int, int]:
        if rows is None:
            return 0, self.shape[0]
        start, stop, step = rows.indices(self.shape[0])
        if step != 1 or start % 6 or stop % 6 or stop <= start:
            raise SceneError(
                f"cannot read {rows} of a scene of {self.shape[0]} rows: a strip has at least one "
                "row, step 1, and both ends on the 60 m grid. Use multiples of 6."
            )
        return start, stop

    @property
    def _sky_salt(self) -> int:
        return _salt(self.seed, f"clouds {self.datetime}")

    @property
    def _sun(self) -> tuple[float, float]:
        azimuth = math.radians(self.sun_azimuth)
        return -math.cos(azimuth), math.sin(azimuth)

    @property
    def _cloud_shift(self) -> tuple[int, int]:
        reach = self.cloud_height / math.tan(math.radians(self.sun_elevation)) / 20
        return round(self._sun[0] * reach), round(self._sun[1] * reach)

    @cached_property
    def _cloud_base(self) -> float:
        """The value of the cloud field at which clouds begin, for the cover asked for.

        It is a quantile over the whole scene, found on the 80 m grid, where the finer octaves, left
        out, add next to nothing.
        """
        level = 3
        window = self._window(0, self.shape[0])
        coarse = _Window(*(edge // 2**level for edge in window)).grow(1)
        field = _fractal(coarse, self._sky_salt + level, _CLOUDS[level:])
        if self.cloud_cover == 0:
            return float(field.max()) + 10
        if self.cloud_cover == 1:
            return float(field.min()) - 10
        edge = float(np.quantile(field, 1 - self.cloud_cover))
        return edge - _depth_at(CLOUD_OPACITY) * _CLOUD_SOFTNESS

    def _outside_swath(self, top: int, bottom: int) -> NDArray[np.bool_]:
        """Return what lies beyond the swath, on the 60 m grid so that all layers agree."""
        rows = np.arange(top // 6, bottom // 6)[:, None]
        columns = np.arange(self.shape[1] // 6)[None, :]
        if not self.swath_edge:
            return np.zeros((rows.size, columns.size), bool)
        # Sentinel-2 descends towards the south-west: its swath's edge leans by some 14 degrees.
        return columns * 1.0 > self.shape[1] / 6 * 0.9 - rows * 0.25

    def _write_layers(self, folder: Path, progress: Callable[[int, int], None] | None) -> None:
        total = self.shape[0]
        with ExitStack() as stack:
            files = {
                name: stack.enter_context(
                    rasterio.open(folder / f"{name}.tif", "w", **self._profile(name))
                )
                for name in _LAYERS
            }
            for start in range(0, total, _STRIP_ROWS):
                stop = min(start + _STRIP_ROWS, total)
                for name, values in self.read(slice(start, stop)).items():
                    first = start * 10 // _LAYERS[name]
                    files[name].write(
                        values, 1, window=Window(0, first, values.shape[1], values.shape[0])
                    )
                if progress is not None:
                    progress(stop, total)

    def _profile(self, name: str) -> dict[str, object]:
        """Return the GeoTIFF creation options of one layer."""
        grid = self.geobox(_LAYERS[name])
        block = _TIFF_BLOCK[_LAYERS[name]]
        return {
            "driver": "GTiff",
            "width": grid.width,
            "height": grid.height,
            "count": 1,
            "dtype": "uint8" if name in ("SCL", "truth") else "uint16",
            "crs": f"EPSG:{self.epsg}",
            "transform": grid.affine,
            "nodata": 0,
            "tiled": True,
            "blockxsize": block,
            "blockysize": block,
            "compress": "deflate",
            "zlevel": 1,  # the pixels are noisy: more effort saves little
            "predictor": 2,
        }

    def _attributes(self) -> dict[str, object]:
        """Return the parameters and what a reader needs to know, as plain values."""
        return {
            "simulated": True,
            **{key: list(v) if isinstance(v, tuple) else v for key, v in asdict(self).items()},
            "processing_baseline": "05.10" if self.offset else "03.01",
            "cloud_opacity_threshold": CLOUD_OPACITY,
            "shadow_attenuation_threshold": SHADOW_ATTENUATION,
        }


def _parse(moment: str) -> _datetime:
    # Python 3.10 does not know the Z.
    parsed = _datetime.fromisoformat(moment.replace("Z", "+00:00"))
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=timezone.utc)


def _is_pair(value: object) -> bool:
    return isinstance(value, (tuple, list)) and len(value) == 2


def _check(scene: SimulatedScene) -> None:
    """Raise SceneError for the first parameter that is out of its range."""
    for ok, name, rule in _rules(scene):
        if not ok:
            raise SceneError(f"{name}={getattr(scene, name)!r} makes no scene: {rule}.")


def _rules(scene: SimulatedScene) -> Iterator[tuple[bool, str, str]]:
    """Yield for each parameter: whether it is right, its name, the rule."""
    yield (
        _is_pair(scene.shape) and all(n > 0 and n % 6 == 0 for n in scene.shape),
        "shape",
        "rows and columns must be positive multiples of 6, so that 10, 20 and 60 m pixels fit; "
        "10980 x 10980 is a full tile",
    )
    yield (
        scene.epsg in (*range(32601, 32661), *range(32701, 32761)),
        "epsg",
        "it must be a UTM zone, 32601 to 32660 or 32701 to 32760",
    )
    yield (
        _is_pair(scene.origin) and all(metres % 60 == 0 for metres in scene.origin),
        "origin",
        "easting and northing must be multiples of 60 m, as on Sentinel-2's grids; round them",
    )
    yield scene.seed >= 0, "seed", "it must be 0 or a positive integer"
    yield 0 <= scene.cloud_cover <= 1, "cloud_cover", "it is a share, so give it in 0..1"
    yield math.isfinite(scene.sun_azimuth), "sun_azimuth", "it must be a number of degrees"
    yield (
        5 < scene.sun_elevation <= 90,
        "sun_elevation",
        "it must be above 5 and up to 90 degrees: with a lower sun Sentinel-2 takes no image",
    )
    yield 0 <= scene.cloud_height <= 15000, "cloud_height", "clouds stand at 0 to 15000 m"
    yield scene.offset in (-1000, 0), "offset", "use -1000 (baseline 04.00 on) or 0 (before)"
    try:
        _parse(scene.datetime)
        readable = True
    except (AttributeError, TypeError, ValueError):
        readable = False
    yield readable, "datetime", "it must be ISO 8601, like 2024-06-15T10:10:31Z"


def _repeat(values: NDArray[Any], factor: int) -> NDArray[Any]:
    return np.repeat(np.repeat(values, factor, axis=0), factor, axis=1)


def _regrid(values: NDArray[Any], native: int, resolution: int, *, classes: bool) -> NDArray[Any]:
    """Bring a layer from its native grid onto one of 10, 20 or 30 m; see `to_xarray`."""
    if native % resolution == 0:
        return _repeat(values, native // resolution)
    # 20 m pixels do not nest in 30 m ones, but both are made of 10 m pixels.
    fine = _repeat(values, native // 10)
    factor = resolution // 10
    return _majority(fine, factor) if classes else _valid_mean(fine, factor)


def _blocks(values: NDArray[Any], factor: int) -> Iterator[NDArray[Any]]:
    """Yield the factor**2 pixels of each block, as arrays of the coarse shape."""
    for dy in range(factor):
        for dx in range(factor):
            yield values[dy::factor, dx::factor]


def _valid_mean(values: NDArray[Any], factor: int) -> NDArray[Any]:
    total = np.zeros(values[::factor, ::factor].shape, np.uint32)
    valid = np.zeros_like(total)
    for pixel in _blocks(values, factor):
        total += pixel
        valid += pixel != 0
    np.maximum(valid, 1, out=valid)
    return ((total + valid // 2) // valid).astype(values.dtype)


def _majority(values: NDArray[Any], factor: int) -> NDArray[Any]:
    winner = np.zeros_like(values[::factor, ::factor])
    most = np.zeros_like(winner)
    for code in np.unique(values):
        votes = np.zeros_like(winner)
        for pixel in _blocks(values, factor):
            votes += pixel == code
        better = votes > most
        winner[better] = code
        most[better] = votes[better]
    return winner
