"""The index of one product of a catalogue: rows that many programs may add to and search at a time.

Each row that is added is a new file, so two writers never meet. Small files are merged into larger ones. A merged file
is whole before those that it replaces are deleted: whoever is killed leaves rows twice, never none. Of rows with the
same id the last added counts.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from ..errors import CubeError, GapWarning, tell
from ..storage.folder import Folder
from .parts import DOCUMENT, PREFIX, SEARCHED, Part, merge_parts, read_part, rows_of, write_part

MERGED = 16
"""So many parts of about the same size are merged into one."""

_TRIES = 5
"""How often the list of parts is read anew, if one has gone meanwhile."""

Rows = NDArray[np.int64]
"""Numbers of rows."""


class View:
    """The rows of a table as they are at one moment; rows that have been replaced are not among them.

    Parameters
    ----------
    parts
        All parts.
    ids
        Only the rows with these ids; by default all. Few are found much faster.
    """

    def __init__(self, parts: Sequence[Part], ids: Sequence[str] | None = None) -> None:
        self._parts = parts
        rows = [np.arange(len(part)) if ids is None else part.numbers(ids) for part in parts]
        joined = {
            name: np.concatenate(
                [part.columns[name][there] for part, there in zip(parts, rows, strict=True)]
            )
            if parts
            else np.empty(0, "object" if name in ("id", f"{PREFIX}uri") else "float64")
            for name in SEARCHED
        }
        added = np.argsort(joined[f"{PREFIX}added"], kind="stable")
        last = dict(zip(joined["id"][added].tolist(), added.tolist(), strict=True))
        kept = np.sort(np.fromiter(last.values(), "int64", len(last)))
        self.columns = {name: values[kept] for name, values in joined.items()}
        """The columns :data:`~odc_cleansat.catalog.parts.SEARCHED` of the rows that count, each 1-d."""
        self._part = np.repeat(np.arange(len(parts)), [len(each) for each in rows])[kept]
        self._row = np.concatenate([np.empty(0, "int64"), *rows])[kept]

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {id_: i for i, id_ in enumerate(self.columns["id"].tolist())}

    def __len__(self) -> int:
        return len(self._row)

    @property
    def archived(self) -> NDArray[np.bool_]:
        """Return which rows are archived, 1-d."""
        found: NDArray[np.bool_] = self.columns[f"{PREFIX}archived"] > 0
        return found

    def column(self, name: str) -> NDArray[Any]:
        """Return one of our columns, by its name without the prefix."""
        found: NDArray[Any] = self.columns[PREFIX + name]
        return found

    def number(self, id_: UUID | str) -> int | None:
        """Return the number of the row with an id; None if there is none."""
        return self._numbers.get(str(id_))

    def documents(self, rows: Rows) -> list[str]:
        """Return the EO3 documents of some rows, as JSON."""
        return self.values(rows, DOCUMENT)

    def values(self, rows: Rows, column: str) -> list[Any]:
        """Return the values of a column in some rows; it need not be one that is held in memory."""
        return self._gathered(rows, lambda part, there: part.values(there, column))

    def items(self, rows: Rows) -> list[dict[str, Any]]:
        """Return the STAC items of some rows."""
        return self._gathered(rows, lambda part, there: part.items(there))

    def by_part(self) -> list[tuple[Part, Rows]]:
        """Return the parts, and which rows of each count."""
        return [(part, self._row[self._part == i]) for i, part in enumerate(self._parts)]

    def _gathered(self, rows: Rows, read: Callable[[Part, Rows], list[Any]]) -> list[Any]:
        found: list[Any] = [None] * len(rows)
        for number in np.unique(self._part[rows]):
            there = np.flatnonzero(self._part[rows] == number)
            values = read(self._parts[number], self._row[rows[there]])
            for i, value in zip(there, values, strict=True):
                found[i] = value
        return found


class ItemTable:
    """The index of one product.

    Parameters
    ----------
    folder
        Where its parts are.
    """

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._parts: dict[str, Part] = {}
        self._damaged: set[str] = set()
        self._view: View | None = None

    def view(self, ids: Sequence[str] | None = None) -> View:
        """Return the rows as they are now. Only parts that are new are read.

        Parameters
        ----------
        ids
            Only the rows with these ids; by default all.

        Raises
        ------
        CubeError
            If the parts change faster than they are read.
        OutputError
            If the folder cannot be read.

        Warns
        -----
        GapWarning
            If a part is damaged; its rows are missing.
        """
        self._refresh()
        if ids is not None:
            return View(list(self._parts.values()), ids)
        if self._view is None:
            self._view = View(list(self._parts.values()))
        return self._view

    def _refresh(self) -> None:
        """Read the parts that are new, and forget those that are gone."""
        for _ in range(_TRIES):
            names = self._names()
            if names == self._parts.keys():
                return
            try:
                parts = {name: self._parts.get(name) or self._read(name) for name in names}
            except FileNotFoundError:
                continue
            self._parts = {name: part for name, part in parts.items() if part is not None}
            self._view = None
            return
        raise CubeError(
            f"the catalogue in {self._folder} changed {_TRIES} times while it was read; try again."
        )

    def _names(self) -> set[str]:
        """Return the names of the parts. A part that goes meanwhile stays among them: who reads it, has to look again."""
        return {name for name in self._folder.entries() if rows_of(name)} - self._damaged

    def _read(self, name: str) -> Part | None:
        try:
            return read_part(self._folder, name)
        except CubeError as error:
            self._damaged.add(name)
            tell(str(error), GapWarning)
            return None

    def add(self, items: Sequence[Mapping[str, Any]]) -> None:
        """Add rows, and merge parts if there are many.

        Parameters
        ----------
        items
            STAC items as JSON, with our columns among their properties.

        Raises
        ------
        OSError, OutputError
            If they cannot be written.
        """
        self._keep(write_part(self._folder, items))
        by_size: dict[int, list[str]] = defaultdict(list)
        for name in self._parts:
            by_size[_size_class(rows_of(name) or 0)].append(name)
        for names in by_size.values():
            if len(names) >= MERGED:
                self._merge(names)

    def merge(self) -> None:
        """Merge all parts into one; errors as of :meth:`add`."""
        if len(names := self._names()) > 1:
            self._merge(names)

    def _merge(self, names: Iterable[str]) -> None:
        """Merge some parts. Whoever has merged one of them before has also deleted it: then nothing is done."""
        there = self._names()
        if not there.issuperset(names):
            self._parts = {name: part for name, part in self._parts.items() if name in there}
            return
        try:
            found = [self._parts.get(name) or self._read(name) for name in sorted(names)]
        except FileNotFoundError:
            return
        parts = [part for part in found if part is not None]
        merged = merge_parts(self._folder, View(parts).by_part())
        self._folder.remove([part.name for part in parts])
        self._keep(merged, [part.name for part in parts])

    def _keep(self, part: Part, merged: Iterable[str] = ()) -> None:
        """Hold a part that was just written, in place of those that were merged into it."""
        kept = {name: each for name, each in self._parts.items() if name not in set(merged)}
        self._parts = {**kept, part.name: part}
        self._view = None


def now() -> float:
    """Return the time, seconds since 1970."""
    return time.time()


def _size_class(rows: int) -> int:
    """Return 0 for less than 16 rows, 1 for less than 256, and so on."""
    found = 0
    while rows >= MERGED:
        rows //= MERGED
        found += 1
    return found
