"""Tiles: what the networks see in training, put together anew from patches at every step.

A network can only learn to answer as its teacher does on what it is shown, and patches are few. So
a tile is a mosaic of patches of several sites at a random resolution, made brighter or darker,
sometimes turned, mirrored, faded into another tile, clipped, or put below simulated snow or clouds. The teacher
answers for the very same tile, and is therefore never wrong about what the pupil ought to say.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ..classes import CloudClass
from ..errors import SceneError
from ..windows import prepare
from .clouds import Clouds, _noise, _smooth, draw_clouds, snowed
from .patches import Patch
from .truths import SIMULATED, UNKNOWN, bits, truth_of

KEPT = 4000
"""Resampled patches that are kept in memory: of 256 x 256 pixels at 10 m, one takes a quarter of a megabyte."""

TURNED = 0.25
"""Share of the tiles whose patches are turned and mirrored. That makes few patches into many; but a network
knows where the sun stands: of scenes that are turned or mirrored, the networks of ukis-csmask give 3 to 7 % of
the pixels another class, and in use north is up."""

SNOWED = 0.12
"""Share of the tiles with simulated snow, of which real patches have little; the teacher says what it is."""


@dataclass(frozen=True, eq=False)
class Tile:
    """One example."""

    pixels: np.ndarray
    """``(C, size, size)`` float32 reflectance, finite."""

    bands: tuple[str, ...]
    """Canonical names of the C bands."""

    level: str
    """``L1C`` or ``L2A``."""

    truth: np.ndarray
    """``(size, size)`` uint8, what labels and simulated clouds say of it
    (:mod:`~odc_cleansat.training.truths`), 0 where nothing is known."""


class Tiles:
    """Draws tiles; the same seed and number give the same tile.

    Parameters
    ----------
    patches
        To draw from; those of other bands than these are left out.
    bands
        Canonical names of all the bands a network may see. A tile has all, or the first `few`.
    few
        How many bands the patches with the fewest have; by default all.
    resolution
        Ground sampling the network is for, metres.
    size
        Side of a tile, pixels; a multiple of 32.
    seed
        Of all that is random.

    Raises
    ------
    SceneError
        If no patch has the bands.
    """

    def __init__(
        self,
        patches: Sequence[Patch],
        bands: tuple[str, ...],
        *,
        few: int | None = None,
        resolution: float = 30,
        size: int = 256,
        seed: int = 0,
    ) -> None:
        few = few or len(bands)
        self.bands, self.few, self.size, self.resolution = bands, few, size, resolution
        self._seed = seed
        self._resolutions = resolution * np.exp(np.linspace(-0.6, 0.35, 8))
        self._kinds: dict[tuple[str, int], dict[str, list[Patch]]] = {}
        for patch in patches:
            count = len(patch.bands)
            if count in (few, len(bands)) and patch.bands == bands[:count]:
                sites = self._kinds.setdefault((patch.level, count), defaultdict(list))
                sites[patch.site].append(patch)
        if not self._kinds:
            raise SceneError(
                f"there is no patch to train on with the bands {', '.join(bands[:few])}."
            )
        self._labelled = any(patch.truth is not None for patch in patches)
        # Resampling takes longer than all the rest.
        self._layers = lru_cache(maxsize=KEPT)(_layers if self._labelled else Patch.at)
        counts = {kind: sum(map(len, sites.values())) for kind, sites in self._kinds.items()}
        # Between as many patches as there are and all alike: the small kinds hold what the others lack.
        weights = np.sqrt(list(counts.values()))
        self._chances = weights / weights.sum()

    def draw(self, number: int) -> Tile:
        """The tile of a number."""
        rng = np.random.default_rng([self._seed, number])
        level, count = list(self._kinds)[rng.choice(len(self._kinds), p=self._chances)]
        pixels, truth = self._mosaic(rng, (level, count))
        if rng.random() < 0.25:
            fade = _smooth(0.5 + rng.uniform(0.5, 3) * _noise(rng, self.size, 2.0, 200))
            other, others = self._mosaic(rng, (level, count))
            pixels = pixels + (other - pixels) * fade.astype("float32")
            truth = _faded(truth, others, fade)
        if rng.random() < SNOWED:
            pixels, snow = snowed(rng, pixels, self.bands[:count])
            truth = np.where(snow > 0.02, UNKNOWN, truth).astype("uint8")
        if rng.random() < 0.4:
            clouds = draw_clouds(rng, self.size)
            pixels = clouds.over(pixels, self.bands[:count])
            truth = _below(clouds, truth)
        pixels = _look(rng, pixels)
        if count > self.few and rng.random() < 0.4:
            count = self.few
        return Tile(np.ascontiguousarray(pixels[:count]), self.bands[:count], level, truth)

    def _mosaic(
        self, rng: np.random.Generator, kind: tuple[str, int]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Patches side by side, or one with its mirror images; and their truth."""
        resolution = self._resolutions[rng.integers(len(self._resolutions))]
        size, count = self.size, kind[1]
        canvas = np.full((count + self._labelled, size, size), np.nan, dtype="float32")
        alone, turned = rng.random() < 0.12, rng.random() < TURNED
        top = -int(rng.integers(0, 24))
        while top < size:
            left, height = -int(rng.integers(0, 40)), size
            while left < size:
                pixels = self._layers(self._patch(rng, kind), resolution)
                if turned:
                    pixels = np.rot90(pixels, int(rng.integers(4)), axes=(1, 2))
                    pixels = pixels[:, :, :: rng.choice([-1, 1])]
                if alone:
                    pad = [(0, max(0, size - side)) for side in pixels.shape[1:]]
                    padded = np.pad(pixels, ((0, 0), *pad), mode="symmetric")
                    return self._parted(padded[:, :size, :size], count)
                if max(pixels.shape[1:]) > size:
                    row, column = (
                        int(rng.integers(0, max(side - size, 0) + 1)) for side in pixels.shape[1:]
                    )
                    pixels = pixels[:, row : row + size, column : column + size]
                rows = slice(max(top, 0), min(top + pixels.shape[1], size))
                columns = slice(max(left, 0), min(left + pixels.shape[2], size))
                if rows.stop > 0 and columns.stop > 0:
                    there = np.s_[
                        rows.start - top : rows.stop - top,
                        columns.start - left : columns.stop - left,
                    ]
                    canvas[:, rows, columns] = pixels[:, there[0], there[1]]
                height = min(height, pixels.shape[1])
                left += pixels.shape[2]
            top += height
        return self._parted(canvas, count)

    def _parted(self, canvas: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        filled = _filled(canvas)
        if not self._labelled:
            return filled, np.full(filled.shape[1:], UNKNOWN, dtype="uint8")
        return filled[:count], filled[count].astype("uint8")

    def _patch(self, rng: np.random.Generator, kind: tuple[str, int]) -> Patch:
        """One of a random site."""
        sites = list(self._kinds[kind].values())
        shares = np.sqrt([sum(patch.weight for patch in site) for site in sites])
        site = sites[rng.choice(len(sites), p=shares / shares.sum())]
        weights = np.array([patch.weight for patch in site])
        return site[rng.choice(len(site), p=weights / weights.sum())]


def _layers(patch: Patch, resolution: float) -> np.ndarray:
    """The bands of a patch and, behind them, its truth: so both are turned and filled alike."""
    pixels = patch.at(resolution)
    return np.concatenate([pixels, patch.truth_on((pixels.shape[1], pixels.shape[2]))[None]])


def _faded(first: np.ndarray, second: np.ndarray, fade: np.ndarray) -> np.ndarray:
    """Truth where one tile passes into another: known where only one is seen, or both say the same."""
    truth = np.where(fade >= 1, second, first)
    truth[(fade > 0) & (fade < 1) & (first != second)] = UNKNOWN
    return truth


def _below(clouds: Clouds, truth: np.ndarray) -> np.ndarray:
    """Truth below simulated clouds: theirs, and that of the patch where they leave it clear.

    Clear of them is not clear: the patch may have clouds of its own, whose tops no shadow reaches.
    """
    codes = clouds.truth()
    found = truth_of(codes, SIMULATED)
    found[codes == CloudClass.CLEAR] = truth[codes == CloudClass.CLEAR]
    overcast = (truth & bits([CloudClass.CLOUD, CloudClass.THIN_CLOUD])) != 0
    found[(codes == CloudClass.SHADOW) & overcast] = UNKNOWN
    return found


def _filled(canvas: np.ndarray) -> np.ndarray:
    """Without NaN: what is missing mirrors what is there, as in use."""
    if np.isfinite(canvas).all():
        return canvas
    batch = prepare(canvas)
    return np.zeros_like(canvas) if batch is None else batch[0]


def _look(rng: np.random.Generator, pixels: np.ndarray) -> np.ndarray:
    """Another sun, another sensor: brighter or darker, of another tint, hazier, clipped."""
    count = len(pixels)
    spread = (
        0.12 if rng.random() < 0.85 else 0.4
    )  # now and then dark as a lake, or bright as a desert
    gain = np.exp(rng.normal(0, spread) + rng.normal(0, 0.03, count)).astype("float32")
    haze = rng.normal(0, 0.008) + rng.normal(0, 0.003, count)
    pixels = pixels * gain[:, None, None] + haze.astype("float32")[:, None, None]
    if rng.random() < 0.1:
        pixels[:3] = np.minimum(pixels[:3], np.float32(rng.uniform(0.35, 1.0)))
    return pixels
