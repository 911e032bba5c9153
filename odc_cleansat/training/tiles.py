"""Tiles: what the network sees in training. Every step puts them together anew from patches.

A network learns to answer as its teacher only on what it sees, and patches are few. So a tile is a
mosaic of patches, or a single patch, at a random resolution. It is made brighter or darker. Some tiles are
turned, faded into another, clipped, or put below simulated snow or clouds. The teacher answers for
the very same tile, so its answer always belongs to what the network sees.

Then thin cloud may be laid over the tile, and it may be spoilt (:mod:`~odc_cleansat.training.spoiling`). The network
sees that and shall answer as its teacher did before, and say thin cloud where it lies over clear ground.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from ..classes import CloudClass
from ..errors import SceneError
from ..grids.windows import prepare_window
from .augmentation import change_light, crop, turn
from .clouds import TRACE, CloudLayer, draw_clouds, lay_snow, power_law_noise, smoothstep
from .patches import InputKind, Patch
from .spoiling import FEWER_BANDS, USUAL, draw_phase, move, spoil
from .thin_cloud import OPAQUE, draw_thin_cloud, opacity_of, veil_truth
from .truths import SIMULATED_MAPPING, UNKNOWN, class_bits, truth_of

_TURNED_SHARE = 0.25
"""Share of the tiles whose patches are turned and mirrored, which makes many patches of few.

It is small because in use north is up, and a network knows where the sun stands. The networks of ukis-csmask give 3 to
7 % of the pixels another class when a scene is turned or mirrored."""

CLOUDED_SHARE = 0.4
"""Share of the tiles below simulated clouds of known truth."""

SNOWED_SHARE = 0.2
"""Share of the tiles with simulated snow, which real patches have little of. The teacher says what it is."""

_FADED_SHARE = 0.25
"""Share of the mosaics that pass smoothly into a second one."""

_SAMPLED_SHARE = 0.3
"""Share of the tiles whose pixels are the nearest of the patches and not their means.

So scenes look that were loaded at a coarser resolution without a choice of resampling."""

_ONE_SITE_SHARE = 0.5
"""Share of the mosaics that are of one site.

A network's answer depends on all that it sees around a pixel. The networks of ukis-csmask say the same of nine tenths of
the pixels of a patch alone and among patches of other sites (benchmarks/context.py)."""

_SINGLE_SIDE = 0.375
"""Side of a tile of a single patch, as a share of a mosaic's."""

_CACHED_PATCHES = 6000
"""Number of resampled patches kept in memory: one of 256 x 256 pixels at 10 m takes a quarter of a megabyte."""


@dataclass(frozen=True, eq=False)
class Tile:
    """One example for the network."""

    pixels: np.ndarray
    """``(C, size, size)`` float32 reflectance that the network sees, finite."""

    bands: tuple[str, ...]
    """Canonical names of the C bands."""

    level: str
    """``L1C`` or ``L2A``."""

    sharp: np.ndarray
    """``(D, size, size)`` float32 reflectance for which the teacher answers: before thin cloud was laid over it and before
    it was spoilt. It has the C bands or more."""

    truth: np.ndarray
    """``(size, size)`` uint8, the classes that labels and simulated clouds leave possible
    (:mod:`~odc_cleansat.training.truths`), 0 where nothing is known."""

    veil: np.ndarray
    """``(size, size)`` uint8, the classes that simulated thin cloud leaves possible over clear ground, 0 where there is
    none."""

    counted: np.ndarray
    """``(size, size)`` bool: where the network sees data, and not what fills a gap."""

    phase: tuple[int, int] = (0, 0)
    """Rows and columns by which all but ``sharp`` is moved up and left."""

    @property
    def kind(self) -> InputKind:
        """Processing level and number of bands that the teacher sees."""
        return self.level, len(self.sharp)


class _Lesson(NamedTuple):
    """What the teacher sees of a tile, and what is known of it."""

    kind: InputKind
    """Processing level and number of bands."""

    pixels: np.ndarray
    """``(D, size, size)`` float32 reflectance."""

    truth: np.ndarray
    """``(size, size)`` uint8, classes that labels and simulated clouds leave possible."""

    veil: np.ndarray
    """``(size, size)`` uint8, classes that thin parts of simulated clouds leave possible over clear ground."""

    snowed: bool
    """Whether there is simulated snow, on which thin cloud cannot be seen."""


class TileSampler:
    """Draws tiles at random. The same seed and number give the same tile.

    Parameters
    ----------
    patches
        Patches to draw from. Those of other bands are left out.
    bands
        Canonical names of all bands that the network may see. A tile has all of them, or the first `few`.
    few
        Number of bands of the patches with the fewest; by default all.
    resolution
        Ground sampling of the network, metres.
    size
        Side of a tile, pixels; a multiple of 32.
    seed
        Seed of all that is random.
    spoilt
        Share of each kind of spoilt picture.
    thin_cloud
        Share of the tiles below simulated thin cloud.

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
        spoilt: Mapping[str, float] = USUAL,
        thin_cloud: float = 0.0,
    ) -> None:
        few = few or len(bands)
        self.bands, self.few, self.size, self.resolution = bands, few, size, resolution
        self._seed, self._spoilt, self._thin_cloud = seed, spoilt, thin_cloud
        self._single_side = max(32, 32 * round(_SINGLE_SIDE * size / 32))
        self._resolutions = resolution * np.exp(np.linspace(-0.25, 0.25, 8))
        by_kind: dict[InputKind, list[Patch]] = defaultdict(list)
        for patch in patches:
            count = len(patch.bands)
            if count in (few, len(bands)) and patch.bands == bands[:count]:
                by_kind[patch.kind].append(patch)
        if not by_kind:
            raise SceneError(
                f"there is no patch to train on with the bands {', '.join(bands[:few])}."
            )
        self._labelled = any(patch.truth is not None for patch in patches)
        # Resampling takes longer than all the rest.
        read = _pixels_and_truth if self._labelled else _pixels
        self._planes = lru_cache(maxsize=_CACHED_PATCHES)(read)
        self._sites = {kind: _SiteSampler(members) for kind, members in by_kind.items()}
        # A compromise between equal chances of all patches and of all kinds: small kinds hold what others lack.
        weights = np.sqrt([len(members) for members in by_kind.values()])
        self._chances = weights / weights.sum()

    def batch(self, step: int, count: int, lesson: int | None = None) -> list[Tile]:
        """Return the tiles of a step: `count` mosaics or, every second step, single patches of as many pixels.

        Parameters
        ----------
        step
            Number of the step. It decides how tiles are spoilt.
        count
            Number of mosaics.
        lesson
            Number that decides what the tiles are, and so what the teacher sees; by default that of the step.
        """
        lesson = step if lesson is None else lesson
        if single := lesson % 2 == 1:
            count *= round((self.size / self._single_side) ** 2)
        first, there = step * count, lesson * count
        return [self.draw(first + i, single=single, lesson=there + i) for i in range(count)]

    def draw(self, number: int, *, single: bool = False, lesson: int | None = None) -> Tile:
        """Return the tile of a number: a mosaic, or a single patch.

        Parameters
        ----------
        number
            Decides how the tile is spoilt.
        single
            Whether it is a single patch.
        lesson
            Decides what the tile is; by default the same number.
        """
        rng = np.random.default_rng([self._seed, number if lesson is None else lesson, single])
        (level, count), sharp, truth, veil, snowed = self._lesson(rng, single)
        rng = np.random.default_rng([self._seed, number, single, 1])
        bands = self.bands[:count]
        pixels = sharp
        if rng.random() < self._thin_cloud and not snowed:
            clouds = draw_thin_cloud(rng, sharp.shape[1])
            pixels = clouds.over(pixels, bands)
            # Where there are two veils, the thicker one is not known. Either may count.
            other = veil_truth(clouds)
            veil = np.where((veil != 0) & (other != 0), veil | other, veil + other).astype("uint8")
        pixels = spoil(rng, pixels, bands, self._spoilt)
        phase = draw_phase(rng, self._spoilt, sharp.shape[1])
        if count > self.few and rng.random() < self._spoilt.get(FEWER_BANDS, 0.0):
            bands = self.bands[: self.few]
        pixels = move(pixels[: len(bands)], phase, np.nan)
        counted = np.isfinite(pixels).all(axis=0)
        return Tile(
            np.ascontiguousarray(_fill_gaps(pixels)), bands, level, sharp,
            move(truth, phase, UNKNOWN), move(veil, phase, 0), counted, phase,
        )  # fmt: skip

    def _lesson(self, rng: np.random.Generator, single: bool) -> _Lesson:
        """Return what the teacher sees."""
        kind = list(self._sites)[rng.choice(len(self._sites), p=self._chances)]
        bands = self.bands[: kind[1]]
        pixels, truth = self._single(rng, kind) if single else self._mosaic(rng, kind)
        if not single and rng.random() < _FADED_SHARE:
            pixels, truth = self._faded(rng, kind, pixels, truth)
        if snowed := rng.random() < SNOWED_SHARE:
            pixels, snow = lay_snow(rng, pixels, bands)
            truth = np.where(snow > TRACE, UNKNOWN, truth).astype("uint8")
        veil = np.zeros(truth.shape, dtype="uint8")
        if rng.random() < CLOUDED_SHARE:
            clouds = draw_clouds(rng, pixels.shape[1])
            pixels = clouds.over(pixels, bands)
            truth = _truth_below(clouds, truth)
            if self._thin_cloud:
                veil = np.where(clouds.opacity > TRACE, veil_truth(clouds), 0).astype("uint8")
        pixels = np.ascontiguousarray(change_light(rng, pixels))
        return _Lesson(kind, pixels, truth, veil, snowed)

    def _single(self, rng: np.random.Generator, kind: InputKind) -> tuple[np.ndarray, np.ndarray]:
        """Return pixels and truth of one patch, with its mirror images around it where it is too small."""
        side = self._single_side
        planes = self._planes(self._sites[kind].patch(rng), *self._draw_resolution(rng))
        if rng.random() < _TURNED_SHARE:
            planes = turn(rng, planes)
        planes = crop(rng, planes, side)
        pad = [(0, side - each) for each in planes.shape[1:]]
        return self._split(np.pad(planes, ((0, 0), *pad), mode="symmetric"), kind)

    def _mosaic(self, rng: np.random.Generator, kind: InputKind) -> tuple[np.ndarray, np.ndarray]:
        """Return pixels and truth of patches side by side, of one site or of several."""
        sites = self._sites[kind]
        site = sites.draw(rng) if rng.random() < _ONE_SITE_SHARE else None
        resolution, sampled = self._draw_resolution(rng)
        turned = rng.random() < _TURNED_SHARE
        size, count = self.size, kind[1]
        canvas = np.full((count + self._labelled, size, size), np.nan, dtype="float32")
        top = -int(rng.integers(0, 24))
        while top < size:
            left, height = -int(rng.integers(0, 40)), size
            while left < size:
                planes = self._planes(sites.patch(rng, site), resolution, sampled)
                if turned:
                    planes = turn(rng, planes)
                planes = crop(rng, planes, size)
                _paste(canvas, planes, top, left)
                height = min(height, planes.shape[1])
                left += planes.shape[2]
            top += height
        return self._split(canvas, kind)

    def _faded(
        self, rng: np.random.Generator, kind: InputKind, pixels: np.ndarray, truth: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return pixels and truth of a mosaic that passes smoothly into a second one."""
        share = smoothstep(
            0.5 + rng.uniform(0.5, 3) * power_law_noise(rng, self.size, slope=2.0, coarsest=200)
        )
        second, second_truth = self._mosaic(rng, kind)
        pixels = pixels + (second - pixels) * share.astype("float32")
        # It is known where one of them is seen alone, or where both say the same.
        faded = np.where(share >= 1, second_truth, truth)
        faded[(share > 0) & (share < 1) & (truth != second_truth)] = UNKNOWN
        return pixels, faded

    def _draw_resolution(self, rng: np.random.Generator) -> tuple[float, bool]:
        """Return a random resolution, metres, and whether pixels are the nearest and not averaged."""
        number = rng.integers(len(self._resolutions))
        return float(self._resolutions[number]), rng.random() < _SAMPLED_SHARE

    def _split(self, planes: np.ndarray, kind: InputKind) -> tuple[np.ndarray, np.ndarray]:
        """Return the pixels and the truth of planes, without gaps."""
        planes = _fill_gaps(planes)
        if not self._labelled:
            return planes, np.full(planes.shape[1:], UNKNOWN, dtype="uint8")
        return planes[: kind[1]], planes[kind[1]].astype("uint8")


class _SiteSampler:
    """Draws patches by their sites. A site with twice the weight is drawn 1.4 times as often."""

    def __init__(self, patches: Sequence[Patch]) -> None:
        sites = defaultdict(list)
        for patch in patches:
            sites[patch.site].append(patch)
        self._patches = list(sites.values())
        weights = [np.array([patch.weight for patch in site]) for site in self._patches]
        self._chances_of_patches = [each / each.sum() for each in weights]
        roots = np.sqrt([each.sum() for each in weights])
        self._chances_of_sites = roots / roots.sum()

    def draw(self, rng: np.random.Generator) -> int:
        """Return the number of a random site."""
        return int(rng.choice(len(self._patches), p=self._chances_of_sites))

    def patch(self, rng: np.random.Generator, site: int | None = None) -> Patch:
        """Return a random patch of a site, or of any site."""
        number = self.draw(rng) if site is None else site
        patches = self._patches[number]
        return patches[rng.choice(len(patches), p=self._chances_of_patches[number])]


def _pixels(patch: Patch, resolution: float, sampled: bool) -> np.ndarray:
    return patch.nearest_at(resolution) if sampled else patch.at(resolution)


def _pixels_and_truth(patch: Patch, resolution: float, sampled: bool) -> np.ndarray:
    """Return the bands of a patch and, behind them, its truth, so that both are turned and filled alike."""
    pixels = _pixels(patch, resolution, sampled)
    return np.concatenate([pixels, patch.truth_at(resolution)[None]])


def _paste(canvas: np.ndarray, planes: np.ndarray, top: int, left: int) -> None:
    """Write planes onto a canvas, as far as they lie on it."""
    rows = slice(max(top, 0), min(top + planes.shape[1], canvas.shape[1]))
    columns = slice(max(left, 0), min(left + planes.shape[2], canvas.shape[2]))
    if rows.stop > 0 and columns.stop > 0:
        canvas[:, rows, columns] = planes[
            :, rows.start - top : rows.stop - top, columns.start - left : columns.stop - left
        ]


def _truth_below(clouds: CloudLayer, truth: np.ndarray) -> np.ndarray:
    """Return the truth below simulated clouds: theirs, and that of the patch where they leave it clear.

    The patch may have clouds of its own. No simulated shadow falls on their tops, so there the truth is unknown.
    """
    codes = clouds.classes()
    below = truth_of(codes, SIMULATED_MAPPING)
    below[codes == CloudClass.CLEAR] = truth[codes == CloudClass.CLEAR]
    overcast = (truth & class_bits([CloudClass.CLOUD, CloudClass.THIN_CLOUD])) != 0
    below[(codes == CloudClass.SHADOW) & overcast] = UNKNOWN
    below[clouds.opacity > opacity_of(OPAQUE)] = class_bits([CloudClass.CLOUD])
    return below


def _fill_gaps(planes: np.ndarray) -> np.ndarray:
    """Return planes without NaN: as in use, what is missing mirrors what is there."""
    if np.isfinite(planes).all():
        return planes
    batch = prepare_window(planes)
    return np.zeros_like(planes) if batch is None else batch[0]
