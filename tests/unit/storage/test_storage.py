"""Products on S3: a real S3 protocol server, and a proxy before it that fails, stalls and cuts."""

from __future__ import annotations

import contextlib
import http.client
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from pathlib import Path

import boto3
import datacube.utils.aws
import numpy as np
import odc.stac
import pytest
import rasterio
import s3fs
from datacube import Datacube
from datacube.model import Dataset
from moto.server import ThreadedMotoServer

import odc_cleansat.storage.folder
import odc_cleansat.storage.settings
from odc_cleansat import load, recall
from odc_cleansat.cube.index import add_dataset, add_product
from odc_cleansat.errors import CubeError, OutputError, SceneError
from odc_cleansat.products.job import MaskJob
from odc_cleansat.products.product import MaskProduct
from odc_cleansat.products.verification import verify
from odc_cleansat.scenes.band_folder import open_band_folder, write_scene_document
from odc_cleansat.scenes.files import BandFile
from odc_cleansat.storage.eo3 import MASK_PRODUCT, product_definition
from odc_cleansat.storage.failures import store_advice
from odc_cleansat.storage.folder import Folder
from odc_cleansat.storage.settings import prepare_gdal, s3_options
from odc_cleansat.synthetic.scene import SimulatedScene

# Sockets that botocore and its event loops leave to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")  # fmt: skip


class Proxy:
    """Hands requests on to the store, unless it is told to do something else with one."""

    def __init__(self, port: int) -> None:
        self.seen: list[tuple[str, str]] = []
        self.key = ""
        """The only one that it answers to, if there is one."""
        self.fault: Callable[[str, str], str | None] = lambda method, path: None
        """What to do with a request: None, ``500``, ``stall``, ``cut``, ``deny`` or ``skew``."""
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def handle_one_request(self) -> None:
                with contextlib.suppress(OSError):
                    super().handle_one_request()

            def answer(self) -> None:
                body = self.body()
                proxy.seen.append((self.command, self.path))
                if (
                    f"Credential={proxy.key}" not in self.headers.get("Authorization", "")
                    and proxy.key
                ):
                    self.reply(403, b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>")  # fmt: skip
                    return
                fault = proxy.fault(self.command, self.path)
                if fault == "500":
                    self.reply(
                        500, b"<Error><Code>InternalError</Code><Message>no</Message></Error>"
                    )
                elif fault == "skew":
                    self.reply(403, b"<Error><Code>RequestTimeTooSkewed</Code><Message>The difference between the request time and the current time is too large.</Message></Error>")  # fmt: skip
                elif fault == "deny":
                    self.reply(
                        403,
                        b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>",
                    )
                elif fault == "stall":
                    proxy.stop.wait(8)
                    self.close_connection = True
                else:
                    self.hand_on(body, cut=fault == "cut")

            do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = answer

            def body(self) -> bytes:
                if self.headers.get("Expect") == "100-continue":
                    pass  # http.server has said so already
                if "chunked" not in self.headers.get("Transfer-Encoding", ""):
                    return self.rfile.read(int(self.headers.get("Content-Length", 0)))
                parts = []
                while size := int(self.rfile.readline().split(b";")[0], 16):
                    parts.append(self.rfile.read(size))
                    self.rfile.readline()
                self.rfile.readline()
                return b"".join(parts)

            def hand_on(self, body: bytes, cut: bool) -> None:
                store = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
                with contextlib.closing(store):
                    hop = ("transfer-encoding", "expect", "connection")
                    headers = {k: v for k, v in self.headers.items() if k.lower() not in hop}
                    store.request(self.command, self.path, body, {**headers, "Content-Length": str(len(body))})  # fmt: skip
                    found = store.getresponse()
                    content = found.read()
                self.send_response(found.status)
                for key, value in found.getheaders():
                    if key.lower() not in ("content-length", "connection", "transfer-encoding"):
                        self.send_header(key, value)
                size = found.getheader("Content-Length") if self.command == "HEAD" else len(content)
                self.send_header("Content-Length", str(size or 0))
                self.end_headers()
                self.wfile.write(content[: len(content) // 2] if cut else content)
                self.close_connection = cut

            def reply(self, status: int, content: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Type", "application/xml")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(content)

        self.stop = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self.stop.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def fail(self, what: str, times: int = 10**6, method: str = "", path: str = "") -> None:
        """Do so to the next requests that match."""
        left = [times]

        def fault(its_method: str, its_path: str) -> str | None:
            if left[0] == 0 or method not in its_method or path not in its_path:
                return None
            left[0] -= 1
            return what

        self.fault = fault


@pytest.fixture(scope="module")
def moto() -> Iterator[int]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    yield server.get_host_and_port()[1]
    server.stop()


@pytest.fixture
def proxy(moto: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """The store as users configure it: by the environment."""
    proxy = Proxy(moto)
    for name in [n for n in os.environ if n.startswith(("AWS_", "GDAL_HTTP", "CPL_"))]:
        monkeypatch.delenv(name)
    # What prepare_gdal puts there goes again at the end, too.
    for name in ("AWS_S3_ENDPOINT", "AWS_HTTPS", "AWS_VIRTUAL_HOSTING", "AWS_NO_SIGN_REQUEST"):
        monkeypatch.setenv(name, "x")
        monkeypatch.delenv(name)
    settings = {
        "AWS_ENDPOINT_URL": proxy.url, "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true",
        # GDAL looks for side-cars with Python's lock held, which the server in this process needs to answer.
        "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
        "GDAL_HTTP_MAX_RETRY": "3", "GDAL_HTTP_RETRY_DELAY": "0.1", "GDAL_HTTP_LOW_SPEED_TIME": "1",
    }  # fmt: skip
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(odc_cleansat.storage.settings, "READ_TIMEOUT", 0.7)
    monkeypatch.setattr(odc_cleansat.storage.settings, "ATTEMPTS", 2)
    monkeypatch.setattr(odc_cleansat.storage.folder, "_READS", 2)
    s3fs.S3FileSystem.clear_instance_cache()
    yield proxy
    s3fs.S3FileSystem.clear_instance_cache()
    proxy.close()


@pytest.fixture
def bucket(proxy: Proxy, moto: int, request: pytest.FixtureRequest) -> str:
    """An empty bucket of the test's own."""
    name = request.node.name.replace("_", "-").replace("[", "-").strip("]").lower()[:60].strip("-")
    client(moto).create_bucket(Bucket=name)
    return name


def client(moto: int):  # type: ignore[no-untyped-def]
    return boto3.client("s3", endpoint_url=f"http://127.0.0.1:{moto}", region_name="us-east-1",
                        aws_access_key_id="key", aws_secret_access_key="secret")  # fmt: skip


def keys(moto: int, bucket: str) -> list[str]:
    found = client(moto).list_objects_v2(Bucket=bucket).get("Contents", [])
    return [each["Key"].rsplit("/", 1)[-1] for each in found]


@pytest.fixture(scope="module")
def dc() -> Iterator[Datacube]:
    with Datacube(raw_config={"default": {"index_driver": "memory"}}) as dc:
        for product in ("s2_l2a", MASK_PRODUCT):
            add_product(dc, product_definition(product))
        yield dc


@pytest.fixture(scope="module")
def scene(dc: Datacube, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("scene")
    opened = open_band_folder(SimulatedScene(shape=(300, 420), seed=1).write(folder / "june"))
    return add_dataset(dc, write_scene_document(opened, folder))


@pytest.fixture(scope="module")
def local(scene: Dataset, tmp_path_factory: pytest.TempPathFactory) -> MaskJob:
    """The same mask on this machine, to compare with."""
    job = MaskJob(scene, tmp_path_factory.mktemp("local"))
    job.run()
    return job


@pytest.fixture
def finished(local: MaskJob, monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the classes of the local mask instead of classifying again."""
    from odc_cleansat.masks.classify import classify

    made: list[object] = []

    def once(*args: object, **kwargs: object) -> object:
        if not made:
            made.append(classify(*args, **kwargs))  # type: ignore[arg-type]
        return made[0]

    monkeypatch.setattr(import_module("odc_cleansat.masks.classify"), "classify", once)


# --- the whole way --------------------------------------------------------------------


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

    report = verify(document)
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


# --- interruptions --------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["500", "cut", "stall"])
def test_a_store_that_fails_in_between_loses_nothing(
    bucket: str, proxy: Proxy, scene: Dataset, finished: None, fault: str
) -> None:
    job = MaskJob(scene, f"s3://{bucket}")
    proxy.fail(fault, times=1, method="PUT", path="ucl.tif")
    job.run()
    proxy.fault = lambda *_: None
    assert MaskProduct(job.folder).is_intact(read=True)


@pytest.mark.parametrize("fault", ["500", "stall"])
def test_a_store_that_goes_on_failing_is_given_up_on(
    bucket: str, moto: int, proxy: Proxy, scene: Dataset, finished: None, fault: str
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


def test_answers_that_break_off_are_read_again(
    bucket: str, proxy: Proxy, scene: Dataset, finished: None
) -> None:
    job = MaskJob(scene, f"s3://{bucket}")
    job.run()
    proxy.fail("cut", times=1, method="GET", path="_ucl.tif")
    assert MaskProduct(job.folder).is_intact(read=True)


def test_a_killed_upload_is_no_product_and_is_made_good(
    bucket: str, moto: int, proxy: Proxy, scene: Dataset, finished: None
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
    bucket: str, moto: int, proxy: Proxy, scene: Dataset, finished: None
) -> None:
    job = MaskJob(scene, f"s3://{bucket}")
    document = str(job.run())
    name = next(n for n in job.folder.files() if n.endswith("_ucl.tif"))
    store = client(moto)
    store.put_object(Bucket=bucket, Key=f"{job.folder}/{name}".split("/", 3)[3], Body=b"II*")
    assert MaskProduct(job.folder).is_intact(), "a store is not read through at every run"
    report = verify(document, pixels=False)
    assert not report.right
    assert name in report.checks[0].detail
    store.delete_object(Bucket=bucket, Key=f"{job.folder}/{name}".split("/", 3)[3])
    assert not MaskProduct(job.folder).is_intact()
    proxy.seen.clear()
    job.run()
    assert MaskProduct(job.folder).is_intact(read=True)
    first = next(method for method, _ in proxy.seen if method in ("PUT", "DELETE"))
    assert first == "DELETE", "until it is whole again it does not look it"


def test_large_files_go_in_parts_and_old_parts_are_forgotten(
    bucket: str, moto: int, proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(odc_cleansat.storage.folder, "MULTIPART", 5 * 2**20)
    source = tmp_path / "finished"
    source.mkdir()
    content = np.random.default_rng(0).bytes(12 * 2**20)
    (source / "large.tif").write_bytes(content)
    (source / "x.sha1").write_text("sums")
    (source / "x.odc-metadata.yaml").write_text("document")
    store = client(moto)
    store.put_object(Bucket=bucket, Key="p/large.tif", Body=b"of an interrupted run")
    store.create_multipart_upload(Bucket=bucket, Key="p/large.tif")
    elsewhere = store.create_multipart_upload(Bucket=bucket, Key="pq/other.tif")
    Folder(f"s3://{bucket}/p").deliver(source, last=["x.sha1", "x.odc-metadata.yaml"])
    assert store.get_object(Bucket=bucket, Key="p/large.tif")["Body"].read() == content
    assert sum("partNumber=" in path for _, path in proxy.seen) == 3
    pending = store.list_multipart_uploads(Bucket=bucket).get("Uploads", [])
    assert [each["UploadId"] for each in pending] == [elsewhere["UploadId"]]


# Silenced where they arise, but before Python 3.14 the filters of warnings belong to all threads.
@pytest.mark.filterwarnings("ignore:unknown_property", "ignore:Unknown Stac property")
def test_two_runners_on_one_scene_end_with_one_product(
    bucket: str, proxy: Proxy, scene: Dataset, finished: None
) -> None:
    jobs = [MaskJob(scene, f"s3://{bucket}") for _ in range(2)]
    found: list[object] = []
    threads = [threading.Thread(target=lambda j=job: found.append(j.run())) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 2
    assert found[0] == found[1] == jobs[0].document
    assert MaskProduct(jobs[0].folder).is_intact(read=True)


# --- what users get wrong -------------------------------------------------------------


def test_a_bucket_that_is_not_there(
    proxy: Proxy, bucket: str, scene: Dataset, finished: None
) -> None:
    Folder(f"s3://{bucket}/masks").check_usable()
    with pytest.raises(OutputError, match="there is no bucket no-such-bucket; make it first"):
        Folder("s3://no-such-bucket/masks").check_usable()
    with pytest.raises(OutputError, match=r"s3://no-such-bucket/.*no such bucket; make it"):
        MaskJob(scene, "s3://no-such-bucket/masks").run()
    with pytest.raises(SceneError, match=r"no such bucket"):
        BandFile("s3://no-such-bucket/B02.tif", 1, 0).open()


def test_a_clock_that_is_wrong(bucket: str, proxy: Proxy, scene: Dataset, finished: None) -> None:
    proxy.fail("skew")
    with pytest.raises(OutputError, match="clock of this machine"):
        MaskJob(scene, f"s3://{bucket}").run()


def test_a_store_that_is_not_there(
    proxy: Proxy, scene: Dataset, finished: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(
        OutputError, match="cannot be reached; check the network and AWS_ENDPOINT_URL"
    ):
        MaskJob(scene, "s3://bucket").run()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("An error occurred (AccessDenied) when calling PutObject: Access Denied", "no permission"),
        ("An error occurred (403) when calling the HeadObject operation: Forbidden", "AWS_REQUEST_PAYER"),
        ("InvalidAccessKeyId: The AWS Access Key Id you provided does not exist", "does not know these credentials"),
        ("Unable to locate credentials", "AWS_NO_SIGN_REQUEST"),
        ("An error occurred (ExpiredToken)", "renew"),
        ("HTTP response code: 503", "try later"),
        ("something else altogether", None),
    ],
)  # fmt: skip
def test_advice(text: str, expected: str | None) -> None:
    found = store_advice(OSError(text))
    assert found is None if expected is None else expected in str(found)


def test_no_permission(
    moto: int, proxy: Proxy, bucket: str, scene: Dataset, finished: None
) -> None:
    proxy.fail("deny", method="PUT")
    with pytest.raises(OutputError, match="no permission"):
        MaskJob(scene, f"s3://{bucket}").run()


def test_a_document_that_is_not_there(bucket: str, proxy: Proxy, dc: Datacube) -> None:
    with pytest.raises(CubeError, match="it is not there"):
        add_dataset(dc, f"s3://{bucket}/x.odc-metadata.yaml")


def test_nothing_to_verify(bucket: str, proxy: Proxy) -> None:
    with pytest.raises(OutputError, match="there is no mask product"):
        MaskProduct.find(f"s3://{bucket}")


def test_a_scheme_that_nothing_serves() -> None:
    with pytest.raises(OutputError, match=r"nowhere://x.*s3://bucket"):
        Folder("nowhere://x")


def test_without_s3fs_it_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['s3fs'] = None\n"
        "from odc_cleansat.storage.folder import Folder\n"
        "try: Folder('s3://bucket')\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "OutputError s3://bucket" in said.stdout
    assert "pip install 'odc-cleansat[s3]'" in said.stdout


# --- settings -------------------------------------------------------------------------


def test_settings_reach_both_sides(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare_gdal()
    assert os.environ["AWS_S3_ENDPOINT"] == proxy.url.removeprefix("http://")
    assert os.environ["AWS_HTTPS"] == "NO"
    assert os.environ["AWS_VIRTUAL_HOSTING"] == "FALSE"
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    assert s3_options()["endpoint_url"] == proxy.url, "from GDAL's names as well"
    assert not s3_options()["anon"]
    monkeypatch.setenv("AWS_UNSIGNED", "yes")
    monkeypatch.setenv("AWS_REQUEST_PAYER", "requester")
    monkeypatch.setenv("AWS_REGION", "af-south-1")
    options = s3_options()
    assert options["anon"]
    assert options["requester_pays"]
    assert options["client_kwargs"] == {"region_name": "af-south-1"}
    prepare_gdal()
    assert os.environ["AWS_NO_SIGN_REQUEST"] == "YES"


@pytest.fixture
def forgotten() -> Iterator[None]:
    """What readers are told in Python is forgotten at the end."""
    import odc.loader._rio as loader
    from datacube.utils.rio import set_default_rio_config

    yield
    loader._CFG._configured, loader._CFG._aws, loader._CFG._gdal_opts = False, None, {}
    set_default_rio_config()


def test_configure_rio_is_respected(bucket: str, moto: int, proxy: Proxy, monkeypatch: pytest.MonkeyPatch, forgotten: None) -> None:  # fmt: skip
    from odc.loader import configure_rio

    client(moto).put_object(Bucket=bucket, Key="x", Body=b"x", ACL="public-read")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name)
    host = proxy.url.removeprefix("http://")
    configure_rio(aws={"aws_unsigned": True, "endpoint_url": host}, AWS_HTTPS="NO")
    assert s3_options()["anon"]
    assert s3_options()["endpoint_url"] == proxy.url
    assert Folder(f"s3://{bucket}").read("x") == b"x"


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
        assert verify(mask_at).right
