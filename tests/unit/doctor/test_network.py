"""Weights and STAC APIs, of servers on this machine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from odc_cleansat.doctor import network
from odc_cleansat.doctor.finding import Finding
from odc_cleansat.models import registry


@pytest.fixture
def server() -> Iterator[tuple[str, dict[str, bytes]]]:
    """Address of a server, and what it answers by path; 404 elsewhere."""
    answers: dict[str, bytes] = {}

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            found = answers.get(self.path)
            self.send_response(404 if found is None else 200)
            self.send_header("Content-Length", str(len(found or b"")))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(found or b"")

        do_HEAD = do_GET

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=httpd.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{httpd.server_port}", answers
    httpd.shutdown()
    httpd.server_close()
    thread.join()


def states(found: Iterator[Finding]) -> list[tuple[str, str]]:
    return [(each.state, each.what) for each in found]


def test_the_default_weights_are_here() -> None:
    found = list(network.probe_weights(online=False))
    assert [each.state for each in found] == ["ok"] * len(registry.DEFAULTS)


@pytest.fixture
def to_fetch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A model whose weights are not here, as the only default."""
    name = "cloudsen12-unetmobv2-v2"
    monkeypatch.setattr(registry, "DEFAULTS", (name,))
    monkeypatch.setenv("CLEANSAT_WEIGHTS", str(tmp_path))
    for each in ("CLEANSAT_WEIGHTS_PATH", "CLEANSAT_OFFLINE", "HF_HUB_OFFLINE", "HF_TOKEN"):
        monkeypatch.delenv(each, raising=False)
    return name


def test_weights_that_can_be_fetched(
    to_fetch: str, server: tuple[str, dict[str, bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    from odc_cleansat.models.places import remote_of

    address, answers = server
    monkeypatch.setenv("CLEANSAT_MIRROR", address)
    (found,) = network.probe_weights(online=False)
    assert (found.state, found.mend) == ("warning", f"Run: cleansat models fetch {to_fetch}")
    (found,) = network.probe_weights(online=True)
    assert (found.state, "cannot be fetched" in found.what) == ("wrong", True)
    remote = remote_of(registry.get_model(to_fetch))
    assert remote is not None
    answers[remote.url.removeprefix(address)] = b"x"
    assert states(network.probe_weights(online=True)) == [
        ("ok", f"the weights of {to_fetch} can be fetched")
    ]
    monkeypatch.setenv("CLEANSAT_OFFLINE", "1")
    (found,) = network.probe_weights(online=True)
    assert (found.state, "forbids" in found.what) == ("wrong", True)


def test_weights_that_are_spoilt(monkeypatch: pytest.MonkeyPatch) -> None:
    from odc_cleansat.errors import ModelError
    from odc_cleansat.models import weights

    def refuse(model: object) -> None:
        raise ModelError("its sha256 is wrong")

    monkeypatch.setattr(weights, "verify_weights", refuse)
    assert {each.state for each in network.probe_weights(online=False)} == {"wrong"}


def test_a_stac_api(server: tuple[str, dict[str, bytes]]) -> None:
    address, answers = server
    ((state, said),) = states(network.probe_stac(f"{address}/v1"))
    assert (state, "does not answer" in said) == ("wrong", True)
    answers["/v1"] = json.dumps({"links": [{"rel": "search"}]}).encode()
    assert states(network.probe_stac(f"{address}/v1"))[0][0] == "ok"
    for other in (b"<html>", b"[]", b"{}", b'{"links": [3]}'):
        answers["/v1"] = other
        ((state, said),) = states(network.probe_stac(f"{address}/v1"))
        assert (state, "is no STAC API" in said) == ("wrong", True)
