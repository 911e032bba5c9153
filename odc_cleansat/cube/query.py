"""Search an index for scenes and masks: one set of checks and messages for every command and function."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox
from odc.geo.geom import Geometry

from ..errors import CubeError

if TYPE_CHECKING:
    from datacube import Datacube
    from datacube.model import Dataset


# --- what is asked for ----------------------------------------------------------------


def _scenes(
    dc: Datacube, product: str | None, datasets: Iterable[Dataset] | None, like: Any, query: Any
) -> list[Dataset]:
    check_longitudes(query)
    if datasets is not None:
        return listed(datasets, query, "skip_broken_datasets")
    known = sorted(each.name for each in dc.index.products.get_all())
    if product not in known:
        others = f"it has {', '.join(known)}" if known else "it has none yet"
        raise CubeError(f"the index has no product {product!r}; {others}.")
    try:
        found: list[Dataset] = dc.find_datasets(
            product=product, like=like, ensure_location=True, **query
        )
    except (LookupError, TypeError, ValueError) as error:
        detail = " ".join(str(each) for each in error.args)
        raise CubeError(f"the query cannot be understood: {detail}") from error
    if not found:
        asked = ", ".join(f"{key}={value!r}" for key, value in query.items()) or "like"
        raise CubeError(
            f"no dataset of {product} matches {asked}. Check the time and the place; x and y are "
            "longitude and latitude unless crs= says otherwise."
        )
    return found


def _groups(dc: Datacube, scenes: Sequence[Dataset], group_by: Any) -> xr.DataArray:
    from datacube.api.query import query_group_by

    try:
        groups: xr.DataArray = dc.group_datasets(scenes, query_group_by(group_by=group_by))
    except LookupError as error:
        raise CubeError(
            f"group_by={group_by!r} is unknown; choose time or solar_day, or pass a GroupBy."
        ) from error
    return groups


PLACE = ("x", "y", "lon", "lat", "longitude", "latitude", "crs", "geopolygon")
"""What in a query says where."""

_MERIDIAN = (
    "Ask for the two sides of the 180° meridian one after the other, or for a projected grid "
    "across it as like= or geobox=, e.g. in EPSG:32601 or EPSG:3832."
)


def _checked_product(dc: Datacube, product: str | None) -> str:
    known = {each.name: each for each in dc.index.products.get_all()}
    suitable = sorted(n for n, p in known.items() if "ucl" in p.measurements)
    instead = f"Products with ucl are: {', '.join(suitable) or 'none; mask scenes and index them'}."
    if product is None or product not in known:
        raise CubeError(f"the index has no product {product!r}. {instead}")
    if product not in suitable:
        has = ", ".join(known[product].measurements)
        raise CubeError(f"the product {product} has no measurement ucl, only {has}. {instead}")
    return product


def _group_by(group_by: Any) -> Any:
    from datacube.api.query import query_group_by

    try:
        return query_group_by(group_by=group_by)
    except LookupError as error:
        raise CubeError(
            f"group_by={group_by!r} is unknown; choose time or solar_day, or pass a GroupBy."
        ) from error


def _crs(name: Any) -> CRS:
    try:
        return CRS(name)
    except Exception as error:  # pyproj's own, which odc-geo lets through
        raise CubeError(f"{name!r} is no coordinate system: {error}") from error


def _wraps(area: Geometry) -> bool:
    lon, _ = _lonlat(area)
    steps = [np.abs(np.diff(lon, axis=axis)) for axis in (0, 1)]
    return any(bool((step[np.isfinite(step)] > 180).any()) for step in steps)


def _lonlat(area: Geometry) -> tuple[np.ndarray, np.ndarray]:
    """Longitudes and latitudes at points all over the bounding box of an area."""
    bounds = area.boundingbox
    x, y = (np.linspace(low, high, 33) for low, high in (bounds.range_x, bounds.range_y))
    to_lonlat = area.crs.transformer_to_crs(CRS("EPSG:4326"))
    found: tuple[np.ndarray, np.ndarray] = to_lonlat(*np.meshgrid(x, y))
    return found


# --- the masks ------------------------------------------------------------------------


def _search(
    dc: Datacube,
    product: str,
    grid: GeoBox | None,
    like: Any,
    group_by: Any,
    query: Mapping[str, Any],
) -> list[Dataset]:
    """Datasets that match the query, or an error that says which part of it matches nothing."""
    from datacube.index import strip_all_spatial_fields_from_query

    check_longitudes(query)
    area = grid.extent if grid is not None else _area(query)
    terms = {
        key: value
        for key, value in strip_all_spatial_fields_from_query(dict(query)).items()
        if key not in ("geopolygon", "align")
    }
    by_day = group_by == "solar_day" and "time" not in terms and timed(like)
    if "time" not in terms:
        terms |= times_of(like, group_by)
    where = {} if area is None else _where(area)
    found = _find(dc, product, {**terms, **where})
    if found := on_days_of(like, found) if by_day else found:
        return found
    if not _find(dc, product, {"limit": 1}):
        raise CubeError(
            f"the product {product} has no datasets yet; mask scenes and index them first."
        )
    if not _find(dc, product, {**terms, "limit": 1}):
        first, last = dc.index.products.temporal_extent(product)
        asked = ", ".join(f"{key}={value!r}" for key, value in terms.items())
        raise CubeError(
            f"no mask of the product {product} matches {asked}; its masks are from "
            f"{first:%Y-%m-%d} to {last:%Y-%m-%d}."
        )
    raise CubeError(_nothing_there(product))


def _find(dc: Datacube, product: str, terms: Mapping[str, Any]) -> list[Dataset]:
    try:
        found: list[Dataset] = dc.find_datasets(product=product, **terms)
    except (LookupError, TypeError, ValueError) as error:
        detail = " ".join(str(each) for each in error.args)
        raise CubeError(f"the query cannot be understood: {detail}") from error
    return found


def _area(query: Mapping[str, Any]) -> Geometry | None:
    """The area of a query, as datacube understands it."""
    from datacube.index import extract_geom_from_query

    try:
        area: Geometry | None = extract_geom_from_query(**query)
    except Exception as error:  # also assertions, and pyproj's own for an unknown crs
        raise CubeError(f"the area of the query cannot be understood: {error}") from error
    # Datacube would cut the outline of a line into pieces without end.
    if area is not None and 0 in (area.boundingbox.span_x, area.boundingbox.span_y):
        raise CubeError(
            "the area of the query has no width or no height; pass (from, to) for both."
        )
    return area


def listed(datasets: Iterable[Dataset], query: Mapping[str, Any], also: str) -> list[Dataset]:
    """The datasets that are given instead of a query, of which only the place may go with them.

    Raises
    ------
    CubeError
        If there are none, or the query says more than the place and what is named `also`.
    """
    if unknown := query.keys() - {*PLACE, also}:
        raise CubeError(
            f"{', '.join(sorted(unknown))} cannot go with datasets=, which leaves nothing to search; "
            "leave it out, or check its spelling."
        )
    found = list(datasets)
    if not found:
        raise CubeError("datasets= is empty; pass at least one, or a query instead.")
    return found


def _nothing_there(product: str) -> str:
    return (
        f"the product {product} has masks, but none that matches the query in this area; check the "
        "area and its coordinate system (that of x and y is EPSG:4326 unless crs= says otherwise)."
    )


def check_longitudes(query: Mapping[str, Any]) -> None:
    """Refuse an area across the antimeridian: datacube would read (179, -179) as the 358 degrees between.

    Raises
    ------
    CubeError
        Saying what to do instead.
    """
    if "crs" in query and not _crs(query["crs"]).geographic:
        return
    for name in ("x", "lon", "longitude"):
        value = query.get(name)
        if isinstance(value, Sequence) and len(value) == 2 and value[0] - value[1] > 180:
            raise CubeError(f"{name}={value!r} lies across the antimeridian. " + _MERIDIAN)


def _where(area: Geometry) -> dict[str, Any]:
    """Search terms for an area; not too narrow, as `_reach` looks again.

    Datacube's own search by area finds nothing in half a globe and more, nor masks that lie across
    the antimeridian.
    """
    lon, lat = _lonlat(area)
    if not (np.isfinite(lon).all() and np.isfinite(lat).all()):
        return {}
    if np.ptp(lon) <= 180 and np.abs(lon).max() <= 174:
        return {"geopolygon": area}
    margin = np.abs(np.diff(lat, axis=0)).max()
    return {"lat": (max(lat.min() - margin, -90), min(lat.max() + margin, 90))}


def timed(like: Any) -> bool:
    """Whether it says times, and not only a grid."""
    return (
        isinstance(like, (xr.Dataset, xr.DataArray))
        and "time" in like.coords
        and like.time.size > 0
    )


def times_of(like: Any, group_by: Any) -> dict[str, Any]:
    """Search terms for the times of what is alike, as `dc.load` takes them.

    Of what is to be grouped by solar day, too much, which :func:`on_days_of` takes off again: the time of a day is
    that of its first scene.
    """
    if not timed(like):
        return {}
    times = like.time.values.astype("datetime64[us]")
    spare = datetime.timedelta(days=1 if group_by == "solar_day" else 0)
    return {"time": (times.min().item() - spare, times.max().item() + spare)}


def on_days_of(like: Any, datasets: Sequence[Dataset]) -> list[Dataset]:
    """Those of the solar days of what is alike."""
    from datacube.api.query import solar_day, solar_offset

    times = np.atleast_1d(like.time.values).astype("datetime64[s]")

    def alike(dataset: Dataset) -> bool:
        days = times + np.timedelta64(solar_offset(dataset, "s"))
        return bool((days.astype("datetime64[D]") == solar_day(dataset)).any())

    return [each for each in datasets if alike(each)]


def search_masks(dc: Datacube, product: str, **query: Any) -> list[Dataset]:
    """The indexed masks of a query.

    Raises
    ------
    CubeError
        If there is no such product, no mask matches, or the query cannot be understood.
    """
    check_longitudes(query)
    found = _find(dc, _checked_product(dc, product), query)
    if not found:
        asked = ", ".join(f"{key}={value!r}" for key, value in query.items()) or "anything"
        raise CubeError(f"no mask of {product} matches {asked}; check the time and the area.")
    return found
