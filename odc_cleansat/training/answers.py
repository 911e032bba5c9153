"""Answers of teachers, kept on the disk: a teacher is asked once for each lesson, and not each time it comes again.

They can be taken to a machine that has no teacher, and trained with there.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from ..classes import CloudClass
from ..models.weights import sha256_of
from .run_folder import replacing
from .teachers import Teachers, answers_for_tiles
from .tiles import Tile

FOLDER = "answers"
"""Name of the folder with the answers, in the folder of a run."""

_STEPS = 255
"""Probabilities are kept in so many steps. So a lesson takes a tenth of the room of float16."""

_SAME = 1e-3
"""Relative difference up to which the mean of a band counts as that of the same tile. Machines round differently."""


class Answers:
    """Teachers' answers for the tiles of each lesson.

    Parameters
    ----------
    teachers
        The teachers.
    classes
        The K classes, in the order that is wanted.
    folder
        Folder in which answers are kept; None to keep none. It may be deleted at any time.
    """

    def __init__(
        self, teachers: Teachers, classes: Sequence[CloudClass], folder: Path | None
    ) -> None:
        self._teachers, self._classes, self._folder = teachers, classes, folder
        known = [sha256_of(model) for model in teachers.values()]
        known += [each.label for each in classes]
        self._by = zlib.crc32(" ".join(known).encode())

    def of(self, tiles: Sequence[Tile], lesson: int) -> np.ndarray:
        """Return the class probabilities that the teachers give.

        Parameters
        ----------
        tiles
            The N tiles of a lesson.
        lesson
            Its number.

        Returns
        -------
        numpy.ndarray
            ``(N, K, H, W)`` float32, as the tiles lay before they were moved.

        Raises
        ------
        ModelError
            If there is no teacher for a tile, or the answers cannot be written.
        """
        if self._folder is None:
            return answers_for_tiles(tiles, self._teachers, self._classes)
        # Answers belong to the tiles, which change with the data of the recipe.
        means = np.concatenate([tile.sharp.mean(axis=(1, 2), dtype="float64") for tile in tiles])
        path = self._folder / f"{lesson:06}.npz"
        kept = _read(path, self._by, means)
        if kept is None:
            answers = answers_for_tiles(tiles, self._teachers, self._classes)
            kept = np.rint(answers * _STEPS).astype("uint8")
            self._folder.mkdir(parents=True, exist_ok=True)
            with replacing(path) as file:
                np.savez_compressed(file, answers=kept, means=means, by=self._by)
        total = kept.sum(axis=1, keepdims=True, dtype="float32")
        shares: np.ndarray = kept / np.maximum(total, 1)
        return shares


def _read(path: Path, by: int, means: np.ndarray) -> np.ndarray | None:
    """Return the answers in a file; None if there are none, or they are another teacher's or for other tiles."""
    try:
        with path.open("rb") as raw, np.load(raw) as file:
            same = file["means"].shape == means.shape and np.allclose(
                file["means"], means, rtol=_SAME
            )
            answers: np.ndarray = file["answers"]
            return answers if same and file["by"] == by else None
    except (OSError, ValueError, EOFError, KeyError, BadZipFile, zlib.error):
        return None
