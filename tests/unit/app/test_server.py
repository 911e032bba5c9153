"""The server: whom it answers, and what it tells nobody."""

from __future__ import annotations

import contextlib
import gc
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ports import free_port
from streamlit.runtime import Runtime

from odc_cleansat.app.server import (
    LetInUploads,
    OwnPages,
    allowed_hosts,
    content_policy,
    load_pages,
    make_app,
    streamlit_config,
)
from odc_cleansat.app.service import Service
from odc_cleansat.app.settings import AppSettings

starlette = pytest.importorskip("starlette.testclient", reason="the extra app is not installed")


def test_named_hosts_are_answered_with_headers_that_protect(service: Service) -> None:
    # One test, for a process can have one runtime of Streamlit at a time; without its lifespan it does not start.
    client = starlette.TestClient(make_app(service), base_url="http://localhost")
    assert client.get("/alive", headers={"host": "elsewhere.example"}).status_code == 400
    assert client.get("/_stcore/metrics").status_code == 404
    answer = client.get("/alive")
    for origin, host in (("https://evil.example", "localhost"), ("null", "localhost")):
        with (
            pytest.raises(starlette.WebSocketDisconnect),
            client.websocket_connect("/_stcore/stream", headers={"origin": origin, "host": host}),
        ):
            pass
    Runtime._instance = None
    assert answer.status_code == 200
    headers = answer.headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "SAMEORIGIN"
    assert headers["referrer-policy"] == "same-origin"
    assert "img-src 'self' data: blob:;" in headers["content-security-policy"]


def test_pages_load_the_basemap_and_nothing_else() -> None:
    policy = content_policy("https://tiles.example.org:8443/{z}/{x}/{y}.png")
    assert "img-src 'self' https://tiles.example.org:8443 data: blob:" in policy
    assert "connect-src 'self' https://tiles.example.org:8443 data: blob:" in policy
    assert "https:" not in content_policy(None)


def test_hosts_follow_the_settings() -> None:
    assert "localhost" in allowed_hosts(AppSettings("s"))
    everywhere = allowed_hosts(AppSettings("s", host="0.0.0.0"))
    assert "0.0.0.0" not in everywhere
    named = AppSettings("s", host="0.0.0.0", allowed_hosts=("masks.example.org",))
    assert "masks.example.org" in allowed_hosts(named)
    assert "10.0.0.7" in allowed_hosts(AppSettings("s", host="10.0.0.7"))


def test_streamlit_tells_nobody_anything(tmp_path: Path) -> None:
    config = streamlit_config(AppSettings("s", port=8600))
    assert config["browser.gatherUsageStats"] is False
    assert config["client.showErrorDetails"] == "none"
    assert config["runner.magicEnabled"] is False, "what the script does not show is not shown"
    assert "theme.base" not in config, "the browser says whether pages are light or dark"
    assert (config["server.address"], config["server.port"]) == ("127.0.0.1", 8600)
    signed = streamlit_config(AppSettings("s", sign_in=tmp_path / "auth.toml"))
    assert signed["secrets.files"] == [str(tmp_path / "auth.toml")]


@pytest.mark.parametrize(
    ("origin", "host", "seen"),
    [
        (None, "localhost:8501", "localhost:8501"),
        ("http://localhost:8501", "localhost:8501", "localhost:8501"),
        ("https://masks.example.org", "10.0.0.7:8501", "masks.example.org"),
        ("https://a.wild.example", "10.0.0.7:8501", "a.wild.example"),
        ("http://localhost:9999", "localhost:8501", None),
        ("https://masks.example.org@evil.example", "localhost:8501", None),
        ("https://masks.example.org.evil.example", "localhost:8501", None),
        ("null", "localhost:8501", None),
    ],
)
def test_only_our_own_pages_open_a_connection(
    origin: str | None, host: str, seen: str | None
) -> None:
    """A proxy may call us by another name than browsers do."""
    found: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        found.append(dict(scope["headers"])[b"host"].decode())
        await send({"type": "websocket.accept"})

    headers = {"host": host} | ({"origin": origin} if origin else {})
    client = starlette.TestClient(OwnPages(app, ["masks.example.org", "*.wild.example"]))
    with contextlib.suppress(starlette.WebSocketDisconnect):
        client.websocket_connect("/_stcore/stream", headers=headers).__enter__()
    assert found == ([] if seen is None else [seen])


def test_files_are_taken_from_people_who_were_let_in() -> None:
    """To Streamlit an open connection is enough, which anybody can have."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    client = starlette.TestClient(LetInUploads(app, lambda session: session == "ours"))
    assert client.put("/_stcore/upload_file/ours/1", content=b"x").status_code == 204
    for path in ("/_stcore/upload_file/other/1", "/under/_stcore/upload_file/other/ours"):
        refused = client.put(path, content=b"x")
        assert refused.status_code == 403
        assert "Sign in" in refused.text
    assert client.get("/alive").status_code == 204


def test_the_collector_of_garbage_passes_over_what_pages_import() -> None:
    try:
        load_pages()
        assert gc.get_freeze_count() > 10_000
    finally:
        gc.unfreeze()


def test_an_end_that_is_caught_while_it_starts_is_not_forgotten(tmp_path: Path) -> None:
    """As by a library that catches every exception of what it imports: it would serve for ever."""
    code = """
import contextlib, signal, sys
from odc_cleansat.app.server import serve
from odc_cleansat.app.settings import AppSettings

def begins():
    with contextlib.suppress(SystemExit):
        signal.raise_signal(signal.SIGTERM)

serve(AppSettings(sys.argv[1], port=int(sys.argv[2])), begins)
"""
    command = [sys.executable, "-W", "ignore", "-c", code, str(tmp_path), str(free_port())]
    assert subprocess.run(command, timeout=120).returncode == 0
