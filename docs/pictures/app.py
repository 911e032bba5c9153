"""Draws the pictures of the web application anew, of simulated scenes: `python docs/pictures/app.py`.

Needs Chromium and the extras `app` and `test`. `make pictures` draws these and those of README.
"""

from __future__ import annotations

import io
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, TimeoutError, sync_playwright

from odc_cleansat.cube.embedded import stop_cube

HERE = Path(__file__).parent
CHROMIUM = "/usr/bin/chromium"
PORT = 8652
AREA = "13.67,47.775,13.75,47.83"
PATIENCE = 240_000
"""Milliseconds that a busy machine may take for a page."""


def main() -> None:
    """Find, mask, look, swipe and judge; then a telephone."""
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(Path(folder) / "example"),
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        page = browser.new_page(viewport={"width": 1280, "height": 1000})
        page.set_default_timeout(PATIENCE)
        draw(page)
        phone = browser.new_page(viewport={"width": 390, "height": 844})
        phone.set_default_timeout(PATIENCE)
        phone.goto(page.url)
        settle(phone, "UCL and SCL agree on")
        phone.locator(".scene-map").evaluate("map => map.scrollIntoView()")
        shoot(phone, "app-phone")
        browser.close()


def draw(page: Page) -> None:
    """Draw the pictures of a wide window, and leave it at the view of one scene."""
    base = f"http://127.0.0.1:{PORT}/"
    page.goto(f"{base}?area={AREA}")
    page.wait_for_selector(".scene-map canvas")
    choose_all(page, 7)
    shoot(page, "app-find")
    page.get_by_role("button", name=re.compile(r"Mask \d scenes")).click()
    page.get_by_text(re.compile(r"\d of \d windows?, for")).wait_for()
    shoot(page, "app-mask", height=430)
    page.get_by_text("masked in").nth(4).wait_for()
    page.goto(f"{base}?area={AREA}&time=2024-06-15")
    choose_all(page, 1)
    page.get_by_role("button", name="Look").click()
    settle(page, "UCL and SCL agree on")
    shoot(page, "app-look")
    view = page.url
    page.get_by_role("button", name="Swipe this view").click()
    viewer = page.frame_locator("iframe[title^=Swipe]")
    viewer.locator(":text('UCL (UNet)'):visible").first.wait_for()
    page.wait_for_timeout(2000)
    shoot(page, "app-swipe")
    page.goto(f"{base}?time=2024-06-05/2024-08-04&area={AREA}")
    choose_all(page, 7)
    page.get_by_role("button", name="Judge").click()
    page.frame_locator("iframe").get_by_text(re.compile("accept", re.IGNORECASE)).first.wait_for()
    page.wait_for_timeout(5000)
    shoot(page, "app-judge")
    page.goto(view)


def choose_all(page: Page, count: int) -> None:
    """Choose all rows of the table, which has so many, by the box in its head."""
    page.get_by_text(re.compile(rf"^{count} scenes?,")).wait_for()
    page.wait_for_timeout(3000)
    for _ in range(5):
        box = page.locator("[data-testid=stDataFrame]").bounding_box()
        assert box is not None
        page.mouse.click(box["x"] + 16, box["y"] + 18)
        with suppress(TimeoutError):
            page.get_by_text(re.compile(rf"\b{count} chosen")).wait_for(timeout=20_000)
            return


def settle(page: Page, words: str) -> None:
    """Wait for words, and for the tiles around them."""
    page.get_by_text(words).first.wait_for()
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(2000)


def shoot(page: Page, name: str, height: int | None = None) -> None:
    """Write what the window shows, as wide as it is, and as high as is wanted."""
    page.mouse.move(1, 1)  # a table shows its buttons where the pointer is
    page.wait_for_timeout(500)
    picture = Image.open(io.BytesIO(page.screenshot()))
    picture = picture.crop((0, 0, picture.width, height or picture.height)).convert("RGB")
    picture.save(HERE / f"{name}.webp", quality=80, method=6)


@contextmanager
def serving(folder: Path) -> Iterator[None]:
    """The application on an example of its own."""
    program = Path(sys.executable).with_name("cleansat")
    command = [program, "app", "--example", str(folder), "--port", str(PORT)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        for _ in range(300):
            with suppress(OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{PORT}/alive", timeout=5).close()
                break
            time.sleep(1)
        yield
    finally:
        server.terminate()
        server.wait(60)
        stop_cube(folder)


if __name__ == "__main__":
    main()
