"""Rows of a catalogue: the STAC item of a dataset, with what a datacube asks of it."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

from ..errors import CleansatError
from ..grids.footprint import geojson_bbox, lonlat_footprint
from ..products.product import DOCUMENT as EO3
from ..products.product import ITEM
from ..storage.eo3 import read_document
from ..storage.folder import Folder, split_file
from ..storage.reader import parse_json
from ..storage.settings import URL_SCHEME
from ..storage.signing import unsigned_address, unsigned_values
from .parts import DOCUMENT, PREFIX
from .table import now

if TYPE_CHECKING:
    from datacube.model import Dataset

STAC_VERSION = "1.1.0"

_PROJECTION = "https://stac-extensions.github.io/projection/v2.0.0/schema.json"

_LISTS: Mapping[str, type] = {
    "roles": str,
    "instruments": str,
    "proj:shape": int,
    "proj:transform": float,
}
"""Keys whose value is a list, and of what."""


def row_of(dataset: Dataset, root: Folder, archived: float = 0.0) -> dict[str, Any]:
    """Return the row of a dataset.

    Parameters
    ----------
    dataset
        The dataset, as datacube's own index would get it.
    root
        The catalogue. Addresses below it are relative, so that it may be moved. No signature of an address is kept.
    archived
        When it was archived, seconds since 1970; 0 for never.

    Raises
    ------
    DocumentError
        If eodatasets3 cannot make a STAC item of its document.
    """
    from datacube.utils import jsonify_document

    # As `metadata_doc_without_lineage`, which copies the whole twice.
    document = jsonify_document({**dataset.metadata_doc, "lineage": {"source_datasets": {}}})
    document = unsigned_values(document)
    sources = {name: str(each.id) for name, each in (dataset.sources or {}).items()}
    extent = document.get("extent") or {}
    time, lon, lat = dataset.time, extent.get("lon", {}), extent.get("lat", {})
    row: dict[str, Any] = unsigned_values(_item_of(dataset))
    uri, base = unsigned_address(dataset.uri or ""), base_of(root)
    row["collection"] = dataset.product.name
    row["links"] = [{"rel": "self", "href": relative_to(base, uri)}] if uri else []
    for asset in row["assets"].values():
        asset["href"] = relative_to(base, urljoin(uri, asset["href"]))
    row["properties"] |= {
        f"{PREFIX}begin": time.begin.timestamp() if time else 0.0,
        f"{PREFIX}end": time.end.timestamp() if time else 0.0,
        f"{PREFIX}west": float(lon.get("begin", -180)),
        f"{PREFIX}east": float(lon.get("end", 180)),
        f"{PREFIX}south": float(lat.get("begin", -90)),
        f"{PREFIX}north": float(lat.get("end", 90)),
        f"{PREFIX}added": now(),
        f"{PREFIX}archived": archived,
        f"{PREFIX}uri": relative_to(base, uri),
        f"{PREFIX}sources": json.dumps(sources),
        DOCUMENT: json.dumps(document),
    }
    return row


def _item_of(dataset: Dataset) -> dict[str, Any]:
    """Return the STAC item of a dataset: that which lies beside its document, or one made of the document."""
    if dataset.uri and dataset.uri.endswith(EO3):
        with contextlib.suppress(CleansatError, OSError):
            folder, name = split_file(dataset.uri)
            item = parse_json(folder.read(name.replace(EO3, ITEM)), name)
            if item.get("id") == str(dataset.metadata_doc["id"]):
                return _plain(item)
    return _plain(_item_of_document(dataset))


def _plain(item: Mapping[str, Any]) -> dict[str, Any]:
    """Return an item with what fits in a table: each value has the same form in all rows."""
    return {
        "type": "Feature",
        "stac_version": STAC_VERSION,
        "stac_extensions": [_PROJECTION],
        "id": item["id"],
        "geometry": item["geometry"],
        "bbox": item["bbox"],
        "properties": _plain_values(item["properties"]),
        "assets": {
            name: _plain_values(asset)
            for name, asset in item["assets"].items()
            if "mlm:model" not in asset.get("roles", ())
        },
    }


def _plain_values(values: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in values.items():
        if key in _LISTS and isinstance(value, list):
            found[key] = [_LISTS[key](each) for each in value]
        elif isinstance(value, (str, bool)):
            found[key] = value
        elif isinstance(value, (int, float)):
            found[key] = float(value)
    return found


def _item_of_document(dataset: Dataset) -> dict[str, Any]:
    from odc.geo.geom import Geometry

    document = read_document(dataset.metadata_doc)
    footprint = lonlat_footprint(Geometry(document.geometry, document.crs))
    acquired = document.properties["datetime"]
    return {
        "id": str(dataset.metadata_doc["id"]),
        "geometry": footprint.json,
        "bbox": geojson_bbox(footprint),
        "properties": {
            **_texts(document.properties.items()),
            "title": document.label or str(dataset.metadata_doc["id"]),
            "odc:product": dataset.product.name,
            "datetime": acquired.astimezone(datetime.UTC).isoformat().replace("+00:00", "Z"),
        },
        "assets": {
            name: {"href": each.path, "roles": ["data"], "title": name}
            for name, each in document.measurements.items()
        },
    }


def _texts(properties: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Return properties with times as text."""
    return {
        key: value.isoformat() if isinstance(value, datetime.date) else value
        for key, value in properties
    }


def absolute(root: Folder, kept: str) -> str:
    """Return the address that a catalogue keeps, relative or not."""
    return (
        kept if not kept or URL_SCHEME.match(kept) or os.path.isabs(kept) else base_of(root) + kept
    )


def relative_to(base: str, address: str) -> str:
    """Return an address as a catalogue keeps it: relative if it is below the address of the catalogue, else as it is."""
    return address.removeprefix(base)


def base_of(root: Folder) -> str:
    """Return the address of a catalogue, with a slash at its end."""
    if root.path is not None:
        return Path(root.path).resolve().as_uri() + "/"
    return f"{root.file('')}"
