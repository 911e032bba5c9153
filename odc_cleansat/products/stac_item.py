"""The STAC item of a mask product."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from ..classes import CONFIDENCE_NODATA, CloudClass, stac_classes
from ..models.model import Model
from ..models.stac import model_assets, model_properties
from ..storage.eo3 import MASK_PRODUCT, read_document
from .product import DOCUMENT, ITEM
from .provenance import software

if TYPE_CHECKING:
    import xarray as xr
    from pystac import Item


_EXTENSIONS = {"classification": "2.0.0", "raster": "1.1.0", "mlm": "1.4.0", "processing": "1.2.0"}


def write_stac_item(document: Path, mask: xr.Dataset, model: Model) -> None:
    """Write a STAC item beside an EO3 document. All its links are relative.

    Parameters
    ----------
    document
        The EO3 document of the mask.
    mask
        ``ucl`` and ``ucl_confidence``, dims ``(y, x)``, uint8, with a geobox.
    model
        The model that made the mask.
    """
    from eodatasets3.stac import to_pystac_item

    dataset = read_document(document)
    path = document.with_name(document.name.replace(DOCUMENT, ITEM))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="No collection provided", category=UserWarning)
        item = to_pystac_item(
            dataset, stac_item_destination_url=path.name, odc_dataset_metadata_url=document.name
        )
    # An item that names a collection must link to it; so whoever publishes the item names one.
    item.collection_id = None
    item.properties["odc:product"] = MASK_PRODUCT
    pixel = abs(mask.odc.geobox.resolution.x)
    classes = stac_classes([CloudClass.NODATA, *sorted(model.classes)])
    common = {"data_type": "uint8", "sampling": "area"}
    if not mask.odc.geobox.crs.geographic:
        common["spatial_resolution"] = pixel
    item.assets["ucl"].extra_fields |= {
        "classification:classes": classes,
        "raster:bands": [{"nodata": 0, **common, "classification:classes": classes}],
    }
    item.assets["ucl_confidence"].extra_fields["raster:bands"] = [
        {"nodata": CONFIDENCE_NODATA, "unit": "percent", **common}
    ]
    item.assets |= model_assets(model)
    item.properties |= model_properties(model, [c for c in classes if not c.get("nodata")])
    item.properties["processing:software"] = software()
    _use_extensions(item)
    text = json.dumps(item.to_dict(include_self_link=False, transform_hrefs=False), indent=2)
    path.write_text(text + "\n", encoding="utf-8")


def _use_extensions(item: Item) -> None:
    item.stac_extensions += [
        f"https://stac-extensions.github.io/{name}/v{version}/schema.json"
        for name, version in _EXTENSIONS.items()
    ]
