"""Fetching weights over good and bad lines, and trusting only what is what it should be."""

from __future__ import annotations

import hashlib
import http.server
import logging
import multiprocessing
import os
import re
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from odc_cleansat import get_model
from odc_cleansat.errors import ModelError, SceneError
from odc_cleansat.models import download
from odc_cleansat.models.model import Model
from odc_cleansat.models.places import availability, find_weights
from odc_cleansat.models.weights import fetch_weights, sha256_of, verify_weights, weights_path

CONTENT = os.urandom(300_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(http.server.ThreadingHTTPServer):
    """Serves `files` by ranges, as servers of weights do, and fails as `faults` says."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.redirects: dict[str, str] = {}
        self.faults: defaultdict[str, list[object]] = defaultdict(list)
        """Of a path, what goes wrong with the next requests: a status, or a word that `Handler` knows."""
        self.headers: dict[str, dict[str, str]] = {}
        """Further headers by path."""
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.ranges = True
        self.url = f"http://127.0.0.1:{self.server_port}"

    def paths(self) -> list[str]:
        return [path for path, _ in self.asked]

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients hang up; that is theirs to say."""


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self.server.asked.append((self.path, dict(self.headers)))
        faults = self.server.faults[self.path]
        fault = faults.pop(0) if faults else None
        if isinstance(fault, int):
            return self.reply(fault)
        if fault == "page":
            return self.reply(200, b"<html>log in</html>", {"Content-Type": "text/html"})
        if target := self.server.redirects.get(self.path):
            return self.reply(302, b"", {"Location": target, **self.extra()})
        if self.path not in self.server.files:
            return self.reply(404)
        content = self.server.files[self.path]
        headers = {"ETag": f'"{hashlib.md5(content).hexdigest()}"', **self.extra()}
        if fault == "corrupt":
            content = bytes(len(content))
        status = 200
        if self.server.ranges and (asked := self.headers.get("Range")):
            start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1])
            if start >= len(content):
                return self.reply(416)
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
            status, content = 206, content[start:]
        return self.reply(status, content, headers, fault)

    def extra(self) -> dict[str, str]:
        return self.server.headers.get(self.path, {})

    def reply(
        self,
        status: int,
        body: bytes = b"",
        headers: dict[str, str] | None = None,
        fault: object = None,
    ) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if fault in ("cut", "stall"):
            self.wfile.write(body[: len(body) // 2])
            if fault == "stall":
                time.sleep(1.5)
            return
        for at in range(0, len(body), 2**16):
            self.wfile.write(body[at : at + 2**16])
            if fault == "slow":
                time.sleep(0.1)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        server.files["/some/net.pt"] = CONTENT
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folder of weights, empty; and no wish of the environment."""
    for name in list(os.environ):
        if name.startswith(("CLEANSAT_", "HF_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("CLEANSAT_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setattr(download, "WAIT", 0.01)
    monkeypatch.setattr(download, "TIMEOUT", 0.5)
    return tmp_path / "weights"


def remote(server: Server, sha256: str = SHA256, **changes: object) -> Model:
    changes = {"name": "net", "version": "1", "weights": f"{server.url}/some/net.pt"} | changes
    return replace(get_model(), sha256=sha256, **changes)


# --- downloads


def test_what_is_fetched_is_kept_and_not_fetched_again(server: Server, folder: Path) -> None:
    model = remote(server)
    assert availability(model) == "to fetch"
    assert fetch_weights(model, progress=False) == [folder / "net-1" / "net.pt"]
    assert weights_path(model).read_bytes() == CONTENT
    assert availability(model) == "here"
    assert verify_weights(model) == [weights_path(model)]
    assert fetch_weights(model, progress=False) == verify_weights(model)
    assert len(server.asked) == 1


def test_choosing_a_model_fetches_its_weights_and_says_so(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "odc_cleansat"):
        weights_path(remote(server, licence="CC-BY-NC-4.0"))
    assert server.url in caplog.text
    assert "forbids commercial use" in caplog.text


def test_looking_never_fetches(server: Server) -> None:
    model = remote(server)
    assert find_weights(model) is None
    assert availability(model) == "to fetch"
    assert sha256_of(model) == SHA256
    with pytest.raises(ModelError, match="cleansat models fetch net"):
        verify_weights(model)
    assert not server.asked


@pytest.mark.parametrize("fault", ["cut", "stall"])
def test_a_broken_download_goes_on_where_it_broke_off(server: Server, fault: str) -> None:
    server.faults["/some/net.pt"] = [fault]
    assert weights_path(remote(server)).read_bytes() == CONTENT
    (_, first), (_, second) = server.asked
    assert "Range" not in first
    start = int(second["Range"].removeprefix("bytes=").removesuffix("-"))
    assert 0 < start <= len(CONTENT) // 2


def test_another_process_goes_on_where_one_broke_off(server: Server, folder: Path) -> None:
    server.faults["/some/net.pt"] = ["cut"] * download.ATTEMPTS
    model = remote(server)
    with pytest.raises(ModelError, match=r"the line broke .*goes on from where it"):
        fetch_weights(model, progress=False)
    part = folder / "net-1" / ".net.pt.part"
    here = part.stat().st_size
    assert len(CONTENT) / 2 < here < len(CONTENT)
    server.asked.clear()
    fetch_weights(model, progress=False)
    assert [headers["Range"] for _, headers in server.asked] == [f"bytes={here}-"]
    assert weights_path(model).read_bytes() == CONTENT
    assert sorted(p.name for p in part.parent.iterdir() if p.suffix != ".lock") == ["net.pt"]


def test_a_slow_line_is_no_broken_one(server: Server) -> None:
    server.faults["/some/net.pt"] = ["slow"]
    fetch_weights(remote(server), progress=False)
    assert len(server.asked) == 1


def test_silence_is_given_up(server: Server) -> None:
    server.faults["/some/net.pt"] = ["stall"] * download.ATTEMPTS
    before = time.monotonic()
    with pytest.raises(ModelError, match="no answer in time"):
        fetch_weights(remote(server), progress=False)
    assert time.monotonic() - before < 10


def test_a_server_without_ranges_sends_all_again(server: Server) -> None:
    server.ranges = False
    server.faults["/some/net.pt"] = ["cut"]
    assert weights_path(remote(server)).read_bytes() == CONTENT
    assert "Range" in server.asked[1][1]


@pytest.mark.parametrize("sha256", [SHA256, ""], ids=["known", "unknown"])
def test_halves_of_two_versions_are_never_joined(server: Server, sha256: str) -> None:
    old = os.urandom(len(CONTENT))
    server.files["/some/net.pt"] = old
    server.faults["/some/net.pt"] = ["cut"] * download.ATTEMPTS
    with pytest.raises(ModelError, match="the line broke"):
        fetch_weights(remote(server, sha256), progress=False)
    server.files["/some/net.pt"] = CONTENT
    assert weights_path(remote(server, sha256)).read_bytes() == CONTENT


def test_a_part_longer_than_the_file_is_dropped(server: Server, folder: Path) -> None:
    part = folder / "net-1" / ".net.pt.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(bytes(len(CONTENT) + 1))
    assert weights_path(remote(server)).read_bytes() == CONTENT


def test_passing_troubles_of_the_server_are_waited_out(server: Server) -> None:
    server.faults["/some/net.pt"] = [500, 503, 429]
    assert weights_path(remote(server)).read_bytes() == CONTENT
    assert len(server.asked) == 4


@pytest.mark.parametrize(
    ("status", "words"),
    [(404, "moved or removed"), (401, "HF_TOKEN"), (403, "HF_TOKEN"), (410, "moved or removed")],
)
def test_lasting_troubles_are_not(server: Server, status: int, words: str) -> None:
    server.faults["/some/net.pt"] = [status] * 9
    with pytest.raises(ModelError, match=rf"{status}.*{words}"):
        fetch_weights(remote(server), progress=False)
    assert len(server.asked) == 1


def test_tries_are_counted(server: Server) -> None:
    server.faults["/some/net.pt"] = [500] * 9
    with pytest.raises(ModelError, match=rf"500 .*\({download.ATTEMPTS} tries\)"):
        fetch_weights(remote(server), progress=False)
    assert len(server.asked) == download.ATTEMPTS


def test_a_page_that_asks_to_log_in_is_no_weights(server: Server) -> None:
    server.faults["/some/net.pt"] = ["page"]
    with pytest.raises(ModelError, match="a web page and no weights"):
        fetch_weights(remote(server, sha256=""), progress=False)


def test_nobody_listens() -> None:
    model = replace(get_model(), weights="http://127.0.0.1:9/net.pt", name="net")
    with pytest.raises(ModelError, match=r"cannot fetch http://127\.0\.0\.1:9/net\.pt: .*refused"):
        fetch_weights(model, progress=False)


def test_messages_show_no_login_and_no_key(server: Server) -> None:
    """Messages are sent to colleagues and put into bug reports."""
    place = server.url.removeprefix("http://")
    address = f"http://me:hunter2@{place}/some/net.pt?sig=s3cr3t%2Fx&v=2"
    server.faults["/some/net.pt?sig=s3cr3t%2Fx&v=2"] = [404]
    with pytest.raises(ModelError, match="answers 404") as caught:
        fetch_weights(remote(server, weights=address), progress=False)
    assert f"http://***@{place}/some/net.pt?***&v=2" in str(caught.value)
    for text in ("s3://b/key=1/a@b.tif", "write to a@b.org", "s3://bucket/x?versionId=3"):
        assert str(ModelError(text)) == text
    for secret in ("X-Amz-Signature=abc", "access_token=abc", "SIG=abc"):
        assert str(SceneError(f"no {address[:30]}?a=1&{secret} there")).endswith("?a=1&*** there")


def test_redirects_are_followed(server: Server) -> None:
    server.redirects["/some/net.pt"] = "/elsewhere"
    server.files["/elsewhere"] = CONTENT
    server.faults["/elsewhere"] = ["cut"]
    assert weights_path(remote(server)).read_bytes() == CONTENT
    assert server.paths() == ["/some/net.pt", "/elsewhere"] * 2
    assert "Range" in server.asked[-1][1]


def test_redirects_in_a_circle_are_not(server: Server) -> None:
    server.redirects["/some/net.pt"] = "/some/net.pt"
    with pytest.raises(ModelError, match="30 redirects"):
        fetch_weights(remote(server), progress=False)


@pytest.mark.parametrize(
    "way", [["http://b.example/n"], ["http://b.example/n", "https://c.example/n"]]
)
def test_no_step_of_a_redirect_may_be_open(way: list[str], tmp_path: Path) -> None:
    from requests import Response

    def answer(status: int, url: str) -> Response:
        response = Response()
        response.status_code, response.url = status, url
        return response

    start = "https://a.example/n"
    *steps, last = [start, *way]
    final = answer(200, last)
    final.history = [answer(302, step) for step in steps]
    with pytest.raises(ModelError, match=r"leads to http://b\.example/n, which is not encrypted"):
        download._check_response(start, final, tmp_path / "part")
    final.history = [answer(302, start), answer(302, "http://localhost/n")]
    final.url = "https://c.example/n"
    download._check_response(start, final, tmp_path / "part")


def test_the_bar_goes_to_the_end(server: Server, capfd: pytest.CaptureFixture[str]) -> None:
    server.faults["/some/net.pt"] = ["cut", "slow"]
    fetch_weights(remote(server), progress=True)
    out, err = capfd.readouterr()
    assert not out
    assert re.search(r"net\.pt: +\d+%", err)


def _fetch_in_a_process(model: Model, started: object) -> None:
    started.wait()
    fetch_weights(model, progress=False)


def test_two_processes_at_once_fetch_once(server: Server) -> None:
    model = remote(server)
    server.faults["/some/net.pt"] = ["slow"]
    context = multiprocessing.get_context("fork")
    started = context.Barrier(2)
    both = [context.Process(target=_fetch_in_a_process, args=(model, started)) for _ in range(2)]
    for each in both:
        each.start()
    for each in both:
        each.join()
    assert [each.exitcode for each in both] == [0, 0]
    assert len(server.asked) == 1
    assert weights_path(model).read_bytes() == CONTENT


# --- trust


def test_wrong_weights_are_never_kept(server: Server, folder: Path) -> None:
    server.faults["/some/net.pt"] = ["corrupt"]
    with pytest.raises(ModelError, match=rf"has sha256 \w+, not {SHA256}"):
        fetch_weights(remote(server), progress=False)
    assert not [p for p in folder.rglob("*") if p.is_file() and p.suffix != ".lock"]


def test_a_corrupt_beginning_is_fetched_again(server: Server, folder: Path) -> None:
    model = remote(server)
    server.faults["/some/net.pt"] = ["cut"] * download.ATTEMPTS
    with pytest.raises(ModelError, match="the line broke"):
        fetch_weights(model, progress=False)
    part = folder / "net-1" / ".net.pt.part"
    part.write_bytes(bytes(part.stat().st_size))
    assert weights_path(model).read_bytes() == CONTENT


def test_weights_that_change_on_the_disk_are_refused_and_fetched_anew(server: Server) -> None:
    model = remote(server)
    path = weights_path(model)
    path.write_bytes(b"something else")
    with pytest.raises(ModelError, match="cleansat models fetch net"):
        weights_path(model)
    with pytest.raises(ModelError, match="cleansat models fetch net"):
        verify_weights(model)
    assert fetch_weights(model, progress=False) == [path]
    assert path.read_bytes() == CONTENT


def test_the_hash_of_a_first_download_is_recorded(server: Server, folder: Path) -> None:
    model = remote(server, sha256="")
    path = weights_path(model)
    record = folder / "net-1" / "net.pt.sha256"
    assert record.read_text() == f"{SHA256}  net.pt\n"
    assert sha256_of(model) == SHA256
    path.unlink()
    assert sha256_of(model) == SHA256, "known, though the weights are gone"
    server.files["/some/net.pt"] = b"other weights"
    with pytest.raises(ModelError, match=f"had {SHA256} when it was first used") as caught:
        weights_path(model)
    assert f"delete {record}" in str(caught.value)
    assert not path.exists()
    record.unlink()
    assert weights_path(model).read_bytes() == b"other weights"


def test_weights_of_unknown_hash_that_change_on_the_disk_are_refused(server: Server) -> None:
    model = remote(server, sha256="")
    weights_path(model).write_bytes(b"poison")
    with pytest.raises(ModelError, match="when it was first used"):
        weights_path(model)
    fetch_weights(model, progress=False)
    assert weights_path(model).read_bytes() == CONTENT


def test_a_file_is_hashed_once_a_process(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    from odc_cleansat.models import weights

    model = remote(server)
    weights_path(model)
    times: list[Path] = []
    monkeypatch.setattr(weights, "file_sha256", lambda p: times.append(p) or SHA256)
    weights_path(model)
    weights_path(model)
    assert not times
    os.utime(weights_path(model), (0, 0))
    weights_path(model)
    assert len(times) == 1


# --- Hugging Face


@pytest.fixture
def hub(server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """Answers as Hugging Face does: to another place, its sha256 in a header of the redirect."""
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    for revision in ("main", "0123abc", "refs%2Fpr%2F1"):
        resolve = f"/owner/nets/resolve/{revision}/deep/net.pt"
        server.redirects[resolve] = f"{server.url.replace('127.0.0.1', 'localhost')}/cdn/{revision}"
        server.files[f"/cdn/{revision}"] = CONTENT
        server.headers[resolve] = {"X-Linked-ETag": f'"{SHA256}"', "X-Repo-Commit": "0123abc"}
    return server


@pytest.mark.parametrize(
    ("revision", "asked"),
    [("", "main"), ("@0123abc", "0123abc"), ("@refs/pr/1", "refs%2Fpr%2F1")],
)
def test_hugging_face(hub: Server, revision: str, asked: str) -> None:
    hub.faults[f"/cdn/{asked}"] = ["cut"]
    model = remote(hub, "", weights=f"hf:owner/nets/deep/net.pt{revision}")
    assert weights_path(model).read_bytes() == CONTENT
    assert hub.paths() == [f"/owner/nets/resolve/{asked}/deep/net.pt", f"/cdn/{asked}"] * 2
    assert "Range" in hub.asked[-1][1]


def test_the_hash_that_hugging_face_publishes_counts(hub: Server) -> None:
    hub.faults["/cdn/main"] = ["corrupt"]
    with pytest.raises(ModelError, match=f"the server publishes {SHA256}"):
        weights_path(remote(hub, "", weights="hf:owner/nets/deep/net.pt"))


def test_a_login_is_sent_to_hugging_face_and_no_further(
    hub: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "secret")
    weights_path(remote(hub, weights="hf:owner/nets/deep/net.pt"))
    (_, first), (_, second) = hub.asked
    assert first["Authorization"] == "Bearer secret"
    assert "Authorization" not in second


def test_a_mirror_is_asked_instead_and_gets_no_login(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLEANSAT_MIRROR", f"{server.url}/mirror/")
    monkeypatch.setenv("HF_TOKEN", "secret")
    server.files["/mirror/owner/nets/resolve/main/net.pt"] = CONTENT
    server.files["/mirror/a/net.pt"] = CONTENT
    weights_path(remote(server, weights="hf:owner/nets/net.pt", name="one"))
    weights_path(remote(server, weights="https://example.org/a/net.pt", name="two"))
    assert server.paths() == ["/mirror/owner/nets/resolve/main/net.pt", "/mirror/a/net.pt"]
    assert not any("Authorization" in headers for _, headers in server.asked)


@pytest.mark.parametrize("variable", ["CLEANSAT_MIRROR", "HF_ENDPOINT"])
def test_a_mirror_without_encryption_only_gives_what_can_be_checked(
    server: Server, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "http://mirror.invalid")
    with pytest.raises(ModelError, match="not encrypted, and no sha256 is known"):
        weights_path(remote(server, "", weights="hf:owner/nets/net.pt"))
    with pytest.raises(ModelError, match="cannot fetch"):  # it is asked, and is not there
        weights_path(remote(server, SHA256, weights="hf:owner/nets/net.pt"))


# --- places


@pytest.mark.parametrize("variable", ["CLEANSAT_OFFLINE", "HF_HUB_OFFLINE"])
def test_offline(
    server: Server, folder: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "1")
    model = remote(server)
    for use in (weights_path, fetch_weights):
        with pytest.raises(ModelError, match="not on this machine") as caught:
            use(model)
        assert str(folder / "net-1" / "net.pt") in str(caught.value)
        assert f"{server.url}/some/net.pt" in str(caught.value)
    assert not server.asked
    (folder / "net-1").mkdir(parents=True)
    (folder / "net-1" / "net.pt").write_bytes(CONTENT)
    assert weights_path(model).read_bytes() == CONTENT


@pytest.mark.parametrize("place", ["net-1/net.pt", "net.pt"])
def test_a_shared_folder(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    shared = tmp_path / "lab" / place
    shared.parent.mkdir(parents=True)
    shared.write_bytes(CONTENT)
    monkeypatch.setenv(
        "CLEANSAT_WEIGHTS_PATH", f"{tmp_path / 'none'}{os.pathsep}{tmp_path / 'lab'}"
    )
    assert weights_path(remote(server)) == shared
    assert not server.asked
    # A setting that no shell has read may have a tilde.
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("CLEANSAT_WEIGHTS_PATH", "~/lab")
    assert weights_path(remote(server)) == shared
    shared.write_bytes(b"tampered with")
    with pytest.raises(ModelError, match="not used"):
        weights_path(remote(server))
    monkeypatch.setenv("CLEANSAT_WEIGHTS", "~/own")
    assert fetch_weights(remote(server), progress=False)[0].is_relative_to(tmp_path / "own")
    assert fetch_weights(remote(server), progress=False) == [weights_path(remote(server))]
    assert weights_path(remote(server)).read_bytes() == CONTENT


def test_what_a_shared_folder_holds_is_recorded_by_its_user(
    server: Server, tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = tmp_path / "lab" / "net.pt"
    shared.parent.mkdir()
    shared.write_bytes(CONTENT)
    monkeypatch.setenv("CLEANSAT_WEIGHTS_PATH", str(shared.parent))
    model = remote(server, sha256="")
    weights_path(model)
    assert (folder / "net-1" / "net.pt.sha256").read_text().startswith(SHA256)
    shared.write_bytes(b"tampered with")
    with pytest.raises(ModelError, match="when it was first used"):
        weights_path(model)


def test_weights_can_be_used_where_nothing_can_be_written(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = tmp_path / "lab" / "net.pt"
    shared.parent.mkdir()
    shared.write_bytes(CONTENT)
    monkeypatch.setenv("CLEANSAT_WEIGHTS", "/proc/nothing/can/be/made/here")
    model = remote(server, sha256="")
    with pytest.raises(ModelError, match=r"cannot write to /proc/.*CLEANSAT_WEIGHTS"):
        fetch_weights(model, progress=False)
    monkeypatch.setenv("CLEANSAT_WEIGHTS_PATH", str(shared.parent))
    assert weights_path(model) == shared
    shared.with_name("net.pt.sha256").write_text(f"{'0' * 64}  net.pt\n")
    with pytest.raises(ModelError, match=r"0{64} when it was first used"):
        weights_path(model)


def test_a_file_and_a_relative_of_another_name(tmp_path: Path, server: Server) -> None:
    path = tmp_path / "my net.pt"
    path.write_bytes(CONTENT)
    model = remote(server, weights=f"file:{path}")
    assert weights_path(model) == path
    assert availability(model) == "here"
    assert weights_path(replace(model, weights=path.as_uri())) == path
    path.unlink()
    assert availability(model) == "missing"
    with pytest.raises(ModelError, match="should be at"):
        fetch_weights(model)


def test_weights_of_a_package_are_never_fetched(server: Server) -> None:
    model = get_model()
    assert availability(model) == "packaged"
    assert fetch_weights(model) == [weights_path(model)]
    assert availability(replace(model, weights="package:no_such/x.onnx")) == "missing"
    with pytest.raises(ModelError, match="pip install no-such"):
        verify_weights(replace(model, weights="package:no_such/x.onnx"))


def test_locating_a_package_imports_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "evil_nets"
    package.mkdir()
    (package / "__init__.py").write_text("raise SystemExit('imported')")
    (package / "net.pt").write_bytes(CONTENT)
    monkeypatch.syspath_prepend(tmp_path)
    model = replace(get_model(), weights="package:evil_nets/net.pt", sha256=SHA256)
    assert weights_path(model).read_bytes() == CONTENT
    (package / "deeper").mkdir()
    (package / "deeper" / "net.pt").write_bytes(CONTENT)
    assert weights_path(replace(model, weights="package:evil_nets.deeper/net.pt"))


@pytest.mark.parametrize(
    "uri",
    [
        "ftp://somewhere/x.pt",
        "http://example.org/x.pt",
        "hf:owner/x.pt",
        "x.pt",
        "package:",
        "https:",
    ],
)
def test_addresses_that_are_not_known(uri: str) -> None:
    model = replace(get_model(), weights=uri)
    with pytest.raises(ModelError, match=r"known are package:NAME/FILE|names no file"):
        weights_path(model)


def test_names_lead_to_no_other_folder(server: Server, folder: Path) -> None:
    model = remote(server, name="../../net", version="..")
    assert weights_path(model).is_relative_to(folder)
    with pytest.raises(ModelError, match="names no file"):
        weights_path(remote(server, weights=f"{server.url}/a/%2e%2e"))


def test_an_ensemble_is_fetched_member_by_member(server: Server) -> None:
    members = (remote(server, name="a"), remote(server, "", name="b"))
    both = replace(get_model(), name="a+b", weights="", sha256="", members=members)
    assert availability(both) == "to fetch"
    assert [path.read_bytes() for path in fetch_weights(both, progress=False)] == [CONTENT] * 2
    assert availability(both) == "here"
    assert sha256_of(both) == hashlib.sha256((SHA256 * 2).encode()).hexdigest()
    with pytest.raises(ModelError, match="an ensemble"):
        weights_path(both)
