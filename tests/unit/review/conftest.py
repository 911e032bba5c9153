"""One browser, and copies of masks, for all tests of reviews."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from conftest import Cube

if TYPE_CHECKING:
    from playwright.sync_api import Browser


CHROMIUM = Path("/usr/bin/chromium")


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Chromium, for this package only: other tests may need an event loop of their own."""
    if not CHROMIUM.exists():
        pytest.skip(f"Chromium is not here ({CHROMIUM}); it is no dependency")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    options = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=str(CHROMIUM), args=options)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def masks(cube: Cube, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copies of the masks of june and july, to give verdicts on."""
    folder: Path = tmp_path_factory.mktemp("page")
    # The scenes are below the folder that holds this one, so they are near.
    return Path(shutil.copytree(cube.folder / "products", folder, dirs_exist_ok=True))
