"""The STAC item of a mask product."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from odc.geo.geobox import GeoBox
from odc.geo.geom import Geometry

from ..addresses import public_values
from ..classes import CONFIDENCE_NODATA, CloudClass, stac_classes
from ..grids.footprint import geojson_bbox, lonlat_footprint
from ..models.model import Model
from ..models.stac import model_assets, model_properties
from ..storage.eo3 import read_document
from ..storage.reader import strange_values
from .product import DOCUMENT, ITEM
from .provenance import software

if TYPE_CHECKING:
    from eodatasets3 import DatasetDoc
    from pystac import Item


_EXTENSIONS = {"classification": "2.0.0", "raster": "1.1.0", "mlm": "1.4.0", "processing": "1.2.0"}


def write_stac_item(document: Path, geobox: GeoBox, model: Model) -> None:
    """Write a STAC item beside an EO3 document. All its links are relative.

    Parameters
    ----------
    document
        The EO3 document of the mask.
    geobox
        The grid of the mask.
    model
        The model that made the mask.
    """
    dataset = read_document(document)
    item = stac_item(dataset, document.name, geobox, model, software())
    path = document.with_name(document.name.replace(DOCUMENT, ITEM))
    path.write_text(json.dumps(item, indent=2) + "\n", encoding="utf-8")


@strange_values("the EO3 document of the mask")
def stac_item(
    dataset: DatasetDoc, name: str, geobox: GeoBox, model: Model, versions: Mapping[str, str]
) -> dict[str, Any]:
    """Return the STAC item that follows from an EO3 document and the model.

    Its footprint is that of the document, as GeoJSON wants it;
    see :func:`~odc_cleansat.grids.footprint.lonlat_footprint`.

    Parameters
    ----------
    dataset
        The EO3 document of the mask.
    name
        Name of its file.
    geobox
        The grid of the mask.
    model
        The model that made the mask.
    versions
        Versions of the packages that decided a pixel, by name.

    Raises
    ------
    DocumentError
        If eodatasets3 cannot make an item of the document.
    """
    from eodatasets3.stac import to_pystac_item

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="No collection provided", category=UserWarning)
        item = to_pystac_item(
            dataset,
            stac_item_destination_url=name.replace(DOCUMENT, ITEM),
            odc_dataset_metadata_url=name,
        )
    # An item that names a collection must link to it; so whoever publishes the item names one.
    item.collection_id = None
    lonlat = lonlat_footprint(Geometry(dataset.geometry, dataset.crs))
    item.geometry, item.bbox = lonlat.json, geojson_bbox(lonlat)
    item.properties["odc:product"] = dataset.product.name
    classes = stac_classes([CloudClass.NODATA, *sorted(model.classes)])
    common = {"data_type": "uint8", "sampling": "area"}
    if not geobox.crs.geographic:
        common["spatial_resolution"] = abs(geobox.resolution.x)
    item.assets["ucl"].extra_fields |= {
        "classification:classes": classes,
        "raster:bands": [{"nodata": 0, **common, "classification:classes": classes}],
    }
    item.assets["ucl_confidence"].extra_fields["raster:bands"] = [
        {"nodata": CONFIDENCE_NODATA, "unit": "percent", **common}
    ]
    item.assets |= model_assets(model)
    item.properties |= model_properties(model, [c for c in classes if not c.get("nodata")])
    item.properties["processing:software"] = dict(versions)
    _use_extensions(item)
    document: dict[str, Any] = public_values(
        item.to_dict(include_self_link=False, transform_hrefs=False)
    )
    return document


def _use_extensions(item: Item) -> None:
    item.stac_extensions += [
        f"https://stac-extensions.github.io/{name}/v{version}/schema.json"
        for name, version in _EXTENSIONS.items()
    ]
