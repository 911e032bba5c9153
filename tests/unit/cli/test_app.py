"""`cleansat app`: what it starts with, and what it refuses. tests/integration/test_app.py uses it in a browser."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from calling import Run, failure
from ports import free_port

import odc_cleansat.app.server
from odc_cleansat.app.settings import AppSettings
from odc_cleansat.errors import OutputError


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[AppSettings]:
    """The settings with which the application would have been served."""
    found: list[AppSettings] = []

    def serve(settings: AppSettings, begins: Callable[[], object]) -> None:
        found.append(settings)
        begins()

    monkeypatch.setattr(odc_cleansat.app.server, "serve", serve)
    return found


def test_a_store_and_a_product(run: Run, served: list[AppSettings]) -> None:
    port = free_port()
    done = run("app", "--store", "masks", "--product", "mine", "--port", port, "-C", "a.conf")
    assert done.exit_code == 0, done.output
    assert f"http://127.0.0.1:{port};" in done.output
    (settings,) = served
    assert (settings.store, settings.product, settings.port) == ("masks", "mine", port)
    assert settings.config == ("a.conf",)


def test_a_catalogue_in_place_of_a_datacube(run: Run, served: list[AppSettings]) -> None:
    port = free_port()
    for options in ((), ("--no-datacube",)):
        done = run("app", "--catalog", "masks", "--port", port, *options)
        assert done.exit_code == 0, done.output
        settings = served.pop()
        assert (settings.store, settings.catalog, settings.with_datacube) == ("masks", "masks", True)  # fmt: skip
    assert run("app", "--catalog", "masks", "--store", "s3://b/m", "--port", port).exit_code == 0
    assert served.pop().store == "s3://b/m"
    assert "needs --stac and --store, or --catalog" in failure(run("app", "--store", "m", "--no-datacube"), 2)  # fmt: skip
    assert "leave out --catalog" in failure(run("app", "--catalog", "m", "--example", "e"), 2)
    assert "give --store" in failure(run("app"), 2)


def test_a_misspelt_provider_is_told_at_once(run: Run, served: list[AppSettings]) -> None:
    text = failure(run("app", "--store", "m", "--stac", "earth-serch", "--port", free_port()), 1)
    assert "Did you mean 'earth-search'?" in text
    assert not served


def test_masks_by_others(run: Run, served: list[AppSettings]) -> None:
    done = run("app", "--store", "m", "--port", free_port(), "--other", "F=oa_fmask:fmask")
    assert done.exit_code == 0, done.output
    (other,) = served[0].others
    assert (other.name, other.place, other.mapping.name) == ("F", "oa_fmask", "fmask")


def test_the_address_is_told_once_the_store_is_found_usable(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def serve(settings: AppSettings, begins: Callable[[], object]) -> None:
        raise OutputError("the store cannot be used.")

    monkeypatch.setattr(odc_cleansat.app.server, "serve", serve)
    refused = run("app", "--store", "masks", "--port", free_port())
    assert refused.exit_code == 1
    assert "the store cannot be used" in refused.output
    assert "The application is at" not in refused.output


def test_a_port_that_is_taken(run: Run, served: list[AppSettings], tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        line = failure(run("app", "--example", tmp_path / "example", "--port", port))
    assert line.endswith("Address already in use. Give another --port.")
    assert not served
    assert not (tmp_path / "example").exists()


def test_one_of_store_and_example(run: Run, served: list[AppSettings], tmp_path: Path) -> None:
    for options in ((), ("--store", "masks", "--example", tmp_path)):
        refused = run("app", *options)
        assert refused.exit_code == 2
        assert "--example to try it" in refused.output
    assert not served


def test_an_open_door_is_told(run: Run, served: list[AppSettings], tmp_path: Path) -> None:
    everywhere = ("app", "--store", "masks", "--host", "0.0.0.0", "--port", free_port())
    assert "under any name" in run(*everywhere).output
    closed = run(*everywhere, "--user-header", "X-User")
    assert "under any name" not in closed.output
    (tmp_path / "auth.toml").write_text("[auth]\n")
    both = run(
        "app", "--store", "m", "--user-header", "X-User", "--sign-in", tmp_path / "auth.toml"
    )
    assert both.exit_code == 2
