"""Which pixels of a scene have no data.

A pixel has no data where a band is not finite or has its own nodata value, other than 0. It also has none where all
bands say so together. Then all are 0, or all are 1, as at the edges of some providers' tiles. Or all have one and the
same number that no ground has. A 0 in one band is data: dark water and shadow have it. Reflectance of 0 in all bands is data too,
unless 0 is declared, but it is told.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from odc.geo.geobox import GeoBox

from ..grids.resample import covers, warp
from .files import Band
from .packing import Packing, read_packing

DARKEST, BRIGHTEST = -0.05, 5.0
"""Reflectance beyond which one integer in all bands stands for no data.

On 40 real scenes no band is below 0 or above 1.4."""

LEAST, GREATEST = -0.5, 10.0
"""The same of floating-point numbers, which may have been corrected or modelled in any way."""

FILLS = (0.0001, 3.2767, 6.5535, -0.0999, -0.1, -0.1999, 3.1767, 6.4535)
"""Further reflectance that stands for no data in all bands.

It is what becomes of 0, 1, -999 and the greatest integers as digital numbers, with an offset of -1000 or without."""


@dataclass(frozen=True)
class Missing:
    """Where the bands of a scene have no data."""

    gone: list[np.ndarray]
    """``(y, x)`` bool for each band."""

    undeclared: Mapping[float, int] = field(default_factory=dict)
    """Numbers that stand for no data without being declared, and how many pixels of the first band have them."""

    alike: Mapping[float, int] = field(default_factory=dict)
    """Numbers that all bands have together, and are taken as data, and how many pixels of the first band have them."""


def missing_pixels(bands: Sequence[Band], pixels: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return where each band has no data, by the rule of this module.

    Parameters
    ----------
    bands
        The bands of a scene, on one grid or on several.
    pixels
        The values of each band, ``(y, x)``, of any dtype.

    Returns
    -------
    list of numpy.ndarray
        ``(y, x)`` bool for each band.

    Raises
    ------
    SceneError
        If a nodata value is not a number.
    """
    return find_missing(bands, pixels).gone


def find_missing(bands: Sequence[Band], pixels: Sequence[np.ndarray]) -> Missing:
    """Return where each band has no data, and what was found that is not declared.

    Parameters
    ----------
    bands
        The bands of a scene, on one grid or on several.
    pixels
        The values of each band, ``(y, x)``, of any dtype.

    Raises
    ------
    SceneError
        If a nodata value is not a number.
    """
    packings = [band.packing or read_packing(band.data) for band in bands]
    gone = [_by_itself(v, p) for v, p in zip(pixels, packings, strict=True)]
    grids = list(dict.fromkeys(band.grid for band in bands))
    members = [[i for i, band in enumerate(bands) if band.grid == grid] for grid in grids]
    found = [[(pixels[i], packings[i], gone[i]) for i in group] for group in members]
    odd = [_in_strips(_odd_together, each) for each in found]
    empty = [_in_strips(_blank_together, e) | o for e, o in zip(found, odd, strict=True)]
    undeclared = {}
    for k, group in enumerate(members):
        together = _agreed(k, empty, grids)
        if together.any():
            for i in group:
                gone[i] |= together
            if k == 0 and odd[0].any():
                values, counts = np.unique(pixels[group[0]][odd[0] & together], return_counts=True)
                undeclared = dict(zip(values.tolist(), counts.tolist(), strict=True))
    return Missing(gone, undeclared, _alike(found[0], packings))


def _by_itself(values: np.ndarray, packing: Packing) -> np.ndarray:
    """Return where a band has its own nodata value or is not finite, ``(y, x)`` bool."""
    is_float = values.dtype.kind == "f"
    found = ~np.isfinite(values) if is_float else np.zeros(values.shape, dtype=bool)
    if packing.nodata is not None and np.isfinite(packing.nodata):
        nodata = values.dtype.type(packing.nodata) if is_float else packing.nodata
        found |= values == nodata
    return found


_Values = tuple[np.ndarray, Packing, np.ndarray]
"""The values of a band, ``(y, x)``, how they are packed, and where they are missing by themselves."""


_STRIP = 256
"""Rows that rules look at together, so that what they compare stays in the processor's cache and takes little memory."""


def _strips(bands: Sequence[_Values]) -> Iterator[tuple[slice, list[_Values]]]:
    """Yield some rows of the bands at a time."""
    for top in range(0, len(bands[0][0]), _STRIP):
        rows = slice(top, top + _STRIP)
        yield rows, [(values[rows], packing, gone[rows]) for values, packing, gone in bands]


def _in_strips(
    rule: Callable[[Sequence[_Values]], np.ndarray], bands: Sequence[_Values]
) -> np.ndarray:
    """Return what a rule says of each pixel by itself, ``(y, x)`` bool."""
    found = np.zeros(bands[0][0].shape, dtype=bool)
    for rows, part in _strips(bands):
        here = rule(part)
        if here.any():  # zeros that nobody writes take no memory
            found[rows] = here
    return found


def _blank_together(bands: Sequence[_Values]) -> np.ndarray:
    """Return where all of the bands are 0, or all are 1, ``(y, x)`` bool."""
    found = np.zeros(bands[0][0].shape, dtype=bool)
    for number in (0, 1):
        together = np.ones(found.shape, dtype=bool)
        for values, packing, _ in bands:
            if number not in packing.blanks or not together.any():
                together[:] = False
                break
            together &= values == number
        found |= together
    return found


def _odd_together(bands: Sequence[_Values]) -> np.ndarray:
    """Return where all of the bands have one and the same number that cannot be reflectance, ``(y, x)`` bool."""
    first, packing, gone = bands[0]
    integer = first.dtype.kind in "ui"
    limits = (DARKEST, BRIGHTEST) if integer else (LEAST, GREATEST)
    low, high = (limit / packing.scale - packing.offset for limit in limits)
    with np.errstate(invalid="ignore"):
        together = (first < low) | (first > high)
    if integer:
        together |= first == np.iinfo(first.dtype).max
    elif packing.reflectance:
        for fill in FILLS:
            together |= np.isclose(first, fill, rtol=0, atol=1e-6)
    for number in packing.blanks:
        together &= first != number
    together &= ~gone
    for values, _, missing in bands[1:]:
        if not together.any():
            break
        together &= (values == first) & ~missing
    return together


def _alike(bands: Sequence[_Values], packings: Sequence[Packing]) -> dict[float, int]:
    """Return the numbers that all of the bands have together though none declares or masks them, and how often.

    Parameters
    ----------
    bands
        The bands of one grid.
    packings
        How all bands of the scene are packed.
    """
    zeros = len(bands) == 1 or any(
        not packing.reflectance or packing.blanks or packing.unpacked for packing in packings
    )
    found: Counter[float] = Counter()
    for _, ((first, _, gone), *others) in _strips(bands):
        together = ~gone
        for values, _, _ in others:
            together &= values == first
            if not together.any():
                break
        if zeros:
            together &= first != 0
        if together.any():
            values, counts = np.unique(first[together], return_counts=True)
            found.update(dict(zip(values.tolist(), counts.tolist(), strict=True)))
    return {value: n for value, n in sorted(found.items()) if n > 1}


def _agreed(k: int, empty: Sequence[np.ndarray], grids: Sequence[GeoBox]) -> np.ndarray:
    """Return where the bands of one grid are empty and those of all others are so nearby, ``(y, x)`` bool.

    Nearby, because pixels of two sizes do not end at the same line: to within a pixel of the coarser.
    """
    together = empty[k]
    for other, grid in zip(empty, grids, strict=True):
        if grid == grids[k] or not together.any():
            continue
        if not other.any():
            return np.zeros_like(together)
        near = warp(_widened(other)[np.newaxis].astype("float32"), grid, grids[k], "max")[0]
        together = together & ~(near == 0)  # NaN beyond the other bands
    return together


def _widened(mask: np.ndarray) -> np.ndarray:
    """Return a mask that reaches one pixel farther in all directions, ``(y, x)`` bool."""
    padded = np.pad(mask, 1)
    rows = padded[:-2] | padded[1:-1] | padded[2:]
    wide: np.ndarray = rows[:, :-2] | rows[:, 1:-1] | rows[:, 2:]
    return wide


def has_data(bands: Sequence[Band], target: GeoBox) -> np.ndarray:
    """Return which pixels of a grid have data in all bands on at least half of their area.

    Parameters
    ----------
    bands
        Bands on any grids.
    target
        The grid.

    Returns
    -------
    numpy.ndarray
        ``(y, x)`` bool, of the shape of `target`.

    Raises
    ------
    SceneError
        If a nodata value is not a number.
    """
    enough = np.ones(target.shape, dtype=bool)
    missing: dict[GeoBox, np.ndarray] = {}
    for band, gone in zip(
        bands, missing_pixels(bands, [b.data.values for b in bands]), strict=True
    ):
        of_grid = missing.get(band.grid)
        missing[band.grid] = gone if of_grid is None else of_grid | gone
    for grid, gone in missing.items():
        if grid == target:
            enough &= ~gone
            continue
        if not gone.any() and covers(grid, target):
            continue
        share = warp((~gone)[np.newaxis].astype("float32"), grid, target, "average")[0]
        with np.errstate(invalid="ignore"):
            enough &= share >= 0.499  # half, less the rounding of a sum of float32
    return enough
