"""`cleansat review serve`."""

from __future__ import annotations

import getpass
import socket
import sys
from pathlib import Path
from typing import Any

import click
import pytest
import uvicorn
from calling import Run, failure, good
from conftest import Cube
from starlette.testclient import TestClient

from odc_cleansat.cube.embedded import CONFIG_NAME


class Served:
    """What the server was given, in place of answering until Ctrl-C."""

    def __init__(self) -> None:
        self.pages: list[str] = []
        self.hosts: list[str] = ["127.0.0.1"]

    def run(self, server: uvicorn.Server, sockets: list[socket.socket]) -> None:
        (listening,) = sockets
        self.port = listening.getsockname()[1]
        assert not server.config.server_header
        for host in self.hosts:
            # Not as its base address: older releases of the client take "[::1]:80" for no address.
            client = TestClient(server.config.app, headers={"Host": f"{host}:{self.port}"})
            self.pages.append(client.get("/").text)
        raise KeyboardInterrupt


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Served:
    found = Served()
    monkeypatch.setattr(uvicorn.Server, "run", lambda *args, **more: found.run(*args, **more))
    return found


def test_serve_a_folder_until_ctrl_c(cube: Cube, run: Run, served: Served) -> None:
    served.hosts = ["127.0.0.1", "localhost", "evil.example"]
    said = good(run("review", "serve", cube.folder / "products", "--port", 0, "--title", "Ours"))
    assert f"2 masks at http://127.0.0.1:{served.port}/ (Ctrl-C ends it)" in said
    assert "Whoever reaches this address" not in said
    for page in served.pages[:2]:
        assert "<h1>Ours</h1>" in page
        assert f'"suggested": "{getpass.getuser()}"' in page
    assert served.pages[2] == "Invalid host header"


def test_serve_masks_of_a_datacube(cube: Cube, run: Run, served: Served) -> None:
    config = cube.folder / CONFIG_NAME
    options = ("--time", "2024-06", "-C", config, "--by", " A. Name ", "--port", 0)
    assert "1 mask at" in good(run("review", "serve", *options))
    (page,) = served.pages
    assert '"by": "A. Name"' in page
    assert str(cube.masks["june"].id) in page
    assert str(cube.folder) not in page


def test_serve_to_others(
    cube: Cube, run: Run, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(click, "launch", opened.append)
    served.hosts = ["masks.example.org", "127.0.0.1"]
    options = ("--host", "0.0.0.0", "--allowed-host", "masks.example.org", "--port", 0, "--open")
    said = good(run("review", "serve", cube.folder / "products", *options))
    assert "Whoever reaches this address can give verdicts" in said
    assert opened == [f"http://masks.example.org:{served.port}/"]
    assert '"suggested": ""' in served.pages[0]
    assert served.pages[1] == "Invalid host header"


def test_serve_by_the_sixth_version_of_addresses(cube: Cube, run: Run, served: Served) -> None:
    served.hosts = ["[::1]"]
    said = good(run("review", "serve", cube.folder / "products", "--host", "::1", "--port", 0))
    assert f"http://[::1]:{served.port}/" in said
    assert "<h1>" in served.pages[0]


def test_wrong_usage(cube: Cube, run: Run, served: Served, tmp_path: Path) -> None:
    masks = cube.folder / "products"
    assert "name one with --allowed-host" in failure(run("review", "serve", masks, "--host", "::"), 2)  # fmt: skip
    for name in ("*", "a*.example.org", "http://a", "a:80"):
        words = f"--allowed-host {name} is no name of a host"
        assert words in failure(run("review", "serve", masks, "--allowed-host", name), 2)
    assert "--by is empty" in failure(run("review", "serve", masks, "--by", " "), 2)
    assert run("review", "serve", masks, "--port", 70000).exit_code == 2
    assert "no mask product in" in failure(run("review", "serve", tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        line = failure(run("review", "serve", masks, "--port", port))
    assert line.endswith(f"cannot listen at 127.0.0.1, port {port}: Address already in use. Give another --port, or 0 for one that is free.")  # fmt: skip
    assert "port 0: " in failure(run("review", "serve", masks, "--port", 0, "--host", "nowhere.invalid"))  # fmt: skip
    assert served.pages == []


def test_without_the_extra(cube: Cube, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    line = failure(run("review", "serve", cube.folder / "products"))
    assert "uvicorn is not installed; `pip install 'odc-cleansat[app]'` brings it" in line


def test_nobody_is_suggested_where_the_machine_does_not_tell(
    cube: Cube, run: Run, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown() -> Any:
        raise KeyError("getpwuid(): uid not found: 1000")

    monkeypatch.setattr(getpass, "getuser", unknown)
    good(run("review", "serve", cube.folder / "products", "--port", 0))
    assert '"suggested": ""' in served.pages[0]
