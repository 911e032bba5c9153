"""The STAC item of a mask."""

from __future__ import annotations

import json
from pathlib import Path

import pystac

from odc_cleansat.storage.eo3 import MASK_PRODUCT
from unit.products.helpers import one


def test_the_stac_item_and_its_extensions(written: Path) -> None:
    from pystac.extensions.classification import ClassificationExtension
    from pystac.extensions.mlm import MLMExtension
    from pystac.extensions.projection import ProjectionExtension
    from pystac.extensions.raster import RasterExtension

    document = json.loads(one(written, "*.stac-item.json").read_text())
    item = pystac.Item.from_dict(document)
    names = {url.split("/")[3] for url in item.stac_extensions}
    assert names >= {"projection", "raster", "classification", "mlm", "processing"}
    item.stac_extensions = []  # their schemas are not installed; the item's own is
    item.validate()
    item = pystac.Item.from_dict(document)
    assert ProjectionExtension.ext(item).epsg == 32633
    (band,) = RasterExtension.ext(item.assets["ucl_confidence"]).bands or []
    assert (band.nodata, band.unit, band.spatial_resolution) == (255, "percent", 20)
    classes = ClassificationExtension.ext(item.assets["ucl"]).classes or []
    assert [(c.value, c.name) for c in classes] == [(0, "nodata"), (1, "clear"), (2, "cloud"), (3, "shadow")]  # fmt: skip
    model = MLMExtension.ext(item)
    assert model.mlm_name == "unet-efficientnetb4-l2a-6b"
    assert model.input[0].input.shape[1] == 6
    assert item.assets["model"].roles == ["mlm:model", "mlm:weights"]
    assert item.assets["thumbnail"].media_type == "image/png"
    assert item.properties["odc:product"] == MASK_PRODUCT
    for asset in item.assets.values():
        assert asset.href.startswith("https://") or (written / asset.href).is_file()
