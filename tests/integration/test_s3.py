"""Products on S3: a real S3 protocol server, and a proxy before it that fails, stalls and cuts."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import datacube.utils.aws
import numpy as np
import odc.stac
import pytest
import rasterio
from datacube import Datacube
from datacube.model import Dataset
from fakes import brightness_engine
from s3_server import Proxy, client, keys
from unit.item_lists import scene_items, write_list

import odc_cleansat.storage.settings
from odc_cleansat import load, recall
from odc_cleansat.cube.index import add_dataset, add_product
from odc_cleansat.cube.item_file import ItemFile, Wanted
from odc_cleansat.errors import CubeError, OutputError, SceneError
from odc_cleansat.products.job import MaskJob
from odc_cleansat.products.product import MaskProduct
from odc_cleansat.products.verification import verify
from odc_cleansat.scenes.band_folder import open_scene, write_scene_document
from odc_cleansat.scenes.files import BandFile
from odc_cleansat.storage.eo3 import MASK_PRODUCT, product_definition
from odc_cleansat.storage.folder import Folder
from odc_cleansat.synthetic.scene import SimulatedScene

# Sockets that botocore and its event loops leave to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.usefixtures("fast_network"),
]  # fmt: skip


@pytest.fixture(scope="module")
def dc() -> Iterator[Datacube]:
    with Datacube(raw_config={"default": {"index_driver": "memory"}}) as dc:
        for product in ("s2_l2a", MASK_PRODUCT):
            add_product(dc, product_definition(product))
        yield dc


@pytest.fixture(scope="module")
def scene(dc: Datacube, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("scene")
    opened = open_scene(SimulatedScene(shape=(180, 240), seed=1).write(folder / "june"))
    return add_dataset(dc, write_scene_document(opened, folder))


@pytest.fixture(scope="module")
def local(scene: Dataset, tmp_path_factory: pytest.TempPathFactory) -> MaskJob:
    """The same mask on this machine, to compare with."""
    job = MaskJob(scene, tmp_path_factory.mktemp("local"))
    with brightness_engine():
        job.run()
    return job


def test_a_mask_on_s3_is_written_indexed_loaded_recalled_and_verified(
    bucket: str, moto: int, proxy: Proxy, dc: Datacube, scene: Dataset, local: MaskJob
) -> None:
    job = MaskJob(scene, f"s3://{bucket}/masks")
    assert job.document is None
    document = job.run()
    assert document == job.document
    assert str(document).startswith(f"s3://{bucket}/masks/s2_l2a_ucl/32633_400_5300/2024/06/15/")
    assert job.id == local.id
    assert sorted(keys(moto, bucket)) == sorted(p.name for p in local.folder.path.iterdir())
    puts = [path for method, path in proxy.seen if method == "PUT"]
    assert [path.split("?")[0].rsplit("/", 1)[-1] for path in puts][-1].endswith(
        ".odc-metadata.yaml"
    )
    assert ".sha1" in puts[-2]

    mask = add_dataset(dc, document)
    assert mask.uri == document
    expected = rasterio.open(local.folder.file(next(n for n in local.folder.files() if n.endswith("_ucl.tif")))).read(1)  # fmt: skip
    loaded = dc.load(product=MASK_PRODUCT, datasets=[mask], output_crs="EPSG:32633", resolution=20)  # fmt: skip
    np.testing.assert_array_equal(loaded.ucl.values[0], expected)
    recalled = recall(dc, datasets=[mask], measurements=["ucl", "ucl_confidence"])
    np.testing.assert_array_equal(recalled.ucl.values[0], expected)

    report = verify(document, fetch_scenes=True)  # the scene is on this machine
    assert report.right
    assert [check.right for check in report.checks] == [True] * 5
    assert report.equal == 1
    assert [str(each.folder) for each in MaskProduct.find(f"s3://{bucket}")] == [str(job.folder)]


def test_scenes_are_read_from_s3_and_https(
    bucket: str, moto: int, proxy: Proxy, scene: Dataset, local: MaskJob
) -> None:
    path = Path(local.bands["blue"].uri.removeprefix("file://"))
    client(moto).upload_file(str(path), bucket, "scene/B02.tif", ExtraArgs={"ACL": "public-read"})
    expected = rasterio.open(path).read(1)
    proxy.fail("500", times=2, method="GET", path="B02.tif")
    band = BandFile(f"s3://{bucket}/scene/B02.tif", 1, 0).open()
    np.testing.assert_array_equal(band.data.values, expected)
    assert band.grid == local.bands["blue"].open().grid
    public = BandFile(f"{proxy.url}/{bucket}/scene/B02.tif", 1, 0).open()
    np.testing.assert_array_equal(public.data.values, expected)


@pytest.fixture
def patience(fault: str, proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait less for a store that stalls; a busy machine may take a second for any answer."""
    if fault == "stall":
        monkeypatch.setattr(odc_cleansat.storage.settings, "READ_TIMEOUT", 0.7)


@pytest.mark.parametrize("fault", ["500", "cut", "stall"])
def test_a_store_that_fails_in_between_loses_nothing(
    bucket: str, proxy: Proxy, scene: Dataset, fault: str, patience: None
) -> None:
    job = MaskJob(scene, f"s3://{bucket}")
    proxy.fail(fault, times=1, method="PUT", path="ucl.tif")
    job.run()
    proxy.fault = lambda *_: None
    assert MaskProduct(job.folder).is_intact(read=True)


@pytest.mark.parametrize("fault", ["500", "stall"])
def test_a_store_that_goes_on_failing_is_given_up_on(
    bucket: str, moto: int, proxy: Proxy, scene: Dataset, fault: str, patience: None
) -> None:
    job = MaskJob(scene, f"s3://{bucket}")
    proxy.fail(fault, method="PUT", path=".sha1")
    with pytest.raises(OutputError, match=r"again and again; try later|cannot be reached"):
        job.run()
    tries = [path for method, path in proxy.seen if method == "PUT" and ".sha1" in path]
    assert 2 <= len(tries) <= 8
    assert not any(key.endswith(".odc-metadata.yaml") for key in keys(moto, bucket))
    proxy.fault = lambda *_: None
    assert job.document is None, "what is there is no product"
    assert job.run() == job.document, "the next run overwrites it"


def test_answers_that_break_off_are_read_again(bucket: str, proxy: Proxy, scene: Dataset) -> None:
    job = MaskJob(scene, f"s3://{bucket}")
    job.run()
    proxy.fail("cut", times=1, method="GET", path="_ucl.tif")
    assert MaskProduct(job.folder).is_intact(read=True)


def test_a_killed_upload_is_no_product_and_is_made_good(
    bucket: str, moto: int, proxy: Proxy, scene: Dataset
) -> None:
    job = MaskJob(scene, f"s3://{bucket}")
    job.run()
    order = [path.split("?")[0].split("/", 2)[2] for method, path in proxy.seen if method == "PUT"]
    assert len(order) == 7
    store = client(moto)
    for done in (1, 5, 6):
        for key in order[done:]:
            store.delete_object(Bucket=bucket, Key=key)
        assert job.document is None, f"after {done} files"
        assert job.run() == job.document
        assert MaskProduct(job.folder).is_intact(read=True)


def test_a_damaged_product_is_seen_and_replaced(
    bucket: str, moto: int, proxy: Proxy, scene: Dataset
) -> None:
    job = MaskJob(scene, f"s3://{bucket}")
    document = str(job.run())
    name = next(n for n in job.folder.files() if n.endswith("_ucl.tif"))
    store = client(moto)
    key, size = f"{job.folder}/{name}".split("/", 3)[3], job.folder.files()[name]
    store.put_object(Bucket=bucket, Key=key, Body=b"II*")
    assert not MaskProduct(job.folder).is_intact(), "it is short"
    store.put_object(Bucket=bucket, Key=key, Body=b"I" * size)
    assert MaskProduct(job.folder).is_intact(), "a store is not read through at every run"
    report = verify(document, pixels=False)
    assert not report.right
    assert name in report.checks[0].detail
    store.delete_object(Bucket=bucket, Key=key)
    assert not MaskProduct(job.folder).is_intact()
    proxy.seen.clear()
    job.run()
    assert MaskProduct(job.folder).is_intact(read=True)
    first = next(method for method, _ in proxy.seen if method in ("PUT", "DELETE"))
    assert first == "DELETE", "until it is whole again it does not look it"


# Silenced where they arise, but before Python 3.14 the filters of warnings belong to all threads.
@pytest.mark.filterwarnings(
    "ignore:unknown_property", "ignore:Unknown Stac property", "ignore:No collection provided"
)
def test_two_runners_on_one_scene_end_with_one_product(
    bucket: str, proxy: Proxy, scene: Dataset
) -> None:
    jobs = [MaskJob(scene, f"s3://{bucket}") for _ in range(2)]
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(MaskJob.run, jobs))
    assert found[0] == found[1] == jobs[0].document
    assert MaskProduct(jobs[0].folder).is_intact(read=True)


def test_a_bucket_that_is_not_there(proxy: Proxy, bucket: str, scene: Dataset) -> None:
    Folder(f"s3://{bucket}/masks").check_usable()
    with pytest.raises(OutputError, match="there is no bucket no-such-bucket; make it first"):
        Folder("s3://no-such-bucket/masks").check_usable()
    with pytest.raises(OutputError, match=r"s3://no-such-bucket/.*no such bucket; make it"):
        MaskJob(scene, "s3://no-such-bucket/masks").run()
    with pytest.raises(SceneError, match=r"no such bucket"):
        BandFile("s3://no-such-bucket/B02.tif", 1, 0).open()


def test_a_clock_that_is_wrong(bucket: str, proxy: Proxy, scene: Dataset) -> None:
    proxy.fail("skew")
    with pytest.raises(OutputError, match="clock of this machine"):
        MaskJob(scene, f"s3://{bucket}").run()


def test_a_store_that_is_not_there(
    proxy: Proxy, scene: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(
        OutputError, match="cannot be reached; check the network and AWS_ENDPOINT_URL"
    ):
        MaskJob(scene, "s3://bucket").run()


def test_no_permission(moto: int, proxy: Proxy, bucket: str, scene: Dataset) -> None:
    proxy.fail("deny", method="PUT")
    with pytest.raises(OutputError, match="no permission"):
        MaskJob(scene, f"s3://{bucket}").run()


def test_a_document_that_is_not_there(bucket: str, proxy: Proxy, dc: Datacube) -> None:
    with pytest.raises(CubeError, match="it is not there"):
        add_dataset(dc, f"s3://{bucket}/x.odc-metadata.yaml")


def test_nothing_to_verify(bucket: str, proxy: Proxy) -> None:
    with pytest.raises(OutputError, match="there is no mask product"):
        MaskProduct.find(f"s3://{bucket}")


@pytest.mark.parametrize("told", ["datacube", "odc-stac", "both"])
def test_credentials_that_were_told_in_python_reach_every_reader(
    told: str, bucket: str, moto: int, proxy: Proxy, scene: Dataset, local: MaskJob, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, forgotten: None,
) -> None:  # fmt: skip
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    (tmp_path / "aws").write_text(
        "[ours]\naws_access_key_id = granted\naws_secret_access_key = secret\n"
    )
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "aws"))
    document = Path(scene.uri.removeprefix("file://"))
    for prefix, folder in (("scene", document.parent), ("mask", local.folder.path)):
        for path in (each for each in folder.rglob("*") if each.is_file()):
            key = f"{prefix}/{path.relative_to(folder).as_posix()}"
            client(moto).upload_file(str(path), bucket, key)
    scene_at = f"s3://{bucket}/scene/{document.name}"
    mask_at = f"s3://{bucket}/mask/{next(n for n in local.folder.files() if n.endswith('.odc-metadata.yaml'))}"

    proxy.key = "granted/"
    with Datacube(raw_config={"default": {"index_driver": "memory"}}) as dc:
        for product in ("s2_l2a", MASK_PRODUCT):
            add_product(dc, product_definition(product))
        with pytest.raises(OutputError, match="credentials"):
            add_dataset(dc, scene_at)
        if told == "both":
            odc.stac.configure_rio(cloud_defaults=True)
        if told != "odc-stac":
            datacube.utils.aws.configure_s3_access(profile="ours", cloud_defaults=True)
        else:
            odc.stac.configure_rio(cloud_defaults=True, aws={"profile_name": "ours"})
        there = add_dataset(dc, scene_at)
        grid = {"output_crs": "EPSG:32633", "resolution": 20}
        computed = load(dc, datasets=[there], measurements=["red", "ucl"], **grid)
        lazy = load(dc, datasets=[there], measurements=["ucl"], dask_chunks={"x": 200}, **grid)
        lazy = lazy.compute(scheduler="threads")
        np.testing.assert_array_equal(lazy.ucl.values, computed.ucl.values)
        MaskJob(there, tmp_path / "masks").run()

        mask = add_dataset(dc, mask_at)
        expected = load(dc, datasets=[there], measurements=["ucl"], **grid).ucl.values
        recalled = recall(dc, datasets=[mask], dask_chunks={"x": 200})
        np.testing.assert_array_equal(
            recalled.ucl.compute(scheduler="threads").values[0], expected[0]
        )
        assert verify(mask_at, fetch_scenes=True).right


def test_a_list_of_items_in_a_bucket(bucket: str, tmp_path: Path) -> None:
    items = scene_items(tmp_path, 3)
    content = write_list(tmp_path / "items.parquet", items).read_bytes()
    Folder(f"s3://{bucket}/lists").write("items.parquet", content)
    rows = list(ItemFile(f"s3://{bucket}/lists/items.parquet").rows(Wanted({})))
    assert [row.label for row in rows] == [each["id"] for each in items]
    with pytest.raises(CubeError, match="there is no list of items s3://"):
        ItemFile(f"s3://{bucket}/lists/gone.parquet")
    with pytest.raises(OutputError, match="there is no such bucket"):
        ItemFile("s3://no-such-bucket-of-ours/items.parquet")
