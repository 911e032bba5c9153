"""What the ground of one place looked like on the dates around one: its clear values, in order.

The values of each pixel are put in order by a network of comparisons, each of two whole planes. Processors compare
many pixels at a time so. Planes are cut into strips that stay in the cache.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache

import numpy as np

_STRIP = 16_384
"""Pixels that are put in order at a time."""

Rank = Callable[[np.ndarray], np.ndarray]

MEDIAN: tuple[Rank, Rank] = (lambda count: (count - 1) // 2, lambda count: count // 2)
"""The two in the middle, which are the same one of an odd number of values."""

MIDDLE_HALF: tuple[Rank, Rank] = (lambda count: count // 4, lambda count: count - 1 - count // 4)
"""The least and the greatest one of the middle half."""


class Ground:
    """The clear values of one band, of which the dates around one are kept.

    Ask for one date after the other, so that most of what is needed next is there.
    """

    def __init__(self, read: Callable[[int], tuple[np.ndarray, np.ndarray]]) -> None:
        """Remember how the values of a date are read.

        Parameters
        ----------
        read
            Returns two planes for the number of a date, dims ``(y, x)``: values, of the same dtype for all dates, and
            bool, which of them count.
        """
        self._read = read
        self._planes: dict[int, np.ndarray] = {}
        self._known: dict[int, np.ndarray] = {}
        self._count = np.zeros((), "uint16")

    def ranked(
        self, dates: Iterable[int], ranks: Sequence[Rank]
    ) -> tuple[np.ndarray, list[np.ndarray]]:
        """Return values of some ranks among those of some dates.

        Parameters
        ----------
        dates
            Numbers of the dates, at least one.
        ranks
            Each returns the rank that is wanted of so many values: 0 for the least.

        Returns
        -------
        count : numpy.ndarray
            Number of values of each pixel, uint16, dims ``(y, x)``.
        found : list of numpy.ndarray
            For each rank a plane of the dtype of the values, dims ``(y, x)``; of no use where the count is 0.
        """
        self._keep(set(dates))
        planes, known = (
            [*self._planes.values()],
            np.array([each.any(axis=1) for each in self._known.values()]),
        )
        rows, columns = planes[0].shape
        count, found = self._count.copy(), [np.zeros_like(planes[0]) for _ in ranks]
        height = min(rows, max(1, _STRIP // columns))
        buffer = np.empty((len(planes) + 1, height * columns), planes[0].dtype)
        for top in range(0, rows, height):
            strip = slice(top, top + height)
            some = [planes[i][strip] for i in np.flatnonzero(known[:, strip].any(axis=1))]
            if some:
                _fill([each[strip] for each in found], count[strip], some, ranks, buffer)
        return count, found

    def _keep(self, dates: set[int]) -> None:
        """Read what is missing of some dates, and drop all others."""
        for date in self._planes.keys() - dates:
            self._count -= self._known.pop(date)
            del self._planes[date]
        for date in sorted(dates - self._planes.keys()):
            values, known = self._read(date)
            whole = values.dtype.kind in "ui"
            most = np.iinfo(values.dtype).max if whole else np.inf
            self._planes[date] = np.where(known, values, values.dtype.type(most))
            self._known[date] = known
            self._count = self._count + known


def _fill(
    found: Sequence[np.ndarray],
    count: np.ndarray,
    planes: Sequence[np.ndarray],
    ranks: Sequence[Rank],
    buffer: np.ndarray,
) -> None:
    """Find values of some ranks in a strip, in which the greatest number stands for no value."""
    used, size = len(planes), count.size
    for row, plane in zip(buffer, planes, strict=False):
        row[:size].reshape(plane.shape)[:] = plane
    starts = buffer.shape[1] * np.array(_put_in_order(buffer[: used + 1, :size]))
    places, pixel, flat = count.reshape(-1).astype(np.intp), np.arange(size), buffer.reshape(-1)
    for plane, rank in zip(found, ranks, strict=True):
        # Of no value there is no rank; any will do.
        rows = rank(np.arange(used + 1)) % used
        at = starts[rows].take(places, mode="clip")
        at += pixel
        flat.take(at, mode="clip", out=plane.reshape(-1))


def _put_in_order(buffer: np.ndarray) -> list[int]:
    """Put all rows of a buffer but the last in order, column by column; return the row in which each rank then is.

    Where the last row is, changes with each comparison, so that no row is copied.
    """
    rows, spare = [*buffer], len(buffer) - 1
    places = [*range(spare)]
    for one, other in _comparisons(spare):
        a, b = places[one], places[other]
        np.minimum(rows[a], rows[b], out=rows[spare])
        np.maximum(rows[a], rows[b], out=rows[b])
        places[one], spare = spare, a
    return places


@lru_cache
def _comparisons(count: int) -> list[tuple[int, int]]:
    """Return which ranks to compare, one pair after the other, to put so many values in order.

    This is Batcher's merge exchange: Knuth, The Art of Computer Programming, volume 3, algorithm 5.2.2 M.
    """
    pairs: list[tuple[int, int]] = []
    top = 1 << max(count - 1, 0).bit_length() >> 1
    part = top
    while part:
        step, rest, distance = top, 0, part
        while True:
            pairs += [(i, i + distance) for i in range(count - distance) if i & part == rest]
            if step == part:
                break
            distance, step, rest = step - part, step >> 1, part
        part >>= 1
    return pairs
