"""Find STAC items by place, time and cloud cover."""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING

from ..errors import CleansatError, first_line
from .http import innermost_reason, stac_io

if TYPE_CHECKING:
    import pystac


EARTH_SEARCH = "https://earth-search.aws.element84.com/v1"
"""The default STAC API, which is free and needs no account."""

COLLECTION = "sentinel-2-l2a"
"""The name of the Sentinel-2 L2A collection there, and at several other providers."""


def search(
    bbox: tuple[float, float, float, float],
    time: str,
    *,
    api: str = EARTH_SEARCH,
    collection: str = COLLECTION,
    limit: int | None = None,
    max_cloud: float | None = None,
) -> list[pystac.Item]:
    """Return the STAC items of a place and time.

    Parameters
    ----------
    bbox
        West, south, east and north, degrees. Across the antimeridian west is larger than east.
    time
        A day, month, year or moment in ISO 8601, or two of them with a slash between.
    api
        Address of a STAC API.
    collection
        Name of the collection there.
    limit
        Greatest number of items, in the API's order.
    max_cloud
        Greatest cloud cover, percent, as the provider gives it (``eo:cloud_cover``).

    Returns
    -------
    list
        At least one item.

    Raises
    ------
    CleansatError
        If the box or the time is invalid, the API does not answer or refuses, or nothing matches.
    """
    import pystac_client

    check_bbox(bbox)
    try:
        client = pystac_client.Client.open(api, stac_io=stac_io())
        can_filter = max_cloud is not None and client.conforms_to("QUERY")
        query = {"eo:cloud_cover": {"lte": max_cloud}} if can_filter else None
        results = client.search(
            collections=[collection], bbox=bbox, datetime=time, query=query, limit=100
        )
        clear = (item for item in results.items() if _is_clear_enough(item, max_cloud))
        items = list(islice(clear, limit))
    except Exception as error:  # of requests, pystac, pystac-client and dateutil
        raise CleansatError(_search_failure(api, time, error)) from error
    if not items:
        cloud = "" if max_cloud is None else f" with at most {max_cloud:g} % cloud"
        raise CleansatError(
            f"{api} has no item of {collection} in {','.join(f'{x:g}' for x in bbox)} at {time}{cloud}. "
            "Check the box (west, south, east, north), the time and the collection."
        )
    return items


def check_bbox(bbox: tuple[float, float, float, float]) -> None:
    """Raise if a box is not on the Earth, or has its edges in another order.

    Parameters
    ----------
    bbox
        West, south, east and north, degrees.

    Raises
    ------
    CleansatError
        If the box is invalid; the message gives the order.
    """
    west, south, east, north = bbox
    if not (-180 <= west <= 180 and -180 <= east <= 180 and -90 <= south < north <= 90) or (
        west >= east and west - east < 180
    ):
        raise CleansatError(
            f"{','.join(f'{x:g}' for x in bbox)} is no box of west, south, east and north in degrees; "
            "write it like 13.6,47.7,13.8,47.9."
        )


def _search_failure(api: str, time: str, error: Exception) -> str:
    """Return the message for an error of a search."""
    import requests

    if isinstance(error, requests.RequestException) or "Max retries" in str(error):
        return (
            f"the STAC API {api} cannot be reached: {innermost_reason(error)}. "
            "Check the address and the network."
        )
    if re.search(r"datetime|month|day|year", str(error)):
        return (
            f"the time {time!r} makes no sense: {first_line(error)}. "
            "Write it like 2024-06 or 2024-06-01/2024-06-15."
        )
    return f"the STAC API {api} refused: {first_line(error)}."


def _is_clear_enough(item: pystac.Item, max_cloud: float | None) -> bool:
    """Return whether an item has at most so much cloud, percent; an item without a figure has."""
    cover = item.properties.get("eo:cloud_cover")
    return max_cloud is None or cover is None or cover <= max_cloud
