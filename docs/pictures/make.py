"""Draws the pictures of the docs anew, of simulated scenes: `python docs/pictures/make.py`.

Needs Chromium and, from the extra `test`, Playwright.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from odc_cleansat.synthetic.scene import SimulatedScene

HERE = Path(__file__).parent
CHROMIUM = "/usr/bin/chromium"
PORT = 8651
DAYS = ("06-05", "06-15", "06-25", "07-05")


def main() -> None:
    """Scenes, masks, pages; then what a browser shows of them."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        cleansat(work, "demo", "--out", "demo")
        cleansat(work, "demo", "--stop", "--out", "demo")
        shrink(work / "demo/compare.png", HERE / "compare.png")
        for i, day in enumerate(DAYS):
            scene = SimulatedScene(
                shape=(780, 1380), cloud_cover=0.1 + 0.12 * i, datetime=f"2024-{day}T10:10:31Z"
            )
            scene.write(work / f"simulated-{day}")
            cleansat(work, "mask", f"simulated-{day}", "--out", "masks")
        cleansat(work, "review", "page", "masks", "-o", "review.html")
        cleansat(work, "compare", "simulated-06-25", "-o", "swipe.html")
        shoot((work / "review.html").as_uri(), HERE / "review.png", height=940)
        shoot((work / "swipe.html").as_uri(), HERE / "swipe.png", height=680, cut=32)
        with serving(work):
            shoot(f"http://127.0.0.1:{PORT}/", HERE / "serve.png", height=880, keys="a")


@contextlib.contextmanager
def serving(work: Path) -> Iterator[None]:
    """The page with buttons, on this machine."""
    words = ("review", "serve", "masks", "--by", "A. Name", "--port", str(PORT))
    program = Path(sys.executable).with_name("cleansat")
    with subprocess.Popen([program, *words], cwd=work, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        server.stdout.readline()  # it listens
        time.sleep(20)  # the masks are looked at meanwhile
        yield
        server.send_signal(signal.SIGINT)


def cleansat(work: Path, *words: str) -> None:
    """Run the command beside this Python."""
    subprocess.run([Path(sys.executable).with_name("cleansat"), *words], cwd=work, check=True)


def shoot(page: str, picture: Path, height: int, keys: str = "", cut: int = 0) -> None:
    """What a window of a browser shows of a page, after some keys, without the lowest rows."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        window = browser.new_page(viewport={"width": 1280, "height": height})
        window.goto(page)
        for key in keys:
            window.wait_for_timeout(500)
            window.keyboard.press(key)
        window.wait_for_timeout(1500)
        shown = {"x": 0, "y": 0, "width": 1280, "height": height - cut}
        window.screenshot(path=picture, clip=shown)
        browser.close()
    shrink(picture, picture)


def shrink(source: Path, target: Path) -> None:
    """In 256 colours and at most 1280 pixels wide, so that a clone stays small."""
    with Image.open(source) as opened:
        image = opened.convert("RGB")
    if image.width > 1280:
        size = (1280, round(image.height * 1280 / image.width))
        image = image.resize(size, Image.Resampling.LANCZOS)
    image.quantize(256).save(target, optimize=True)


if __name__ == "__main__":
    main()
