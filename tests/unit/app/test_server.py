"""The server: whom it answers, and what it tells nobody."""

from __future__ import annotations

from pathlib import Path

import pytest
from streamlit.runtime import Runtime

from odc_cleansat.app.server import allowed_hosts, make_app, streamlit_config
from odc_cleansat.app.service import Service
from odc_cleansat.app.settings import AppSettings

starlette = pytest.importorskip("starlette.testclient", reason="the extra app is not installed")


def test_named_hosts_are_answered_with_headers_that_protect(service: Service) -> None:
    # One test, for a process can have one runtime of Streamlit at a time; without its lifespan it does not start.
    client = starlette.TestClient(make_app(service), base_url="http://localhost")
    assert client.get("/alive", headers={"host": "elsewhere.example"}).status_code == 400
    answer = client.get("/alive")
    Runtime._instance = None
    assert answer.status_code == 200
    headers = answer.headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "SAMEORIGIN"
    assert headers["referrer-policy"] == "same-origin"


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
    assert (config["server.address"], config["server.port"]) == ("127.0.0.1", 8600)
    signed = streamlit_config(AppSettings("s", sign_in=tmp_path / "auth.toml"))
    assert signed["secrets.files"] == [str(tmp_path / "auth.toml")]
