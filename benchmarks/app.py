"""Speed and memory of the web application: `make bench-app`.

Starts it on the example datacube, and measures by a browser and by ten people who pan at once. It prints the numbers
that are wished for beside those that were measured. benchmarks/catalogue.py lists 10,000 scenes. A busy machine makes all of them worse.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import requests
from playwright.sync_api import Page, sync_playwright

from odc_cleansat.cube.embedded import stop_cube
from odc_cleansat.cube.index import add_dataset
from odc_cleansat.demo import example_cube
from odc_cleansat.scenes.band_folder import open_scene, write_scene_document
from odc_cleansat.synthetic.scene import SimulatedScene

SIDE = 1415
"""Pixels of 10 m along a side of the scene that is masked: it has 200 km2."""

PEOPLE, PANS = 10, 12
BROWSER = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


@contextlib.contextmanager
def application(folder: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """The application in a process of its own, once it answers."""
    command = [
        str(Path(sys.executable).with_name("cleansat")),
        "app",
        "--example",
        str(folder),
        "--port",
        str(port),
    ]
    with (folder.parent / "app.log").open("wb") as log:
        started = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            wait_for(port)
            yield started
        finally:
            started.terminate()
            started.wait(60)


def wait_for(port: int) -> None:
    end = time.monotonic() + 120
    while time.monotonic() < end:
        with contextlib.suppress(requests.ConnectionError):
            if requests.get(f"http://127.0.0.1:{port}/alive", timeout=5).ok:
                return
        time.sleep(0.2)
    raise SystemExit("the application does not start; see app.log")


def memory(process: subprocess.Popen[bytes]) -> float:
    """Memory of the process and its children, GB; pages that they share are counted once."""
    whole = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    return sum(each.memory_full_info().pss for each in whole) / 1e9


def first_view(page: Page, base: str) -> float:
    """Seconds until the table and the map are there."""
    begun = time.monotonic()
    page.goto(base)
    page.wait_for_selector("[data-testid=stDataFrame]", timeout=60_000)
    page.wait_for_selector(".scene-map canvas", timeout=60_000)
    return time.monotonic() - begun


def mask_one(page: Page, base: str) -> tuple[float, float]:
    """Seconds from the click to the first progress and to the mask on the map, for the largest scene."""
    page.goto(f"{base}?time=2024-09-01")
    page.wait_for_selector("[data-testid=stDataFrame]", timeout=60_000)
    page.wait_for_timeout(1500)
    box = page.locator("[data-testid=stDataFrame]").bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + 16, box["y"] + 64)
    button = page.get_by_role("button", name="Mask 1 scene")
    button.wait_for(timeout=20_000)
    begun = time.monotonic()
    button.click()
    page.get_by_text(re.compile(r"begins, for|of \d+ windows, for|masked in")).first.wait_for(
        timeout=60_000
    )
    progress = time.monotonic() - begun
    page.get_by_test_id("stMain").get_by_role("link", name="Look").first.wait_for(timeout=120_000)
    with page.expect_response(lambda answer: "/tiles/ucl/" in answer.url, timeout=60_000):
        page.get_by_test_id("stMain").get_by_role("link", name="Look").first.click()
    return progress, time.monotonic() - begun


def pan(address: str, seed: int, seconds: list[float]) -> None:
    """Load the tiles of some views, one view after the other, six at a time as a browser does."""
    session, chance = requests.Session(), random.Random(seed)
    zoom = 14
    west, north = 8813, 5716  # of the example's place
    for _ in range(PANS):
        x, y = west + chance.randrange(-2, 3), north + chance.randrange(-2, 3)
        for kind in ("colour", "ucl"):
            begun = time.monotonic()
            stretch = f"&stretch=0.01,{chance.uniform(0.2, 0.4):.5f}"  # so that no cache answers
            answer = session.get(address.format(kind=kind, z=zoom, x=x, y=y) + stretch, timeout=60)
            assert answer.status_code in (200, 204), answer.text
            seconds.append(time.monotonic() - begun)


def tiles(page: Page, base: str) -> list[float]:
    """Seconds of each tile while ten people pan."""
    found: list[str] = []
    page.on(
        "request",
        lambda request: found.append(request.url) if "/tiles/ucl/" in request.url else None,
    )
    page.reload()
    page.wait_for_selector(".scene-map canvas", timeout=60_000)
    page.wait_for_timeout(4000)
    key = found[0].split("key=")[1].split("&")[0]
    scene, mask = found[0].split("/tiles/ucl/")[1].split("/")[:2]
    address = f"{base}tiles/{{kind}}/{scene}/{mask}/{{z}}/{{x}}/{{y}}.png?key={key}"
    seconds: list[float] = []
    people = [threading.Thread(target=pan, args=(address, n, seconds)) for n in range(PEOPLE)]
    for each in people:
        each.start()
    for each in people:
        each.join()
    return seconds


def prepare(folder: Path) -> None:
    """The example datacube, with one more scene of 200 km2."""
    dc = example_cube(folder)
    scene = folder / "simulated" / "large"
    if not scene.exists():
        shape = (SIDE + SIDE % 2, SIDE + SIDE % 2)
        SimulatedScene(shape=shape, seed=9, datetime="2024-09-01T10:10:31Z").write(scene)
    add_dataset(dc, write_scene_document(open_scene(scene), folder / "scenes"))
    dc.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8651)
    parser.add_argument("--out", type=Path, default=Path("bench-out"))
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="cleansat-bench-") as working:
        folder = Path(working) / "cube"
        prepare(folder)
        base = f"http://127.0.0.1:{given.port}/"
        with application(folder, given.port) as process, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=BROWSER)
            page = browser.new_page(viewport={"width": 1280, "height": 1000})
            first_view(page, base)  # the first one of all compiles modules
            view = statistics.median(first_view(page, base) for _ in range(3))
            progress, masked = mask_one(page, base)
            seconds = sorted(tiles(page, base))
            used = memory(process)
            browser.close()
        stop_cube(folder)
    results = {
        "first view, s": (view, 3.0),
        "first progress after the click, s": (progress, 1.0),
        "200 km2 masked, indexed and shown, s": (masked, 10.0),
        "tile at the median, ms": (1000 * statistics.median(seconds), 150),
        "tile at 95 percent, ms": (1000 * seconds[int(0.95 * len(seconds))], 400),
        "memory, GB": (used, 1.5),
    }
    for name, (value, wished) in results.items():
        print(f"{name:45} {value:9.2f}   wished: under {wished:g}")
    (given.out / "app.json").write_text(json.dumps({k: v[0] for k, v in results.items()}, indent=1))


if __name__ == "__main__":
    main()
