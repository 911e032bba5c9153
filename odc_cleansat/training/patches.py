"""Patches: pieces of real scenes to train on, and which of them are kept for judging."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from ..errors import SceneError, first_line
from ..scenes.bands import find_bands
from ..scenes.offset import QUANTIFICATION

LEVELS = ("L1C", "L2A")


@dataclass(frozen=True, eq=False)
class Patch:
    """A rectangle of a scene, as it was recorded."""

    pixels: np.ndarray
    """``(C, H, W)`` reflectance, float32 or, to save memory, float16; NaN where there is none."""

    bands: tuple[str, ...]
    """Canonical names of the C bands."""

    resolution: float
    """Ground sampling, metres."""

    level: str
    """``L1C``, top of the atmosphere, or ``L2A``, the surface."""

    site: str
    """Where it is. Patches of one site look alike, so sites are held out whole."""

    weight: float = 1.0
    """How often it is drawn, among the patches of its site."""

    truth: np.ndarray | None = None
    """``(H, W)`` uint8, what a label says (:mod:`~odc_cleansat.training.truths`); None without a label."""

    source: str = ""
    """Path of its first band's file, if it has files of its own: two kinds of data may give it sites of other names."""

    def at(self, resolution: float) -> np.ndarray:
        """Its pixels at another resolution, ``(C, h, w)`` float32: averaged, or interpolated if finer.

        NaN where less than half of what a pixel is made of has data.
        """
        (rows, columns), shape = self._grid(resolution)
        pixels = self.pixels[:, :rows, :columns].astype("float32", copy=False)
        if (rows, columns) == shape:
            return pixels
        valid = np.isfinite(pixels)
        if valid.all():
            return _averaged(pixels, shape)
        there = _averaged(valid, shape)
        seen = _averaged(np.where(valid, pixels, 0), shape)
        # A hair below half, for rounding.
        found = np.full_like(seen, np.nan)
        np.divide(seen, there, out=found, where=there > 0.499)
        return found

    def sampled(self, resolution: float) -> np.ndarray:
        """The same pixels, each with the value of the nearest and not the mean, ``(C, h, w)`` float32."""
        rows, columns = self._nearest(resolution)
        return self.pixels[:, rows, columns].astype("float32", copy=False)

    def truth_at(self, resolution: float) -> np.ndarray:
        """What its label says of the same pixels, ``(h, w)`` uint8: of the nearest of its own."""
        rows, columns = self._nearest(resolution)
        if self.truth is None:
            return np.zeros((rows.size, columns.size), dtype="uint8")
        found: np.ndarray = self.truth[rows, columns]
        return found

    def _nearest(self, resolution: float) -> tuple[np.ndarray, ...]:
        """Which of its rows and columns lie at the centres of pixels at a resolution."""
        sides, counts = self._grid(resolution)
        nearest = [
            ((np.arange(count) + 0.5) * side / count).astype("int64")
            for side, count in zip(sides, counts, strict=True)
        ]
        return np.ix_(*nearest)

    def _grid(self, resolution: float) -> tuple[tuple[int, int], tuple[int, int]]:
        """How many of its rows and columns pixels at a resolution cover, and how many these are."""
        rows, columns = self.pixels.shape[1:]
        factor = self.resolution / resolution
        if abs(factor - 1) < 0.02:
            return (rows, columns), (rows, columns)
        whole = round(1 / factor)
        if whole > 1 and abs(whole * factor - 1) < 0.02:
            # Means of whole pixels; what is left over at the edges is dropped.
            height, width = max(rows // whole, 1), max(columns // whole, 1)
            return (min(height * whole, rows), min(width * whole, columns)), (height, width)
        return (rows, columns), (max(round(rows * factor), 1), max(round(columns * factor), 1))

    def resampled(self, resolution: float) -> Patch:
        """The same at another resolution."""
        pixels = self.at(resolution)
        truth = None if self.truth is None else self.truth_at(resolution)
        return replace(self, pixels=pixels, truth=truth, resolution=resolution)

    def with_bands(self, bands: tuple[str, ...]) -> Patch:
        """The same with the first of its bands only."""
        return replace(self, pixels=self.pixels[: len(bands)], bands=bands)

    def at_surface(self, haze: Mapping[str, float]) -> Patch:
        """As L2A, the reflectance that an atmosphere adds to each band taken off."""
        added = np.array([haze.get(band, 0) for band in self.bands], dtype="float32")
        return replace(self, pixels=self.pixels - added[:, None, None], level="L2A")


def _averaged(pixels: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """So many pixels over the same ground: each the mean of what it covers, float32."""
    rows, columns = shape
    planes = [_boxes(_boxes(plane, columns).T, rows).T.astype("float32") for plane in pixels]
    return np.stack(planes)


def _boxes(values: np.ndarray, count: int) -> np.ndarray:
    """Means along the last axis over boxes around `count` centres, as wide as these lie apart, float64.

    A box is no narrower than one value, so between closer centres this interpolates.
    """
    side = values.shape[-1]
    centres = (np.arange(count)[:, None] + 0.5) * side / count
    half = max(1, side / count) / 2
    edges = np.clip(centres + np.array([-half, half]), 0, side)
    before = np.minimum(edges.astype("int64"), side - 1)
    sums = np.zeros((*values.shape[:-1], side + 1))
    np.cumsum(values, axis=-1, out=sums[..., 1:])
    up_to = sums[..., before] + (edges - before) * values[..., before]
    means: np.ndarray = np.diff(up_to, axis=-1)[..., 0] / np.diff(edges)[:, 0]
    return means


def available(names: Iterable[str], wanted: Sequence[str]) -> dict[str, str]:
    """Those of the wanted bands that are there: canonical name to name at hand."""
    names = list(names)
    found: dict[str, str] = {}
    for band in wanted:
        try:
            found |= find_bands(names, [band])
        except SceneError:
            continue
    return found


_SPOILT = (OSError, KeyError, ValueError, TypeError, EOFError, BadZipFile, zlib.error)
"""What numpy raises for a file that is cut off, or is something else."""


def read_archive(path: Path | str, wanted: Sequence[str]) -> list[Patch]:
    """Read the patches of one ``.npz`` file.

    Parameters
    ----------
    path
        File with the arrays ``x`` (N, C, H, W) uint16, reflectance x 10000 with 0 for nodata; ``bands``
        (C,); and for each patch ``res_m`` (metres), ``level`` and ``site``.
    wanted
        Canonical names of the bands to keep. Those that the file lacks are left out.

    Raises
    ------
    SceneError
        If arrays are missing or do not belong together.
    """
    path = Path(path)
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            x, names = file["x"], [str(name) for name in file["bands"]]
            resolutions, levels, sites = file["res_m"], file["level"], file["site"]
    except _SPOILT as error:
        raise SceneError(f"{path} is not an archive of patches: {first_line(error)}.") from error
    lengths = {array.shape for array in (resolutions, levels, sites)}
    if x.ndim != 4 or x.shape[1] != len(names) or lengths != {x.shape[:1]}:
        raise SceneError(f"{path}: x has the shape {x.shape}, which does not fit its other arrays.")
    found = available(names, wanted)
    order = [names.index(name) for name in found.values()]
    patches = []
    for values, resolution, level, site in zip(x, resolutions, levels, sites, strict=True):
        if level not in LEVELS:
            raise SceneError(f"{path} has the level {level!r}; it must be L1C or L2A.")
        pixels = values[order].astype("float32") / QUANTIFICATION
        pixels[:, (values[order] == 0).all(axis=0)] = np.nan
        patches.append(Patch(pixels, tuple(found), float(resolution), str(level), str(site)))
    return patches


def hold_out(
    patches: Iterable[Patch], sites: Collection[str], share: float = 0.0
) -> tuple[list[Patch], list[Patch]]:
    """Those to train on, and those to judge by: of the given sites, and of a share of all others.

    The share is chosen by the names of the sites, so that it stays the same when patches are added.

    Raises
    ------
    SceneError
        If a site is not among the patches: a slip there would train on what judges.
    """
    patches = list(patches)
    present = {patch.site for patch in patches}
    if unknown := set(sites) - present:
        raise SceneError(f"there are no patches of the sites {', '.join(sorted(unknown))}.")
    held = set(sites) | {site for site in present if _lot(site) < share}
    kept = [patch for patch in patches if patch.site in held]
    return [patch for patch in patches if patch.site not in held], kept


def _lot(site: str) -> float:
    """A number from 0 to 1 that is always the same for a name."""
    return int.from_bytes(hashlib.sha256(site.encode()).digest()[:6], "big") / 256**6
