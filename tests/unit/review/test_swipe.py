"""The page to swipe between layers, in a real browser, from a file and without a network."""

from __future__ import annotations

import io
import re
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import xarray as xr
from odc.geo.geobox import GeoBox
from odc.geo.xr import wrap_xr
from PIL import Image

from odc_cleansat import CloudClass
from odc_cleansat.review.comparison import compare
from unit.review.helpers import DAYS, GRID

if TYPE_CHECKING:
    from playwright.sync_api import Browser, CDPSession, Page

WIDE, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}


ORANGE, BLUE = (0xE6, 0x9F, 0x00), (0x00, 0x72, 0xB2)


def scene() -> xr.Dataset:
    """Two dates: UCL cloud in the north and, on the second, everywhere; SCL shadow in the west."""
    dark = xr.Dataset(
        {band: wrap_xr(np.full(GRID.shape, 0.02, "float32"), GRID) for band in ("red", "green", "blue")}
    )  # fmt: skip
    ucl, scl = np.ones(GRID.shape, "uint8"), np.full(GRID.shape, 4, "uint8")
    ucl[:50] = CloudClass.CLOUD
    scl[:, :60] = 3
    first = dark.assign(ucl=wrap_xr(ucl, GRID), scl=wrap_xr(scl, GRID))
    second = first.assign(ucl=xr.full_like(first.ucl, CloudClass.CLOUD))
    return xr.concat([first, second], "time").assign_coords(time=DAYS)


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    title = "A scene </script><b>& more"
    return compare(scene(), agreement="contaminated", title=title).save(
        tmp_path_factory.mktemp("swipe") / "compare.html"
    )


@pytest.fixture
def page(browser: Browser, page_file: Path) -> Iterator[Page]:
    """Opened and painted; complaints of the browser and requests for anything are failures."""
    with browser.new_context(viewport=WIDE) as context:
        page = context.new_page()
        wrong: list[str] = []
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda message: wrong.append(message.text))
        page.on("request", lambda request: None if request.url.startswith(("file:", "data:")) else wrong.append(request.url))  # fmt: skip
        opened(page, page_file)
        yield page
        assert not wrong


def opened(page: Page, path: Path) -> Page:
    page.goto(path.as_uri())
    page.wait_for_selector("body[data-ready]")
    return page


def colour(page: Page, x: float, y: float) -> tuple[int, int, int]:
    """Of the stage, at shares of its width and height."""
    box = page.locator("#stage").bounding_box()
    assert box is not None
    shot = Image.open(io.BytesIO(page.locator("#stage").screenshot())).convert("RGB")
    found = shot.getpixel((round(x * shot.width), round(y * shot.height)))
    assert isinstance(found, tuple)
    return found


def near(found: tuple[int, ...], expected: tuple[int, ...]) -> bool:
    return max(abs(a - b) for a, b in zip(found, expected, strict=True)) < 6


def drag(page: Page, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Between points of the stage, shares of its size."""
    box = page.locator("#stage").bounding_box()
    assert box is not None
    at = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in (start, end)]
    page.mouse.move(*at[0])
    page.mouse.down()
    page.mouse.move(*at[1], steps=4)
    page.mouse.up()


def opaque(page: Page) -> None:
    page.locator("#opacity").fill("100")


def transform(page: Page) -> list[float]:
    """Where the picture's corner is in the stage, and the screen pixels of one of its own."""
    found: list[float] = page.locator("#left-pane .content").evaluate(
        "e => { const m = new DOMMatrix(getComputedStyle(e).transform); return [m.e, m.f, m.a]; }"
    )
    return found


def divided(page: Page) -> int:
    return int(page.locator("#divider").get_attribute("aria-valuenow") or -1)


def test_one_file_with_everything_in_it(page_file: Path) -> None:
    text = page_file.read_text(encoding="utf-8")
    assert not re.findall(r"(?:src|href)=\"(?!data:)", text)
    assert not re.findall(r"https?://", text)
    assert "default-src 'none'" in text
    assert "</script><b>" not in text
    images = re.findall(r"data:image/(png|webp);base64,([A-Za-z0-9+/=]+)", text)
    assert [kind for kind, _ in images] == ["webp", "png", "png", "png"] * 2
    ucl = Image.open(io.BytesIO(b64decode(images[2][1])))
    assert ucl.mode == "P"
    np.testing.assert_array_equal(np.asarray(ucl), scene().ucl.values[0])
    assert ucl.convert("RGB").getpixel((0, 0)) == ORANGE


def test_the_size_is_bounded() -> None:
    """A noisy tile, all layers, of as many drawn pixels as one of 5490 x 5490 has."""
    from odc_cleansat.review.swipe import swipe_page

    grid = GeoBox.from_bbox((399960, 5290200, 509760, 5400000), "EPSG:32633", resolution=40)
    rng = np.random.default_rng(0)

    def noise(low: int, high: int) -> xr.DataArray:
        small = rng.integers(low, high, (549, 2745)).astype("uint8")
        return wrap_xr(np.tile(small, (5, 1)), grid)

    bands = {band: noise(1, 255).astype("uint16") * 20 for band in ("red", "green", "blue")}
    data = xr.Dataset({**bands, "scl": noise(0, 12), "ucl": noise(1, 4), "ucl_confidence": noise(30, 101)})  # fmt: skip
    found = compare(data, confidence=True, agreement="cloud")
    assert len(swipe_page(found)) < 8_000_000


def test_the_divider_swipes(page: Page) -> None:
    opaque(page)
    assert near(colour(page, 0.3, 0.25), BLUE)  # SCL: shadow in the west
    assert near(colour(page, 0.7, 0.25), ORANGE)  # UCL: cloud in the north
    assert max(colour(page, 0.7, 0.85)) < 140  # clear: the ground
    drag(page, (0.5, 0.5), (0.1, 0.5))
    assert divided(page) == 10
    assert near(colour(page, 0.3, 0.25), ORANGE)
    assert max(colour(page, 0.3, 0.85)) < 140
    page.locator("#divider").press("End")
    assert divided(page) == 100
    assert near(colour(page, 0.3, 0.25), BLUE)
    page.locator("#divider").press("ArrowLeft")
    assert divided(page) == 98


def test_layers_are_chosen(page: Page) -> None:
    opaque(page)
    page.locator("#left-layer").select_option("True colour")
    assert max(colour(page, 0.3, 0.25)) < 140
    assert page.locator("#left-chip").inner_text() == "True colour"
    page.locator("#right-layer").select_option("UCL and SCL: cloud or shadow")
    assert near(colour(page, 0.7, 0.25), (0xD5, 0x5E, 0x00))  # only UCL
    page.locator("#mode").select_option("hidden")
    assert max(colour(page, 0.7, 0.25)) < 140
    page.locator("#right-layer").select_option("UCL (UNet)")
    page.locator("#mode").select_option("outlines")
    assert max(colour(page, 0.7, 0.25)) < 140
    column = [colour(page, 0.7, y) for y in np.linspace(0.47, 0.5, 16)]
    assert any(near(each, ORANGE) for each in column)


def test_opacity(page: Page) -> None:
    opaque(page)
    full = colour(page, 0.7, 0.25)
    page.locator("#opacity").fill("50")
    half = colour(page, 0.7, 0.25)
    assert half[0] < full[0] - 30


def test_dates(page: Page) -> None:
    opaque(page)
    assert page.locator("#earlier").is_disabled()
    assert "50.0 %" in page.locator("#legend").inner_text()
    page.locator("#later").click()
    assert page.locator("#date option:checked").inner_text() == "2024-06-15 10:10 UTC"
    assert "100.0 %" in page.locator("#legend").inner_text()
    page.wait_for_timeout(200)
    assert near(colour(page, 0.7, 0.85), ORANGE)
    page.locator("#date").select_option("2024-06-05 10:10 UTC")
    page.wait_for_timeout(200)
    assert max(colour(page, 0.7, 0.85)) < 140


def test_zoom_and_pan(page: Page) -> None:
    x, y, scale = transform(page)
    stage = page.locator("#stage")
    stage.hover(position={"x": 600, "y": 300})
    page.locator("#readout b").first.wait_for()
    before = page.locator("#readout").inner_text()
    page.mouse.wheel(0, -600)
    _, _, closer = transform(page)
    assert closer > 2 * scale
    stage.hover(position={"x": 601, "y": 300})
    stage.hover(position={"x": 600, "y": 300})
    page.wait_for_timeout(100)
    assert page.locator("#readout").inner_text() == before  # what was under the pointer stays there
    x, y, _ = transform(page)
    drag(page, (0.2, 0.5), (0.3, 0.45))
    moved = transform(page)
    assert moved[0] > x + 30
    assert moved[1] < y - 10
    stage.press("ArrowRight")
    assert transform(page)[0] < moved[0]
    stage.press("0")
    assert transform(page)[2] == pytest.approx(scale)
    stage.press("+")
    assert transform(page)[2] == pytest.approx(1.5 * scale)
    page.get_by_label("Zoom out").click()
    assert transform(page)[2] == pytest.approx(scale)
    assert page.get_by_label("Show all").is_disabled()
    stage.dblclick(position={"x": 200, "y": 100})
    assert transform(page)[2] == pytest.approx(2 * scale)


def test_pixels_are_read_out(page: Page) -> None:
    x, y, scale = transform(page)
    rows, columns = GRID.shape
    at = {"x": x + 0.25 * columns * scale, "y": y + 0.25 * rows * scale}
    page.locator("#stage").hover(position=at)
    page.locator("#readout b").first.wait_for()
    text = page.locator("#readout").inner_text()
    assert "SCL: cloud shadow" in text
    assert "UCL: cloud" in text
    assert "UCL and SCL: both" in text
    found = re.search(r"easting (\d+), northing (\d+)", text)
    assert found
    bounds = GRID.boundingbox
    easting = bounds.left + 0.25 * bounds.span_x
    northing = bounds.top - 0.25 * bounds.span_y
    assert abs(int(found[1]) - easting) < 150
    assert abs(int(found[2]) - northing) < 150


def test_the_scale_bar_is_true(page: Page) -> None:
    for _ in range(2):
        text = page.locator("#length").inner_text()
        number, unit = text.split()
        metres = float(number) * (1000 if unit == "km" else 1)
        width = page.locator("#bar").evaluate("e => e.getBoundingClientRect().width")
        # Metres of the projection, as good as those on the ground.
        assert metres / width == pytest.approx(100 / transform(page)[2], rel=0.002)
        page.get_by_label("Zoom in").click()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone(browser: Browser, page_file: Path, scheme: Any) -> None:
    """Nothing is wider than the screen; one finger moves, two zoom."""
    with browser.new_context(viewport=PHONE, has_touch=True, is_mobile=True, device_scale_factor=2, color_scheme=scheme) as context:  # fmt: skip
        page = opened(context.new_page(), page_file)
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        for name in ("#left-layer", "#right-layer", "#mode", "#opacity", "#later", "#in"):
            box = page.locator(name).bounding_box()
            assert box is not None
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= PHONE["width"]
            assert box["height"] >= 36
        scale = transform(page)[2]
        fingers = context.new_cdp_session(page)
        touch(page, fingers, "touchStart", [(100, 100), (200, 150)])
        touch(page, fingers, "touchMove", [(60, 80), (240, 170)])
        touch(page, fingers, "touchEnd", [])
        assert transform(page)[2] > 1.5 * scale
        x = transform(page)[0]
        touch(page, fingers, "touchStart", [(100, 60)])
        touch(page, fingers, "touchMove", [(140, 60)])
        touch(page, fingers, "touchEnd", [])
        assert transform(page)[0] == pytest.approx(min(x + 40, 0), abs=2)
        box = page.locator("#stage").bounding_box()
        assert box is not None
        touch(page, fingers, "touchStart", [(box["width"] / 2, 40)])
        touch(page, fingers, "touchMove", [(box["width"] / 4, 40)])
        touch(page, fingers, "touchEnd", [])
        assert divided(page) == pytest.approx(25, abs=1)
        page.touchscreen.tap(box["x"] + 50, box["y"] + 60)
        page.locator("#readout b").first.wait_for()


def touch(page: Page, session: CDPSession, kind: str, points: list[tuple[float, float]]) -> None:
    """Fingers on the stage, pixels from its corner."""
    box = page.locator("#stage").bounding_box()
    assert box is not None
    at = [{"x": box["x"] + x, "y": box["y"] + y, "id": i} for i, (x, y) in enumerate(points)]
    session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": at})


def test_one_date_has_no_picker(browser: Browser, tmp_path: Path) -> None:
    """And a geographic grid has longitudes."""
    grid = GeoBox.from_bbox((13.6, 47.7, 13.8, 47.8), "EPSG:4326", shape=(80, 100))
    bands = {band: wrap_xr(np.full(grid.shape, 0.1, "float32"), grid) for band in ("red", "green", "blue")}  # fmt: skip
    data = xr.Dataset({**bands, "ucl": wrap_xr(np.full(grid.shape, 3, "uint8"), grid)})
    path = compare(data).save(tmp_path / "compare.html")
    with browser.new_context(viewport=WIDE) as context:
        page = opened(context.new_page(), path)
        assert not page.locator("#date").is_visible()
        assert page.locator("#left-chip").inner_text() == "True colour"
        box = page.locator("#stage").bounding_box()
        assert box is not None
        page.locator("#stage").hover(position={"x": box["width"] / 2, "y": 40})
        page.locator("#readout b").first.wait_for()
        assert "longitude 13.7" in page.locator("#readout").inner_text()
        width, height = (page.locator("#left-pane .content").evaluate(f"e => e.getBoundingClientRect().{side}") for side in ("width", "height"))  # fmt: skip
        assert width / height == pytest.approx(2 * np.cos(np.radians(47.75)), rel=0.01)
