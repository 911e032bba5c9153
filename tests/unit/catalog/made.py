"""Masks for catalogues, made of nothing but a document."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from datacube import Datacube
from datacube.index.eo3 import prep_eo3
from datacube.model import Dataset

from odc_cleansat.cube.index import add_product
from odc_cleansat.storage.eo3 import MASK_PRODUCT, product_definition


def with_masks(dc: Datacube) -> Datacube:
    """The datacube with the product of masks."""
    add_product(dc, product_definition(MASK_PRODUCT))
    return dc


def document(
    name: str, day: str = "2024-06-15", zone: int = 33, **properties: Any
) -> dict[str, Any]:
    """A document of a mask of 2 x 2 km at 13.66 degrees east in zone 33, 47.8 degrees north."""
    left, top, size = 399_960.0, 5_300_040.0, 2000.0
    ring = [
        [left, top],
        [left + size, top],
        [left + size, top - size],
        [left, top - size],
        [left, top],
    ]
    return {
        "$schema": "https://schemas.opendatacube.org/dataset",
        "id": str(uuid5(NAMESPACE_URL, name)),
        "label": name,
        "product": {"name": MASK_PRODUCT},
        "crs": f"EPSG:{32600 + zone}",
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "grids": {
            "default": {"shape": [100, 100], "transform": [20, 0, left, 0, -20, top, 0, 0, 1]}
        },
        "properties": {
            "datetime": f"{day}T10:10:31Z",
            "odc:processing_datetime": datetime.datetime(
                2025, 1, 1, tzinfo=datetime.UTC
            ).isoformat(),
            "odc:region_code": f"{zone}UVP",
            "odc:file_format": "GeoTIFF",
            "eo:cloud_cover": 12.5,
            **properties,
        },
        "measurements": {
            band: {"path": f"{name}_{band}.tif"} for band in ("ucl", "ucl_confidence")
        },
        "lineage": {},
    }


def mask(dc: Datacube, root: Path | str, name: str, *args: Any, **properties: Any) -> Dataset:
    """A mask in a folder of the store, which is not entered."""
    product = dc.index.products.get_by_name(MASK_PRODUCT)
    base = root.as_uri() if isinstance(root, Path) else root
    found = prep_eo3(document(name, *args, **properties))
    return Dataset(product, found, uri=f"{base}/{name}/{name}.odc-metadata.yaml")
