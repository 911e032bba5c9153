"""Patches: pieces of scenes to train on, and which of them are held out."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from ..errors import SceneError, first_line
from ..models.documents import LEVELS
from ..scenes.bands import find_bands
from ..scenes.offset import QUANTIFICATION

InputKind = tuple[str, int]
"""Processing level and number of bands of what a network sees, such as ``("L2A", 6)``."""

_SAME_RESOLUTION = 0.02
"""Relative difference up to which two resolutions count as equal, or one as a multiple of the other."""

_ENOUGH_DATA = 0.499
"""Share of a pixel that must have data. It is a hair below half, for rounding."""


@dataclass(frozen=True, eq=False)
class Patch:
    """A rectangle of a scene."""

    pixels: np.ndarray
    """``(C, H, W)`` reflectance, float32 or, to save memory, float16; NaN without data."""

    bands: tuple[str, ...]
    """Canonical names of the C bands."""

    resolution: float
    """Ground sampling, metres."""

    level: str
    """``L1C``, top of the atmosphere, or ``L2A``, the surface."""

    site: str
    """Name of the place. Patches of one site look alike, so a site is held out whole."""

    weight: float = 1.0
    """How often it is drawn, relative to other patches."""

    truth: np.ndarray | None = None
    """``(H, W)`` uint8, classes that the label leaves possible (:mod:`~odc_cleansat.training.truths`); None without a
    label."""

    file: str = ""
    """Path of the file of its first band, empty for a patch of an archive. It tells when two sources name the same
    place differently."""

    @property
    def kind(self) -> InputKind:
        """Processing level and number of bands."""
        return self.level, len(self.bands)

    def at(self, resolution: float) -> np.ndarray:
        """Return the pixels at another resolution: averaged, or interpolated if it is finer.

        Parameters
        ----------
        resolution
            Ground sampling, metres.

        Returns
        -------
        numpy.ndarray
            ``(C, h, w)`` float32 reflectance; NaN where less than half of a pixel has data.
        """
        (rows, columns), shape = self._grid(resolution)
        pixels = self.pixels[:, :rows, :columns].astype("float32", copy=False)
        if (rows, columns) == shape:
            return pixels
        valid = np.isfinite(pixels)
        if valid.all():
            return _averaged(pixels, shape)
        share = _averaged(valid, shape)
        total = _averaged(np.where(valid, pixels, 0), shape)
        mean = np.full_like(total, np.nan)
        np.divide(total, share, out=mean, where=share > _ENOUGH_DATA)
        return mean

    def nearest_at(self, resolution: float) -> np.ndarray:
        """Return the pixels at another resolution, each with the value of the nearest and not the mean.

        Parameters
        ----------
        resolution
            Ground sampling, metres.

        Returns
        -------
        numpy.ndarray
            ``(C, h, w)`` float32 reflectance, NaN without data; the shape is that of :meth:`at`.
        """
        rows, columns = self._nearest(resolution)
        return self.pixels[:, rows, columns].astype("float32", copy=False)

    def truth_at(self, resolution: float) -> np.ndarray:
        """Return the truth at another resolution, of the nearest pixel.

        Parameters
        ----------
        resolution
            Ground sampling, metres.

        Returns
        -------
        numpy.ndarray
            ``(h, w)`` uint8 :func:`~odc_cleansat.training.truths.class_bits`, 0 where nothing is known; the shape is
            that of :meth:`at`.
        """
        rows, columns = self._nearest(resolution)
        if self.truth is None:
            return np.zeros((rows.size, columns.size), dtype="uint8")
        truth: np.ndarray = self.truth[rows, columns]
        return truth

    def _nearest(self, resolution: float) -> tuple[np.ndarray, ...]:
        """Return indices, ``(h, 1)`` and ``(1, w)``, of the pixels at the centres of those at a resolution."""
        sides, counts = self._grid(resolution)
        nearest = [
            ((np.arange(count) + 0.5) * side / count).astype("int64")
            for side, count in zip(sides, counts, strict=True)
        ]
        return np.ix_(*nearest)

    def _grid(self, resolution: float) -> tuple[tuple[int, int], tuple[int, int]]:
        """Return how many rows and columns the pixels at a resolution cover, and how many pixels these are."""
        rows, columns = self.pixels.shape[1:]
        factor = self.resolution / resolution
        if abs(factor - 1) < _SAME_RESOLUTION:
            return (rows, columns), (rows, columns)
        whole = round(1 / factor)
        if whole > 1 and abs(whole * factor - 1) < _SAME_RESOLUTION:
            # Means of whole pixels; what is left over at the edges is dropped.
            height, width = max(rows // whole, 1), max(columns // whole, 1)
            return (min(height * whole, rows), min(width * whole, columns)), (height, width)
        return (rows, columns), (max(round(rows * factor), 1), max(round(columns * factor), 1))

    def resampled(self, resolution: float) -> Patch:
        """Return the patch, pixels and truth, at another resolution in metres."""
        pixels = self.at(resolution)
        truth = None if self.truth is None else self.truth_at(resolution)
        return replace(self, pixels=pixels, truth=truth, resolution=resolution)

    def with_bands(self, bands: tuple[str, ...]) -> Patch:
        """Return the patch with these bands only, which are the first of its own."""
        return replace(self, pixels=self.pixels[: len(bands)], bands=bands)

    def at_surface(self, haze: Mapping[str, float]) -> Patch:
        """Return the patch as L2A: without the reflectance that an atmosphere adds to each band."""
        added = np.array([haze.get(band, 0) for band in self.bands], dtype="float32")
        return replace(self, pixels=self.pixels - added[:, None, None], level="L2A")


def _averaged(pixels: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Return ``(C, *shape)`` float32 over the same ground: each pixel is the mean of what it covers."""
    rows, columns = shape
    planes = [
        _box_means(_box_means(plane, columns).T, rows).T.astype("float32") for plane in pixels
    ]
    return np.stack(planes)


def _box_means(values: np.ndarray, count: int) -> np.ndarray:
    """Return the means of `count` equal boxes along the last axis, float64.

    A box is no narrower than one value. So if there are more boxes than values, this interpolates.
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


def available_bands(names: Iterable[str], wanted: Sequence[str]) -> dict[str, str]:
    """Return which of the wanted bands are there: the canonical name, and the name by which it is there."""
    names = list(names)
    available: dict[str, str] = {}
    for band in wanted:
        try:
            available |= find_bands(names, [band])
        except SceneError:
            continue
    return available


_UNREADABLE = (
    OSError, KeyError, ValueError, TypeError, EOFError, BadZipFile, zlib.error,
)  # fmt: skip
"""Errors that numpy raises for a file that is cut off, or is no archive."""


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
        If the file cannot be read, or its arrays are missing or do not fit each other.
    """
    path = Path(path)
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            x, names = file["x"], [str(name) for name in file["bands"]]
            resolutions, levels, sites = file["res_m"], file["level"], file["site"]
    except _UNREADABLE as error:
        raise SceneError(f"{path} is not an archive of patches: {first_line(error)}.") from error
    lengths = {array.shape for array in (resolutions, levels, sites)}
    if x.ndim != 4 or x.shape[1] != len(names) or lengths != {x.shape[:1]}:
        raise SceneError(f"{path}: x has the shape {x.shape}, which does not fit its other arrays.")
    available = available_bands(names, wanted)
    order = [names.index(name) for name in available.values()]
    patches = []
    for values, resolution, level, site in zip(x, resolutions, levels, sites, strict=True):
        if level not in LEVELS:
            raise SceneError(f"{path} has the level {level!r}; it must be L1C or L2A.")
        pixels = values[order].astype("float32") / QUANTIFICATION
        pixels[:, (values[order] == 0).all(axis=0)] = np.nan
        patches.append(Patch(pixels, tuple(available), float(resolution), str(level), str(site)))
    return patches


def hold_out(
    patches: Iterable[Patch], sites: Collection[str], share: float = 0.0
) -> tuple[list[Patch], list[Patch]]:
    """Split patches into those to train on and those that are held out.

    Parameters
    ----------
    patches
        All patches.
    sites
        Names of sites to hold out.
    share
        Share of the other sites to hold out, 0 to 1. It depends on the names of the sites only, so that it stays the
        same when patches are added.

    Returns
    -------
    tuple of list of Patch
        To train on, and held out.

    Raises
    ------
    SceneError
        If there is no patch of one of the sites: after a slip in a name its patches would be trained on.
    """
    patches = list(patches)
    present = {patch.site for patch in patches}
    if unknown := set(sites) - present:
        raise SceneError(f"there are no patches of the sites {', '.join(sorted(unknown))}.")
    held = set(sites) | {site for site in present if _fraction_of_name(site) < share}
    to_train = [patch for patch in patches if patch.site not in held]
    return to_train, [patch for patch in patches if patch.site in held]


def _fraction_of_name(site: str) -> float:
    """Return a number from 0 to 1 that is always the same for a name."""
    return int.from_bytes(hashlib.sha256(site.encode()).digest()[:6], "big") / 256**6
