"""Products of a catalogue: a folder each, with its definition, its STAC collection and the index of its datasets."""

from __future__ import annotations

import datetime
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml
from datacube.index.memory._products import ProductResource
from datacube.model import Product

from ..errors import CubeError
from ..storage.folder import Folder
from ..storage.reader import parse_json, parse_yaml
from .items import STAC_VERSION
from .table import ItemTable, View

if TYPE_CHECKING:
    from datacube.index.abstract import AbstractIndex

VERSION = 1
"""Version of the form of catalogues."""

_VERSION_KEY = "cleansat:catalog_version"

CATALOG, COLLECTION, ITEMS = "catalog.json", "collection.json", "items"
"""Names of the STAC catalogue, of the collection of each product, and of the folder with its index."""

DEFINITION = ".odc-product.yaml"
"""How the names of product definitions end."""


class CatalogProducts(ProductResource):  # type: ignore[misc]
    """The products of a catalogue.

    Parameters
    ----------
    index
        The index of which they are.
    root
        The catalogue.
    """

    def __init__(self, index: AbstractIndex, root: Folder) -> None:
        super().__init__(index)
        self._root = root
        self.tables: dict[str, ItemTable] = {}
        """The index of the datasets of each product, by its name."""

    def load(self) -> None:
        """Read the products that are there.

        Raises
        ------
        CubeError
            If a newer version of this package has made the catalogue.
        OutputError
            If the folder cannot be read.
        """
        _check_version(self._root)
        for name in sorted(self._root.entries()):
            folder = self._root / name
            if f"{name}{DEFINITION}" not in folder.files():
                continue
            document = parse_yaml(folder.read(f"{name}{DEFINITION}"), name)
            self._know(self.from_doc(document))

    def _know(self, product: Product) -> None:
        super().add(product)
        self.tables[product.name] = ItemTable(self._root / product.name / ITEMS)

    def add(self, product: Product, allow_table_lock: bool = False) -> Product | None:
        """Add a product, unless the catalogue has it."""
        known = product.name in self.tables
        if not known:
            self._know(product)
            folder = self._root / product.name
            for place in (self._root, folder):
                if place.path is not None:
                    place.path.mkdir(parents=True, exist_ok=True)
            definition = yaml.safe_dump(product.definition, sort_keys=False)
            _replace(folder, f"{product.name}{DEFINITION}", definition)
            self.describe()
        return self.get_by_name(product.name)

    def clone(self, orig: Product) -> Product:
        """Return a product as it is, as drivers with a database do. Copies took a twentieth of adding masks."""
        return orig

    def describe(self) -> None:
        """Write the STAC catalogue and a STAC collection for each product."""
        links = [{"rel": "child", "href": f"./{name}/{COLLECTION}"} for name in sorted(self.tables)]
        catalog = {
            "type": "Catalog",
            "stac_version": STAC_VERSION,
            "id": "cleansat",
            "description": "Masks of cloud and cloud shadow, made by odc-cleansat, and their scenes.",
            _VERSION_KEY: VERSION,
            "links": [{"rel": "root", "href": f"./{CATALOG}"}, *links],
        }
        _replace(self._root, CATALOG, json.dumps(catalog, indent=2))
        for name, table in self.tables.items():
            document = _collection(name, self.by_name[name].definition, table.view())
            _replace(self._root / name, COLLECTION, json.dumps(document, indent=2))

    def temporal_extent(
        self, product: str | Product
    ) -> tuple[datetime.datetime, datetime.datetime]:
        """Return the first and the last time of a product's datasets.

        Raises
        ------
        RuntimeError
            If it has none, as datacube's other drivers do.
        """
        name = product if isinstance(product, str) else product.name
        view = self.tables[name].view()
        kept = ~view.archived
        if not kept.any():
            raise RuntimeError("Product has no datasets and therefore no temporal extent")
        ends = view.column("begin")[kept].min(), view.column("end")[kept].max()
        first, last = (datetime.datetime.fromtimestamp(float(each), datetime.UTC) for each in ends)
        return first, last


def _check_version(root: Folder) -> None:
    if CATALOG not in root.files():
        return
    found = parse_json(root.read(CATALOG), CATALOG)
    version = found.get(_VERSION_KEY) if isinstance(found, dict) else None
    if isinstance(version, (int, float)) and version > VERSION:
        raise CubeError(
            f"the catalogue in {root} has version {version}, and this package knows {VERSION}; update odc-cleansat."
        )


def _collection(name: str, definition: dict[str, Any], view: View) -> dict[str, Any]:
    """Return the STAC collection of a product."""
    kept = ~view.archived
    bbox = [-180.0, -90.0, 180.0, 90.0]
    times: list[str | None] = [None, None]
    if kept.any():
        lows = [float(view.column(each)[kept].min()) for each in ("west", "south")]
        highs = [float(view.column(each)[kept].max()) for each in ("east", "north")]
        bbox = [*lows, *highs] if highs[0] <= 180 else [-180.0, lows[1], 180.0, highs[1]]
        ends = view.column("begin")[kept].min(), view.column("end")[kept].max()
        times = [np.datetime64(int(each), "s").item().isoformat() + "Z" for each in ends]
    return {
        "type": "Collection",
        "stac_version": STAC_VERSION,
        "id": name,
        "description": definition.get("description") or name,
        "license": str(definition.get("license") or "other"),
        "extent": {"spatial": {"bbox": [bbox]}, "temporal": {"interval": [times]}},
        "links": [
            {"rel": "root", "href": f"../{CATALOG}"},
            {"rel": "parent", "href": f"../{CATALOG}"},
        ],
        "assets": {
            "items": {
                "href": f"./{ITEMS}/",
                "type": "application/vnd.apache.parquet",
                "title": "The items, in files of stac-geoparquet. Of items with the same id the last added counts.",
                "roles": ["collection-mirror"],
            }
        },
    }


def _replace(folder: Folder, name: str, text: str) -> None:
    """Write a file of a catalogue, in place of an older one."""
    content = (text.rstrip() + "\n").encode()
    if folder.path is not None:
        from ..storage.atomic import write_file

        write_file(folder.path / name, content)
    else:
        folder.write(name, content)
