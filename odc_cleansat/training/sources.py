"""Sources of training patches: archives, labels, scenes, simulated scenes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import SceneError
from ..scenes.offset import QUANTIFICATION
from .labels import read_labels, read_scene
from .patches import Patch, available, read_archive
from .truths import SIMULATED, truth_of

if TYPE_CHECKING:
    from .recipe import Recipe


FINEST = 0.5
"""Labelled patches are kept at this share of the model's resolution: tiles are hardly ever finer."""


@dataclass(frozen=True)
class Source(ABC):
    """Some of the data of a recipe."""

    name: str = ""
    """Of the group that it forms where it is held out."""

    origin: str = ""
    """Who published it, and where."""

    licence: str = ""
    """SPDX identifier, or what is known of it."""

    note: str = ""
    """What else to know."""

    @abstractmethod
    def read(self, folder: Path, recipe: Recipe) -> list[Patch]:
        """Its patches, as they are; paths are relative to the folder.

        Raises
        ------
        SceneError
            If there are none, or they cannot be read.
        """


@dataclass(frozen=True)
class Archive(Source):
    """``.npz`` files of patches without labels; see :func:`~odc_cleansat.training.patches.read_archive`."""

    archive: str = ""
    """Path or pattern."""

    def read(self, folder: Path, recipe: Recipe) -> list[Patch]:
        """See :meth:`Source.read`."""
        paths = _matching(folder, self.archive)
        return [patch for path in paths for patch in read_archive(path, recipe.bands)]

    def __str__(self) -> str:
        return self.archive


@dataclass(frozen=True)
class Labels(Source):
    """Patches with labels; see :func:`~odc_cleansat.training.labels.read_labels`."""

    labels: str = ""
    """Folder."""

    layout: str = ""
    """``cloudsen12`` or ``on-cloud-n``."""

    level: str = ""
    """Which level to read, or what the files are; by default the recipe's."""

    resolution: float | None = None
    """Of the files, metres; by default what their coordinates say."""

    offset: int = 0
    """Of the digital numbers."""

    def read(self, folder: Path, recipe: Recipe) -> list[Patch]:
        """See :meth:`Source.read`."""
        return read_labels(
            folder / self.labels, self.layout, recipe.bands,
            level=self.level or recipe.level, resolution=FINEST * recipe.resolution, offset=self.offset,
            sampling=self.resolution,
        )  # fmt: skip

    def __str__(self) -> str:
        return ", ".join(filter(None, (self.labels, self.level)))


@dataclass(frozen=True)
class Scenes(Source):
    """Scenes without labels: folders with one file for each band, or files of several bands."""

    scenes: str = ""
    """Path or pattern of folders or files."""

    bands: tuple[str, ...] = ()
    """What the bands of a file of several are."""

    level: str = ""
    """What they are; by default the recipe's."""

    resolution: float | None = None
    """Metres; by default what their coordinates say."""

    offset: int = 0
    """Of the digital numbers."""

    site: str = ""
    """Where they are, if all are of one place; by default each is a site by its path."""

    def read(self, folder: Path, recipe: Recipe) -> list[Patch]:
        """See :meth:`Source.read`."""
        found = []
        for path in _matching(folder, self.scenes):
            if path.is_file() and not self.bands:
                raise SceneError(f"{path} is a file of several bands; say its bands in the recipe.")
            files = path if path.is_dir() else {b: (path, i) for i, b in enumerate(self.bands, 1)}
            name = str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path)
            patch = read_scene(
                files, recipe.bands,
                level=self.level or recipe.level, site=name, resolution=self.resolution, offset=self.offset,
            )  # fmt: skip
            # It counts as many patches as tiles would cover it.
            side = recipe.plan.size * recipe.resolution / patch.resolution
            tiles = patch.pixels[0].size / side**2
            found.append(replace(patch, site=self.site or name, weight=max(1.0, tiles)))
        return found

    def __str__(self) -> str:
        return ", ".join(filter(None, (self.scenes, self.level)))


@dataclass(frozen=True)
class Simulated(Source):
    """Simulated scenes: farmland, towns and water at the model's resolution, with clouds of known truth."""

    simulated: tuple[int, ...] = ()
    """Their seeds."""

    size: int = 640
    """Side, pixels; a multiple of 2."""

    truth: bool = True
    """Whether to learn from their truth, and not from the teacher alone."""

    def read(self, folder: Path, recipe: Recipe) -> list[Patch]:
        """See :meth:`Source.read`."""
        return [simulate(seed, self.size, recipe, self.truth) for seed in self.simulated]

    def __str__(self) -> str:
        first, last = self.simulated[0], self.simulated[-1]
        if self.simulated == (*range(first, last + 1),) and last > first + 1:
            return f"simulated scenes {first} to {last}"
        return f"simulated scenes {', '.join(map(str, self.simulated))}"


def simulate(seed: int, size: int, recipe: Recipe, truth: bool = True) -> Patch:
    """A simulated scene at the model's resolution, 10, 20 or 30 m."""
    from ..synthetic.scene import SimulatedScene

    metres = recipe.resolution
    if metres not in (10, 20, 30):
        raise SceneError(f"there are simulated scenes at 10, 20 and 30 m, not at {metres:g} m.")
    factor = round(metres / 10)
    scene = SimulatedScene(shape=(factor * size, factor * size), seed=seed)
    layers = scene.to_xarray(round(metres)).isel(time=0)
    names = available(layers, recipe.bands)
    values = np.stack([layers[name].values for name in names.values()]).astype("float32")
    label = truth_of(layers["truth"].values, SIMULATED) if truth else None
    pixels = (values + np.float32(scene.offset)) / QUANTIFICATION
    return Patch(pixels, tuple(names), metres, "L2A", f"simulated {seed}", truth=label)


def _matching(folder: Path, pattern: str) -> list[Path]:
    if Path(pattern).is_absolute():
        folder, pattern = Path(Path(pattern).anchor), str(Path(pattern).relative_to("/"))
    # The folder itself has no name to look for.
    found = sorted(folder.glob(pattern)) if Path(pattern).parts else [folder]
    if not found:
        raise SceneError(f"there is no {folder / pattern}; --data names the folder where it is.")
    return found
