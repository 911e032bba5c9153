"""What stands for a scene on the command line: SAFE folders, STAC items of many makers, EO3 documents."""

from __future__ import annotations

import json
import shutil
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pystac
import pytest
import rasterio
import yaml
from conftest import Cube, read_folder
from datacube.metadata import stac2ds
from odc.geo.geobox import GeoBox
from stac_server import StacServer, serving

from odc_cleansat import classify
from odc_cleansat.errors import CleansatError, SceneError
from odc_cleansat.products.job import MaskJob
from odc_cleansat.scenes.read import read_scene
from odc_cleansat.scenes.scene import Scene
from odc_cleansat.scenes.search import search
from odc_cleansat.scenes.stac import item_scene
from odc_cleansat.storage.eo3 import read_document
from odc_cleansat.synthetic.scene import SimulatedScene

SIX = "B02 B03 B04 B08 B11 B12"
ITEMS = {
    "Element 84, v1": ("eodm/S2A_39QTA_20230628_0_L2A.json", "plain", "39QTA", 0),
    "Element 84, v0": ("odc-tools/S2A_17SPR_20221106_0_L2A.json", "plain", "17SPR", 0),
    "Element 84, v0, older": ("odc-stac/S2A_28QCH_20200714_0_L2A.json", "plain", "28QCH", 0),
    "Planetary Computer": (
        "odc-stac/S2B_MSIL2A_20190629T212529_R043_T06VVN_20201006T080531.json", "plain", "06VVN", 0,
    ),
    "Digital Earth Africa": ("odc-tools/S2B_T37MGP_20240710T073012_L2A_C1.json", "shifted", "37MGP", -1000),
    "Geoscience Australia": (
        "odc-tools/ga_s2am_ard_3-2-1_49JFM_2016-12-14_final.stac-item.json", "plain", "49JFM", 0,
    ),
    "stactools": (
        "stactools-sentinel2/S2B_MSIL2A_20220413T150759_N0400_R025_T33XWJ_20220414T082126.json",
        "shifted", "33XWJ", -1000,
    ),
}  # fmt: skip
"""File, which of the scenes its pixels are, MGRS tile and radiometric offset."""


@pytest.fixture(scope="module")
def metadata(shared: Path) -> Path:
    return shared / "metadata"


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same reflectance with and without the offset of baseline 04.00."""
    folder = tmp_path_factory.mktemp("scenes")
    return {
        name: SimulatedScene(shape=(240, 300), seed=1, offset=offset).write(folder / name)
        for name, offset in (("plain", 0), ("shifted", -1000))
    }


@pytest.fixture
def server(scenes: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[StacServer]:
    monkeypatch.setenv("GDAL_HTTP_MAX_RETRY", "2")
    monkeypatch.setenv("GDAL_HTTP_RETRY_DELAY", "0.01")
    with serving(StacServer()) as running:
        running.folders = scenes
        yield running


@pytest.fixture(scope="module")
def expected(scenes: dict[str, Path]) -> np.ndarray:
    """The mask, from arrays read with rasterio alone."""
    scene = read_folder(scenes["plain"], SIX)
    with rasterio.open(scenes["plain"] / "SCL.tif") as file:
        grid = GeoBox.from_rio(file)
    codes: np.ndarray = classify(scene, geobox=grid, offset=0).ucl.values
    return codes


def masked(scene: Scene, folder: Path) -> tuple[np.ndarray, dict[str, Any]]:
    """The classes of a scene's mask and its document."""
    document = Path(MaskJob.of_scene(scene, folder).run())
    (path,) = document.parent.glob("*_ucl.tif")
    with rasterio.open(path) as file:
        return file.read(1), yaml.safe_load(document.read_text(encoding="utf-8"))


# --- STAC items -----------------------------------------------------------------------


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
    from odc_cleansat.scenes.stac import choose_assets

    chosen = choose_assets(pystac.Item.from_dict(document)).assets
    assert len(chosen) == 13
    assert all(asset.href.endswith(".tif") for asset in chosen.values())


def test_of_several_resolutions_the_native(metadata: Path) -> None:
    """Under the names of stactools, and those of the Copernicus Data Space, which always have one."""
    from odc_cleansat.scenes.stac import choose_assets

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


def test_planetary_computer_is_signed(
    metadata: Path, server: StacServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Through its own package; the storage itself is the loopback server, as GDAL's proxy."""
    pytest.importorskip("planetary_computer")
    monkeypatch.setenv("PC_SDK_SAS_URL", f"{server.url}/sas")
    monkeypatch.setenv("GDAL_HTTP_PROXY", server.url)
    server.folders["sentinel2-l2"] = server.folders["plain"]
    item = server.add(metadata / ITEMS["Planetary Computer"][0], "sentinel2-l2")
    for asset in item["assets"].values():
        asset["href"] = asset["href"].replace(
            server.url, "http://sentinel2l2a01.blob.core.windows.net"
        )
    codes, document = masked(item_scene(pystac.Item.from_dict(item)), tmp_path)
    assert (codes != 0).all()
    assert any(path.startswith("/sas/sentinel2l2a01/sentinel2-l2") for path in server.requests)
    assert "sig=" not in yaml.safe_dump(document)
    for file in tmp_path.glob("**/*.yaml"):
        assert "sig=" not in file.read_text(encoding="utf-8")


def test_planetary_computer_without_its_package(
    metadata: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "planetary_computer", None)
    with pytest.raises(SceneError, match="pip install"):
        read_scene(str(metadata / ITEMS["Planetary Computer"][0]))


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


# --- searching ------------------------------------------------------------------------

WORLD = (-180.0, -90.0, 180.0, 90.0)


@pytest.fixture
def api(server: StacServer, metadata: Path) -> StacServer:
    """Five items of one collection, on three pages."""
    for name in ("S2A_39QTA_20230628_0", "S2A_39QUA_20230628_0", "S2B_39QTA_20230623_0"):
        server.add(metadata / "eodm" / f"{name}_L2A.json", "plain")
    for name in ("S2A_28QCH_20200714_0", "S2B_31QGB_20200831_0"):
        server.add(metadata / "odc-tools" / f"{name}_L2A.json", "plain")
    return server


def found(api: StacServer, *args: Any, **kwargs: Any) -> list[str]:
    return [item.id for item in search(*args, api=api.url, **kwargs)]


def test_search_turns_pages(api: StacServer) -> None:
    assert found(api, WORLD, "2020/2024") == [item["id"] for item in api.items]
    assert len(api.searches) == 3


def test_search_by_place_time_and_number(api: StacServer) -> None:
    assert found(api, (48.0, 17.0, 50.0, 20.0), "2023-06-28", limit=1) == [
        "S2A_39QTA_20230628_0_L2A"
    ]
    assert found(api, WORLD, "2020-07/2020-08") == [item["id"] for item in api.items[3:]]
    assert api.searches[-1]["datetime"] == "2020-07-01T00:00:00Z/2020-08-31T23:59:59Z"


def test_search_by_cloud(api: StacServer, monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = {item["id"]: item["properties"]["eo:cloud_cover"] for item in api.items}
    limit = sorted(cloud.values())[2]
    clear = [name for name, value in cloud.items() if value <= limit]
    assert 0 < len(clear) < len(cloud)
    assert found(api, WORLD, "2020/2024", max_cloud=limit) == clear
    assert api.searches[0]["query"] == {"eo:cloud_cover": {"lte": limit}}
    # An API that cannot filter: done here.
    monkeypatch.setattr(
        "stac_server.CONFORMS", [c for c in __import__("stac_server").CONFORMS if "query" not in c]
    )
    assert found(api, WORLD, "2020/2024", max_cloud=limit) == clear
    assert "query" not in api.searches[-1]


def test_search_across_the_antimeridian(api: StacServer) -> None:
    with pytest.raises(CleansatError, match="no item"):
        found(api, (179.0, -20.0, -179.0, -10.0), "2023")
    assert api.searches[0]["bbox"] == [179.0, -20.0, -179.0, -10.0]


def test_search_survives_a_server_that_stumbles(api: StacServer) -> None:
    api.flaky |= {"/search": 2, "/": 1}
    assert len(found(api, WORLD, "2023")) == 3


@pytest.mark.parametrize(
    ("bbox", "time", "message"),
    [
        ((13.8, 47.7, 13.6, 47.9), "2023", "west, south, east and north"),
        ((47.7, 13.6, 47.9, 113.8), "2023", "west, south, east and north"),
        ((13.6, 47.9, 13.8, 47.7), "2023", "west, south, east and north"),
        (WORLD, "summer", "the time 'summer' makes no sense"),
        (WORLD, "2023-13", "the time '2023-13' makes no sense"),
        (WORLD, "2031", "has no item of sentinel-2-l2a in -180,-90,180,90 at 2031"),
    ],
)
def test_searches_that_find_nothing(
    bbox: tuple[float, float, float, float], time: str, message: str, api: StacServer
) -> None:
    with pytest.raises(CleansatError, match=message):
        search(bbox, time, api=api.url)


def test_an_api_that_refuses(api: StacServer) -> None:
    api.broken["/"] = 403
    with pytest.raises(CleansatError, match="refused"):
        search(WORLD, "2023", api=api.url)


# --- SAFE folders ---------------------------------------------------------------------

MANIFEST = """<manifest><dataObjectSection>{}</dataObjectSection></manifest>"""
OBJECT = '<dataObject ID="{}"><byteStream><fileLocation href="./{}"/></byteStream></dataObject>'


def safe(source: Path, folder: Path, scene: SimulatedScene) -> Path:
    """The SAFE structure around the metadata in shared, with simulated pixels.

    The manifest is cut down to what stactools looks for.
    """
    target = folder / source.name
    tree = ElementTree.parse(source / "MTD_MSIL2A.xml")
    images = [str(each.text) for each in tree.iter("IMAGE_FILE")]
    (image_format,) = {each.get("imageFormat") for each in tree.iter("Granule")}
    granule = "/".join(images[0].split("/")[:2])
    (target / granule).mkdir(parents=True)
    shutil.copy(source / "MTD_MSIL2A.xml", target)
    shutil.copy(source / "MTD_TL.xml", target / granule)
    objects = {
        "S2_Level-2A_Product_Metadata": "MTD_MSIL2A.xml",
        "S2_Level-2A_Tile1_Metadata": f"{granule}/MTD_TL.xml",
        "INSPIRE_Metadata": "INSPIRE.xml",
        "S2_Level-2A_Datastrip1_Metadata": "DATASTRIP/MTD_DS.xml",
    }
    text = MANIFEST.format("".join(OBJECT.format(*pair) for pair in objects.items()))
    (target / "manifest.safe").write_text(text, encoding="utf-8")
    pixels = scene.write(folder / "pixels")
    for image in images:
        name, metres = image.split("_")[-2:]
        if (pixels / f"{name}.tif").exists():
            path = target / image
            path.parent.mkdir(parents=True, exist_ok=True)
            _image(pixels / f"{name}.tif", path, image_format == "GeoTIFF", int(metres[:-1]))
    return target


def _image(source: Path, target: Path, tif: bool, metres: int) -> None:
    """One band at one resolution, which need not be its own."""
    with rasterio.open(source) as file:
        values, grid = file.read(1), GeoBox.from_rio(file)
    grid = grid.zoom_to(resolution=metres)
    rows, columns = (
        np.arange(n) * len_ // n for n, len_ in zip(grid.shape, values.shape, strict=True)
    )
    values = values[np.ix_(rows, columns)]
    options = (
        {"driver": "GTiff"}
        if tif
        else {"driver": "JP2OpenJPEG", "quality": 100, "reversible": True}
    )
    path = target.with_name(f"{target.name}.{'tif' if tif else 'jp2'}")
    with rasterio.open(
        path, "w", width=grid.width, height=grid.height, count=1, dtype=values.dtype,
        crs=str(grid.crs), transform=grid.affine, **options,
    ) as file:  # fmt: skip
        file.write(values, 1)


SAFES = {
    "05.09": (
        "S2A_MSIL2A_20230625T234621_N0509_R073_T01WCP_20230626T022157.SAFE",
        SimulatedScene(shape=(240, 300), seed=1, epsg=32601, origin=(300000.0, 7400040.0)),
        "01WCP", -1000,
    ),
    "02.12": (
        "S2A_MSIL2A_20190212T192651_N0212_R013_T07HFE_20201007T160857.SAFE",
        SimulatedScene(shape=(240, 300), seed=1, epsg=32707, origin=(600000.0, 6500040.0), offset=0),
        "07HFE", 0,
    ),
}  # fmt: skip


@pytest.mark.parametrize("baseline", SAFES)
def test_a_safe_folder(baseline: str, metadata: Path, tmp_path: Path) -> None:
    """One in JPEG 2000 across the antimeridian, one in GeoTIFF; with and without an offset."""
    name, pixels, tile, offset = SAFES[baseline]
    folder = safe(metadata / "stactools-sentinel2" / name, tmp_path, pixels)
    scene = read_scene(str(folder))
    codes, document = masked(scene, tmp_path / "out")
    properties = document["properties"]
    assert properties["odc:region_code"] == tile
    assert (properties["cleansat:offset"], properties["s2:processing_baseline"]) == (
        offset,
        baseline,
    )
    assert properties["cleansat:source"] == scene.label == name.removesuffix(".SAFE")
    assert properties["s2:product_uri"] == name
    assert document["crs"] == f"epsg:{pixels.epsg}"
    six = read_folder(tmp_path / "pixels", SIX)
    expected = classify(six, geobox=pixels.geobox(20), offset=offset).ucl.values
    np.testing.assert_array_equal(codes, expected)
    # The same product elsewhere is the same scene.
    moved = folder.rename(tmp_path / "out" / name)
    assert read_scene(str(moved)).dataset.id == scene.dataset.id


def test_a_safe_folder_that_is_none(metadata: Path, tmp_path: Path) -> None:
    source = metadata / "stactools-sentinel2" / SAFES["02.12"][0]
    with pytest.raises(SceneError, match=r"manifest\.safe"):
        read_scene(str(source))  # its metadata only, in one folder
    renamed = shutil.copytree(source, tmp_path / "renamed")
    with pytest.raises(SceneError, match=r"NAME\.SAFE"):
        read_scene(str(renamed))
    level1 = tmp_path / SAFES["02.12"][0].replace("MSIL2A", "MSIL1C")
    level1.mkdir()
    with pytest.raises(SceneError, match="level 1C"):
        read_scene(str(level1))


def test_a_safe_folder_without_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "stactools.sentinel2.stac", None)
    (tmp_path / "S2A_MSIL2A_x.SAFE").mkdir()
    with pytest.raises(SceneError, match=r"odc-cleansat\[safe\]"):
        read_scene(str(tmp_path / "S2A_MSIL2A_x.SAFE"))


# --- EO3 documents and folders --------------------------------------------------------


def test_an_eo3_document_is_the_dataset_that_is_indexed(cube: Cube) -> None:
    dataset = cube.scenes["june"]
    scene = read_scene(str(dataset.local_path))
    assert scene.dataset.id == dataset.id
    assert MaskJob.of_scene(scene, cube.folder / "products").id == cube.masks["june"].id


def test_eo3_documents_of_level_1c_are_refused(cube: Cube, tmp_path: Path) -> None:
    document = dict(cube.scenes["june"].metadata_doc)
    document["properties"] = {**document["properties"], "s2:product_type": "S2MSI1C"}
    path = tmp_path / "scene.odc-metadata.yaml"
    path.write_text(json.dumps(document, default=str))
    with pytest.raises(SceneError, match="level 1C"):
        read_scene(str(path))


def test_a_folder_of_bands_is_the_same_scene(cube: Cube) -> None:
    scene = read_scene(str(cube.folder / "june"))
    assert scene.label == "june"
    assert MaskJob.of_scene(scene, cube.folder / "products").id == cube.masks["june"].id


def test_an_eo3_document_over_http(cube: Cube) -> None:
    with serving(StacServer()) as server:
        server.folders["scenes"] = cube.folder / "scenes"
        name = cube.scenes["june"].local_path.name
        assert read_scene(f"{server.url}/scenes/{name}").dataset.id == cube.scenes["june"].id


@pytest.mark.parametrize(
    ("name", "region"),
    [
        ("odc-tools/ga_s2am_ard_3-2-1_49JFM_2016-12-14_final.odc-metadata.yaml", "49JFM"),
        ("odc-tools/S2B_T37MGP_20240710T073012_L2A_C1-odc-metadata.yaml", "37MGP"),
        ("odc-tools/S2A_28QCH_20200714_0_L2A.odc-metadata.json", "28QCH"),
        ("datacube-core/ga_s2am_ard_3_final.yaml", "53JNN"),
        ("datacube-core/s2_africa_dataset.yaml", "37MCQ"),
    ],
)
def test_real_eo3_documents(name: str, region: str, metadata: Path, tmp_path: Path) -> None:
    job = MaskJob.of_scene(read_scene(str(metadata / name)), tmp_path)
    assert f"/{region}/" in str(job.folder)
    assert set(job.bands) == {"blue", "green", "red", "nir", "swir16", "swir22"}


def test_the_lineage_that_datacube_nests_is_no_hindrance(cube: Cube) -> None:
    mask = cube.dc.index.datasets.get(cube.masks["june"].id, include_sources=True)
    assert "source_datasets" in mask.metadata_doc["lineage"]
    assert read_document(mask.metadata_doc).id == mask.id


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("no: [document", "neither JSON nor YAML"),
        ("- a list", "holds no document"),
        ('{"type": "Collection", "id": "x"}', "is Collection"),
        ('{"type": "Feature", "id": "x"}', "no STAC item"),
        ("$schema: https://schemas.opendatacube.org/dataset\nid: 1", "lacks crs, grids"),
        (
            '{"$schema": "https://schemas.opendatacube.org/dataset", "id": 1, "crs": "epsg:4326", '
            '"grids": {}, "measurements": {}, "properties": {}}',
            "lacks datetime among its properties",
        ),
    ],
)
def test_documents_that_are_no_scene(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "document.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SceneError, match=message):
        read_scene(str(path))


def test_what_is_not_there(tmp_path: Path, server: StacServer) -> None:
    with pytest.raises(SceneError, match="there is no"):
        read_scene(str(tmp_path / "x.json"))
    with pytest.raises(SceneError, match="cannot read"):
        read_scene(f"{server.url}/items/x")
