"""An S3 protocol server on a loopback port, and a proxy before it that fails, stalls and cuts."""

from __future__ import annotations

import contextlib
import http.client
import os
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import time

import pytest
import rasterio

import odc_cleansat.storage.folder
import odc_cleansat.storage.settings


class Proxy:
    """Hands requests on to the store, unless it is told to do something else with one."""

    def __init__(self, port: int) -> None:
        self.seen: list[tuple[str, str]] = []
        self.key = ""
        """The only one that it answers to, if there is one."""
        self.unsigned = False
        """Whether it answers only what is not signed."""
        self.fault: Callable[[str, str], str | None] = lambda method, path: None
        """What to do with a request: None, ``500``, ``stall``, ``cut``, ``deny``, ``skew``, ``moved`` or ``page``."""
        self.late = 0.0
        """Seconds by which its clock is behind."""
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def date_time_string(self, timestamp: float | None = None) -> str:
                return super().date_time_string(time() - proxy.late)

            def handle_one_request(self) -> None:
                with contextlib.suppress(OSError):
                    super().handle_one_request()

            def answer(self) -> None:
                body = self.body()
                proxy.seen.append((self.command, self.path))
                signed = self.headers.get("Authorization", "")
                if (
                    f"Credential={proxy.key}" not in signed
                    if proxy.key
                    else signed and proxy.unsigned
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
                elif fault == "moved":
                    self.reply(400, b"<Error><Code>AuthorizationHeaderMalformed</Code><Message>the region is wrong</Message><Region>eu-west-1</Region></Error>")  # fmt: skip
                elif fault == "page":
                    self.reply(200, b"<html>Sign in to this network</html>")
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
        # It looks so often for whether it shall stop, that tests do not wait for it at their end.
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), daemon=True
        )
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


def client(moto: int):  # type: ignore[no-untyped-def]
    import boto3

    return boto3.client("s3", endpoint_url=f"http://127.0.0.1:{moto}", region_name="us-east-1",
                        aws_access_key_id="key", aws_secret_access_key="secret")  # fmt: skip


def keys(moto: int, bucket: str) -> list[str]:
    found = client(moto).list_objects_v2(Bucket=bucket).get("Contents", [])
    return [each["Key"].rsplit("/", 1)[-1] for each in found]


@pytest.fixture(scope="session")
def moto() -> Iterator[int]:
    """The port of a server for all tests; each has buckets of its own."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    yield server.get_host_and_port()[1]
    server.stop()


@pytest.fixture
def proxy(moto: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """The store as users configure it: by the environment."""
    import s3fs

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
        "GDAL_HTTP_MAX_RETRY": "3", "GDAL_HTTP_RETRY_DELAY": "0.1", "GDAL_HTTP_LOW_SPEED_TIME": "20",
    }  # fmt: skip
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(odc_cleansat.storage.settings, "READ_TIMEOUT", 20)
    monkeypatch.setattr(odc_cleansat.storage.settings, "ATTEMPTS", 2)
    monkeypatch.setattr(odc_cleansat.storage.settings, "_READS", 2)
    s3fs.S3FileSystem.clear_instance_cache()
    yield proxy
    s3fs.S3FileSystem.clear_instance_cache()
    proxy.close()
    # rasterio.Env makes an option of a variable that it has found, and leaves it to all tests that follow.
    rasterio._env.del_gdal_config("GDAL_DISABLE_READDIR_ON_OPEN")


@pytest.fixture
def bucket(proxy: Proxy, moto: int, request: pytest.FixtureRequest) -> str:
    """An empty bucket of the test's own."""
    name = request.node.name.replace("_", "-").replace("[", "-").strip("]").lower()[:60].strip("-")
    client(moto).create_bucket(Bucket=name)
    return name


@pytest.fixture
def forgotten() -> Iterator[None]:
    """What readers are told in Python is forgotten at the end."""
    import odc.loader._rio as loader
    from datacube.utils.rio import set_default_rio_config

    yield
    loader._CFG._configured, loader._CFG._aws, loader._CFG._gdal_opts = False, None, {}
    set_default_rio_config()
