"""`cleansat app`: what it starts with, and what it refuses. tests/integration/test_app.py uses it in a browser."""

from __future__ import annotations

from pathlib import Path

import pytest
from calling import Run

import odc_cleansat.app.server
from odc_cleansat.app.settings import AppSettings


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[AppSettings]:
    """The settings with which the application would have been served."""
    found: list[AppSettings] = []
    monkeypatch.setattr(odc_cleansat.app.server, "serve", found.append)
    return found


def test_a_store_and_a_product(run: Run, served: list[AppSettings]) -> None:
    done = run("app", "--store", "masks", "--product", "mine", "--port", "8600", "-C", "a.conf")
    assert done.exit_code == 0, done.output
    assert "http://127.0.0.1:8600" in done.output
    (settings,) = served
    assert (settings.store, settings.product, settings.port) == ("masks", "mine", 8600)
    assert settings.config == ("a.conf",)


def test_one_of_store_and_example(run: Run, served: list[AppSettings], tmp_path: Path) -> None:
    for options in ((), ("--store", "masks", "--example", tmp_path)):
        refused = run("app", *options)
        assert refused.exit_code == 2
        assert "--example to try it" in refused.output
    assert not served


def test_an_open_door_is_told(run: Run, served: list[AppSettings], tmp_path: Path) -> None:
    assert "under any name" in run("app", "--store", "masks", "--host", "0.0.0.0").output
    closed = run("app", "--store", "masks", "--host", "0.0.0.0", "--user-header", "X-User")
    assert "under any name" not in closed.output
    (tmp_path / "auth.toml").write_text("[auth]\n")
    both = run(
        "app", "--store", "m", "--user-header", "X-User", "--sign-in", tmp_path / "auth.toml"
    )
    assert both.exit_code == 2
