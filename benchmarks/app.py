"""Speed and memory of the web application: `make bench-app`.

Starts it on the example datacube, and measures by a browser and by ten people who pan at once. It prints the numbers
that are wished for beside those that were measured. With ``--tile`` also a whole tile is masked; benchmarks/tile.py writes it in
two minutes and keeps it for the next time. benchmarks/scene_list.py lists 10,000 scenes. A busy machine makes all of them worse.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
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
from rio_tiler.constants import WEB_MERCATOR_TMS
from tile import make_tile

from odc_cleansat.cube.embedded import stop_cube
from odc_cleansat.cube.index import add_dataset
from odc_cleansat.demo import example_cube
from odc_cleansat.scenes.band_folder import open_scene, write_scene_document
from odc_cleansat.synthetic.scene import SimulatedScene

SIDE = 1415
"""Pixels of 10 m along a side of the scene that is masked: it has 200 km2."""

TILE, IN_TILE = "2024-09-05", "14.2,47.4,14.39,47.527"
"""The day of the whole tile, and an area of 200 km2 in it."""

PLACE, PLACE_IN_TILE = (13.755, 47.785), (14.3, 47.46)
"""Where people begin to pan, longitude and latitude: within the scene of 200 km2, and within the whole tile."""

PEOPLE, PANS, ZOOM, REACH = 10, 12, 14, 3
"""How many people pan, how often each, at which zoom, and how many tiles to each side of the place."""

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


def mask_one(page: Page, base: str, query: str, link: str) -> tuple[float, float]:
    """Seconds from the click to the first progress and to the mask on the map, for the latest scene of a query."""
    page.goto(f"{base}?{query}")
    page.wait_for_selector("[data-testid=stDataFrame]", timeout=60_000)
    page.wait_for_timeout(1500)
    box = page.locator("[data-testid=stDataFrame]").bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + 16, box["y"] + 64)
    button = page.get_by_role("button", name="Mask 1 scene")
    button.wait_for(timeout=20_000)
    begun = time.monotonic()
    button.click()
    page.get_by_text(re.compile(r"begins, for|of \d+ windows?, for|masked in")).first.wait_for(
        timeout=60_000
    )
    progress = time.monotonic() - begun
    look = page.get_by_test_id("stMain").get_by_role("link", name=link).first
    look.wait_for(timeout=300_000)
    with page.expect_response(lambda answer: "/tiles/ucl/" in answer.url, timeout=60_000):
        look.click()
    return progress, time.monotonic() - begun


def mask_tile(page: Page, base: str) -> tuple[float, float]:
    """Seconds from the click to an area on the map, and to the whole tile in the datacube."""
    begun = time.monotonic()
    _, shown = mask_one(page, base, f"time={TILE}&area={IN_TILE}", "Look at your area")
    page.get_by_role("button", name="Accept").wait_for(timeout=300_000)
    return shown, time.monotonic() - begun


class Peak(threading.Thread):
    """Looks at the memory again and again, and keeps the most."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        super().__init__(daemon=True)
        self.most = 0.0
        self._process, self._over = process, threading.Event()

    def run(self) -> None:
        while not self._over.wait(0.5):
            with contextlib.suppress(psutil.Error):
                self.most = max(self.most, memory(self._process))

    def end(self) -> float:
        """The most, GB."""
        self._over.set()
        self.join()
        return self.most


def pan(address: str, place: tuple[float, float], seed: int, seconds: list[float]) -> None:
    """Load a tile of both layers again and again, each beside the one before, and in no cache."""
    session, chance = requests.Session(), random.Random(seed)
    middle = WEB_MERCATOR_TMS.tile(*place, ZOOM)
    column, row = chance.randrange(-REACH, REACH + 1), chance.randrange(-REACH, REACH + 1)
    for _ in range(PANS):
        column, row = (
            min(max(each + chance.randrange(-1, 2), -REACH), REACH) for each in (column, row)
        )
        where = {"z": ZOOM, "x": middle.x + column, "y": middle.y + row}
        for kind in ("colour", "ucl"):
            begun = time.monotonic()
            stretch = f"&stretch=0.01,{chance.uniform(0.2, 0.4):.5f}"  # so that no cache answers
            answer = session.get(address.format(kind=kind, **where) + stretch, timeout=60)
            assert answer.status_code == 200, answer.text
            seconds.append(time.monotonic() - begun)


def tiles(page: Page, base: str, place: tuple[float, float]) -> list[float]:
    """Seconds of each tile while ten people pan."""
    with page.expect_request(lambda asked: "/tiles/ucl/" in asked.url, timeout=60_000) as asked:
        page.reload()
    key = asked.value.url.split("key=")[1].split("&")[0]
    scene, mask = asked.value.url.split("/tiles/ucl/")[1].split("/")[:2]
    address = f"{base}tiles/{{kind}}/{scene}/{mask}/{{z}}/{{x}}/{{y}}.png?key={key}"
    seconds: list[float] = []
    people = [
        threading.Thread(target=pan, args=(address, place, n, seconds)) for n in range(PEOPLE)
    ]
    for each in people:
        each.start()
    for each in people:
        each.join()
    return seconds


def prepare(folder: Path, tile: Path | None = None) -> None:
    """The example datacube, with one more scene of 200 km2, and a whole tile if there is a folder for it."""
    dc = example_cube(folder)
    scene = folder / "simulated" / "large"
    if not scene.exists():
        shape = (SIDE + SIDE % 2, SIDE + SIDE % 2)
        SimulatedScene(shape=shape, seed=9, datetime="2024-09-01T10:10:31Z").write(scene)
    add_dataset(dc, write_scene_document(open_scene(scene), folder / "scenes"))
    if tile is not None:
        if not tile.exists():
            print(f"writing a whole tile to {tile}")
            make_tile(tile, f"{TILE}T10:10:31Z")
        add_dataset(dc, write_scene_document(open_scene(tile), folder / "scenes"))
    dc.close()


def measure_tile(
    page: Page, base: str, process: subprocess.Popen[bytes]
) -> dict[str, tuple[float, float]]:
    """What a whole tile takes, and the memory of the application and its workers meanwhile."""
    peak = Peak(process)
    peak.start()
    area, whole = mask_tile(page, base)
    masking = peak.end()
    peak = Peak(process)
    peak.start()
    seconds = sorted(tiles(page, base, PLACE_IN_TILE))
    return {
        "200 km2 of a tile masked and shown, s": (area, 10.0),
        "the whole tile masked and indexed, s": (whole, 60.0),
        "memory while a tile is masked, GB": (masking, 2.0),
        "tile of a whole tile at the median, ms": (1000 * statistics.median(seconds), 150),
        "tile of a whole tile at 95 percent, ms": (1000 * seconds[int(0.95 * len(seconds))], 400),
        "memory with a whole tile open, GB": (peak.end(), 1.5),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8651)
    parser.add_argument("--out", type=Path, default=Path("bench-out"))
    parser.add_argument(
        "--tile",
        type=Path,
        nargs="?",
        const=Path("bench-out", "tile"),
        help="mask a whole tile too; it is in this folder, and written there if it is missing",
    )
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="cleansat-bench-") as working:
        folder = Path(working) / "cube"
        prepare(folder, given.tile)
        base = f"http://127.0.0.1:{given.port}/"
        with application(folder, given.port) as process, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=BROWSER)
            page = browser.new_page(viewport={"width": 1280, "height": 1000})
            first_view(page, base)  # the first one of all compiles modules
            view = statistics.median(first_view(page, base) for _ in range(3))
            progress, masked = mask_one(page, base, "time=2024-09-01", "Look")
            seconds = sorted(tiles(page, base, PLACE))
            used = memory(process)
            of_tile = measure_tile(page, base, process) if given.tile else {}
            browser.close()
        stop_cube(folder)
    results = {
        "first view, s": (view, 3.0),
        "first progress after the click, s": (progress, 1.0),
        "200 km2 masked, indexed and shown, s": (masked, 10.0),
        "tile at the median, ms": (1000 * statistics.median(seconds), 150),
        "tile at 95 percent, ms": (1000 * seconds[int(0.95 * len(seconds))], 400),
        "memory, GB": (used, 1.5),
        **of_tile,
    }
    for name, (value, wished) in results.items():
        print(f"{name:45} {value:9.2f}   wished: under {wished:g}")
    print(f"{'load of the machine meanwhile':45} {os.getloadavg()[0]:9.2f}")
    (given.out / "app.json").write_text(json.dumps({k: v[0] for k, v in results.items()}, indent=1))


if __name__ == "__main__":
    main()
