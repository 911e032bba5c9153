"""The page to review masks beside masks by others fits on screens of two widths."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner
from fakes import brightness_engine
from playwright.sync_api import sync_playwright

from odc_cleansat.cli.main import main
from odc_cleansat.synthetic.scene import SimulatedScene

CHROMIUM = Path("/usr/bin/chromium")
NAMES = ("Fmask", "s2cloudless of Digital Earth Australia", "OmniCloudMask")
CROWDED = """() => [...document.querySelectorAll(".c-agree li")].filter(
  (each) => each.scrollWidth > each.clientWidth + 1
    || each.getBoundingClientRect().right > each.closest("td").getBoundingClientRect().right + 1
).map((each) => each.innerText)"""


@pytest.fixture(scope="module")
def review(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("look")
    scene = SimulatedScene(shape=(240, 300), seed=1).write(folder / "scene")
    shutil.copy(scene / "SCL.tif", folder / "other.tif")
    words = [["mask", str(scene), "-o", str(folder / "masks")]]
    others = [word for name in NAMES for word in ("--other", f"{name}={folder / 'other.tif'}:scl")]
    words += [["review", "page", str(folder / "masks"), "-o", str(folder / "review.html"), *others]]
    words += [["review", "page", str(folder / "masks"), "-o", str(folder / "alone.html")]]
    with brightness_engine():
        for each in words:
            done = CliRunner().invoke(main, each)
            assert done.exit_code == 0, done.output
    return folder / "review.html"


@pytest.mark.parametrize("width", [1280, 390])
def test_masks_by_others_fit_on_the_page(review: Path, width: int) -> None:
    if not CHROMIUM.exists():
        pytest.skip("Chromium is not here: apt-get install chromium")
    with sync_playwright() as started:
        options = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        browser = started.chromium.launch(executable_path=str(CHROMIUM), args=options)
        page = browser.new_page(viewport={"width": width, "height": 900})
        page.goto(review.as_uri())
        page.get_by_text("Fmask").first.wait_for()
        assert page.locator("tr.mask figure").count() == 3 + len(NAMES)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate(CROWDED) == []
        browser.close()


def test_the_table_fits_into_the_application(review: Path) -> None:
    """On a screen of 1280 pixels its frame has 1232, and buttons take 28 that a page without server does not need."""
    if not CHROMIUM.exists():
        pytest.skip("Chromium is not here: apt-get install chromium")
    with sync_playwright() as started:
        options = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        browser = started.chromium.launch(executable_path=str(CHROMIUM), args=options)
        page = browser.new_page(viewport={"width": 1232 - 28, "height": 900})
        page.goto(review.with_name("alone.html").as_uri())
        page.get_by_text("thin cloud").first.wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") <= 1232 - 28
        browser.close()
