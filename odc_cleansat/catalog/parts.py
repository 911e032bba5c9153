"""Parts of the index of a catalogue: files of stac-geoparquet, of which none is ever changed.

A row is a STAC item. Some columns of ours stand beside those of the item, for a datacube that asks.
"""

from __future__ import annotations

import io
import re
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import CubeError, first_line
from ..storage.folder import Folder

if TYPE_CHECKING:
    import pyarrow
    from numpy.typing import NDArray

PREFIX = "catalog:"
"""Of the names of our columns."""

DOCUMENT = f"{PREFIX}document"
"""Column with the EO3 document, as JSON."""

SEARCHED = ("id", *(PREFIX + each for each in ("begin", "end", "west", "south", "east", "north")))
SEARCHED = (*SEARCHED, f"{PREFIX}added", f"{PREFIX}archived", f"{PREFIX}uri")
"""Columns that are held in memory: id of the dataset, its times, its extent, and the address of its document.

Times are seconds since 1970; 0 stands for never. The extent is in degrees, and its east may lie beyond 180. Addresses
inside the catalogue are relative."""

_NAME = re.compile(r"items-(?P<rows>\d+)-[0-9a-f]{32}\.parquet")

_GROUP = 512
"""Rows that are compressed together, and so read together."""

_FEW = 16
"""Rows of a part below which it is stored plain: to compress each column of one row takes longer than all else."""

_LARGEST = 2**31
"""Most bytes of a part."""


def rows_of(name: str) -> int | None:
    """Return how many rows a part has, by its name; None if this is no name of a part.

    >>> rows_of("items-12-0123456789abcdef0123456789abcdef.parquet")
    12
    """
    found = _NAME.fullmatch(name)
    return int(found["rows"]) if found else None


def write_part(folder: Folder, items: Sequence[Mapping[str, Any]]) -> Part:
    """Write a part of new rows, and return it.

    Parameters
    ----------
    folder
        Where the parts of a catalogue are.
    items
        STAC items as JSON, with our columns among their properties.

    Raises
    ------
    OSError
        If a file on this machine cannot be written.
    OutputError
        If a store does not take it.
    """
    import pyarrow.fs  # stac-geoparquet needs it, and does not import it

    # Its public function asks for the memory of the process at each call, which takes longer than all else.
    from stac_geoparquet.arrow._api import stac_items_to_arrow

    batch = stac_items_to_arrow([dict(each) for each in items])
    return _write(folder, pyarrow.Table.from_batches([batch]))


def merge_parts(folder: Folder, parts: Iterable[tuple[Part, NDArray[np.int64]]]) -> Part:
    """Write rows of several parts into a new one, in the order of time, and return it.

    Parameters
    ----------
    folder
        Where the parts of a catalogue are.
    parts
        The parts, and the numbers of the rows to be kept of each.

    Raises
    ------
    CubeError
        If the parts have columns that do not go together.
    OSError
        If a file on this machine cannot be written.
    OutputError
        If a store does not take it.
    """
    import pyarrow

    tables = [part.table().take(rows) for part, rows in parts]
    try:
        table = pyarrow.concat_tables(tables, promote_options="permissive")
    except pyarrow.ArrowException as error:
        raise CubeError(
            f"the parts of the catalogue in {folder} do not go together: {first_line(error)}."
        ) from error
    return _write(folder, table.sort_by(f"{PREFIX}begin"))


def _write(folder: Folder, table: pyarrow.Table) -> Part:
    import pyarrow.fs  # noqa: F401  as above
    from fsspec.implementations.memory import MemoryFileSystem
    from stac_geoparquet.arrow import to_parquet

    name = f"items-{len(table)}-{uuid.uuid4().hex}.parquet"
    if folder.path is not None:
        folder.path.mkdir(parents=True, exist_ok=True)
    table = table.combine_chunks()
    batches = table.to_batches(max_chunksize=_GROUP)
    reader = type(table).from_batches(batches, table.schema).to_reader()
    plain = {"compression": "none", "use_dictionary": False}
    how: dict[str, Any] = plain if len(table) < _FEW else {"compression": "zstd"}
    memory = MemoryFileSystem()  # stac-geoparquet writes to no buffer, and a file takes longer
    to_parquet(reader, f"/cleansat/{name}", filesystem=memory, **how)
    content = memory.cat_file(f"/cleansat/{name}")
    memory.rm_file(f"/cleansat/{name}")
    folder.write(name, content)
    return Part(name, _searched(table), content, table if len(table) < _FEW else None)


def _searched(table: pyarrow.Table) -> dict[str, NDArray[Any]]:
    return {each: table[each].to_numpy() for each in SEARCHED}


@dataclass(frozen=True)
class Part:
    """A part that has been read."""

    name: str
    """Name of its file."""

    columns: Mapping[str, NDArray[Any]]
    """The columns :data:`SEARCHED`, each 1-d: float64, but for ``id`` and the address, which are texts."""

    content: bytes
    """The file, compressed."""

    few: pyarrow.Table | None = None
    """All rows with all columns, if they are few and this process has written them."""

    @cached_property
    def file(self) -> Any:
        """The file as pyarrow has opened it."""
        import pyarrow.parquet

        return pyarrow.parquet.ParquetFile(io.BytesIO(self.content))

    def __len__(self) -> int:
        return len(self.columns["id"])

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {id_: i for i, id_ in enumerate(self.columns["id"].tolist())}

    def numbers(self, ids: Iterable[str]) -> NDArray[np.int64]:
        """Return the numbers of the rows with some ids; of rows with the same id the last."""
        found = (self._numbers.get(each) for each in ids)
        return np.array([each for each in found if each is not None], dtype="int64")

    def table(self) -> pyarrow.Table:
        """Return all rows with all columns."""
        return self.file.read() if self.few is None else self.few

    def values(self, rows: NDArray[np.int64], column: str) -> list[Any]:
        """Return the values of a column in some rows."""
        return [row[column] for row in self._taken(rows, [column]).to_pylist()]

    def items(self, rows: NDArray[np.int64]) -> list[dict[str, Any]]:
        """Return the STAC items of some rows, without our columns. Addresses in them are as they were written."""
        import pyarrow.fs  # noqa: F401  as above
        from stac_geoparquet.arrow import stac_table_to_items

        schema = self.file.schema_arrow if self.few is None else self.few.schema
        names = [each for each in schema.names if not each.startswith(PREFIX)]
        return list(stac_table_to_items(self._taken(rows, names)))

    def _taken(self, rows: NDArray[np.int64], columns: list[str]) -> pyarrow.Table:
        """Return some rows; only the groups in which they lie are decompressed."""
        if self.few is not None:
            return self.few.select(columns).take(rows)
        ends = np.cumsum(
            [self.file.metadata.row_group(i).num_rows for i in range(self.file.num_row_groups)]
        )
        group = np.searchsorted(ends, rows, side="right")
        wanted = np.unique(group)
        sizes = np.diff(ends, prepend=0)
        begins = np.zeros(len(ends), dtype="int64")
        begins[wanted] = np.cumsum(sizes[wanted]) - sizes[wanted]
        table = self.file.read_row_groups(wanted.tolist(), columns=columns)
        return table.take(begins[group] + rows - (ends - sizes)[group])


def read_part(folder: Folder, name: str) -> Part:
    """Read a part.

    Raises
    ------
    FileNotFoundError
        If it has gone, because another program has merged it into a new one.
    CubeError
        If it is no part of a catalogue, or damaged.
    OutputError
        If a store cannot be read.
    """
    import pyarrow

    part = Part(name, {}, folder.read(name, _LARGEST))
    try:
        table = part.file.read(columns=list(SEARCHED), use_threads=False)
        return replace(part, columns=_searched(table))
    except (pyarrow.ArrowException, KeyError, OSError, ValueError) as error:
        raise CubeError(
            f"{folder}/{name} is no part of a catalogue, or damaged: {first_line(error)}. Delete it, and then: "
            "cleansat catalog update"
        ) from error
