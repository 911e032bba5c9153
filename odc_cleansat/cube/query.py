"""Search an index for scenes and masks: one set of checks and messages for every command and function."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

import numpy as np
import xarray as xr
from odc.geo.geobox import GeoBox
from odc.geo.geom import Geometry

from ..arguments import meant, texts
from ..errors import CubeError, first_line
from ..storage.eo3 import MASK_PRODUCT
from .area import PLACE, inside, parse_area, searches
from .connect import check_datacube
from .sound import given_datasets, sound
from .times import are_dates, begin_of, range_of, search_time, times_of

if TYPE_CHECKING:
    from datacube import Datacube
    from datacube.api.query import GroupBy
    from datacube.model import Dataset


class UnsupportedError(CubeError):
    """An index that does not know a way of searching, such as that in memory."""


@dataclass(frozen=True)
class Query:
    """Which datasets are asked for."""

    product: str | None = None
    """Name of their product; not needed with `datasets`."""

    area: Geometry | None = None
    """Where; None for everywhere."""

    terms: Mapping[str, Any] = field(default_factory=dict)
    """Other search terms: ``time`` and search fields of the index."""

    like: xr.Dataset | xr.DataArray | None = None
    """Data whose times are asked for; None if `terms` say when."""

    group_by: Any = "time"
    """How datasets are put together: ``time``, ``solar_day`` or a `GroupBy` of datacube."""

    datasets: tuple[Dataset, ...] | None = None
    """The datasets themselves, given instead of a search."""

    more_products: tuple[str, ...] = ()
    """Names of further products, in which datasets are searched for too."""

    @staticmethod
    def of(
        product: str | Sequence[str] | None,
        terms: Mapping[str, Any],
        *,
        grid: GeoBox | None = None,
        like: Any = None,
        group_by: Any = "time",
        datasets: Dataset | Iterable[Dataset] | None = None,
    ) -> Query:
        """Understand a query as `dc.load` takes it.

        Parameters
        ----------
        product
            Name of the product, or names of several.
        terms
            Search terms, those of the place included. Terms that are None do not count. For ``time`` see
            :mod:`odc_cleansat.cube.times`.
        grid
            A grid that says where, instead of a place in `terms`.
        like
            Anything; data with times limit the time, unless `terms` have one.
        group_by, datasets
            See the fields of this class. With datasets only the place may be in `terms`.

        Raises
        ------
        CubeError
            If the place or `group_by` cannot be understood, there is no dataset in `datasets`, or other search
            terms come with them.
        """
        terms = {key: value for key, value in terms.items() if value is not None}
        place = {key: value for key, value in terms.items() if key in PLACE}
        others = {key: value for key, value in terms.items() if key not in PLACE}
        if "time" in others:
            others["time"] = search_time(others["time"])
        area = parse_area(place) if grid is None else grid.extent
        grouping(group_by)
        if datasets is not None:
            datasets = given_datasets(datasets)
            if others:
                raise CubeError(
                    f"{', '.join(sorted(others))} cannot go with datasets=, which leaves nothing to search; "
                    "leave it out, or check its spelling."
                )
            if not datasets:
                raise CubeError("datasets= is empty; pass at least one, or a query instead.")
        times = like if _has_times(like) and "time" not in others and datasets is None else None
        first, more = _products(product)
        return Query(first, area, others, times, group_by, datasets, more)

    @property
    def search_terms(self) -> dict[str, Any]:
        """Search terms but for the area.

        For solar days the times of `like` are a day too long at both ends: the time of a day is that of its
        first scene.
        """
        if self.like is None:
            return dict(self.terms)
        spare = datetime.timedelta(days=1 if self.group_by == "solar_day" else 0)
        return {**self.terms, "time": range_of(times_of(self.like), spare)}


def _products(product: Any) -> tuple[str | None, tuple[str, ...]]:
    """Return the name of the product that is passed, and those of others."""
    if product is None:
        return None, ()
    names = texts(product)
    if not names:
        raise CubeError(
            f"product= names no product: {product!r:.100}; pass the name of one, or of several."
        )
    return names[0], tuple(names[1:])


# --- products -------------------------------------------------------------------------


def check_product(dc: Datacube, name: str | None) -> None:
    """Raise if an index has no product of a name.

    Raises
    ------
    CubeError
        Naming the products that it has.
    """
    known = sorted(each.name for each in dc.index.products.get_all())
    if name not in known:
        others = f"it has {', '.join(known)}" if known else "it has none yet"
        raise CubeError(f"the index has no product {name!r}; {others}.{meant(name, known)}")


def check_mask_product(dc: Datacube, name: str | None = MASK_PRODUCT) -> None:
    """Raise if an index has no product of a name, or if the product is none of masks.

    Raises
    ------
    CubeError
        Naming the products of masks that it has, or how to add the one.
    """
    known = {each.name: each for each in dc.index.products.get_all()}
    masks = sorted(name for name, product in known.items() if "ucl" in product.measurements)
    if name in masks:
        return
    if name == MASK_PRODUCT and name not in known:
        raise CubeError(
            f"the index has no product {name!r} for the masks; add it with: cleansat product add"
        )
    instead = f"Products with ucl are: {', '.join(masks) or 'none; mask scenes and index them'}."
    if name is None or name not in known:
        raise CubeError(f"the index has no product {name!r}. {instead}")
    has = ", ".join(known[name].measurements)
    raise CubeError(f"the product {name} has no measurement ucl, only {has}. {instead}")


# --- datasets -------------------------------------------------------------------------


def find_scenes(dc: Datacube, query: Query) -> list[Dataset]:
    """Find the scenes that a query asks for; without a search those that it names.

    Raises
    ------
    CubeError
        If there is no such product, the query cannot be understood, or nothing matches: then the message says
        which part of the query matches nothing.
    """
    check_datacube(dc)
    if query.datasets is not None:
        return sound(query.datasets, needed=True)
    if query.more_products:
        return _of_several(dc, query, check_product, find_scenes)
    check_product(dc, query.product)
    found = search(dc, query)
    if not found:
        raise _nothing_found(dc, query, "dataset")
    if there := [each for each in found if each.uri]:
        return there
    raise CubeError(
        f"none of the {len(found)} datasets of {query.product} that match has a location in the index; "
        "add it, or index the scenes anew."
    )


def find_masks(dc: Datacube, query: Query, *, wide: bool = False) -> list[Dataset]:
    """Find the masks that a query asks for; without a search those that it names.

    Parameters
    ----------
    dc
        The datacube.
    query
        What is asked for.
    wide
        Whether masks outside the area may be among them, because the caller looks again.

    Raises
    ------
    CubeError
        As :func:`find_scenes`; also if the product is none of masks.
    """
    check_datacube(dc)
    if query.datasets is not None:
        return sound(query.datasets, needed=True)
    if query.more_products:
        return _of_several(dc, query, check_mask_product, partial(find_masks, wide=wide))
    check_mask_product(dc, query.product)
    if found := search(dc, query, wide=wide):
        return found
    raise _nothing_found(dc, query, "mask")


def _of_several(
    dc: Datacube,
    query: Query,
    check: Callable[[Datacube, str | None], None],
    find: Callable[[Datacube, Query], list[Dataset]],
) -> list[Dataset]:
    """Find datasets of several products, of which some may have none."""
    products = (query.product, *query.more_products)
    for name in products:
        check(dc, name)
    found, why = [], []
    for name in products:
        try:
            found += find(dc, replace(query, product=name, more_products=()))
        except CubeError as error:
            why.append(error)
    if not found:
        raise why[0]
    return found


def search(dc: Datacube, query: Query, *, wide: bool = False) -> list[Dataset]:
    """Search an index; nothing found is no error. For `wide` see :func:`find_masks`.

    Raises
    ------
    CubeError
        If the query cannot be understood.
    """
    terms = query.search_terms
    if query.area is None:
        found = sound(_search(dc, query.product, terms))
    else:
        each = [_search(dc, query.product, {**terms, **where}) for where in searches(query.area)]
        found = sound({dataset.id: dataset for part in each for dataset in part}.values())
        if not wide:
            found = inside_area(found, query.area)
    if query.like is None or query.group_by != "solar_day":
        return found
    return _on_days_of(query.like, found)


def inside_area(datasets: Sequence[Dataset], area: Geometry) -> list[Dataset]:
    """Return the datasets that lie in an area, across the antimeridian and around a pole too.

    Those whose document says no place are among them, for they are refused by name where they are read.
    """
    found = inside([_extent(dataset) or area for dataset in datasets], area)
    return [dataset for dataset, is_inside in zip(datasets, found, strict=True) if is_inside]


def _extent(dataset: Dataset) -> Geometry | None:
    try:
        found: Geometry | None = dataset.extent
    except Exception:  # of datacube, shapely and pyproj
        return None
    return found


def find_ids(
    dc: Datacube, product: str, terms: Mapping[str, Any]
) -> tuple[list[UUID], Geometry | None]:
    """Find the ids of the datasets of a product.

    Only ids: a client of Postgres holds a whole answer in memory, and documents are large.

    Parameters
    ----------
    dc
        The datacube.
    product
        Name of the product.
    terms
        Search terms as for `dc.find_datasets`; those that are None do not count.

    Returns
    -------
    list of UUID
        In the order of time.
    Geometry or None
        The area in which to look again with :func:`inside_area`, if the search was wider.

    Raises
    ------
    CubeError
        If the query cannot be understood.
    """
    from datacube.api.query import Query as DatacubeQuery

    query = Query.of(product, terms)
    wheres = [{}] if query.area is None else searches(query.area)
    rows: set[tuple[str, UUID]] = set()
    with understanding():
        for where in wheres:
            parsed = DatacubeQuery(dc.index, product=product, **query.search_terms, **where)
            found = dc.index.datasets.search_returning(["id", "time"], **parsed.search_terms)
            rows.update((str(row.time and begin_of(row.time)), row.id) for row in found)
    ids = [each for _, each in sorted(rows)]
    exact = dc.index.supports_spatial_indexes and wheres == [{"geopolygon": query.area}]
    return ids, None if exact else query.area


def grouping(group_by: Any) -> GroupBy:
    """Return datacube's description of how datasets are put together.

    Raises
    ------
    CubeError
        If there is no such way.
    """
    from datacube.api.query import query_group_by

    try:
        return query_group_by(group_by=group_by)
    except LookupError as error:
        raise CubeError(
            f"group_by={group_by!r} is unknown; choose time or solar_day, or pass a GroupBy."
        ) from error


def nothing_in_area(product: str | None, kind: str) -> CubeError:
    """Return the error for a product that has datasets, but none in the area.

    Parameters
    ----------
    product
        Name of the product.
    kind
        What its datasets are: ``mask`` or ``dataset``.
    """
    return CubeError(
        f"the product {product} has {kind}s, but none that matches the query in this area; check the "
        "area and its coordinate system (that of x and y is EPSG:4326 unless the query names another)."
    )


def _nothing_found(dc: Datacube, query: Query, kind: str) -> CubeError:
    """Return the error that says which part of a query matches nothing."""
    product, terms = query.product, query.search_terms
    if not _search(dc, product, {"limit": 1}):
        first = "mask scenes and index them first" if kind == "mask" else "index some first"
        return CubeError(f"the product {product} has no datasets yet; {first}.")
    if not _search(dc, product, {**terms, "limit": 1}):
        first, last = dc.index.products.temporal_extent(product)
        asked = ", ".join(f"{key}={value!r}" for key, value in terms.items())
        return CubeError(
            f"no {kind} of {product} matches {asked}; its {kind}s are from "
            f"{first:%Y-%m-%d} to {last:%Y-%m-%d}."
        )
    return nothing_in_area(product, kind)


def _search(dc: Datacube, product: str | None, terms: Mapping[str, Any]) -> list[Dataset]:
    with understanding():
        found: list[Dataset] = dc.find_datasets(product=product, **terms)
    return found


@contextlib.contextmanager
def understanding() -> Iterator[None]:
    """Turn errors of datacube and of its database about search terms into ours.

    Raises
    ------
    CubeError
        If the database does not answer, or does not understand a term.
    UnsupportedError
        If the index knows no such way of searching.
    """
    from sqlalchemy.exc import DBAPIError, OperationalError

    try:
        yield
    except OperationalError as error:
        raise CubeError(
            f"the database of the datacube does not answer: {first_line(error.orig)}. Check that it runs, and "
            "the configuration of datacube (datacube system check)."
        ) from error
    except DBAPIError as error:
        raise CubeError(f"the query cannot be understood: {first_line(error.orig)}.") from error
    except NotImplementedError as error:
        raise UnsupportedError(
            f"the index of this datacube cannot search so: {first_line(error)}. Leave out the time or the place, or "
            "take another index driver."
        ) from error
    except (LookupError, TypeError, ValueError, AssertionError, AttributeError) as error:
        detail = " ".join(str(each) for each in error.args) or type(error).__name__
        raise CubeError(f"the query cannot be understood: {detail}") from error


def _has_times(like: Any) -> bool:
    return (
        isinstance(like, (xr.Dataset, xr.DataArray))
        and "time" in like.coords
        and like.time.size > 0
    )


def _on_days_of(like: xr.Dataset | xr.DataArray, datasets: Sequence[Dataset]) -> list[Dataset]:
    """Keep the datasets of the solar days of some data; of their days in UTC if the times are dates."""
    from datacube.api.query import solar_day, solar_offset

    times = times_of(like)

    def is_asked_for(dataset: Dataset) -> bool:
        if are_dates(times):
            return bool(
                (times == np.datetime64(dataset.center_time.replace(tzinfo=None), "D")).any()
            )
        days = times + np.timedelta64(solar_offset(dataset, "s"))
        return bool((days.astype("datetime64[D]") == solar_day(dataset)).any())

    return [each for each in datasets if is_asked_for(each)]
