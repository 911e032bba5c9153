"""Which files of a scene are opened, of those that a product names."""

from __future__ import annotations

import io
import os
import shutil
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import requests
import yaml
from datacube import Datacube
from datacube.model import Dataset
from ports import free_port

from odc_cleansat.errors import OutputError, SceneError
from odc_cleansat.products.product import MaskProduct
from odc_cleansat.products.scene_files import admitted, recorded_files, scene_files
from odc_cleansat.products.search import indexed_products
from odc_cleansat.products.verification import verify
from odc_cleansat.scenes.files import BandFile, SceneFiles
from odc_cleansat.scenes.scene import unindexed_dataset
from odc_cleansat.storage.eo3 import MASK_PRODUCT
from unit.products.helpers import one

DEEP = f"{MASK_PRODUCT}/33/UVP/2024/06/15/name"
"""Where a mask is below the folder of masks."""


def opened(uri: str, product: MaskProduct) -> str | None:
    """The address that is opened, or None."""
    try:
        file = admitted(BandFile(uri, 1, 0), product)
    except SceneError:
        return None
    assert file.of_stranger
    return file.uri


@pytest.fixture
def mask(tmp_path: Path) -> MaskProduct:
    """A mask in the folder of masks ``work/masks``, beside ``work/scenes``."""
    for folder in (f"work/masks/{DEEP}", "work/scenes", "other"):
        (tmp_path / folder).mkdir(parents=True)
    for path in ("work/scenes/B04.tif", "work/masks/B04.tif", "other/B04.tif"):
        (tmp_path / path).touch()
    return MaskProduct(tmp_path / "work/masks" / DEEP)


def test_files_near_the_mask(mask: MaskProduct, tmp_path: Path) -> None:
    near = tmp_path / "work/scenes/B04.tif"
    assert opened(str(near), mask) == str(near)
    assert opened(near.as_uri(), mask) == str(near)
    assert opened(str(tmp_path / "work/masks/B04.tif"), mask) == str(
        tmp_path / "work/masks/B04.tif"
    )
    assert opened(f"{tmp_path}/work/scenes/missing.tif", mask), "it is said that it is missing"
    assert opened(f"{tmp_path}/other/../work/scenes/B04.tif", mask) == str(near)


@pytest.mark.parametrize(
    "uri",
    [
        "{root}/other/B04.tif",
        "file://{root}/other/B04.tif",
        "file://{root}/work/scenes/%2e%2e/%2e%2e/other/B04.tif",
        "{root}/work/scenes/../../other/B04.tif",
        "{root}/work/masks/" + DEEP + "/" + "../" * 9 + "other/B04.tif",
        "{root}/work/scenes/link.tif",
        "{root}/work/scenes/folder/B04.tif",
        "{root}/work/scenes/circle.tif",
        "{root}/work/scenes/\0.tif",
        "{root}/work2/B04.tif",
        "/etc/passwd",
        "file:///etc/passwd",
        "/vsicurl/http://host/B04.tif",
        "/vsizip/{root}/work/scenes/a.zip/B04.tif",
        "/vsimem/{root}/work/scenes/B04.tif",
        "zip://{root}/other/a.zip!/B04.tif",
        "zip://{root}/work/scenes/a.zip!/../../../other/a.zip/B04.tif",
        "zip://{root}/work/scenes/not_there.zip!/B04.tif",
        "zip+https://host/a.zip!/B04.tif",
        "http://host/B04.tif",
        "https://host/B04.tif",
        "s3://bucket/B04.tif",
        "data:image/tiff;base64,AAAA",
        "NETCDF:http://host/B04.nc:x",
        "<VRTDataset></VRTDataset>",
        "",
    ],
)
def test_whatever_is_elsewhere_is_not_opened(mask: MaskProduct, tmp_path: Path, uri: str) -> None:
    scenes = tmp_path / "work/scenes"
    (scenes / "link.tif").symlink_to(tmp_path / "other/B04.tif")
    (scenes / "folder").symlink_to(tmp_path / "other")
    (scenes / "circle.tif").symlink_to(scenes / "circle.tif")
    for place in ("other/a.zip", "work/scenes/a.zip"):
        with zipfile.ZipFile(tmp_path / place, "w") as archive:
            archive.writestr("B04.tif", "")
    assert opened(uri.format(root=tmp_path), mask) is None
    file = BandFile(uri.format(root=tmp_path), 1, 0)
    assert admitted(file, mask, fetch_scenes=True) is file
    assert opened(f"zip://{scenes}/a.zip!/B04.tif", mask) == f"zip://{scenes}/a.zip!/B04.tif"


def test_links_that_a_user_made_of_folders(tmp_path: Path, mask: MaskProduct) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "work")
    near = tmp_path / "work/scenes/B04.tif"
    by_link = MaskProduct(tmp_path / "link/masks" / DEEP)
    assert (
        opened(str(near), by_link) == opened(f"{tmp_path}/link/scenes/B04.tif", mask) == str(near)
    )


def test_the_whole_machine_is_never_near() -> None:
    for place in (f"/masks/{DEEP}", f"/{DEEP}", "/mask", f"/x/../{DEEP}"):
        product = MaskProduct(place)
        assert opened("/etc/hostname", product) is None
        assert opened(f"{os.path.abspath(place)}/B04.tif", product)


def test_a_mask_without_a_folder_of_masks_is_its_own(tmp_path: Path) -> None:
    (tmp_path / "a/b/mask").mkdir(parents=True)
    product = MaskProduct(tmp_path / "a/b/mask")
    assert opened(f"{tmp_path}/a/b/B04.tif", product)
    assert opened(f"{tmp_path}/a/B04.tif", product) is None


class Store:
    """A mask in a store, which is not asked."""

    scene = None

    def __init__(self, folder: str) -> None:
        self.folder = type("Folder", (), {"path": None, "__str__": lambda _: folder})()


@pytest.mark.parametrize(
    ("uri", "right"),
    [
        ("s3://bucket/scenes/B04.tif", True),
        ("s3a://bucket/B04.tif", True),
        ("S3://bucket/B04.tif", True),
        ("s3://other/B04.tif", False),
        ("s3://bucket.evil/B04.tif", False),
        ("s3://bucket:80@evil/B04.tif", False),
        ("s3://evil\\@bucket/B04.tif", False),
        ("https://bucket/B04.tif", False),
        ("/vsis3/bucket/B04.tif", False),
        ("file:///etc/passwd", False),
        ("/etc/passwd", False),
        ("s3://bucket", False),
    ],
)
def test_files_in_the_bucket_of_the_mask(uri: str, right: bool) -> None:
    product: Any = Store("s3://bucket/masks/name")
    assert opened(uri, product) == (uri if right else None)


@pytest.mark.parametrize(
    ("uri", "right"),
    [
        ("https://host:8443/B04.tif", True),
        ("https://HOST:8443/B04.tif", True),
        ("https://host/B04.tif", False),
        ("http://host:8443/B04.tif", False),
        ("https://host:8443@evil/B04.tif", False),
        ("https://evil/host:8443/B04.tif", False),
        ("https://user:word@host:8443/B04.tif", False),
        ("https://host:8443\\.evil/B04.tif", False),
        ("https://host:8443%2eevil/B04.tif", False),
        ("https://host:8443/x.zarr/measurements/b04", False),
    ],
)
def test_files_on_the_host_of_the_mask(
    uri: str, right: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(address: str, **_: Any) -> requests.Response:
        found = requests.Response()
        found.status_code, found.url, found.raw = 206, address, io.BytesIO()
        return found

    monkeypatch.setattr(requests, "get", answer)
    product: Any = Store("https://host:8443/masks")
    assert opened(uri, product) == (uri if right else None)


@pytest.fixture
def host() -> Iterator[str]:
    """A host whose page ``/to/ADDRESS`` sends on to an address; ``/loop`` sends on to itself."""

    class Pages(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            onward = "/loop" if self.path == "/loop" else self.path.partition("/to/")[2]
            self.send_response(302 if onward else 200)
            if onward:
                self.send_header("Location", onward)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Pages) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_a_host_may_send_on_to_itself_alone(host: str) -> None:
    """GDAL would follow it to any address, which the author of the product could write."""
    product: Any = Store(f"{host}/masks")

    def admit(page: str) -> str:
        return admitted(BandFile(f"{host}{page}", 1, 0), product).uri

    assert admit("/B04.tif") == f"{host}/B04.tif"
    assert admit("/to//other/B04.tif") == f"{host}/other/B04.tif"
    for elsewhere in ("http://169.254.169.254/latest", "//evil.example/x", "ftp://evil.example/x"):
        with pytest.raises(SceneError, match=r"its host sends on to .*(169|evil)"):
            admit(f"/to/{elsewhere}")
    with pytest.raises(SceneError, match=r"sends on to http://evil.example/x\."):
        admit("/to/http://a:word@evil.example/x?token=secret")
    with pytest.raises(SceneError, match="its host sends on and on"):
        admit("/loop")
    file = BandFile(f"{host}/to/http://evil.example/x", 1, 0)
    assert admitted(file, product, fetch_scenes=True) is file


def test_a_host_that_is_not_there() -> None:
    address = f"http://127.0.0.1:{free_port()}"
    product: Any = Store(f"{address}/masks")
    with pytest.raises(SceneError, match=r"cannot read http://127.*B04.tif: .*refused"):
        admitted(BandFile(f"{address}/B04.tif", 1, 0), product)


def test_a_scene_that_the_datacube_knows(
    dc: Datacube, scene: Dataset, written: Path, tmp_path: Path, fast_network: None
) -> None:
    """Its files are those of the datacube, wherever the mask is and whatever it names."""
    far = Path(shutil.copytree(written, tmp_path / "a/b" / written.name))
    record = one(far, "*.proc-info.yaml")
    record.write_text(record.read_text().replace("/june/", "/elsewhere/"))
    product = MaskProduct(far)
    named = recorded_files(product.own_record)
    with pytest.raises(SceneError, match="is not opened"):
        scene_files(product, ["red"], named)
    pixels = verify(product).checks[-1]
    assert pixels.right is None
    assert "is not opened" in pixels.detail
    assert "cannot read" in verify(product, fetch_scenes=True).checks[-1].detail
    product.scene = SceneFiles.of_dataset(scene)
    assert scene_files(product, ["red"], named) == product.scene.wanted(["red"])
    assert "of the pixels are equal" in verify(product).checks[-1].detail
    with pytest.raises(SceneError, match="names no files for"):
        scene_files(MaskProduct(far), ["coastal"], named)


def test_indexed_masks_with_their_scenes(dc: Datacube, scene: Dataset, written: Path) -> None:
    path = one(written, "*.odc-metadata.yaml")
    document = yaml.safe_load(path.read_text())
    odd = {**document["properties"], "cleansat:scene": "no id"}
    with_scene, without, lost = indexed_products(
        dc,
        [
            unindexed_dataset({**document, "id": str(uuid4()), **changed}, address)
            for changed, address in (({}, str(path)), ({"properties": odd}, str(path)), ({}, None))
        ],
    )
    assert with_scene.scene.wanted(["red"]) == SceneFiles.of_dataset(scene).wanted(["red"])
    assert without.scene is None
    assert "has no location" in lost.reason


@pytest.mark.parametrize(
    "scene",
    [
        None,
        [],
        "text",
        {},
        {"bands": {}},
        {"bands": []},
        {"bands": ["red"]},
        {"bands": {"red": None}},
        {"bands": {"red": "B04.tif"}},
        {"bands": {"red": {"uri": None, "band": 1, "nodata": 0}}},
        {"bands": {"red": {"uri": "B04.tif", "band": "1", "nodata": 0}}},
        {"bands": {"red": {"uri": "B04.tif", "band": True, "nodata": 0}}},
        {"bands": {"red": {"uri": "B04.tif", "band": 0, "nodata": 0}}},
        {"bands": {"red": {"uri": "B04.tif", "band": 1, "nodata": "0"}}},
        {"bands": {"red": {"uri": "B04.tif", "band": 1, "nodata": 0}}, "scl": ["SCL.tif"]},
    ],
)
def test_records_that_name_no_files(scene: Any) -> None:
    with pytest.raises(OutputError, match="the mask product does not"):
        recorded_files({"scene": scene})


def test_a_record_names_the_files_of_its_scene() -> None:
    band = {"uri": "/x/B04.tif", "band": 2, "nodata": 0, "of_stranger": True}
    found = recorded_files({"scene": {"bands": {"red": {**band, "scale": 1e-4}}, "scl": band}})
    assert found == {"red": BandFile("/x/B04.tif", 2, 0, 1e-4), "scl": BandFile("/x/B04.tif", 2, 0)}
