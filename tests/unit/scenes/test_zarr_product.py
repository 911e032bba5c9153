"""Scenes from Zarr products on this machine, over HTTP and in S3, and products that make none."""

from __future__ import annotations

import functools
import http.server
import os
import shutil
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import zarr
from eopf_product import NAME, SCENE, VIEW, write_product
from fakes import brightness_engine
from s3_server import client

from odc_cleansat.errors import SceneError
from odc_cleansat.products.job import MaskJob
from odc_cleansat.products.product import MaskProduct
from odc_cleansat.products.verification import verify
from odc_cleansat.scenes.nodata import missing_pixels
from odc_cleansat.scenes.read import read_scene
from odc_cleansat.scenes.settle import settle_offset

RED = "measurements/reflectance/r10m/b04"


@pytest.fixture(scope="module", params=["v2", "v3", "geozarr"])
def product(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_product(tmp_path_factory.mktemp(request.param), request.param)


def test_a_product_is_a_scene(product: Path) -> None:
    scene = read_scene(str(product))
    assert scene.label == NAME
    properties = scene.dataset.metadata_doc["properties"]
    assert properties["datetime"].isoformat().startswith("2024-06-15T10:10:31")
    assert properties["odc:region_code"] == "33UVP"
    assert properties["view:incidence_angle"] == VIEW[0]
    expected = 0 if "geozarr" in str(product) else -1000
    files = scene.files.wanted(["red", "swir16", "scl"])
    offset = settle_offset({"red": files["red"]}, scene.files.offset(), scene.files.label)
    assert (offset.value, offset.doubt) == (expected, None)
    assert files["swir16"].open().grid == SCENE.geobox(20)
    np.testing.assert_array_equal(files["scl"].open().data.values, SCENE.read()["SCL"])


def test_all_forms_of_a_product_are_the_same_scene(
    product: Path, scenes: dict[str, Path], tmp_path: Path
) -> None:
    """The mask is that of the same pixels in GeoTIFF, but for the few that the angles of the satellite decide."""
    with brightness_engine():
        jobs = [
            MaskJob.of_scene(read_scene(str(place)), tmp_path, refine=False)
            for place in (product, scenes["shifted"])
        ]
        masks = [_mask(job) for job in jobs]
    np.testing.assert_array_equal(*masks)


def _mask(job: MaskJob) -> np.ndarray:

    with MaskProduct(job.run()).open_layer("ucl") as file:
        codes: np.ndarray = file.read(1)
    return codes


def test_the_mask_is_made_and_found_again(tmp_path: Path) -> None:
    product = write_product(tmp_path)
    with brightness_engine():
        job = MaskJob.of_scene(read_scene(str(product)), tmp_path / "masks")
        assert job.document is None
        document = job.run()
        # The item that a product makes has no title, and a processing record without a label is none.
        assert verify(MaskProduct(document)).right, verify(MaskProduct(document)).checks
    assert MaskJob.of_scene(read_scene(f"{product}/"), tmp_path / "masks").document == document


@pytest.mark.parametrize("form", ["v2", "v3"])
def test_the_fill_value_of_one_band_is_no_data(form: str, tmp_path: Path) -> None:
    scene = read_scene(str(write_product(tmp_path, form, holes=slice(60, 90))))
    bands = [scene.files.files[name].open() for name in ("red", "blue")]
    red, blue = missing_pixels(bands, [band.data.values for band in bands])
    assert red[60:90].all()
    assert red.sum() == 30 * 300
    assert not blue.any()


@pytest.mark.parametrize("form", ["v2", "v3"])
def test_the_fill_value_of_one_band_decides_no_offset(form: str, tmp_path: Path) -> None:
    """It was taken for ground so dark that the offset had been removed already."""
    files = read_scene(str(write_product(tmp_path, form, holes=slice(60, 120)))).files
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        wanted = files.wanted(["blue", "green", "red"])
        found = settle_offset(wanted, files.offset(), files.label)
    assert found.value == -1000


def test_metadata_need_not_be_consolidated(tmp_path: Path) -> None:
    for form in ("v2", "v3"):
        (tmp_path / form).mkdir()
        product = write_product(tmp_path / form, form, consolidated=False)
        assert read_scene(str(product)).files.scl is not None


def test_a_product_without_classification_has_a_mask_too(tmp_path: Path) -> None:
    product = write_product(tmp_path, without="conditions")
    scene = read_scene(str(product))
    assert scene.files.scl is None
    assert MaskJob.of_scene(scene, tmp_path / "masks").document is None


@pytest.mark.parametrize("without", ["measurements/reflectance/r10m", "measurements"])
def test_a_product_that_lacks_a_group(tmp_path: Path, without: str) -> None:
    with pytest.raises(SceneError, match=r"lacks measurements/reflectance/r10m.*no whole product"):
        read_scene(str(write_product(tmp_path, without=without)))


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        (NAME.replace("2A_", "1C_", 1), {"kind": "S02MSIL1C"}, "is of level 1C"),
        ("any", {"kind": "S02MSIL1C"}, "is of level 1C"),
        ("any", {"told": {"platform": "sentinel-3a"}}, "is not of Sentinel-2: platform"),
        ("S03OLCEFR_20250416T063751_0180_B248_T853", {}, "is not of Sentinel-2|is of level"),
        ("any", {"form": "geozarr"}, "tells no date"),
    ],
)
def test_products_that_make_no_scene(
    tmp_path: Path, name: str, changes: dict[str, str], message: str
) -> None:
    told = {"told": {"platform": None}} if name.startswith("S03") else {}
    with pytest.raises(SceneError, match=message):
        read_scene(str(write_product(tmp_path, name=name, **{**told, **changes})))


def test_what_is_renamed_or_only_a_part(tmp_path: Path) -> None:
    product = write_product(tmp_path)
    with pytest.raises(SceneError, match="is a part of a Zarr product; give the product"):
        read_scene(f"{product}/measurements")
    renamed = product.rename(tmp_path / "product")
    with pytest.raises(
        SceneError, match=r"looks like a Zarr product; give it back its name, NAME\.zarr"
    ):
        read_scene(str(renamed))
    with pytest.raises(SceneError, match="as Zarr"):
        read_scene(str(product))


@pytest.mark.parametrize("place", ["", "https://example.org/"])
def test_a_zip_file_of_a_product_is_refused_with_the_way_out(place: str, tmp_path: Path) -> None:
    product = write_product(tmp_path)
    shutil.make_archive(str(product), "zip", product)
    source = f"{place}{NAME}.zarr.zip" if place else f"{product}.zip"
    with pytest.raises(SceneError, match=rf"unpack it into a folder {NAME}\.zarr, so that"):
        read_scene(source)
    folder = tmp_path / "unpacked" / f"{NAME}.zarr"
    shutil.unpack_archive(f"{product}.zip", folder)
    assert read_scene(str(folder)).files.offset().value == -1000


def test_impossible_scales_and_offsets(tmp_path: Path) -> None:
    product = write_product(tmp_path, consolidated=False)
    red = zarr.open_group(product, mode="a")[RED]
    red.attrs["add_offset"] = 0.0
    with pytest.raises(SceneError, match=r"tells different offsets of its bands.*b04: 0"):
        read_scene(str(product))
    red.attrs["scale_factor"] = "x"
    with pytest.raises(SceneError, match="tells an impossible scale or offset of b04"):
        read_scene(str(product))


@pytest.fixture
def site(tmp_path: Path) -> Iterator[str]:
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Quiet, directory=str(tmp_path))
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("consolidated", [True, False])
def test_a_product_over_http(site: str, tmp_path: Path, consolidated: bool) -> None:
    write_product(tmp_path, consolidated=consolidated)
    scene = read_scene(f"{site}/{NAME}.zarr")
    red = scene.files.files["red"]
    np.testing.assert_array_equal(red.open().data.values, SCENE.read()["B04"])
    with red.opened() as opened:
        np.testing.assert_array_equal(opened.read(1), SCENE.read()["B04"])
    with pytest.raises(SceneError, match=r"cannot read http.*none\.zarr as Zarr"):
        read_scene(f"{site}/none.zarr")


def test_a_product_in_a_bucket(bucket: str, moto: int, tmp_path: Path) -> None:
    product = write_product(tmp_path)
    for folder, _, names in os.walk(product):
        for name in names:
            path = Path(folder, name)
            client(moto).upload_file(str(path), bucket, str(path.relative_to(tmp_path)))
    shutil.rmtree(product)
    scene = read_scene(f"s3://{bucket}/{NAME}.zarr")
    np.testing.assert_array_equal(scene.files.files["red"].open().data.values, SCENE.read()["B04"])
    with pytest.raises(SceneError, match="as Zarr"):
        read_scene(f"s3://{bucket}/none.zarr")
