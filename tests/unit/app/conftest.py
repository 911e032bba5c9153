"""The service of the application on the datacube of all tests, and pages run without a browser."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from conftest import Cube

from odc_cleansat.app.service import Service, set_service
from odc_cleansat.app.settings import AppSettings

st_testing = pytest.importorskip("streamlit.testing.v1", reason="the extra app is not installed")


@pytest.fixture(autouse=True)
def own_main_module() -> Iterator[None]:
    """Streamlit makes a page the main module of the process, which every process that is started later would import."""
    before = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = before


@pytest.fixture
def service(cube: Cube, tmp_path: Path) -> Iterator[Service]:
    """A service whose store is empty and whose queue has not been started."""
    settings = AppSettings(str(tmp_path / "store"), config=(str(cube.folder / "datacube.conf"),))
    made = Service(settings)
    set_service(made)
    yield made
    set_service(None)
    made.close()


Page = Callable[..., "st_testing.AppTest"]
"""Runs a page by its name, with a query in its address."""


@pytest.fixture
def page(service: Service) -> Page:
    """Run a page as Ann."""

    def run(name: str, query: Mapping[str, str] | None = None) -> st_testing.AppTest:
        app = st_testing.AppTest.from_string(
            f"import streamlit as st\nfrom odc_cleansat.app import {name}, where\n"
            "st.session_state.pages = {'Look': st.Page(lambda: None, url_path='look')}\n"
            f"where.ask_where({name.removesuffix('_page').capitalize()!r})\n"
            f"{name}.show()",
            default_timeout=60,
        )
        app.session_state["person"] = "Ann"
        for key, value in (query or {}).items():
            app.query_params[key] = value
        return app.run()

    return run


@pytest.fixture(scope="session")
def masks(cube: Cube, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copies of the masks of june and july, to give verdicts on."""
    folder: Path = shutil.copytree(
        cube.folder / "products", tmp_path_factory.mktemp("judged") / "masks"
    )
    return folder
