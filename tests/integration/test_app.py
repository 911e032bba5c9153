"""The web application as people use it: in a browser, on the example datacube, with a folder and with S3."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest
import requests
from conftest import Copy
from ports import free_port

from odc_cleansat.cube.embedded import stop_cube

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

pytest.importorskip("streamlit", reason="the extra app is not installed")

CHROMIUM = Path("/usr/bin/chromium")
OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-quic"]
AREA = "13.66,47.79,13.70,47.81"
SLOW = 60_000
"""Milliseconds that a step may take on a busy machine."""


@dataclass(frozen=True)
class Running:
    """An application that answers."""

    base: str
    folder: Path
    process: subprocess.Popen[bytes]


@contextlib.contextmanager
def application(
    folder: Path, *options: str, port: int | None = None, **environment: str
) -> Iterator[Running]:
    """Serve a folder with an example datacube."""
    port = port or free_port()
    program = Path(sys.executable).with_name("cleansat")
    command = [str(program), "app", "--port", str(port), *options]
    log = folder / "app.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            command, stdout=file, stderr=file, env={**os.environ, **environment}, cwd=folder
        )
        try:
            base = f"http://127.0.0.1:{port}"
            end = time.monotonic() + 90
            while True:
                with contextlib.suppress(requests.RequestException):
                    if requests.get(f"{base}/alive", timeout=5).ok:
                        break
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < end, log.read_text()
                time.sleep(0.2)
            yield Running(base, folder, process)
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not CHROMIUM.exists():
        pytest.skip(f"Chromium is not here ({CHROMIUM}); `make test-programs` installs it")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as started:
        launched = started.chromium.launch(executable_path=str(CHROMIUM), args=OPTIONS)
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def app(example: Copy, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = example(tmp_path_factory.mktemp("app") / "example")
    with application(folder, "--example", str(folder)) as running:
        yield running
    stop_cube(folder)


@pytest.fixture
def page(app: Running, browser: Browser) -> Iterator[Page]:
    """A page that must ask nobody else, and whose script must not fail."""
    context = browser.new_context(viewport={"width": 1280, "height": 1000})
    page = context.new_page()
    failures: list[str] = []
    page.on("pageerror", lambda error: failures.append(str(error)))
    page.on("request", lambda request: _check_address(request.url, app.base, failures))
    page.set_default_timeout(SLOW)
    yield page
    context.close()
    assert not failures


def _check_address(address: str, base: str, failures: list[str]) -> None:
    if not address.startswith((base, "ws" + base[4:], "data:", "blob:")):
        failures.append(f"asked elsewhere: {address}")


def map_of(page: Page) -> None:
    page.wait_for_selector(".scene-map canvas.maplibregl-canvas")


def choose_row(page: Page, row: int) -> None:
    """Choose a row of the table by its box, again if the table was just being drawn anew."""
    from playwright.sync_api import TimeoutError

    for _ in range(5):
        box = page.locator("[data-testid=stDataFrame]").bounding_box()
        if box is not None:
            page.mouse.click(box["x"] + 16, box["y"] + 36 + 56 * row + 28)
            with contextlib.suppress(TimeoutError):
                # A second click would take back a first one that was only slow.
                page.get_by_text(re.compile(r"\b1 chosen")).first.wait_for(timeout=30_000)
                return
        page.wait_for_timeout(500)
    raise AssertionError("no row of the table could be chosen")


def test_the_whole_story(app: Running, page: Page) -> None:
    # Find: draw an area.
    page.goto(app.base)
    map_of(page)
    page.wait_for_selector("[data-testid=stDataFrame]")
    page.get_by_role("button", name="Draw a rectangle").first.click()
    box = page.locator(".canvas").bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + 200, box["y"] + 120)
    page.mouse.click(box["x"] + 330, box["y"] + 240)
    page.get_by_text(re.compile(r"The area has [\d.,]+ km²")).first.wait_for()
    assert "area=" in page.url
    page.get_by_text("7 scenes, 5 of them not masked").first.wait_for()
    # Mask the latest scene.
    choose_row(page, 0)
    page.get_by_role("button", name="Mask 1 scene").first.click()
    page.wait_for_url("**/queue*")
    page.get_by_text("masked in").first.wait_for()
    page.get_by_test_id("stMain").get_by_role("link", name="Look").first.click()
    # Look at it.
    with page.expect_response(lambda answer: "/tiles/ucl/" in answer.url and answer.status == 200):
        page.wait_for_url("**/look*")
    map_of(page)
    page.get_by_text("UCL and SCL agree on").first.wait_for()
    assert "show=" in page.url
    page.locator(".canvas").click()
    page.get_by_text(
        re.compile(r"UCL: (clear|cloud|cloud shadow) · Confidence: \d+ %")
    ).first.wait_for()
    with page.expect_response(lambda answer: "/tiles/scl/" in answer.url and answer.status == 200):
        page.get_by_label("SCL", exact=True).first.check()
    page.wait_for_function("window.location.hash.includes('scl:60')")
    page.get_by_role("button", name="Swipe this view").first.click()
    viewer = page.frame_locator("iframe[title^=Swipe]")
    viewer.locator(":text('UCL (UNet)'):visible").first.wait_for()
    page.get_by_role("button", name="Back to the map").first.click()
    # Say what one thinks of it.
    page.get_by_placeholder("The reason, for others to read").first.fill("clear enough")
    page.get_by_role("button", name="Accept").first.click()
    page.get_by_text("is accepted").first.wait_for()
    page.get_by_text("accept by").first.wait_for()
    assert len(list(app.folder.rglob("*.verdict.json"))) == 1


def test_an_address_shows_the_same_to_a_colleague(app: Running, page: Page) -> None:
    page.goto(f"{app.base}/?area={AREA}&time=2024-06")
    page.get_by_text("3 scenes, ").first.wait_for()
    page.goto(f"{app.base}/?time=2024-06-05")
    page.get_by_text("1 scene, 0 of them not masked").first.wait_for()
    choose_row(page, 0)
    page.get_by_role("button", name="Look").first.click()
    page.get_by_text("UCL and SCL agree on").first.wait_for()
    page.wait_for_function("window.location.hash.includes('map=')")
    address = page.url
    other = page.context.new_page()
    other.goto(address)
    other.get_by_text("UCL and SCL agree on").first.wait_for(timeout=SLOW)
    assert other.url.split("#")[0] == address.split("#")[0]
    assert other.url.split("#map=")[1].split("/")[0] == address.split("#map=")[1].split("/")[0]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_are_as_light_or_dark_as_the_browser_wishes(
    app: Running, browser: Browser, scheme: Literal["light", "dark"]
) -> None:
    context = browser.new_context(viewport={"width": 1280, "height": 1000}, color_scheme=scheme)
    page = context.new_page()
    page.set_default_timeout(SLOW)
    page.goto(f"{app.base}/?time=2024-06-05")
    choose_row_when_there(page)
    page.get_by_role("button", name="Look").first.click()
    page.get_by_role("button", name="Swipe this view").first.click()
    viewer = page.frame_locator("iframe[title^=Swipe]").locator("body")
    viewer.wait_for()
    texts = ("[data-testid=stApp]", ".scene-map button", ".scene-map .layer label")
    seen = {text: contrast(page.locator(text).first) for text in texts} | {
        "swipe": contrast(viewer)
    }
    for text, (ratio, bright) in seen.items():
        assert ratio >= 4.5, (text, ratio)
        assert bright == (scheme == "light"), text
    page.get_by_role("link", name="Scenes").first.click()
    choose_row_when_there(page)
    page.get_by_role("button", name="Judge").first.click()
    desk = page.frame_locator("iframe[src*=review]")
    desk.get_by_role("button", name=re.compile("accept", re.I)).first.wait_for()
    for text in ("body", "tr.mask .name", "#bar .accept", "#bar .reject"):
        ratio, bright = contrast(desk.locator(text).first)
        assert ratio >= 4.5, (text, ratio)
        assert bright == (scheme == "light"), text
    context.close()


def contrast(place: Locator) -> tuple[float, bool]:
    """Return the contrast of a text with what is behind it (WCAG), and whether that is bright."""
    colours = place.evaluate(
        """(here) => {
          const paint = (colour) => {
            const pen = document.createElement("canvas").getContext("2d");
            pen.fillStyle = colour;
            pen.fillRect(0, 0, 1, 1);
            return [...pen.getImageData(0, 0, 1, 1).data];
          };
          let behind = here;
          const up = (each) => each.parentElement || each.getRootNode().host;
          while (up(behind) && paint(getComputedStyle(behind).backgroundColor)[3] < 255) behind = up(behind);
          return [getComputedStyle(here).color, getComputedStyle(behind).backgroundColor].map(paint);
        }"""
    )
    ink, field = (_luminance(colour) for colour in colours)
    return (max(ink, field) + 0.05) / (min(ink, field) + 0.05), field > 0.5


def _luminance(colour: list[int]) -> float:
    parts = [c / 255 for c in colour[:3]]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("title", ["Recall", "Composite"])
def test_area_and_time_go_along_to_another_page(app: Running, page: Page, title: str) -> None:
    page.goto(f"{app.base}/?area={AREA}&time=2024-06-05")
    page.get_by_text("1 scene,").first.wait_for()
    page.get_by_role("button", name=title, exact=True).first.click()
    page.wait_for_url(re.compile(f"/{title.lower()}"))
    page.get_by_text(re.compile(r"That is \d+ x \d+ pixels")).first.wait_for()
    assert page.get_by_label("Area", exact=True).input_value() == AREA
    assert page.get_by_label("Time", exact=True).input_value() == "2024-06-05"
    assert "area=" in page.url, "so that it can be sent to a colleague"


def test_recall_and_download(app: Running, page: Page, tmp_path: Path) -> None:
    import rasterio

    page.goto(f"{app.base}/recall?area={AREA}&time=2024-06-05&crs=EPSG:32633&resolution=40")
    page.get_by_text(re.compile(r"That is \d+ x \d+ pixels, 1 time, 1 layer")).first.wait_for()
    page.get_by_role("button", name="Make it").first.click()
    with page.expect_download() as waiting:
        page.get_by_role("button", name=re.compile(r"Download ucl_.*\.tif")).first.click()
    waiting.value.save_as(tmp_path / "mask.tif")
    with rasterio.open(tmp_path / "mask.tif") as file:
        assert (file.crs.to_epsg(), file.res, file.nodata) == (32633, (40, 40), 0)
        assert file.overviews(1) is not None
    page.get_by_text("from odc_cleansat import recall").first.wait_for()


def test_masks_are_refined_as_people_choose(app: Running, page: Page) -> None:
    page.goto(f"{app.base}/?time=2024-07-15")
    choose_row_when_there(page)
    page.get_by_text("Refine by light", exact=True).first.click()
    page.wait_for_url(re.compile("light=false"))
    page.get_by_role("button", name="Mask 1 scene").first.click()
    page.wait_for_url("**/queue*")
    page.get_by_text(re.compile("masked in.*without light")).first.wait_for()
    page.get_by_test_id("stMain").get_by_role("link", name="Look").first.click()
    page.get_by_text("UCL and SCL agree on").first.wait_for()
    first = page.url.split("show=")[1].split("&")[0]
    page.get_by_text("Refine by other dates").first.click()
    page.get_by_role("button", name="Refine", exact=True).first.click()
    page.wait_for_function(f"!window.location.href.includes({first!r})")
    page.wait_for_timeout(1000)
    assert first not in page.url, "the choice of before must not win"
    page.goto(f"{app.base}/recall?area={AREA}&time=2024-07-15&refine=earlier")
    page.get_by_text("refine='earlier'").first.wait_for()


def test_composite_by_both(app: Running, page: Page) -> None:
    page.goto(f"{app.base}/composite?area={AREA}&time=2024-06-05/2024-06-15&resolution=40")
    page.get_by_role("button", name="Make it").first.click()
    page.get_by_text("By the UCL", exact=True).first.wait_for()
    page.get_by_text("By the SCL", exact=True).first.wait_for()
    page.get_by_text("The two differ by more than").first.wait_for()
    assert page.get_by_text("Clear observations:").count() >= 2


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("area=13.6,47.9,13.8,47.7", "west must be below east"),
        ("area=0,0;1,1;1,0;0,1", "without crossing lines"),
        ("area=179,-17,-179,-16", "180° meridian"),
        ("area=0,0,50,50", "at most 20,000"),
        ("area=100,10,100.1,10.1", "has no scene"),
        ("time=soon", "write a day, a month or a year"),
        ("time=2024-07/2024-06", "write the earlier one first"),
        ("area=../../etc/passwd", "is no area"),
    ],
)
def test_bad_input_is_told_what_to_do(app: Running, page: Page, query: str, words: str) -> None:
    page.goto(f"{app.base}/?{query}")
    page.get_by_text(words).first.wait_for()
    assert page.get_by_text("Traceback").count() == 0


@pytest.mark.parametrize(
    "address", ["look?show=nonsense", "look?show=1.2,3.4,5.6,7.8,9.0", "judge?masks=x"]
)
def test_addresses_written_by_hand(app: Running, page: Page, address: str) -> None:
    page.goto(f"{app.base}/{address}")
    page.get_by_text(
        re.compile("no id|too many|cannot|is no|no mask", re.IGNORECASE)
    ).first.wait_for()
    assert page.get_by_text("Traceback").count() == 0


@pytest.mark.parametrize("address", ["", "look", "recall", "composite", "queue", "judge"])
def test_a_phone_scrolls_down_only(app: Running, page: Page, address: str) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"{app.base}/{address}")
    page.wait_for_selector("h1")
    page.wait_for_timeout(300)
    wide = page.evaluate(
        "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )
    assert wide <= 0


def test_ten_people_at_once(app: Running, page: Page) -> None:
    """Each loads tiles; all are answered, whoever comes at the same time."""
    found: list[str] = []
    page.on("request", lambda r: found.append(r.url) if "/tiles/colour/" in r.url else None)
    page.goto(f"{app.base}/?time=2024-06-05")
    choose_row_when_there(page)
    page.get_by_role("button", name="Look").first.click()
    page.get_by_text("UCL and SCL agree on").first.wait_for()
    failures: list[object] = []

    def load() -> None:
        with requests.Session() as session:
            for address in found[:6]:
                answer = session.get(address, timeout=60)
                if answer.status_code not in (200, 204):
                    failures.append((address, answer.status_code, answer.text))

    people = [threading.Thread(target=load) for _ in range(10)]
    for each in people:
        each.start()
    for each in people:
        each.join(90)
    assert found
    assert not failures


def choose_row_when_there(page: Page) -> None:
    page.wait_for_selector("[data-testid=stDataFrame]")
    page.wait_for_timeout(1000)
    choose_row(page, 0)


def test_a_private_bucket(
    bucket: str, moto: int, browser: Browser, example: Copy, tmp_path: Path
) -> None:
    from s3_server import keys

    folder = example(tmp_path / "example")
    from odc_cleansat.demo import example_cube

    example_cube(folder).close()
    try:
        config = str(folder / "datacube.conf")
        with application(folder, "--store", f"s3://{bucket}/masks", "-C", config) as running:
            page = browser.new_context(viewport={"width": 1280, "height": 1000}).new_page()
            page.set_default_timeout(SLOW)
            page.goto(f"{running.base}/?time=2024-08-04")
            choose_row_when_there(page)
            page.get_by_role("button", name="Mask 1 scene").first.click()
            page.get_by_text("masked in").first.wait_for()
            page.get_by_test_id("stMain").get_by_role("link", name="Look").first.click()
            page.get_by_text("UCL and SCL agree on").first.wait_for()
            page.get_by_role("button", name="Reject").first.click()
            page.get_by_text("is rejected").first.wait_for()
            assert bucket not in page.content()
            page.context.close()
        names = keys(moto, bucket)
        assert [name for name in names if name.endswith("_ucl.tif")]
        assert [name for name in names if name.endswith(".verdict.json")]
    finally:
        stop_cube(folder)


def test_the_database_goes_and_comes_back(browser: Browser, example: Copy, tmp_path: Path) -> None:
    from odc_cleansat.demo import example_cube

    folder = example(tmp_path / "example")
    example_cube(folder).close()
    config = str(folder / "datacube.conf")
    try:
        with application(folder, "--store", str(folder / "store"), "-C", config) as running:
            page = browser.new_context().new_page()
            page.set_default_timeout(SLOW)
            page.goto(running.base)
            page.get_by_text("7 scenes, ").first.wait_for()
            stop_cube(folder)
            page.goto(running.base)
            page.get_by_text("does not answer").first.wait_for()
            assert page.get_by_text("Traceback").count() == 0
            example_cube(folder).close()
            page.get_by_role("button", name="Try again").first.click()
            page.get_by_text("7 scenes, ").first.wait_for()
            page.context.close()
    finally:
        stop_cube(folder)


def test_scenes_of_a_stac_api_without_a_datacube(browser: Browser, tmp_path: Path) -> None:
    """What users do with internet, here against an API on loopback."""
    from stac_server import StacServer, serving, write_item

    from odc_cleansat.synthetic.scene import SimulatedScene

    bands = SimulatedScene(shape=(300, 300), seed=5).write(tmp_path / "bands")
    with serving(StacServer()) as server:
        server.folders["bands"] = bands
        server.add(write_item(tmp_path / "item.json", bands), "bands")
        options = ("--store", str(tmp_path / "store"), "--no-datacube", "--stac", server.url)
        with application(tmp_path, *options) as running:
            page = browser.new_context(viewport={"width": 1280, "height": 1000}).new_page()
            page.set_default_timeout(SLOW)
            page.goto(running.base)
            page.get_by_text("give an area and a time").first.wait_for()
            page.goto(f"{running.base}/?area=13.5,47.6,14,48&time=2024-06")
            choose_row_when_there(page)
            page.get_by_role("button", name="Mask 1 scene").first.click()
            page.get_by_text("masked in").first.wait_for()
            page.get_by_test_id("stMain").get_by_role("link", name="Look").first.click()
            page.get_by_text("UCL and SCL agree on").first.wait_for()
            page.get_by_role("button", name="Accept").first.click()
            page.get_by_text("is accepted").first.wait_for()
            page.context.close()
    assert list(tmp_path.rglob("*.verdict.json"))


def test_a_proxy_says_who_is_there(browser: Browser, example: Copy, tmp_path: Path) -> None:
    from header_proxy import header_proxy

    folder = example(tmp_path / "example")
    with application(folder, "--example", str(folder), "--user-header", "X-User") as running:
        try:
            page = browser.new_context(viewport={"width": 1280, "height": 1000}).new_page()
            page.set_default_timeout(SLOW)
            page.goto(running.base)
            page.get_by_text("names nobody").first.wait_for()
            port = int(running.base.rsplit(":", 1)[1])
            with header_proxy(port, "X-User: Ann Example") as address:
                page.goto(f"{address}/?time=2024-06-05")
                choose_row_when_there(page)
                page.get_by_role("button", name="Look").first.click()
                page.get_by_role("button", name="Accept").first.click()
                page.get_by_text("accept by Ann Example").first.wait_for()
            page.context.close()
        finally:
            stop_cube(folder)


def test_people_sign_in(browser: Browser, example: Copy, tmp_path: Path) -> None:
    from oidc_provider import CLIENT, SECRET, oidc_provider

    folder, port = example(tmp_path / "example"), free_port()
    with oidc_provider("ann@example.org") as metadata:
        file = tmp_path / "auth.toml"
        file.write_text(
            f"""[auth]
            redirect_uri = "http://127.0.0.1:{port}/oauth2callback"
            cookie_secret = "thirty-two random characters here"
            client_id = "{CLIENT}"
            client_secret = "{SECRET}"
            server_metadata_url = "{metadata}"
            """
        )
        options = ("--example", str(folder), "--sign-in", str(file))
        try:
            with application(folder, *options, port=port) as running:
                page = browser.new_context(viewport={"width": 1280, "height": 1000}).new_page()
                page.set_default_timeout(SLOW)
                page.goto(running.base)
                page.get_by_text("Sign in to see scenes and masks").first.wait_for()
                assert page.locator("[data-testid=stDataFrame]").count() == 0
                page.get_by_role("button", name="Sign in").first.click()
                page.get_by_text("7 scenes, ").first.wait_for()
                page.goto(f"{running.base}/?time=2024-06-05")
                choose_row_when_there(page)
                page.get_by_role("button", name="Look").first.click()
                page.get_by_role("button", name="Accept").first.click()
                page.get_by_text("accept by ann@example.org").first.wait_for()
                other = page.context.new_page()
                other.goto(running.base)
                other.get_by_test_id("stExpandSidebarButton").click()
                other.get_by_role("button", name="Sign out").first.click()
                other.get_by_text("Sign in to see scenes and masks").first.wait_for()
                page.get_by_role("button", name="Reject").first.click()
                page.get_by_text("You have signed out in another window").first.wait_for()
                page.context.close()
                said = [file.read_text("utf-8") for file in folder.rglob("*.verdict.json")]
                assert [json.loads(text)["verdict"] for text in said] == ["accept"]
        finally:
            stop_cube(folder)
