"""Read scenes from STAC items of any provider."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from uuid import UUID

from ..addresses import public_address, without_secrets
from ..errors import SceneError, fault_of
from ..storage.reader import strange_values
from .bands import S2_BANDS, band_of
from .eopf import with_band_assets, with_stored_values
from .files import SceneFiles, reading
from .packing import asset_values
from .scene import USE_OF_L1C, Scene, unindexed_dataset

if TYPE_CHECKING:
    import pystac
    from datacube.model import Dataset

_LEVELS = ("s2:product_type", "product:type", "s2:product_uri", "processing:level")
"""Properties that may name the processing level."""


def parse_item(document: dict[str, Any], address: str) -> pystac.Item:
    """Return the STAC item of a document.

    Parameters
    ----------
    document
        The item as read from JSON.
    address
        URL of the document, from which relative hrefs count; empty if it has none.

    Raises
    ------
    SceneError
        If the document is not a STAC item.
    """
    import pystac

    try:
        return pystac.Item.from_dict(document, href=address or None)
    except Exception as error:  # pystac's own, and KeyError
        name = address or document.get("id")
        raise SceneError(f"{name} is no STAC item: {fault_of(error)}.") from error


@strange_values("the STAC item", SceneError)
def item_scene(item: pystac.Item) -> Scene:
    """Return the scene of a STAC item.

    The scene has the id that `datacube.metadata.stac2ds` gives. So a mask finds its scene in an index that
    datacube's tools have filled. Of several files of a band the cloud-optimised one is taken.

    Parameters
    ----------
    item
        An item of an L2A collection, which may be of any provider.

    Raises
    ------
    SceneError
        If the item is not L2A, or has no bands, no date, no footprint, or files that cannot be read.
    """
    _check_level(item)
    bands = with_stored_values(choose_assets(item))
    files = SceneFiles.of_item(bands)
    document = dict(_dataset(bands).metadata_doc)
    properties = document["properties"]
    document["label"] = document.get("label") or without_secrets(item.id)
    properties["odc:region_code"] = properties.get("odc:region_code") or mgrs_tile(item)
    if (moment := item.datetime or item.common_metadata.start_datetime) is None:
        raise SceneError(f"item {item.id} has no date; set its `datetime`.")
    properties["datetime"] = moment
    properties["cleansat:source"] = _public_address(item.get_self_href()) or item.id
    document |= _grid_of_files(files, bands)
    # Some APIs give items without a link to themselves; the addresses of the files are absolute.
    address = item.get_self_href() or next(iter(files.files.values())).uri
    return Scene(without_secrets(item.id), unindexed_dataset(document, address), files)


def item_scene_id(item: pystac.Item) -> UUID:
    """Return the id of the scene of an item; no file is read.

    Raises
    ------
    SceneError
        If the item is not L2A, or has no bands, no date or no footprint.
    """
    _check_level(item)
    found: UUID = _dataset(choose_assets(item)).id
    return found


def _dataset(item: pystac.Item) -> Dataset:
    """Return the dataset that datacube makes of an item."""
    from datacube.metadata import stac2ds

    try:
        (dataset,) = stac2ds([item], {"*": {"warnings": "ignore", "ignore_proj": True}})
    except Exception as error:
        raise SceneError(
            f"item {item.id} cannot be read as a dataset: {fault_of(error)}. Is it valid STAC, with a "
            "footprint?"
        ) from error
    return dataset


def _check_level(item: pystac.Item) -> None:
    """Raise if an item names level 1C."""
    names = [item.id, item.collection_id, *map(item.properties.get, _LEVELS)]
    for text in filter(None, map(str, names)):
        if re.search(r"L1C|MSI1C", text, re.IGNORECASE):
            raise SceneError(
                f"item {item.id} is of level 1C ({text}), top of the atmosphere; masks are made of L2A. "
                f"Take the item of the same tile and time from an L2A collection. {USE_OF_L1C}"
            )


def choose_assets(item: pystac.Item) -> pystac.Item:
    """Return a copy of an item with one asset per band, under the canonical names of the bands.

    Parameters
    ----------
    item
        An item whose assets are named after bands, in any of the known ways.

    Raises
    ------
    SceneError
        If no asset is a band of Sentinel-2.
    """
    item = with_band_assets(item)
    chosen: dict[str, tuple[tuple[bool, int, int], pystac.Asset]] = {}
    for key, asset in item.assets.items():
        name = re.sub(r"[-_]jp2$|[-_]r?\d+m$", "", key.lower())
        if band := band_of(name):
            position = [band, *map(str.lower, S2_BANDS[band])].index(name)
            rank = _rank(key, asset, position)
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
        # `stac2ds` reads `raster:bands`, which STAC 1.1 has replaced by `bands`.
        defaults = {"nodata": 0, "data_type": "uint8" if band == "scl" else "uint16"}
        bare.extra_fields = {"raster:bands": [defaults | asset_values(asset)]}
        copy.add_asset(band, bare)
    return copy


def _rank(key: str, asset: pystac.Asset, position: int) -> tuple[bool, int, int]:
    """Return the sort key of an asset among those of its band, the best first.

    A COG comes before JPEG 2000. Then comes the earlier of the band's names: a ``mask`` beside an ``SCL`` is
    something else. Then comes the finest; a key without resolution means the native one.
    """
    jp2 = "jp2" in (asset.media_type or "") or ".jp2" in asset.href.lower()
    metres = re.search(r"[-_]r?(\d+)m$", key)
    return jp2, position, int(metres.group(1)) if metres else 0


def mgrs_tile(item: pystac.Item) -> str | None:
    """Return the MGRS tile of an item, such as ``33UWP``, from its properties or its id."""
    properties = item.properties
    grid_code = str(properties.get("grid:code") or "").removeprefix("MGRS-")
    if tile := properties.get("s2:mgrs_tile") or grid_code:
        return str(tile)
    for name in ("mgrs", "sentinel"):
        keys = (f"{name}:utm_zone", f"{name}:latitude_band", f"{name}:grid_square")
        if all(key in properties for key in keys):
            zone, band, square = (properties[key] for key in keys)
            return f"{int(zone):02}{band}{square}"
    match = re.search(r"[._]T?(\d\d[C-X][A-Z]{2})(?=[._]|$)", item.id)
    return match.group(1) if match else None


def _public_address(href: str | None) -> str | None:
    """Return an address that others can use too, or None for a path of this machine."""
    public = public_address(href or "")
    return public if public.startswith(("http://", "https://", "s3://")) else None


def _grid_of_files(files: SceneFiles, item: pystac.Item) -> dict[str, Any]:
    """Return coordinate system, grid, measurements and footprint for an EO3 document.

    They are read from one file, whatever the item says. A mask takes the grid of the SCL, or the extent of the
    finest band. The footprint is that of the grid: items at the antimeridian often have a wrong one.
    """
    preferred = (name for name in ("scl", "blue", "green", "red") if name in files.files)
    file = files.files[next(preferred, None) or next(iter(files.files))]
    with reading(files.label):
        grid = file.open().grid
    return {
        "crs": f"epsg:{grid.crs.epsg}" if grid.crs.epsg else grid.crs.to_wkt(),
        "grids": {"default": {"shape": list(grid.shape), "transform": list(grid.affine)}},
        "measurements": {band: {"path": each.uri} for band, each in files.files.items()},
        "geometry": grid.extent.json,
    }
