"""Windows of dask arrays: each block is read once, and only what windows need of it stays in memory."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import numpy as np

from ..grids.centres import Roi

if TYPE_CHECKING:
    import dask.array as da

Key = tuple[Any, ...]
"""Name of a task of dask, or of a block."""


def pieces_of(
    arrays: Sequence[da.Array], windows: Sequence[Roi], name: str
) -> tuple[dict[Key, Any], list[list[list[Key]]]]:
    """Write down the tasks that cut windows out of arrays.

    The blocks of all arrays and times at one place are brought together, and cut as soon as they are there. So they do
    not stay in memory until the last window that they touch is done with: only the strips do that neighbouring windows
    share. For slices dask would cut each block, of each time, by itself, and keep many of them waiting.

    Parameters
    ----------
    arrays
        Dims ``(time, y, x)``, of any dtype, with the same chunks.
    windows
        Rows and columns of each.
    name
        Begin of the names of the tasks.

    Returns
    -------
    tasks : dict
        Part of a layer of a graph that depends on the arrays.
    keys : list
        For each window its pieces by row and column. Each piece is a list: of each array the pixels of all times.
    """
    times, *sizes = arrays[0].chunks
    stack, cut = f"{name}-stack", f"{name}-cut"
    tasks: dict[Key, Any] = {}
    keys = []
    for number, window in enumerate(windows):
        rows, columns = (_overlaps(*each) for each in zip(sizes, window, strict=True))
        for row, y in rows:
            for column, x in columns:
                tasks[stack, row, column] = (
                    list,
                    [[(a.name, t, row, column) for t in range(len(times))] for a in arrays],
                )
                tasks[cut, number, row, column] = _cut, (stack, row, column), y, x
        keys.append([[(cut, number, row, column) for column, _ in columns] for row, _ in rows])
    return tasks, keys


def _overlaps(sizes: Sequence[int], window: slice) -> list[tuple[int, slice]]:
    """Return the blocks along an axis that a window touches, and which pixels of each."""
    starts = accumulate(sizes, initial=0)
    parts = (
        (number, slice(max(window.start - start, 0), min(window.stop - start, size)))
        for number, (start, size) in enumerate(zip(starts, sizes, strict=False))
    )
    return [(number, part) for number, part in parts if part.start < part.stop]


def _cut(stack: Sequence[Sequence[np.ndarray]], rows: slice, columns: slice) -> list[np.ndarray]:
    """Return a part of the blocks of each array, of all times together. It does not keep the blocks in memory."""
    return [np.concatenate([block[:, rows, columns] for block in blocks]) for blocks in stack]
