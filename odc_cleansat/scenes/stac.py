"""Find scenes by STAC search, and read them from STAC items."""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING, Any
from urllib.parse import urlparse

from ..errors import CleansatError, SceneError, first_line
from .bands import S2_BANDS, band_of
from .files import SceneFiles, reading

if TYPE_CHECKING:
    import pystac


EARTH_SEARCH = "https://earth-search.aws.element84.com/v1"
"""The STAC API that is asked unless another is named: free, without an account."""

COLLECTION = "sentinel-2-l2a"
"""Its name for Sentinel-2 L2A, and that of several other providers."""

_SIGNED = "sentinel2l2a01.blob.core.windows.net"
"""Where Planetary Computer keeps Sentinel-2, and answers only to signed addresses."""

_RETRIED = (429, 500, 502, 503, 504)


# --- STAC -----------------------------------------------------------------------------


def _stac_io() -> Any:
    """Reads over HTTP, again where the server fails for a moment."""
    from pystac_client.stac_api_io import StacApiIO
    from urllib3 import Retry

    retry = Retry(total=3, backoff_factor=0.5, status_forcelist=_RETRIED, allowed_methods=None)
    return StacApiIO(max_retries=retry, timeout=60)


def search(
    bbox: tuple[float, float, float, float],
    time: str,
    *,
    api: str = EARTH_SEARCH,
    collection: str = COLLECTION,
    limit: int | None = None,
    max_cloud: float | None = None,
) -> list[pystac.Item]:
    """The STAC items of a place and time.

    Parameters
    ----------
    bbox
        West, south, east and north, degrees. Across the antimeridian west is larger than east.
    time
        A day, month, year or moment in ISO 8601, or two of them with a slash between.
    api
        Address of a STAC API.
    collection
        Its name there.
    limit
        How many items at most, in the API's order.
    max_cloud
        Percent of cloud at most, as the provider reckons it (``eo:cloud_cover``).

    Raises
    ------
    CleansatError
        If the box or the time make no sense, the API does not answer or refuses, or nothing matches.
    """
    import pystac_client

    check_bbox(bbox)
    try:
        client = pystac_client.Client.open(api, stac_io=_stac_io())
        asked = max_cloud is not None and client.conforms_to("QUERY")
        query = {"eo:cloud_cover": {"lte": max_cloud}} if asked else None
        search = client.search(
            collections=[collection], bbox=bbox, datetime=time, query=query, limit=100
        )
        found = (each for each in search.items() if _clear_enough(each, max_cloud))
        items = list(islice(found, limit))
    except Exception as error:  # of requests, pystac, pystac-client and dateutil
        raise CleansatError(_refused(api, time, error)) from error
    if not items:
        cloud = "" if max_cloud is None else f" with at most {max_cloud:g} % cloud"
        raise CleansatError(
            f"{api} has no item of {collection} in {','.join(f'{x:g}' for x in bbox)} at {time}{cloud}. "
            "Check the box (west, south, east, north), the time and the collection."
        )
    return items


def check_bbox(bbox: tuple[float, float, float, float]) -> None:
    """Refuse a box that is not on the Earth, or has its edges in another order.

    Raises
    ------
    CleansatError
        Saying which order.
    """
    west, south, east, north = bbox
    if not (-180 <= west <= 180 and -180 <= east <= 180 and -90 <= south < north <= 90) or (
        west >= east and west - east < 180
    ):
        raise CleansatError(
            f"{','.join(f'{x:g}' for x in bbox)} is no box of west, south, east and north in degrees; "
            "write it like 13.6,47.7,13.8,47.9."
        )


def _refused(api: str, time: str, error: Exception) -> str:
    import requests

    if isinstance(error, requests.RequestException) or "Max retries" in str(error):
        return f"the STAC API {api} cannot be reached: {_reason(error)}. Check the address and the network."
    if re.search(r"datetime|month|day|year", str(error)):
        return f"the time {time!r} makes no sense: {first_line(error)}. Write it like 2024-06 or 2024-06-01/2024-06-15."
    return f"the STAC API {api} refused: {first_line(error)}."


def _reason(error: BaseException) -> str:
    """The innermost cause, without the object that carried it."""
    text = str(error)
    found = re.findall(r"(?:Caused by|: )\s*\w*(?:Error|Exception)\(?[^:]*: (.*)", text)
    return (found[-1] if found else first_line(Exception(text))).strip("'\"().")


def _clear_enough(item: pystac.Item, max_cloud: float | None) -> bool:
    cover = item.properties.get("eo:cloud_cover")
    return max_cloud is None or cover is None or cover <= max_cloud


def _public(href: str | None) -> str | None:
    """An address that others can use too, without what may hold a key."""
    parts = urlparse(href or "")
    return parts._replace(query="").geturl() if parts.scheme in ("http", "https", "s3") else None


def _placed(files: SceneFiles, item: pystac.Item) -> dict[str, Any]:
    """Coordinate system, grid and footprint: as the files have them, whatever the item says.

    A mask takes the grid of the SCL, or the extent of the finest band, so that one file tells.
    """
    from odc.geo.geom import Geometry

    name = next((n for n in ("scl", "blue", "green", "red") if n in files.files), None)
    file = files.files[name or next(iter(files.files))]
    with reading(files.label):
        grid = file.open().grid
    footprint = Geometry(item.geometry, "EPSG:4326").to_crs(grid.crs)
    return {
        "crs": f"epsg:{grid.crs.epsg}" if grid.crs.epsg else grid.crs.to_wkt(),
        "grids": {"default": {"shape": list(grid.shape), "transform": list(grid.affine)}},
        "measurements": {band: {"path": each.uri} for band, each in files.files.items()},
        "geometry": footprint.json,
    }


def _check_level(item: pystac.Item) -> None:
    said = [item.id, item.collection_id, *map(item.properties.get, _LEVELS)]
    for text in filter(None, map(str, said)):
        if re.search(r"L1C|MSI1C", text, re.IGNORECASE):
            raise SceneError(
                f"item {item.id} is of level 1C ({text}), top of the atmosphere; masks are made of L2A. "
                "Take the item of the same tile and time from an L2A collection. The models for L1C take "
                "its bands as an array: classify(bands, model=..., offset=...)."
            )


_LEVELS = ("s2:product_type", "s2:product_uri", "processing:level")


def _with_bands(item: pystac.Item) -> pystac.Item:
    """A copy with one asset a band, by canonical name."""
    chosen: dict[str, tuple[tuple[bool, int, int], pystac.Asset]] = {}
    for key, asset in item.assets.items():
        name = re.sub(r"[-_]jp2$|[-_]\d+m$", "", key.lower())
        if band := band_of(name):
            rank = _rank(key, asset, [band, *map(str.lower, S2_BANDS[band])].index(name))
            if band not in chosen or rank < chosen[band][0]:
                chosen[band] = (rank, asset)
    if not chosen:
        raise SceneError(
            f"item {item.id} has no bands of Sentinel-2; its assets are "
            f"{', '.join(item.assets) or 'none'}. Is it of an L2A collection?"
        )
    copy = item.clone()
    copy.assets = {}
    for band, (_, asset) in chosen.items():
        bare = asset.clone()
        bare.href = asset.get_absolute_href() or asset.href
        # STAC 1.1 says in `bands` what was in `raster:bands`.
        bare.extra_fields = {
            "raster:bands": [_raster(asset, band)],
        }
        copy.add_asset(band, bare)
    return copy


def _rank(key: str, asset: pystac.Asset, name: int) -> tuple[bool, int, int]:
    """COG before JPEG 2000; then the band's first name, as a `mask` beside an `SCL` is another; then the finest.

    No resolution in the key means the native.
    """
    jp2 = "jp2" in (asset.media_type or "") or ".jp2" in asset.href.lower()
    metres = re.search(r"[-_](\d+)m$", key)
    return jp2, name, int(metres.group(1)) if metres else 0


def _raster(asset: pystac.Asset, band: str) -> dict[str, Any]:
    """What is said of an asset's values, as in `raster:bands` of STAC 1.0."""
    extra = asset.extra_fields
    own = (extra.get("raster:bands") or extra.get("bands") or [{}])[0]
    found = {"nodata": 0, "data_type": "uint8" if band == "scl" else "uint16"}
    for key in ("nodata", "data_type", "scale", "offset"):
        for where, name in (
            (extra, key),
            (extra, f"raster:{key}"),
            (own, f"raster:{key}"),
            (own, key),
        ):
            if name in where:
                found[key] = where[name]
    return found


def _region(item: pystac.Item) -> str | None:
    """The MGRS tile."""
    said = item.properties
    if tile := said.get("s2:mgrs_tile") or str(said.get("grid:code") or "").removeprefix("MGRS-"):
        return str(tile)
    for name in ("mgrs", "sentinel"):
        keys = (f"{name}:utm_zone", f"{name}:latitude_band", f"{name}:grid_square")
        if all(key in said for key in keys):
            zone, band, square = (said[key] for key in keys)
            return f"{int(zone):02}{band}{square}"
    match = re.search(r"(?:_T?)(\d\d[C-X][A-Z]{2})(?=_|$)", item.id)
    return match.group(1) if match else None


def _signed(item: pystac.Item) -> pystac.Item:
    """With hrefs that can be read, where the provider wants them signed."""
    plain = {
        asset.href
        for asset in item.assets.values()
        if urlparse(asset.href).hostname == _SIGNED and "?" not in asset.href
    }
    if not plain:
        return item
    try:
        import planetary_computer
        from planetary_computer.sas import get_token
    except ImportError as error:
        raise SceneError(
            f"item {item.id} is on Planetary Computer, which wants signed addresses; run: "
            "pip install planetary-computer"
        ) from error
    account, container = _SIGNED.partition(".")[0], urlparse(min(plain)).path.split("/")[1]
    try:
        get_token(account, container, retry_total=3)  # kept, so that signing does not wait longer
        signed: pystac.Item = planetary_computer.sign(item)
    except Exception as error:  # of requests and pydantic
        raise SceneError(
            f"item {item.id} cannot be signed for Planetary Computer: {_reason(error)}."
        ) from error
    return signed
