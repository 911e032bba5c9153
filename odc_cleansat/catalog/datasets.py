"""Datasets of a catalogue, searched as those of a datacube are."""

from __future__ import annotations

import datetime
from collections import namedtuple
from collections.abc import Generator, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID

import numpy as np
from datacube.index.fields import UnknownFieldError
from datacube.index.memory._datasets import DatasetResource
from datacube.index.memory._fields import build_custom_fields, get_dataset_fields
from datacube.model import Dataset, Not, Range

from ..storage.folder import Folder
from ..storage.reader import parse_json
from .items import absolute, row_of
from .parts import PREFIX
from .products import CatalogProducts
from .table import Rows, View, now

if TYPE_CHECKING:
    from datacube.index.abstract import AbstractIndex
    from datacube.model import Product

_BOUNDS = {"lat": ("south", "north"), "lon": ("west", "east"), "time": ("begin", "end")}
"""Search fields that columns answer, and the names of their columns."""

_CHEAP = {"id", "uri", "time"}
"""Fields that need no document."""


class CatalogDatasets(DatasetResource):  # type: ignore[misc]
    """The datasets of a catalogue. Searches give the latest first.

    Parameters
    ----------
    index
        The index of which they are.
    root
        The catalogue.
    products
        Its products.
    """

    def __init__(self, index: AbstractIndex, root: Folder, products: CatalogProducts) -> None:
        super().__init__(index)
        self._root = root
        self._products = products

    # --- one dataset ------------------------------------------------------------------

    def get_unsafe(
        self,
        id_: UUID | str,
        include_sources: bool = False,
        include_deriveds: bool = False,
        max_depth: int = 0,
    ) -> Dataset:
        """Return a dataset.

        Raises
        ------
        KeyError
            If there is none with this id.
        """
        self._check_get_legacy(include_deriveds, max_depth)
        for dataset in self._by_ids([id_]):
            if include_sources:
                known = [
                    self.get(each, include_sources=True) for each in self._sources(id_).values()
                ]
                names = self._sources(id_)
                dataset.sources = {
                    name: each for name, each in zip(names, known, strict=True) if each is not None
                }
            return dataset
        raise KeyError(id_)

    def bulk_get(self, ids: Iterable[UUID | str]) -> Iterable[Dataset]:
        """Return the datasets with some ids; ids that are not known are left out."""
        return self._by_ids(list(ids))

    def get_derived(self, id_: UUID | str) -> Iterable[Dataset]:
        """Return the datasets that were made of one."""
        found = []
        for product, view in self._views():
            rows = np.arange(len(view))
            for row, text in zip(rows, view.values(rows, f"{PREFIX}sources"), strict=True):
                if str(id_) in _parsed(text).values():
                    found += self._datasets(product, view, np.array([row]))
        return found

    def has(self, id_: UUID | str) -> bool:
        """Return whether there is a dataset with an id."""
        return any(len(view) for _, view in self._views([id_]))

    def bulk_has(self, ids_: Iterable[UUID | str]) -> Iterable[bool]:
        """Return for each id whether there is a dataset."""
        ids = list(ids_)
        views = [view for _, view in self._views(ids)]
        return [any(view.number(id_) is not None for view in views) for id_ in ids]

    # --- changes ----------------------------------------------------------------------

    def add(
        self,
        dataset: Dataset,
        with_lineage: bool = True,
        archive_less_mature: int | None = None,
    ) -> Dataset:
        """Add a dataset, unless it is there. What it was made of is not added."""
        if not self.has(dataset.id):
            self._write([dataset])
        return self.get_unsafe(dataset.id)

    def update(
        self,
        dataset: Dataset,
        updates_allowed: Mapping[Any, Any] | None = None,
        archive_less_mature: int | None = None,
    ) -> Dataset:
        """Replace what is known of a dataset; rules of datacube say what may change.

        Raises
        ------
        ValueError
            If it is not known, or a change is not allowed.
        """
        if not self.has(dataset.id):
            raise ValueError(
                f"Unknown dataset {dataset.id}, cannot update - did you intend to add it?"
            )
        allowed, _, refused = self.can_update(dataset, updates_allowed)
        if not allowed:
            raise ValueError(f"Unsafe metadata changes in {dataset.id}: {refused}")
        self._write([dataset])
        return self.get_unsafe(dataset.id)

    def archive(self, ids: Iterable[UUID | str]) -> None:
        """Archive datasets: searches do not find them any more."""
        self._write(self._by_ids(list(ids)), archived=now())

    def restore(self, ids: Iterable[UUID | str]) -> None:
        """Restore datasets that are archived."""
        self._write(self._by_ids(list(ids)))

    def add_all(self, datasets: Iterable[Dataset]) -> None:
        """Add many datasets at a time; those that are there are replaced."""
        self._write(datasets)

    def _write(self, datasets: Iterable[Dataset], archived: float = 0.0) -> None:
        rows: dict[str, list[dict[str, Any]]] = {}
        for each in datasets:
            rows.setdefault(each.product.name, []).append(row_of(each, self._root, archived))
        for name, items in rows.items():
            self._products.tables[name].add(items)

    # --- searches ---------------------------------------------------------------------

    def _search(
        self,
        return_format: int,
        limit: int | None = None,
        source_filter: Mapping[str, Any] | None = None,
        archived: bool | None = False,
        **query: Any,
    ) -> Iterator[Any]:
        """Yield datasets, or products with theirs; the parameters are those of datacube's own driver."""
        if source_filter or "geopolygon" in query:
            raise NotImplementedError("a catalogue is searched by latitude and longitude alone")
        left = limit
        for product, view, rows in self._matching(archived, query):
            rows = rows if left is None else rows[:left]
            left = left if left is None else left - len(rows)
            found = self._datasets(product, view, rows)
            if return_format == self.RET_FORMAT_DATASETS:
                yield from found
            elif len(rows):
                yield product, found

    def search_returning(
        self,
        field_names: Iterable[str] | None = None,
        custom_offsets: Mapping[str, Any] | None = None,
        limit: int | None = None,
        archived: bool | None = False,
        order_by: Iterable[Any] | None = None,
        **query: Any,
    ) -> Generator[Any]:
        """Yield fields of datasets and parts of their documents, the latest first."""
        if field_names is None and custom_offsets is None:
            field_names = self._products.get_field_names()
        names = list(dict.fromkeys(field_names or ()))
        custom = build_custom_fields(custom_offsets) if custom_offsets else {}
        row_type = namedtuple("row_type", [*names, *custom])  # type: ignore[misc]
        left = limit
        for product, view, rows in self._matching(archived, query):
            rows = rows if left is None else rows[:left]
            left = left if left is None else left - len(rows)
            needed = bool(custom) or not _CHEAP.issuperset(names)
            texts = view.documents(rows) if needed else ["{}"] * len(rows)
            fields = get_dataset_fields(product.metadata_type.definition) | custom
            for row, text in zip(rows, texts, strict=True):
                document = _parsed(text)
                values = [
                    self._cheap(view, row, name)
                    if name in _CHEAP
                    else fields[name].extract(document)
                    if name in fields
                    else None
                    for name in (*names, *custom)
                ]
                yield row_type(*values)

    def get_all_dataset_ids(self, archived: bool | None = False) -> Iterable[UUID]:
        """Return the ids of all datasets."""
        return [
            UUID(each)
            for _, view in self._views()
            for each in view.columns["id"][_kept(view, archived)].tolist()
        ]

    def temporal_extent(
        self, ids: Iterable[UUID | str]
    ) -> tuple[datetime.datetime, datetime.datetime]:
        """Return the first and the last time of some datasets.

        Raises
        ------
        ValueError
            If there are none.
        """
        times = [each.time for each in self._by_ids(list(ids)) if each.time]
        if not times:
            raise ValueError("no dataset ids provided")
        return min(each.begin for each in times), max(each.end for each in times)

    def get_locations(self, id_: UUID | str) -> Iterable[str]:
        """Return the addresses of a dataset's document, of which there is one at most."""
        return [each.uri for each in self._by_ids([id_]) if each.uri]

    def get_location(self, id_: UUID | str) -> str | None:
        """Return the address of a dataset's document, or None."""
        return next(iter(self.get_locations(id_)), None)

    # --- rows -------------------------------------------------------------------------

    def _views(self, ids: Iterable[UUID | str] | None = None) -> list[tuple[Product, View]]:
        """Return the rows of each product: those with some ids, or all."""
        texts = None if ids is None else [str(each) for each in ids]
        return [
            (self._products.by_name[name], table.view(texts))
            for name, table in self._products.tables.items()
        ]

    def _by_ids(self, ids: list[UUID | str]) -> list[Dataset]:
        wanted = {str(id_): i for i, id_ in enumerate(ids)}
        found: dict[int, Dataset] = {}
        for product, view in self._views(ids):
            numbers = [
                (i, row) for id_, i in wanted.items() if (row := view.number(id_)) is not None
            ]
            rows = np.array([row for _, row in numbers], dtype="int64")
            for (i, _), dataset in zip(numbers, self._datasets(product, view, rows), strict=True):
                found[i] = dataset
        return [found[i] for i in sorted(found)]

    def _sources(self, id_: UUID | str) -> dict[str, str]:
        for _, view in self._views([id_]):
            if (row := view.number(id_)) is not None:
                names: dict[str, str] = _parsed(view.values(np.array([row]), f"{PREFIX}sources")[0])
                return names
        return {}

    def _datasets(self, product: Product, view: View, rows: Rows) -> list[Dataset]:
        """Return the datasets of some rows."""
        clone = self._products.clone(product)
        texts = view.documents(rows)
        archived, added = (view.column(each) for each in ("archived", "added"))
        return [
            Dataset(
                clone,
                _parsed(text),
                uri=absolute(self._root, view.column("uri")[row]) or None,
                indexed_by="catalog",
                indexed_time=_utc(added[row]),
                archived_time=_utc(archived[row]) if archived[row] else None,
            )
            for row, text in zip(rows, texts, strict=True)
        ]

    def _cheap(self, view: View, row: int, name: str) -> Any:
        if name == "id":
            return UUID(view.columns["id"][row])
        if name == "uri":
            return absolute(self._root, view.column("uri")[row]) or None
        return Range(_utc(view.column("begin")[row]), _utc(view.column("end")[row]))

    def _matching(
        self, archived: bool | None, query: Mapping[str, Any]
    ) -> Iterator[tuple[Product, View, Rows]]:
        """Yield for each product the rows that match, the latest first.

        Raises
        ------
        ValueError
            If no product has such fields.
        """
        asked = dict(query)
        found = False
        for product, terms in self._products.search_robust(**asked):
            found = True
            view = self._products.tables[product.name].view()
            kept = _kept(view, archived)
            others = {}
            for name, term in terms.items():
                if name in _BOUNDS and isinstance(term, Range):
                    low, high = (view.column(each) for each in _BOUNDS[name])
                    kept &= (high >= _number(term.begin, -np.inf)) & (
                        low <= _number(term.end, np.inf)
                    )
                elif name == "id":
                    kept &= np.isin(view.columns["id"], [str(each) for each in _listed(term)])
                else:
                    others[name] = term
            rows = np.flatnonzero(kept)
            rows = rows[np.argsort(-view.column("begin")[rows], kind="stable")]
            yield product, view, _answering(product, view, rows, others)
        if not found:
            raise ValueError(f"No products match search terms: {asked}")


def _answering(product: Product, view: View, rows: Rows, terms: Mapping[str, Any]) -> Rows:
    """Return the rows whose documents match terms."""
    if not terms or not len(rows):
        return rows
    fields = get_dataset_fields(product.metadata_type.definition)
    if unknown := [name for name in terms if name not in fields]:
        raise UnknownFieldError(f"Unknown field {unknown[0]!r}")
    kept = []
    for text in view.documents(rows):
        document = _parsed(text)
        kept.append(
            all(matches(fields[name].extract(document), term) for name, term in terms.items())
        )
    found: Rows = rows[np.array(kept)]
    return found


def matches(found: Any, term: Any) -> bool:
    """Return whether the value of a field is what a search term asks for, by datacube's rules.

    Parameters
    ----------
    found
        A value, a `Range` or None.
    term
        A value, a `Range`, a list of which one counts, or a `Not`.
    """
    if isinstance(term, list):
        return any(matches(found, each) for each in term)
    if isinstance(term, Not):
        return not matches(found, term.value)
    if found is None:
        return False
    if isinstance(term, datetime.date) and not isinstance(term, datetime.datetime):
        day = datetime.datetime.combine(term, datetime.time(), datetime.UTC)
        term = Range(day, day + datetime.timedelta(days=1) - datetime.timedelta(microseconds=1))
    low, high = (found.begin, found.end) if isinstance(found, Range) else (found, found)
    if isinstance(term, Range):
        return (term.end is None or low <= term.end) and (term.begin is None or high >= term.begin)
    return bool(low <= term <= high) if isinstance(found, Range) else bool(found == term)


def _kept(view: View, archived: bool | None) -> Any:
    if archived is None:
        return np.ones(len(view), dtype=bool)
    return view.archived if archived else ~view.archived


def _listed(term: Any) -> list[Any]:
    return term if isinstance(term, list) else [term]


def _number(value: Any, missing: float) -> float:
    if value is None:
        return missing
    if isinstance(value, datetime.datetime):
        aware = value if value.tzinfo else value.replace(tzinfo=datetime.UTC)
        return aware.timestamp()
    return float(value)


def _utc(seconds: float) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(float(seconds), datetime.UTC)


def _parsed(text: str) -> dict[str, Any]:
    """Return a document of a row; a catalogue may be a stranger's."""
    found: dict[str, Any] = parse_json(text, "a row of the catalogue")
    return found
