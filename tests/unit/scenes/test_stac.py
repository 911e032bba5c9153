"""STAC items of many makers as scenes."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pystac
import pytest
from datacube.metadata import stac2ds
from stac_server import StacServer

from odc_cleansat.errors import SceneError
from odc_cleansat.products.job import MaskJob
from odc_cleansat.scenes.read import read_scene
from odc_cleansat.scenes.stac import choose_assets, item_scene, parse_item

from .helpers import ITEMS, masked

pytestmark = pytest.mark.usefixtures("fast_network")


@pytest.mark.parametrize("provider", ITEMS)
def test_items_of_every_provider(
    provider: str, metadata: Path, server: StacServer, expected: np.ndarray, tmp_path: Path
) -> None:
    name, pixels, tile, offset = ITEMS[provider]
    item = server.add(metadata / name, pixels)
    scene = read_scene(f"{server.url}/items/{item['id']}")
    codes, document = masked(scene, tmp_path)
    np.testing.assert_array_equal(codes, expected)
    properties = document["properties"]
    assert properties["odc:region_code"] == tile
    assert properties["cleansat:offset"] == offset
    assert properties["cleansat:source"] == f"{server.url}/items/{item['id']}"
    assert f"{properties['datetime']:%Y-%m-%d}" == item["properties"]["datetime"][:10]
    assert document["lineage"] == {"level2": [str(scene.dataset.id)]}


def test_the_id_is_that_which_datacube_gives(metadata: Path, server: StacServer) -> None:
    """So that masks find their scenes where these were indexed with datacube's tools."""
    for name, pixels, _, _ in ITEMS.values():
        document = server.add(metadata / name, pixels)
        item = pystac.Item.from_dict(document)
        (dataset,) = stac2ds([item.full_copy()], {"*": {"warnings": "ignore"}})
        assert item_scene(item).dataset.id == dataset.id


def test_an_id_that_is_a_uuid_is_kept(metadata: Path, server: StacServer) -> None:
    item = server.add(metadata / ITEMS["Geoscience Australia"][0], "plain")
    assert item_scene(pystac.Item.from_dict(item)).dataset.id == UUID(item["id"])


def test_of_two_files_of_a_band_the_cog(metadata: Path) -> None:
    path = metadata / ITEMS["Element 84, v1"][0]
    document = json.loads(path.read_text(encoding="utf-8"))
    assert document["assets"]["red-jp2"]["href"].endswith(".jp2")
    # First in the file, and still not taken.
    document["assets"] = dict(reversed(document["assets"].items()))
    chosen = choose_assets(pystac.Item.from_dict(document)).assets
    assert len(chosen) == 13
    assert all(asset.href.endswith(".tif") for asset in chosen.values())


def test_of_several_resolutions_the_native(metadata: Path) -> None:
    """Under the names of stactools, and those of the Copernicus Data Space, which always have one."""
    path = metadata / ITEMS["stactools"][0]
    item = pystac.Item.from_dict(json.loads(path.read_text(encoding="utf-8")))
    found = {band: asset.href[-7:-4] for band, asset in choose_assets(item).assets.items()}
    assert found["blue"] == "10m"
    assert found["scl"] == found["swir16"] == "20m"
    copy = item.clone()
    copy.assets = {
        f"B02_{metres}m": pystac.Asset(f"s3://eodata/B02_{metres}m.jp2") for metres in (60, 20, 10)
    }
    assert choose_assets(copy).assets["blue"].href == "s3://eodata/B02_10m.jp2"
    # Some call the SCL `mask`; beside one it is something else.
    names = ("qa", "mask_20m", "SCL_20m", "SCL_60m")
    copy.assets |= {name: pystac.Asset(f"s3://eodata/{name}.jp2") for name in names}
    assert choose_assets(copy).assets["scl"].href == "s3://eodata/SCL_20m.jp2"


def test_a_file_with_relative_hrefs(
    scenes: dict[str, Path], metadata: Path, tmp_path: Path
) -> None:
    """They count from where the file is, not from where it says that it was."""
    document = json.loads((metadata / ITEMS["Element 84, v0"][0]).read_text(encoding="utf-8"))
    for asset in document["assets"].values():
        asset["href"] = f"./pixels/{asset['href'].rpartition('/')[2]}"
    (tmp_path / "item.json").write_text(json.dumps(document), encoding="utf-8")
    shutil.copytree(scenes["plain"], tmp_path / "pixels")
    scene = read_scene(str(tmp_path / "item.json"))
    assert MaskJob.of_scene(scene, tmp_path / "out").bands["red"].open().data.max() > 0


def test_raster_metadata_of_stac_1_1(metadata: Path, server: StacServer) -> None:
    item = server.add(metadata / ITEMS["Digital Earth Africa"][0], "shifted")
    del item["properties"]["s2:processing_baseline"]
    for key in ("red", "blue"):
        (own,) = item["assets"][key].pop("raster:bands")
        item["assets"][key]["bands"] = [
            {"nodata": 0, "raster:scale": 0.0001, "raster:offset": own["offset"]}
        ]
    assert (
        MaskJob.of_scene(item_scene(pystac.Item.from_dict(item)), "nowhere").offset.value == -1000
    )


def test_an_offset_that_the_caller_knows(metadata: Path, server: StacServer) -> None:
    item = server.add(metadata / ITEMS["Element 84, v1"][0], "shifted")
    scene = item_scene(pystac.Item.from_dict(item))
    assert (
        MaskJob.of_scene(scene, "nowhere").offset.value,
        MaskJob.of_scene(scene, "nowhere", None, -1000).offset.value,
    ) == (
        0,
        -1000,
    )
    assert (
        MaskJob.of_scene(scene, "nowhere").id != MaskJob.of_scene(scene, "nowhere", None, -1000).id
    )


def test_s3_hrefs(
    metadata: Path, server: StacServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = {
        "AWS_S3_ENDPOINT": server.url.partition("//")[2], "AWS_HTTPS": "NO",
        "AWS_VIRTUAL_HOSTING": "FALSE", "AWS_NO_SIGN_REQUEST": "YES",
    }  # fmt: skip
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    item = server.add(metadata / ITEMS["Digital Earth Africa"][0], "shifted")
    for asset in item["assets"].values():
        asset["href"] = asset["href"].replace(f"{server.url}/", "s3://")
    codes, _ = masked(item_scene(pystac.Item.from_dict(item)), tmp_path)
    assert (codes != 0).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"assets": {"thumbnail": {"href": "x.png"}}},
            "no bands of Sentinel-2; its assets are thumbnail",
        ),
        ({"assets": {}}, "no bands"),
        ({"id": "S2A_39QTA_20230628_0_L1C"}, "level 1C"),
        ({"collection": "sentinel-2-l1c"}, "level 1C"),
        ({"geometry": None}, "cannot be read as a dataset"),
    ],
)
def test_items_that_are_no_scene(
    changes: dict[str, Any], message: str, metadata: Path, server: StacServer
) -> None:
    item = {**server.add(metadata / ITEMS["Element 84, v1"][0], "plain"), **changes}
    with pytest.raises(SceneError, match=message):
        item_scene(pystac.Item.from_dict(item))


@pytest.mark.parametrize(
    "changes",
    [
        {"id": 5},
        {"stac_extensions": [[]]},
        {"geometry": {"type": "Polygon", "coordinates": [[1, 2, 3, 1]]}},
        {"assets": {"red": {"href": None}}},
    ],
)
def test_odd_values_of_an_item_are_told_without_python(
    changes: dict[str, Any], metadata: Path, server: StacServer
) -> None:
    item = {**server.add(metadata / ITEMS["Element 84, v1"][0], "plain"), **changes}
    with pytest.raises(SceneError) as error:
        item_scene(parse_item(item, "item.json"))
    assert not re.search(r"Error|object|NoneType|unhashable", str(error.value))
