"""Answers of teachers, kept on the disk: a teacher is asked once for each lesson, and not each time it comes again."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..classes import CloudClass
from ..models.weights import sha256_of
from .run_folder import replacing
from .teachers import Teachers, answers_for_tiles
from .tiles import Tile

FOLDER = "answers"
"""Name of the folder with the answers, in the folder of a run."""


class Answers:
    """Teachers' answers for the tiles of each lesson.

    Parameters
    ----------
    teachers
        The teachers.
    classes
        The K classes, in the order that is wanted.
    folder
        Folder in which answers are kept, float16; None to keep none. It may be deleted at any time.
    """

    def __init__(
        self, teachers: Teachers, classes: Sequence[CloudClass], folder: Path | None
    ) -> None:
        self._teachers, self._classes, self._folder = teachers, classes, folder
        known = [sha256_of(model) for model in teachers.values()]
        known += [each.label for each in classes]
        self._seed = zlib.crc32(" ".join(known).encode())

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
        # Answers belong to the very pixels, which change with the data of the recipe.
        check = self._seed
        for tile in tiles:
            check = zlib.crc32(tile.sharp.tobytes(), check)
        path = self._folder / f"{lesson:06}.npy"
        kept = _read(path, check)
        if kept is None:
            kept = answers_for_tiles(tiles, self._teachers, self._classes).astype("float16")
            self._folder.mkdir(parents=True, exist_ok=True)
            with replacing(path) as file:
                np.save(file, kept)
                file.write(check.to_bytes(4, "big"))
        return kept.astype("float32")


def _read(path: Path, check: int) -> np.ndarray | None:
    """Return the answers in a file; None if there are none, or they belong to other pixels."""
    try:
        with path.open("rb") as file:
            answers: np.ndarray = np.load(file)
            return answers if file.read() == check.to_bytes(4, "big") else None
    except (OSError, ValueError, EOFError):
        return None
