"""Tiles: what the networks see in training, put together anew from patches at every step.

A network can only learn to answer as its teacher does on what it is shown, and patches are few. So
a tile is a mosaic of patches at a random resolution, or a single one; made brighter or darker, sometimes
turned, mirrored, faded into another tile, clipped, or put below simulated snow or clouds. The teacher
answers for the very same tile, and is therefore never wrong about what the pupil ought to say. Some are blurred
after that, and ought to be answered all the same.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import ndimage

from ..classes import CloudClass
from ..errors import SceneError
from ..grids.windows import prepare
from .clouds import Clouds, _noise, _smooth, draw_clouds, snowed, visible
from .patches import Patch
from .truths import SIMULATED, UNKNOWN, bits, truth_of

KEPT = 6000
"""Resampled patches that are kept in memory: of 256 x 256 pixels at 10 m, one takes a quarter of a megabyte."""

TURNED = 0.25
"""Share of the tiles whose patches are turned and mirrored. That makes few patches into many; but a network
knows where the sun stands: of scenes that are turned or mirrored, the networks of ukis-csmask give 3 to 7 % of
the pixels another class, and in use north is up."""

CLOUDED = 0.4
"""Share of the tiles below simulated clouds, whose truth is known."""

SNOWED = 0.2
"""Share of the tiles with simulated snow, of which real patches have little; the teacher says what it is."""

ONE_PLACE = 0.5
"""Share of the mosaics that are of one site. What a network says of a place depends on all that it sees around:
of patches alone and among patches of other sites, the networks of ukis-csmask say the same in nine tenths of
the pixels (benchmarks/context.py)."""

CLIPPED = 0.35
"""Share of the tiles whose visible bands end at a level that clouds and snow reach, as in imagery made to be looked at."""

BLURRED = 0.2
"""Share of the tiles that are blurred, as scenes are that were brought from another grid by interpolation. The networks
of ukis-csmask take smooth ground for cloud: of two scenes over Manila that are blurred by 0.8 pixels, 29 and 40 %
(`benchmarks/resampling.py`). So the teacher answers for the tile as it was before."""

SAMPLED = 0.3
"""Share of the tiles whose pixels are those of the patches that lie nearest, and not their means: so scenes look that
were loaded at a coarser resolution without a word about resampling."""

SINGLE = 0.375
"""Side of a tile of a single patch, as a share of a mosaic's."""


@dataclass(frozen=True, eq=False)
class Tile:
    """One example."""

    pixels: np.ndarray
    """``(C, size, size)`` float32 reflectance, finite."""

    bands: tuple[str, ...]
    """Canonical names of the C bands."""

    level: str
    """``L1C`` or ``L2A``."""

    sharp: np.ndarray
    """The same before it was blurred, for which the teacher answers; most tiles are not blurred."""

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
        self.small = max(32, 32 * round(SINGLE * size / 32))
        self._resolutions = resolution * np.exp(np.linspace(-0.25, 0.25, 8))
        kinds: dict[tuple[str, int], list[Patch]] = defaultdict(list)
        for patch in patches:
            count = len(patch.bands)
            if count in (few, len(bands)) and patch.bands == bands[:count]:
                kinds[patch.level, count].append(patch)
        if not kinds:
            raise SceneError(
                f"there is no patch to train on with the bands {', '.join(bands[:few])}."
            )
        self._labelled = any(patch.truth is not None for patch in patches)
        # Resampling takes longer than all the rest.
        self._layers = lru_cache(maxsize=KEPT)(_layers if self._labelled else _pixels)
        self._kinds = {kind: _Sites(found) for kind, found in kinds.items()}
        # Between as many patches as there are and all alike: the small kinds hold what the others lack.
        weights = np.sqrt([len(found) for found in kinds.values()])
        self._chances = weights / weights.sum()

    def batch(self, step: int, count: int) -> list[Tile]:
        """The tiles of a step: so many mosaics or, every second step, single patches of as many pixels together."""
        if single := step % 2 == 1:
            count *= round((self.size / self.small) ** 2)
        first = step * count
        return [self.draw(number, single=single) for number in range(first, first + count)]

    def draw(self, number: int, *, single: bool = False) -> Tile:
        """The tile of a number: a mosaic, or a single patch."""
        rng = np.random.default_rng([self._seed, number, single])
        level, count = kind = list(self._kinds)[rng.choice(len(self._kinds), p=self._chances)]
        pixels, truth = self._single(rng, kind) if single else self._mosaic(rng, kind)
        if not single and rng.random() < 0.25:
            fade = _smooth(0.5 + rng.uniform(0.5, 3) * _noise(rng, self.size, 2.0, 200))
            other, others = self._mosaic(rng, kind)
            pixels = pixels + (other - pixels) * fade.astype("float32")
            truth = _faded(truth, others, fade)
        if rng.random() < SNOWED:
            pixels, snow = snowed(rng, pixels, self.bands[:count])
            truth = np.where(snow > 0.02, UNKNOWN, truth).astype("uint8")
        if rng.random() < CLOUDED:
            clouds = draw_clouds(rng, pixels.shape[1])
            pixels = clouds.over(pixels, self.bands[:count])
            truth = _below(clouds, truth)
        pixels = _look(rng, pixels, self.bands[:count])
        if count > self.few and rng.random() < 0.4:
            count = self.few
        sharp = np.ascontiguousarray(pixels[:count])
        return Tile(_blurred(rng, sharp), self.bands[:count], level, sharp, truth)

    def _single(
        self, rng: np.random.Generator, kind: tuple[str, int]
    ) -> tuple[np.ndarray, np.ndarray]:
        """One patch, with its mirror images around it where it is too small; and its truth."""
        side = self.small
        pixels = self._layers(self._kinds[kind].patch(rng), *self._resolution(rng))
        if rng.random() < TURNED:
            pixels = _turned(rng, pixels)
        pixels = _cropped(rng, pixels, side)
        pad = [(0, side - each) for each in pixels.shape[1:]]
        return self._parted(np.pad(pixels, ((0, 0), *pad), mode="symmetric"), kind[1])

    def _mosaic(
        self, rng: np.random.Generator, kind: tuple[str, int]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Patches of one site or of several side by side; and their truth."""
        sites = self._kinds[kind]
        place = sites.draw(rng) if rng.random() < ONE_PLACE else None
        resolution, sampled = self._resolution(rng)
        turned = rng.random() < TURNED
        size, count = self.size, kind[1]
        canvas = np.full((count + self._labelled, size, size), np.nan, dtype="float32")
        top = -int(rng.integers(0, 24))
        while top < size:
            left, height = -int(rng.integers(0, 40)), size
            while left < size:
                pixels = self._layers(sites.patch(rng, place), resolution, sampled)
                if turned:
                    pixels = _turned(rng, pixels)
                pixels = _cropped(rng, pixels, size)
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

    def _resolution(self, rng: np.random.Generator) -> tuple[float, bool]:
        """A random resolution, and whether pixels are sampled or averaged."""
        number = rng.integers(len(self._resolutions))
        return float(self._resolutions[number]), rng.random() < SAMPLED

    def _parted(self, canvas: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        filled = _filled(canvas)
        if not self._labelled:
            return filled, np.full(filled.shape[1:], UNKNOWN, dtype="uint8")
        return filled[:count], filled[count].astype("uint8")


class _Sites:
    """Patches by their sites; a site with twice the weight is not drawn twice as often."""

    def __init__(self, patches: Sequence[Patch]) -> None:
        sites = defaultdict(list)
        for patch in patches:
            sites[patch.site].append(patch)
        self._patches = list(sites.values())
        weights = [np.array([patch.weight for patch in site]) for site in self._patches]
        self._weights = [each / each.sum() for each in weights]
        shares = np.sqrt([each.sum() for each in weights])
        self._shares = shares / shares.sum()

    def draw(self, rng: np.random.Generator) -> int:
        """The number of a random site."""
        return int(rng.choice(len(self._patches), p=self._shares))

    def patch(self, rng: np.random.Generator, site: int | None = None) -> Patch:
        """A random patch, of a site or of any."""
        number = self.draw(rng) if site is None else site
        patches = self._patches[number]
        return patches[rng.choice(len(patches), p=self._weights[number])]


def _turned(rng: np.random.Generator, pixels: np.ndarray) -> np.ndarray:
    """Turned and mirrored at random."""
    found = np.rot90(pixels, int(rng.integers(4)), axes=(1, 2))
    return found[:, :, :: rng.choice([-1, 1])]


def _cropped(rng: np.random.Generator, pixels: np.ndarray, side: int) -> np.ndarray:
    """A random piece, of what is larger than `side`."""
    row, column = (int(rng.integers(0, max(each - side, 0) + 1)) for each in pixels.shape[1:])
    return pixels[:, row : row + side, column : column + side]


def _pixels(patch: Patch, resolution: float, sampled: bool) -> np.ndarray:
    return patch.sampled(resolution) if sampled else patch.at(resolution)


def _layers(patch: Patch, resolution: float, sampled: bool) -> np.ndarray:
    """The bands of a patch and, behind them, its truth: so both are turned and filled alike."""
    pixels = _pixels(patch, resolution, sampled)
    return np.concatenate([pixels, patch.truth_at(resolution)[None]])


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


def _look(rng: np.random.Generator, pixels: np.ndarray, bands: tuple[str, ...]) -> np.ndarray:
    """Another sun, another sensor: brighter or darker, of another tint, hazier, clipped."""
    count = len(pixels)
    spread = (
        0.12 if rng.random() < 0.85 else 0.4
    )  # now and then dark as a lake, or bright as a desert
    gain = np.exp(rng.normal(0, spread) + rng.normal(0, 0.03, count)).astype("float32")
    haze = rng.normal(0, 0.008) + rng.normal(0, 0.003, count)
    pixels = pixels * gain[:, None, None] + haze.astype("float32")[:, None, None]
    if rng.random() < CLIPPED:
        seen = visible(bands)
        pixels[seen] = np.minimum(pixels[seen], np.float32(0.3 + 0.7 * rng.random() ** 2))
    return pixels


def _blurred(rng: np.random.Generator, pixels: np.ndarray) -> np.ndarray:
    """Some of the tiles; others as they are."""
    if rng.random() >= BLURRED:
        return pixels
    width = rng.uniform(0.3, 1.2)
    found: np.ndarray = ndimage.gaussian_filter(pixels, (0, width, width))
    return found
