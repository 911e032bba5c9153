"""Sources of training patches: archives, labels, scenes, simulated scenes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..errors import SceneError
from ..scenes.offset import QUANTIFICATION
from .packing import read_packed
from .patches import Patch, available_bands, read_archive
from .truths import SIMULATED_MAPPING, truth_of

_FINEST_SHARE = 0.5
"""Labelled patches are kept at this share of the model's resolution, since tiles are hardly ever finer."""


@dataclass(frozen=True)
class Wanted:
    """What a recipe needs of the patches of its sources."""

    bands: tuple[str, ...]
    """Canonical names of the bands to read. Those that a source lacks are left out."""

    level: str
    """Level of sources that do not say theirs: ``L1C`` or ``L2A``."""

    resolution: float
    """Resolution of the model, metres."""

    tile_size: int
    """Side of a tile, pixels of this resolution."""


@dataclass(frozen=True)
class Source(ABC):
    """A part of the data of a recipe."""

    name: str = ""
    """Name of the group that it forms where it is held out."""

    origin: str = ""
    """Who published it, and where."""

    licence: str = ""
    """SPDX identifier, or what is known of the licence."""

    note: str = ""
    """What else to know."""

    @abstractmethod
    def read(self, folder: Path, wanted: Wanted) -> list[Patch]:
        """Return its patches, as they are.

        Parameters
        ----------
        folder
            Folder that paths are relative to.
        wanted
            What the recipe needs.

        Raises
        ------
        SceneError
            If there is no patch, or a file cannot be read.
        """


@dataclass(frozen=True)
class Archive(Source):
    """``.npz`` files of patches without labels; see :func:`~odc_cleansat.training.patches.read_archive`."""

    archive: str = ""
    """Path or pattern of the files."""

    def read(self, folder: Path, wanted: Wanted) -> list[Patch]:
        """Return its patches; see :meth:`Source.read`."""
        paths = _matching_paths(folder, self.archive)
        return [patch for path in paths for patch in read_archive(path, wanted.bands)]

    def __str__(self) -> str:
        return self.archive


@dataclass(frozen=True)
class Packed(Source):
    """Patches in a file of :func:`~odc_cleansat.training.packing.packed`."""

    packed: str = ""
    """Path of the file."""

    def read(self, folder: Path, wanted: Wanted) -> list[Patch]:
        """Return its patches; see :meth:`Source.read`."""
        return read_packed(folder / self.packed)

    def __str__(self) -> str:
        return self.packed


@dataclass(frozen=True)
class Labels(Source):
    """Patches with labels; see :func:`~odc_cleansat.training.labels.read_labels`."""

    labels: str = ""
    """Path of the folder."""

    layout: str = ""
    """``cloudsen12``, ``cloudsen12plus`` or ``on-cloud-n``."""

    split: str = "train"
    """Part of ``cloudsen12plus``: ``train``, ``validation`` or ``test``."""

    level: str = ""
    """Level to read, or level of the files; by default that of the recipe."""

    resolution: float | None = None
    """Ground sampling of the files, metres; by default what their coordinates say."""

    offset: int = 0
    """Offset of the digital numbers, 0 or -1000."""

    def read(self, folder: Path, wanted: Wanted) -> list[Patch]:
        """Return its patches; see :meth:`Source.read`."""
        from .labels import read_labels

        return read_labels(
            folder / self.labels, self.layout, wanted.bands,
            level=self.level or wanted.level, finest=_FINEST_SHARE * wanted.resolution,
            offset=self.offset, resolution=self.resolution, split=self.split,
        )  # fmt: skip

    def __str__(self) -> str:
        return ", ".join(filter(None, (self.labels, self.level)))


@dataclass(frozen=True)
class Scenes(Source):
    """Scenes without labels: folders with one file for each band, or files of several bands."""

    scenes: str = ""
    """Path or pattern of folders or files."""

    bands: tuple[str, ...] = ()
    """Names of the bands of a file of several, in their order."""

    level: str = ""
    """Level of the scenes; by default that of the recipe."""

    resolution: float | None = None
    """Ground sampling, metres; by default what the coordinates of the files say."""

    offset: int = 0
    """Offset of the digital numbers, 0 or -1000."""

    site: str = ""
    """Name of the place if all scenes are of one place; by default each scene is a site, named by its path."""

    def read(self, folder: Path, wanted: Wanted) -> list[Patch]:
        """Return each scene as a patch; see :meth:`Source.read`.

        Raises
        ------
        SceneError
            Also if the bands of a file of several are not named.
        """
        from .labels import read_scene

        patches = []
        for path in _matching_paths(folder, self.scenes):
            if path.is_file() and not self.bands:
                raise SceneError(f"{path} is a file of several bands; say its bands in the recipe.")
            files = path if path.is_dir() else {b: (path, i) for i, b in enumerate(self.bands, 1)}
            name = str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path)
            patch = read_scene(
                files, wanted.bands,
                level=self.level or wanted.level, site=name, resolution=self.resolution, offset=self.offset,
            )  # fmt: skip
            # It counts as many patches as tiles would cover it.
            side = wanted.tile_size * wanted.resolution / patch.resolution
            tiles = patch.pixels[0].size / side**2
            patches.append(replace(patch, site=self.site or name, weight=max(1.0, tiles)))
        return patches

    def __str__(self) -> str:
        return ", ".join(filter(None, (self.scenes, self.level)))


@dataclass(frozen=True)
class Simulated(Source):
    """Simulated scenes of farmland, towns and water, with clouds of known truth."""

    simulated: tuple[int, ...] = ()
    """Seeds of the scenes."""

    size: int = 640
    """Side, pixels of the model's resolution; a multiple of 32."""

    truth: bool = True
    """Whether to learn from their truth, and not from the teacher alone."""

    def read(self, folder: Path, wanted: Wanted) -> list[Patch]:
        """Return each scene as a patch; see :meth:`Source.read`."""
        return [
            simulate_patch(seed, self.size, wanted.bands, wanted.resolution, self.truth)
            for seed in self.simulated
        ]

    def __str__(self) -> str:
        first, last = self.simulated[0], self.simulated[-1]
        if self.simulated == (*range(first, last + 1),) and last > first + 1:
            return f"simulated scenes {first} to {last}"
        return f"simulated scenes {', '.join(map(str, self.simulated))}"


def simulate_patch(
    seed: int, size: int, bands: tuple[str, ...], resolution: float, truth: bool = True
) -> Patch:
    """Simulate a scene.

    Parameters
    ----------
    seed
        Seed of the scene.
    size
        Side, pixels.
    bands
        Canonical names of the bands. Those that simulated scenes lack are left out.
    resolution
        Ground sampling: 10, 20 or 30 m.
    truth
        Whether the patch has the truth of its clouds.

    Raises
    ------
    SceneError
        If there are no simulated scenes at the resolution.
    """
    from ..synthetic.scene import SimulatedScene

    if resolution not in (10, 20, 30):
        raise SceneError(f"there are simulated scenes at 10, 20 and 30 m, not at {resolution:g} m.")
    factor = round(resolution / 10)
    scene = SimulatedScene(shape=(factor * size, factor * size), seed=seed)
    layers = scene.to_xarray(round(resolution)).isel(time=0)
    names = available_bands(map(str, layers), bands)
    values = np.stack([layers[name].values for name in names.values()]).astype("float32")
    label = truth_of(layers["truth"].values, SIMULATED_MAPPING) if truth else None
    pixels = (values + np.float32(scene.offset)) / QUANTIFICATION
    return Patch(pixels, tuple(names), resolution, "L2A", f"simulated {seed}", truth=label)


def _matching_paths(folder: Path, pattern: str) -> list[Path]:
    """Return the paths that match a pattern, which is relative to the folder or absolute."""
    if Path(pattern).is_absolute():
        folder, pattern = Path(Path(pattern).anchor), str(Path(pattern).relative_to("/"))
    # The folder itself has no name to look for.
    paths = sorted(folder.glob(pattern)) if Path(pattern).parts else [folder]
    if not paths:
        raise SceneError(f"there is no {folder / pattern}; data= names the folder where it is.")
    return paths
