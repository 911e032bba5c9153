"""Lists of scenes with their masks, for tables and maps: ten thousand in less than a second.

No dataset is built. The index gives a few parts of each document, and outlines are transformed together.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

import numpy as np
import shapely
from odc.geo.crs import CRS
from odc.geo.geom import Geometry

from ..classes import CLOUDS
from ..grids.footprint import lonlat_footprint
from ..products.verdict_files import folder_of, read_many, review_state
from ..storage.eo3 import MASK_PRODUCT, acquisition_time
from .area import LAST_LATITUDE, searches
from .query import Query, check_product, understanding

if TYPE_CHECKING:
    from datacube import Datacube
    from numpy.typing import NDArray
    from shapely.geometry.base import BaseGeometry

MOST = 10_000
"""How many scenes are listed unless told otherwise."""

CLOUD_COVER = "eo:cloud_cover"
"""Property with the cloud cover that a provider gives, percent."""

_LONLAT = CRS("EPSG:4326")


@dataclass(frozen=True)
class MaskRow:
    """A mask in a list."""

    id: UUID
    """Id of its dataset."""

    model: str
    """Name of the model that made it; empty if that is not known."""

    cloud_cover: float | None
    """Cloud and thin cloud by the UCL, percent of the pixels with data; None if that is not known."""

    uri: str | None
    """Address of its EO3 document."""

    light: bool = False
    """Whether light refined it; else it began as the network's own answer."""

    dates: str = ""
    """Which other dates refined it: ``hindsight``, ``earlier``, or empty for none."""


@dataclass(frozen=True)
class SceneRow:
    """A scene in a list."""

    id: UUID
    """Id of its dataset."""

    label: str
    """Name for people."""

    product: str
    """Name of its product or collection."""

    time: datetime.datetime | None
    """When it was acquired, UTC without a time zone; None if that is not known."""

    region: str
    """Region code, such as the tile; empty if it has none."""

    footprint: BaseGeometry
    """Where it has data, degrees. It is cut at the antimeridian, as GeoJSON wants it."""

    cloud_cover: float | None
    """Cloud cover that its provider gives, by the SCL, percent; None if that is not known."""

    masks: tuple[MaskRow, ...]
    """Its masks in the datacube."""


Row = TypeVar("Row", bound=SceneRow)


# --- what is asked for ----------------------------------------------------------------


def list_scenes(
    dc: Datacube,
    product: str,
    *,
    time: Any = None,
    area: Any = None,
    masks_product: str = MASK_PRODUCT,
    limit: int = MOST,
) -> list[SceneRow]:
    """List the scenes of a product and their masks, the latest first.

    Parameters
    ----------
    dc
        The datacube.
    product
        Name of the product.
    time
        As for `load`: text in ISO 8601, or the first and the last time.
    area
        West, south, east and north in degrees, or a polygon of odc-geo, shapely, geopandas or GeoJSON.
    masks_product
        Name of the product of masks. If the index has none, scenes have no masks.
    limit
        Most scenes; the latest are taken.

    Raises
    ------
    CubeError
        If there is no such product, or the time or area cannot be understood.
    """
    check_product(dc, product)
    query = list_query(product, time, area)
    asked = limit
    while True:
        found = _search(dc, query, ["id", "label"], {**_PROPERTIES, **_OUTLINE}, asked)
        near = _scene_rows(found, product)
        rows = inside_query(near, query)
        if len(rows) >= limit or len(near) < asked:
            return with_masks(dc, rows[:limit], query, masks_product)
        asked *= 4  # many are beside the area, though their bounds touch it


def list_query(product: str, time: Any, area: Any) -> Query:
    """Return the query for a product, a time and an area; for these see :func:`list_scenes`.

    Raises
    ------
    CubeError
        If the area cannot be understood, or its outline crosses itself.
    """
    place: dict[str, Any] = {"geopolygon": area}
    if isinstance(area, Sequence) and len(area) == 4:
        west, south, east, north = area
        place = {"lon": (west, east), "lat": (south, north)}
    return Query.of(product, {"time": time, **place})


def with_masks(
    dc: Datacube, rows: Sequence[Row], query: Query, masks_product: str = MASK_PRODUCT
) -> list[Row]:
    """Return rows of scenes with the masks that an index has of them.

    Parameters
    ----------
    dc
        The datacube.
    rows
        The scenes.
    query
        With which they were found; says where masks are looked for.
    masks_product
        Name of the product of masks. If the index has none, scenes have no masks.

    Raises
    ------
    CubeError
        If the database does not answer.
    """
    times = [row.time for row in rows if row.time is not None]
    if not times or dc.index.products.get_by_name(masks_product) is None:
        return list(rows)
    # A mask has its scene's time, but not always to the microsecond.
    second = datetime.timedelta(seconds=1)
    when = {"time": (min(times) - second, max(times) + second)}
    query = replace(query, product=masks_product, terms=when)
    masks: dict[str, tuple[MaskRow, ...]] = {}
    for found in _search(dc, query, ["id", "uri"], _PROPERTIES):
        scene = str(found.properties.get("cleansat:scene"))
        masks[scene] = (*masks.get(scene, ()), _mask_row(found))
    return [replace(row, masks=masks.get(str(row.id), ())) for row in rows]


def mask_states(masks: Iterable[MaskRow]) -> tuple[dict[UUID, str], dict[UUID, str]]:
    """Read what reviewers say of many masks.

    Returns
    -------
    dict
        Id of the mask to its state: ``accepted``, ``rejected`` or ``unreviewed``.
    dict
        Id to the reason why verdicts cannot be read. Those count as none.
    """
    given, unread = read_many({mask.id: mask.uri and folder_of(mask.uri) for mask in masks})  # type: ignore[misc]
    return {mask: review_state(each) for mask, each in given.items()}, unread


# --- the index ------------------------------------------------------------------------

# Smaller parts may be missing in a document, where datacube fails, or be text, which it takes for JSON.
_PROPERTIES = {"properties": ["properties"]}
_OUTLINE = {"outline": ["grid_spatial", "projection"]}


def _search(
    dc: Datacube,
    query: Query,
    fields: Sequence[str],
    parts: Mapping[str, Sequence[str]],
    limit: int | None = None,
) -> Iterator[Any]:
    """Yield fields and parts of documents, each once, the latest first; some may lie outside the area.

    Whoever keeps the parts makes Python's collector of garbage look through them again and again.
    """
    from datacube.api.query import Query as DatacubeQuery

    seen: set[UUID] = set()
    with understanding():
        for where in [{}] if query.area is None else searches(query.area):
            terms = DatacubeQuery(
                dc.index, product=query.product, **query.search_terms, **where
            ).search_terms
            for row in _rows(dc, terms, fields, parts, limit):
                if row.id not in seen:
                    seen.add(row.id)
                    yield row


def _rows(
    dc: Datacube,
    terms: Mapping[str, Any],
    fields: Sequence[str],
    parts: Mapping[str, Sequence[str]],
    limit: int | None,
) -> Iterable[Any]:
    search = dc.index.datasets.search_returning
    if getattr(dc.index, "latest_first", False):
        return search(fields, parts, limit=limit, **terms)  # type: ignore[no-any-return]
    time = dc.index.products.get_by_name(terms["product"]).metadata_type.dataset_fields["time"]
    if hasattr(time, "alchemy_expression"):
        latest_first = [time.alchemy_expression.desc()]
        return search(fields, parts, limit=limit, order_by=latest_first, **terms)  # type: ignore[no-any-return]
    # Datacube's index in memory can neither sort, nor search by ranges.
    rows = list(search([*fields, "time"], parts, product=terms["product"]))
    if span := terms.get("time"):
        rows = [row for row in rows if span.begin <= row.time.begin <= span.end]
    return sorted(rows, key=lambda row: row.time.begin, reverse=True)


# --- rows -----------------------------------------------------------------------------


def _scene_rows(found: Iterable[Any], product: str) -> list[SceneRow]:
    rows, outlines = [], _Outlines()
    for each in found:
        properties = each.properties
        outlines.add(each.outline)
        row = (
            _id(each),
            each.label or str(each.id),
            product,
            acquisition_time(properties),
            str(properties.get("odc:region_code") or ""),
        )
        rows.append((row, percent_of(properties, CLOUD_COVER)))
    return [
        SceneRow(*row, footprint, cover, ())
        for (row, cover), footprint in zip(rows, outlines.footprints(), strict=True)
    ]


def _mask_row(found: Any) -> MaskRow:
    cover = percent_of(found.properties, CLOUD_COVER)
    if cover is None:
        keys = [f"cleansat:{each.label}_percent" for each in CLOUDS]
        parts = [percent_of(found.properties, key) for key in keys]
        known = [part for part in parts if part is not None]
        cover = round(sum(known), 2) if known else None
    model, light, dates = (
        found.properties.get(f"cleansat:{name}") or "" for name in ("model", "light", "refined")
    )
    return MaskRow(_id(found), str(model), cover, found.uri, bool(light), str(dates))


def _id(found: Any) -> UUID:
    return found.id if isinstance(found.id, UUID) else UUID(found.id)  # datacube's index in memory


def percent_of(properties: Mapping[str, Any], key: str) -> float | None:
    """Return a number among properties; None if it is missing or no number."""
    try:
        value = float(properties[key])
    except (KeyError, TypeError, ValueError):
        return None
    return value if np.isfinite(value) else None


def inside_query(rows: Sequence[Row], query: Query) -> list[Row]:
    """Return the rows whose footprints lie in the area of a query, at least in part."""
    if query.area is None or not rows:
        return list(rows)
    area = lonlat_footprint(query.area).geom
    shapely.prepare(area)
    inside = shapely.intersects(area, [row.footprint for row in rows])
    return [row for row, is_inside in zip(rows, inside, strict=True) if is_inside]


# --- footprints -----------------------------------------------------------------------


class _Outlines:
    """Outlines of scenes as an index has them, each in a coordinate system of its own."""

    def __init__(self) -> None:
        self._systems: list[str] = []
        self._plain: list[NDArray[np.float64]] = []
        """Corners of those that are polygons without holes, ``(n, 2)`` each, in units of the system."""
        self._others: dict[int, BaseGeometry] = {}
        """The others, by their number."""

    def add(self, projection: Mapping[str, Any]) -> None:
        """Add an outline: ``spatial_reference``, and ``valid_data`` as GeoJSON in that system."""
        outline = projection["valid_data"]
        if outline["type"] == "Polygon" and len(outline["coordinates"]) == 1:
            self._plain.append(np.array(outline["coordinates"][0], dtype=float)[:, :2])
        else:
            self._others[len(self._systems)] = shapely.geometry.shape(outline)
        self._systems.append(str(projection["spatial_reference"]))

    def footprints(self) -> list[BaseGeometry]:
        """Return the outlines in degrees, those of one coordinate system transformed together.

        Edges stay straight; only near the antimeridian and the poles do they get further corners.
        """
        shapes, systems = self._shapes(), np.array(self._systems)
        found = np.empty(len(shapes), dtype=object)
        for system in np.unique(systems):
            there = np.flatnonzero(systems == system)
            crs = CRS(str(system))
            to_lonlat = crs.transformer_to_crs(_LONLAT)
            found[there] = shapely.transform(
                shapes[there], lambda xy, to=to_lonlat: np.column_stack(to(*xy.T))
            )
            west, south, east, north = shapely.bounds(found[there]).T
            plain = (west >= -180) & (east - west < 180) & (east <= 180)
            plain &= (south >= -LAST_LATITUDE) & (north <= LAST_LATITUDE)
            for i in there[~plain]:
                found[i] = lonlat_footprint(Geometry(shapes[i], crs)).geom
        return list(found)

    def _shapes(self) -> Any:
        """Return all outlines, ``(n,)`` objects; polygons without holes are made together."""
        shapes = np.empty(len(self._systems), dtype=object)
        others = list(self._others)
        shapes[others] = list(self._others.values())
        if self._plain:
            owners = np.repeat(np.arange(len(self._plain)), [len(ring) for ring in self._plain])
            rings = shapely.linearrings(np.concatenate(self._plain), indices=owners)
            is_plain = ~np.isin(np.arange(len(shapes)), others)
            shapes[is_plain] = shapely.polygons(rings)
        return shapes
