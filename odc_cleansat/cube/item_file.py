"""Lists of scenes in a file of stac-geoparquet, read batch by batch: a million items need no more memory than a thousand."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import weakref
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_URL, UUID, uuid5

import numpy as np
import shapely

from ..addresses import public_address, without_secrets
from ..errors import CleansatError, CubeError, SceneError, fault_of, first_line
from ..grids.footprint import geojson_bbox, lonlat_footprint
from ..progress import Count, count_nothing
from ..scenes.http import innermost_reason, stac_io
from ..scenes.stac import parse_item
from ..storage.failures import store_errors
from ..storage.reader import check_regular, parse_json
from ..storage.settings import URL_SCHEME, open_filesystem
from .area import PLACE
from .query import Query
from .scene_list import inside_query
from .stac_list import StacRow, item_row, unreadable_row

if TYPE_CHECKING:
    import pyarrow
    from numpy.typing import NDArray

_BATCH = 500
"""Rows that are in memory at a time: one takes 20 kB and more."""

_NEEDED = ("id", "geometry", "assets")
"""Columns without which a table is no list of items."""

_KNOWN = 1
"""Greatest first number of a version, of stac-geoparquet and of GeoParquet, that is read."""

_FORMATS = {"stac-geoparquet": "stac-geoparquet", "geo": "GeoParquet"}
"""Keys of a file's metadata under which versions stand, to the name of the format."""


@dataclass(frozen=True)
class Wanted:
    """Which items of a list are wanted."""

    terms: Mapping[str, Any]
    """Search terms as for `dc.find_datasets`: a time and a place."""

    max_cloud: float | None = None
    """Greatest cloud cover, percent, as the provider gives it. Items without a figure are wanted."""

    has: Callable[[UUID], bool] | None = None
    """Tells of an id, which follows from the collection and the id of an item, whether it is wanted."""

    def __post_init__(self) -> None:
        if other := sorted(name for name in self.terms if name != "time" and name not in PLACE):
            raise CubeError(
                f"{', '.join(other)} cannot be searched for in a list of items, which knows time and place alone; leave it out."
            )


class ItemFile:
    """A file of stac-geoparquet. Each row is a STAC item.

    A remote file is fetched once, into a temporary file that lives as long as this object.

    Parameters
    ----------
    place
        Path or URL of the file.

    Raises
    ------
    CubeError
        If there is no such file, or it is damaged, empty, of a newer version or no list of items.
    OutputError
        If a store cannot be read.
    """

    def __init__(self, place: Path | str) -> None:
        self.name = public_address(str(place))
        """Path or address for people."""
        self._path = self._fetched(str(place))
        self._file = self._opened(self._path)

    def __len__(self) -> int:
        rows: int = self._file.metadata.num_rows
        return rows

    def _fetched(self, place: str) -> Path:
        """Return the path of the file on this machine."""
        scheme = URL_SCHEME.match(place)
        if scheme is None:
            return Path(place)
        if scheme[0].lower() == "file":
            from ..scenes.files import local_path

            return Path(local_path(place))
        work = tempfile.mkdtemp(prefix="cleansat-")
        weakref.finalize(self, shutil.rmtree, work, ignore_errors=True)
        path = Path(work) / "items.parquet"
        try:
            if scheme[0].lower() in ("http", "https"):
                _download(place, path)
            else:
                with store_errors(self.name):
                    open_filesystem(place).get_file(place, str(path))
        except CleansatError:
            raise
        except FileNotFoundError as error:
            raise self._missing() from error
        except Exception as error:  # of requests and urllib3
            raise CubeError(
                f"cannot read {self.name}: {innermost_reason(error)}. Check the address and the network."
            ) from error
        return path

    def _missing(self) -> CubeError:
        return CubeError(
            f"there is no list of items {self.name}; give a file of stac-geoparquet, or its URL."
        )

    def _opened(self, path: Path) -> Any:
        import pyarrow.parquet

        if path.is_dir():
            raise CubeError(f"{self.name} is a folder; give one file of stac-geoparquet.")
        try:
            check_regular(path, self.name)
            file = pyarrow.parquet.ParquetFile(path, pre_buffer=False, buffer_size=2**16)
        except FileNotFoundError as error:
            raise self._missing() from error
        except (pyarrow.ArrowException, OSError) as error:
            raise self._damaged(error) from error
        self._check_version(file.metadata.metadata or {})
        names = file.schema_arrow.names
        if missing := [name for name in _NEEDED if name not in names]:
            raise CubeError(
                f"{self.name} is no list of STAC items: it lacks {', '.join(missing)}. Write it as stac-geoparquet, for instance "
                "with rustac or stac-geoparquet."
            )
        if not file.metadata.num_rows:
            raise CubeError(f"{self.name} lists no items; write it anew.")
        return file

    def _damaged(self, error: BaseException) -> CubeError:
        reason = first_line(error).replace(str(self._path), self.name).rstrip(".")
        return CubeError(
            f"{self.name} is no whole file of Parquet: {reason}. Wait until it is written, or fetch it again."
        )

    def _check_version(self, metadata: Mapping[bytes, bytes]) -> None:
        """Raise if the file is of a newer version than those that are known."""
        for key, name in _FORMATS.items():
            try:
                document = parse_json(metadata.get(key.encode(), b"{}"), self.name)
                version = str(document.get("version", _KNOWN))
                known = int(version.split(".")[0]) <= _KNOWN
            except (CleansatError, ValueError, AttributeError):
                continue  # whoever wrote it says nothing of use, and columns are looked at too
            if not known:
                raise CubeError(
                    f"{self.name} is of version {version} of {name}, which is newer than this package knows; write it as version "
                    f"{_KNOWN}, or take a newer odc-cleansat."
                )

    def rows(self, wanted: Wanted, count: Count = count_nothing) -> Iterator[StacRow]:
        """Yield the scenes that are wanted, in the order of the list; of rows with one id the first.

        No files of scenes are opened. What is no scene of Sentinel-2 L2A has a `problem`.

        Parameters
        ----------
        wanted
            Which items.
        count
            Is told how many rows are read of how many.

        Raises
        ------
        CubeError
            If the time or place cannot be understood, or the file turns out to be damaged.
        """
        query = Query.of(None, wanted.terms)
        window = _Window.of(query, wanted.max_cloud)
        seen: set[UUID] = set()
        done = 0
        for batch in self._batches():
            kept = window.may_hold(batch)
            if wanted.has is not None:
                kept &= np.array([wanted.has(each) for each in _keys(batch)])
            found = [item_row_of(each) for each in self._documents(batch, np.flatnonzero(kept))]
            for row in window.holding(found, query):
                if row.id not in seen:
                    seen.add(row.id)
                    yield row
            done += len(batch)
            count(done, len(self))

    def labels(self, ids: Collection[UUID], wanted: Wanted) -> Iterator[tuple[UUID, str]]:
        """Yield ids and names of some scenes among those that are wanted, in the order of the list, for people."""
        left = set(ids)
        for row in self.rows(wanted) if left else ():
            if row.id in left:
                left.remove(row.id)
                yield row.id, without_secrets(row.label)
            if not left:
                break

    def _batches(self) -> Iterator[pyarrow.RecordBatch]:
        import pyarrow

        # stac-geoparquet fails where an item lacks this, and nobody asks for it.
        names = [each for each in self._file.schema_arrow.names if each != "proj:geometry"]
        try:
            yield from self._file.iter_batches(_BATCH, columns=names)
        except (pyarrow.ArrowException, OSError) as error:
            raise self._damaged(error) from error

    def _documents(
        self, batch: pyarrow.RecordBatch, rows: NDArray[np.int64]
    ) -> Iterator[dict[str, Any]]:
        """Yield the items of some rows as JSON; of a row that cannot be read ``id`` and ``fault``."""
        import pyarrow.fs  # stac-geoparquet needs it, and does not import it
        from stac_geoparquet.arrow import stac_table_to_items

        def read(numbers: NDArray[np.int64]) -> list[dict[str, Any]]:
            return list(stac_table_to_items(pyarrow.Table.from_batches([batch]).take(numbers)))

        if not len(rows):
            return
        try:
            yield from read(rows)
        except Exception:  # of pyarrow and shapely; one row is at fault
            for number in rows:
                try:
                    yield from read(np.array([number]))
                except Exception as error:
                    yield {"id": str(batch["id"][int(number)]), "fault": fault_of(error)}


@dataclass(frozen=True)
class _Window:
    """A time, a place and a cloud cover that columns of a table answer fast, though not exactly."""

    begin: np.datetime64
    end: np.datetime64
    box: Sequence[float] | None
    max_cloud: float | None

    @staticmethod
    def of(query: Query, max_cloud: float | None) -> _Window:
        from datacube.api.query import Query as DatacubeQuery

        begin, end = np.datetime64("0001-01-01"), np.datetime64("9999-01-01")
        if "time" in query.terms:
            span = DatacubeQuery(time=query.terms["time"]).search["time"]
            begin, end = (
                np.datetime64(each.replace(tzinfo=None)) for each in (span.begin, span.end)
            )
        box = None if query.area is None else geojson_bbox(lonlat_footprint(query.area))
        return _Window(begin, end, box, max_cloud)

    def may_hold(self, batch: pyarrow.RecordBatch) -> NDArray[np.bool_]:
        """Return which rows may be wanted, ``(n,)``; all that are, are among them."""
        import pyarrow

        kept = np.ones(len(batch), dtype=bool)
        # A column that cannot be read so, is left to the exact look at each item.
        with contextlib.suppress(KeyError, pyarrow.ArrowException):
            times = batch["datetime"].cast(pyarrow.timestamp("us", "UTC"))
            times = times.to_numpy(zero_copy_only=False).astype("datetime64[us]")
            kept &= np.isnat(times) | ((times >= self.begin) & (times <= self.end))
        if self.max_cloud is not None:
            with contextlib.suppress(KeyError, pyarrow.ArrowException):
                cover = batch["eo:cloud_cover"].cast(pyarrow.float64())
                kept &= ~(cover.to_numpy(zero_copy_only=False) > self.max_cloud)
        return kept if self.box is None else kept & self._near(batch["geometry"])

    def _near(self, geometry: Any) -> NDArray[np.bool_]:
        assert self.box is not None
        west, south, east, north = self.box
        binary = getattr(geometry, "storage", geometry).to_numpy(zero_copy_only=False)
        bounds = shapely.bounds(shapely.from_wkb(binary, on_invalid="ignore"))
        w, s, e, n = bounds.T
        # What is not known, is NaN, and no comparison with it is true.
        apart = (w > east) | (e < west) if west <= east else np.zeros(len(w), dtype=bool)
        apart &= ~((e - w >= 180) | (w < -180) | (e > 180))  # it may lie across the antimeridian
        found: NDArray[np.bool_] = ~(apart | (s > north) | (n < south))
        return found

    def holding(self, rows: list[StacRow], query: Query) -> Iterator[StacRow]:
        """Yield the rows that are wanted; with them those of which that is not known, for they have a problem."""
        # Of one that says no place or time nobody knows whether it is wanted, so it is told.
        placed = [row for row in rows if not row.footprint.is_empty]
        inside = {id(row) for row in inside_query(placed, query)}
        for row in rows:
            if not (id(row) in inside or (row.problem and row.footprint.is_empty)):
                continue
            if row.time is None:
                if row.problem or "time" not in query.terms:
                    yield row
                continue
            cloudy = self.max_cloud is not None and (row.cloud_cover or 0) > self.max_cloud
            if self.begin <= np.datetime64(row.time) <= self.end and not cloudy:
                yield row


def item_row_of(document: dict[str, Any]) -> StacRow:
    """Return the row of an item as a table has it, with nulls where other items have values."""
    name = str(document.get("id"))
    if fault := document.get("fault"):
        return unreadable_row(name, f"item {name} cannot be read: {fault}.")
    document = {"type": "Feature", "links": [], **_without_nulls(document)}
    link = next((each["href"] for each in document["links"] if each.get("rel") == "self"), "")
    try:
        return item_row(parse_item(document, link))
    except SceneError as error:
        return unreadable_row(name, str(error))


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(each) for key, each in value.items() if each is not None}
    return [_without_nulls(each) for each in value] if isinstance(value, list) else value


def _keys(batch: pyarrow.RecordBatch) -> Iterator[UUID]:
    """Yield an id for each row that is faster to have than the id of its scene."""
    names = batch["id"].to_pylist()
    if "collection" in batch.schema.names:
        names = [f"{a}\n{b}" for a, b in zip(batch["collection"].to_pylist(), names, strict=True)]
    return (uuid5(NAMESPACE_URL, str(each)) for each in names)


def _download(url: str, path: Path) -> None:
    """Write what is at a URL into a file."""
    with stac_io().session.get(url, stream=True, timeout=60) as answer:
        if answer.status_code == 404:
            raise FileNotFoundError(url)
        answer.raise_for_status()
        with path.open("wb") as file:
            for block in answer.iter_content(2**20):
                file.write(block)
