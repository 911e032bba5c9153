"""Find STAC items by place, time and cloud cover."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from ..errors import CleansatError, first_line
from .http import innermost_reason, stac_io
from .providers import PROVIDERS, choose_collections, find_provider
from .stac import mgrs_tile

if TYPE_CHECKING:
    import pystac
    import pystac_client


EARTH_SEARCH = PROVIDERS[0].api
"""The default STAC API, which is free and needs no account."""

_SAME_PASS = datetime.timedelta(minutes=10)
"""Times of one satellite over one tile that are nearer than this are of one scene; the next orbit is 100 minutes later."""


def search(
    bbox: tuple[float, float, float, float],
    time: str,
    *,
    api: str = EARTH_SEARCH,
    collection: str | None = None,
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
        Address of a STAC API, or name of a provider; see :data:`~odc_cleansat.scenes.providers.PROVIDERS`.
    collection
        Name of the collection there. By default the provider's collections of Sentinel-2. Where its newer one lacks a
        scene, that of the older one is taken. `collection_id` of an item says of which it is.
    limit
        Greatest number of items, in the API's order; the latest first if they are of two collections.
    max_cloud
        Greatest cloud cover, percent, as the provider gives it (``eo:cloud_cover``).

    Returns
    -------
    list
        At least one item.

    Raises
    ------
    CleansatError
        If the box, the time or the provider's name is invalid, the API does not answer or refuses, or nothing matches.
    """
    import pystac_client

    check_bbox(bbox)
    provider = find_provider(api)
    address = provider.api if provider else api
    where = {"bbox": bbox, "datetime": time}
    collections: tuple[str, ...] = () if collection is None else (collection,)
    fallback: str | None = None
    try:
        client = pystac_client.Client.open(address, stac_io=stac_io())
        if not collections and provider:
            collections, fallback = provider.collections, provider.fallback
        elif not collections:
            collections, fallback = choose_collections(_available(client))
        items = _items(client, collections, where, limit, max_cloud)
        if fallback:
            others = _items(client, (fallback,), where, limit, max_cloud)
            if others and max_cloud is not None:  # one that is too cloudy is no gap
                there = _items(client, collections, where, None, None)
            else:
                there = items
            items = _with_gaps_filled(items, others, there, limit)
    except Exception as error:  # of requests, pystac, pystac-client and dateutil
        raise CleansatError(_search_failure(address, time, error)) from error
    if not items:
        cloud = "" if max_cloud is None else f" with at most {max_cloud:g} % cloud"
        names = " or ".join((*collections, fallback) if fallback else collections)
        raise CleansatError(
            f"{address} has no item of {names} in {','.join(f'{x:g}' for x in bbox)} at {time}{cloud}. "
            "Check the box (west, south, east, north), the time and the collection."
        )
    return items


def _available(client: pystac_client.Client) -> set[str]:
    """Return the names of all collections of an API; none if it does not tell."""
    try:
        return {each.id for each in client.get_collections()}
    except Exception:  # of requests, pystac and pystac-client: many APIs have no such list
        return set()


def _items(
    client: pystac_client.Client,
    collections: Sequence[str],
    where: dict[str, Any],
    limit: int | None,
    max_cloud: float | None,
) -> list[pystac.Item]:
    """Return the items of some collections, in the API's order."""
    can_filter = max_cloud is not None and client.conforms_to("QUERY")
    query = {"eo:cloud_cover": {"lte": max_cloud}} if can_filter else None
    results = client.search(collections=list(collections), query=query, limit=100, **where)
    clear = (item for item in results.items() if _is_clear_enough(item, max_cloud))
    return list(islice(clear, limit))


def _with_gaps_filled(
    items: Sequence[pystac.Item],
    others: Iterable[pystac.Item],
    there: Iterable[pystac.Item],
    limit: int | None,
) -> list[pystac.Item]:
    """Return items and those of another collection whose scenes are not there, the latest first if there are any."""
    times: dict[tuple[str, str | None], list[datetime.datetime]] = {}
    for item in there:
        if item.datetime is not None:
            times.setdefault(_pass_of(item), []).append(item.datetime)
    missing = [
        item
        for item in others
        if item.datetime is None
        or all(abs(item.datetime - each) > _SAME_PASS for each in times.get(_pass_of(item), ()))
    ]
    if not missing:
        return list(items)
    every = sorted([*items, *missing], key=lambda item: str(item.datetime), reverse=True)
    return every[:limit]


def _pass_of(item: pystac.Item) -> tuple[str, str | None]:
    """Return the satellite and the tile of an item."""
    return str(item.properties.get("platform")).casefold(), mgrs_tile(item)


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
