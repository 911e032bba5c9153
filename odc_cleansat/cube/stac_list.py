"""Lists of scenes that a STAC API has: as those of a datacube, but none needs a datacube."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_URL, uuid5

import antimeridian
import shapely

from ..errors import CubeError, SceneError
from ..grids.footprint import geojson_bbox, lonlat_footprint
from ..scenes.scene import Scene
from ..scenes.search import EARTH_SEARCH, search
from ..scenes.stac import item_scene, item_scene_id, mgrs_tile
from ..storage.eo3 import MASK_PRODUCT, acquisition_time
from .scene_list import CLOUD_COVER, SceneRow, inside_query, list_query, percent_of, with_masks

if TYPE_CHECKING:
    import pystac
    from datacube import Datacube
    from shapely.geometry.base import BaseGeometry


@dataclass(frozen=True)
class StacRow(SceneRow):
    """A scene of a STAC API in a list."""

    item: pystac.Item | None = field(compare=False, repr=False)
    """The item; None if it cannot be read, which the problem tells."""

    problem: str
    """Why it cannot be masked, in words; empty if nothing is known against it."""

    def scene(self) -> Scene:
        """Return the scene, to be masked without a datacube. A file of it is opened.

        Raises
        ------
        SceneError
            If the item cannot be masked, or its files cannot be read.
        """
        if self.item is None:
            raise SceneError(self.problem)
        return item_scene(self.item)


def search_stac(
    area: Any,
    time: str,
    *,
    api: str = EARTH_SEARCH,
    collection: str | None = None,
    limit: int = 100,
    dc: Datacube | None = None,
    masks_product: str = MASK_PRODUCT,
) -> list[StacRow]:
    """Find the scenes of a STAC API, in its own order; no files of scenes are opened.

    Parameters
    ----------
    area
        West, south, east and north in degrees, or a polygon of odc-geo, shapely, geopandas or GeoJSON.
    time
        A day, month, year or moment in ISO 8601, or two of them with a slash between.
    api
        Address of the API, or name of a provider.
    collection
        Name of the collection there; by default as :func:`~odc_cleansat.scenes.search.search` chooses.
    limit
        Most scenes.
    dc
        A datacube whose masks of these scenes are told; a scene need not be indexed for that.
    masks_product
        Name of the product of masks there.

    Raises
    ------
    CubeError
        If the area is missing or cannot be understood, or the database does not answer.
    CleansatError
        If the time is invalid, the API does not answer or refuses, or there is no scene in the area and time.
    """
    query = list_query(collection or "stac", None, area)
    if query.area is None:
        raise CubeError("a STAC API is searched in an area; give a box or a polygon.")
    west, south, east, north = geojson_bbox(lonlat_footprint(query.area))
    asked = limit
    while True:
        items = search(
            (west, south, east, north), time, api=api, collection=collection, limit=asked
        )
        rows = inside_query([item_row(item) for item in items], query)
        if len(rows) >= limit or len(items) < asked:
            break
        asked *= 4  # many are beside the area, though their bounds touch it
    rows = rows[:limit]
    return rows if dc is None else with_masks(dc, rows, query, masks_product)


def item_row(item: pystac.Item) -> StacRow:
    """Return the row of an item. No file is opened."""
    try:
        id_, problem = item_scene_id(item), ""
    except SceneError as error:
        id_, problem = uuid5(NAMESPACE_URL, item.get_self_href() or item.id), str(error)
    return StacRow(
        id_,
        item.id,
        item.collection_id or "",
        acquisition_time({"datetime": item.datetime or item.common_metadata.start_datetime}),
        mgrs_tile(item) or "",
        _footprint(item),
        percent_of(item.properties, CLOUD_COVER),
        (),
        item,
        problem,
    )


def unreadable_row(label: str, problem: str) -> StacRow:
    """Return a row for what should be an item and cannot be read as one.

    Parameters
    ----------
    label
        Its name for people.
    problem
        Why it cannot be read, in words.
    """
    id_ = uuid5(NAMESPACE_URL, label)
    return StacRow(id_, label, "", None, "", shapely.Polygon(), None, (), None, problem)


def _footprint(item: pystac.Item) -> BaseGeometry:
    """Return the footprint, cut at the antimeridian as it should be."""
    if item.geometry is None:
        return shapely.Polygon()
    shape = shapely.geometry.shape(item.geometry)
    west, _, east, _ = shape.bounds
    if east - west < 180 and west >= -180 and east <= 180:
        return shape
    return shapely.geometry.shape(antimeridian.fix_shape(shape))
