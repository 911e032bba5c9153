"""The web application when its parts fail, and used otherwise than by clicks: it says what happened, and goes on."""

from __future__ import annotations

import contextlib
import re
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
from conftest import Copy

from odc_cleansat.cube.embedded import stop_cube

from .test_app import (
    SLOW,
    Running,
    application,
    browser,
    choose_row,
    choose_row_when_there,
    page,
)

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

__all__ = ["browser", "page"]  # fixtures


@pytest.fixture(scope="module")
def app(example: Copy, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """An application whose datacube and store may be harmed."""
    folder = example(tmp_path_factory.mktemp("mishaps") / "example")
    from odc_cleansat.demo import example_cube

    example_cube(folder).close()
    config = str(folder / "datacube.conf")
    with application(folder, "--store", str(folder / "store"), "-C", config) as running:
        yield running
    stop_cube(folder)


def worker_of(app: Running) -> psutil.Process:
    """The process that makes masks."""
    (found,) = [
        each
        for each in psutil.Process(app.process.pid).children(recursive=True)
        if "spawn_main" in " ".join(each.cmdline())
    ]
    return found


@contextlib.contextmanager
def held(worker: psutil.Process) -> Iterator[None]:
    """Let a worker do nothing during the block."""
    worker.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):
            worker.send_signal(signal.SIGCONT)


def ask_for(page: Page, app: Running, day: str) -> None:
    """Have the scene of a day masked."""
    page.goto(f"{app.base}/?time={day}")
    choose_row_when_there(page)
    page.get_by_role("button", name="Mask 1 scene").first.click()
    page.wait_for_url("**/queue*")


def documents(app: Running) -> list[Path]:
    return list((app.folder / "store").rglob("*.odc-metadata.yaml"))


def test_the_page_is_closed_while_two_wait_for_one_mask(
    app: Running, page: Page, browser: Browser
) -> None:
    before = len(documents(app))
    other = browser.new_context(viewport={"width": 1280, "height": 1000}).new_page()
    other.set_default_timeout(SLOW)
    with held(worker_of(app)):
        ask_for(page, app, "2024-08-04")
        ask_for(other, app, "2024-08-04")
        page.get_by_text(re.compile("(next|begins), for")).first.wait_for()
        page.get_by_role("button", name="Withdraw").first.wait_for()
        other.context.close()
        page.goto("about:blank")
    page.goto(f"{app.base}/queue")
    page.get_by_text("masked in").first.wait_for()
    assert len(documents(app)) == before + 1


def test_a_worker_is_killed(app: Running, page: Page) -> None:
    worker = worker_of(app)
    with held(worker):
        ask_for(page, app, "2024-06-25")
        page.get_by_text(re.compile("(next|begins), for")).first.wait_for()
        worker.kill()
    page.get_by_text(re.compile("masked in.*2024-06-25")).first.wait_for()


def test_the_store_is_gone_and_comes_back(app: Running, page: Page) -> None:
    store = app.folder / "store"
    with held(worker_of(app)):
        ask_for(page, app, "2024-07-05")
        page.get_by_text(re.compile("(next|begins), for")).first.wait_for()
        aside = shutil.move(store, app.folder / "aside")
        store.write_text("no folder")
    try:
        page.get_by_text("Cannot write the mask").first.wait_for()
        assert str(app.folder) not in page.content()
    finally:
        store.unlink()
        shutil.move(aside, store)
    page.get_by_role("button", name="Ask again").first.click()
    page.get_by_text(re.compile("masked in.*2024-07-05")).first.wait_for()


def test_the_database_stops_while_a_mask_is_made(app: Running, page: Page) -> None:
    from odc_cleansat.demo import example_cube

    with held(worker_of(app)):
        ask_for(page, app, "2024-07-15")
        stop_cube(app.folder)
    page.get_by_text("The mask is written, but cannot be indexed").first.wait_for()
    assert page.get_by_text("Traceback").count() == 0
    example_cube(app.folder).close()
    page.get_by_role("button", name="Ask again").first.click()
    page.get_by_text(re.compile("was masked already.*2024-07-15")).first.wait_for()


def test_a_mask_is_withdrawn(app: Running, page: Page) -> None:
    with held(worker_of(app)):
        ask_for(page, app, "2024-07-25")
        page.get_by_role("button", name="Withdraw").first.click()
        page.get_by_text(re.compile("withdrawn|stopping")).first.wait_for(timeout=20_000)
    page.get_by_text("withdrawn").first.wait_for()


def test_refining_by_other_dates_is_followed_and_withdrawn(app: Running, page: Page) -> None:
    for day in ("2024-06-05", "2024-06-15"):  # one of which the other is compared with
        page.goto(f"{app.base}/?time={day}")
        choose_row_when_there(page)
        if page.get_by_role("button", name="Mask 1 scene").count():
            page.get_by_role("button", name="Mask 1 scene").first.click()
            page.get_by_text(re.compile(f"mask.*{day}")).first.wait_for()
    page.goto(f"{app.base}/?time=2024-06-15")
    choose_row_when_there(page)
    page.get_by_role("button", name="Look").first.click()
    page.get_by_text("UCL and SCL agree on").first.wait_for()
    before = page.url.split("show=")[1].split("#")[0]
    doing = page.get_by_text("The mask is being refined by other dates")
    with held(worker_of(app)):
        page.get_by_text("Refine by other dates").first.click()
        page.get_by_role("button", name="Refine", exact=True).first.click()
        doing.first.wait_for()
        page.reload()  # which loses nothing
        doing.first.wait_for()
        page.get_by_role("button", name="Withdraw").first.click()
    page.wait_for_function("!document.body.innerText.includes('is being refined')")
    assert before in page.url
    page.get_by_text("Refine by other dates").first.click()
    page.get_by_role("button", name="Refine", exact=True).first.click()
    page.wait_for_function(f"!window.location.href.includes({before!r})")
    page.goto(f"{app.base}/queue")
    page.get_by_text(re.compile("refined in.*2024-06-15, by other dates")).first.wait_for()


def test_the_tools_of_the_table_cover_no_button(app: Running, page: Page) -> None:
    page.goto(f"{app.base}/?time=2024-06-05")
    choose_row_when_there(page)
    page.locator("[data-testid=stDataFrame]").first.hover()
    tools = page.locator("[data-testid=stElementToolbar]").last
    tools.wait_for()
    above = page.get_by_role("button", name="Composite").first.bounding_box()
    below = tools.bounding_box()
    assert above is not None
    assert below is not None
    assert above["y"] + above["height"] <= below["y"]


def test_a_large_upload_is_refused(app: Running, page: Page, tmp_path: Path) -> None:
    large = tmp_path / "large.geojson"
    with large.open("wb") as file:
        file.truncate(100_000_000)
    page.goto(app.base)
    page.get_by_role("button", name="Upload").first.click()
    page.locator("input[type=file]").set_input_files(large)
    page.get_by_text(re.compile("must be 2.*MB or smaller")).first.wait_for()


def test_a_point_of_the_chart_chooses_its_scene(app: Running, page: Page) -> None:
    page.goto(f"{app.base}/?time=2024-06-05")
    chart = page.locator("[data-testid=stVegaLiteChart] canvas, [data-testid=stVegaLiteChart] svg")
    chart.first.wait_for()
    page.wait_for_timeout(1000)
    points = page.locator("[data-testid=stVegaLiteChart] path[aria-roledescription=point]")
    points.first.click()
    page.get_by_text(re.compile(r"\b1 chosen")).first.wait_for()


def test_a_sorted_table_opens_the_scene_of_its_row(app: Running, page: Page) -> None:
    # Nothing in the page tells that its canvas is drawn and has heard a click, so a busy machine gets a second try.
    for patience in (1000, 5000, 15_000):
        page.goto(app.base)
        page.get_by_text("7 scenes, ").first.wait_for()
        page.wait_for_timeout(patience)
        box = page.locator("[data-testid=stDataFrame]").bounding_box()
        assert box is not None
        page.mouse.click(box["x"] + 200, box["y"] + 18)  # the head of the column of times
        page.wait_for_timeout(patience)
        choose_row(page, 0)
        page.get_by_role("button", name="Look").first.click()
        heading = page.get_by_role("heading", name=re.compile(r"2024-\d\d-\d\d")).first
        heading.wait_for()
        if "2024-06-05" in heading.inner_text():
            return
    raise AssertionError(f"the first row of the sorted table opened {heading.inner_text()!r}")


def test_the_way_back_from_a_scene(app: Running, page: Page) -> None:
    page.goto(f"{app.base}/?time=2024-06-05")
    choose_row_when_there(page)
    page.get_by_role("button", name="Look").first.click()
    page.get_by_text("UCL and SCL agree on").first.wait_for()
    page.wait_for_function("window.location.hash.includes('map=')")
    page.go_back()
    page.get_by_role("heading", name="Scenes").first.wait_for()
    page.get_by_text("1 scene,").first.wait_for()
    assert "time=2024-06-05" in page.url


def back_to(page: Page, heading: str) -> None:
    """Step back until a page is there. How many addresses Streamlit has left on the way depends on how quick it was."""
    from playwright.sync_api import TimeoutError as NotThere

    for _ in range(5):
        page.go_back()
        with contextlib.suppress(NotThere):
            page.get_by_role("heading", name=heading).first.wait_for(timeout=8_000)
            return
    raise AssertionError(f"five steps back do not lead to {heading}, but to {page.url}")


def test_the_way_back_from_another_page_with_area_and_time(app: Running, page: Page) -> None:
    page.goto(f"{app.base}/?time=2024-06-05")
    page.get_by_text("1 scene,").first.wait_for()
    page.get_by_role("button", name="Recall", exact=True).first.click()
    page.get_by_role("heading", name="Recall").first.wait_for()
    page.get_by_label("Coordinate system").fill("EPSG:32633")
    page.keyboard.press("Enter")
    page.wait_for_function("window.location.href.includes('crs=EPSG')")
    page.get_by_role("link", name="Composite").first.click()
    page.get_by_role("heading", name="Composite").first.wait_for()
    page.go_back()
    page.get_by_role("heading", name="Recall").first.wait_for()
    page.wait_for_function("window.location.href.includes('crs=EPSG')")
    assert page.get_by_label("Coordinate system").input_value() == "EPSG:32633"
    back_to(page, "Scenes")
    page.get_by_text("1 scene,").first.wait_for()
    page.wait_for_function("window.location.href.includes('time=2024-06-05')")
    assert page.get_by_label("Time", exact=True).input_value() == "2024-06-05"


def test_a_step_back_to_a_bare_address(app: Running, page: Page) -> None:
    """Slow browsers keep such an address of a page that had area and time."""
    page.goto(f"{app.base}/?time=2024-06-05")
    page.get_by_text("1 scene,").first.wait_for()
    page.get_by_role("button", name="Recall", exact=True).first.click()
    page.get_by_role("heading", name="Recall").first.wait_for()
    page.wait_for_function("window.location.href.includes('time=')")
    page.evaluate(
        "history.pushState({}, '', '/'); history.pushState({}, '', '/recall?time=2024-06-05')"
    )
    page.go_back()
    page.get_by_role("heading", name="Scenes").first.wait_for()
    page.get_by_text("1 scene,").first.wait_for()
    page.wait_for_function("window.location.href.includes('time=2024-06-05')")
    page.get_by_label("Time", exact=True).fill("")
    page.keyboard.press("Enter")
    page.wait_for_function("!window.location.href.includes('time=')")
    page.get_by_text(re.compile("[2-9] scenes")).first.wait_for()


def test_without_a_mouse(app: Running, page: Page) -> None:
    from playwright.sync_api import TimeoutError as NotThere

    page.goto(f"{app.base}/?time=2024-06-05")
    choose_row_when_there(page)
    for _ in range(3):  # a page that is drawn anew at that moment takes the focus away
        page.get_by_label("Time", exact=True).first.focus()
        for _ in range(40):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.innerText").strip() == "Judge":
                break
        page.keyboard.press("Enter")
        with contextlib.suppress(NotThere):
            page.wait_for_url("**/judge*", timeout=15_000)
            break
    page.wait_for_url("**/judge*")
    desk = page.frame_locator("iframe[src*=review]")
    desk.get_by_role("button", name=re.compile("accept", re.I)).first.wait_for()
    page.keyboard.press("n")
    page.keyboard.press("a")
    for _ in range(100):
        if list(app.folder.rglob("*.verdict.json")):
            return
        page.wait_for_timeout(100)
    raise AssertionError("no verdict was written")
