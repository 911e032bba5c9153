"""The STAC item of a mask."""

from __future__ import annotations

import json
from pathlib import Path

import pystac
import pytest
from fakes import brightness_engine
from shapely.geometry import shape

from odc_cleansat import get_model
from odc_cleansat.products.job import MaskJob
from odc_cleansat.scenes.read import read_scene
from odc_cleansat.storage.eo3 import MASK_PRODUCT
from odc_cleansat.synthetic.scene import SimulatedScene
from unit.products.helpers import one, read_yaml


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
    expected = [(0, "nodata"), (1, "clear"), (2, "cloud"), (3, "shadow"), (6, "thin_cloud")]
    assert [(c.value, c.name) for c in classes] == expected
    model = MLMExtension.ext(item)
    assert model.mlm_name == get_model().name
    assert model.input[0].input.shape[1] == 6
    assert model.output[0].result.shape[1] == 4
    by_network = document["properties"]["mlm:output"][0]["classification:classes"]
    assert [each["value"] for each in by_network] == [1, 2, 3, 6]
    assert item.assets["model"].roles == ["mlm:model", "mlm:weights"]
    assert item.assets["thumbnail"].media_type == "image/png"
    assert item.properties["odc:product"] == MASK_PRODUCT
    for asset in item.assets.values():
        assert asset.href.startswith("https://") or (written / asset.href).is_file()


def test_across_the_antimeridian_the_footprint_is_cut(tmp_path: Path) -> None:
    simulated = SimulatedScene(shape=(300, 360), seed=1, epsg=32601, origin=(361020.0, 7300020.0))
    scene = read_scene(str(simulated.write(tmp_path / "scene")))
    with brightness_engine():
        made = Path(MaskJob.of_scene(scene, tmp_path / "masks").run())
    item = json.loads(one(made.parent, "*.stac-item.json").read_text())
    west, south, east, north = item["bbox"]
    assert 179.9 < west < 180
    assert -180 < east < -179.9
    assert item["geometry"]["type"] == "MultiPolygon"
    footprint = shape(item["geometry"])
    assert footprint.area == pytest.approx((east - west + 360) * (north - south), rel=0.15)
    assert footprint.bounds == (-180, south, 180, north)
    assert pystac.Item.from_dict(item).geometry == item["geometry"]
    document = read_yaml(made)
    assert shape(document["geometry"]).bounds == (361020, 7297020, 364620, 7300020)
