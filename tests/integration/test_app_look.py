"""The page Look of the web application: dates side by side, their stretch, and all of it by keys."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from .test_app import Running, app, browser, choose_row_when_there, page

if TYPE_CHECKING:
    from playwright.sync_api import Page

__all__ = ["app", "browser", "page"]  # fixtures

VALUES = re.compile(r"UCL: (clear|cloud|cloud shadow) · Confidence: \d+ %")
FOCUS = """() => {
  let here = document.activeElement;
  while (here && here.shadowRoot && here.shadowRoot.activeElement) here = here.shadowRoot.activeElement;
  const box = here.getBoundingClientRect();
  const told = (each) => { const s = getComputedStyle(each); return (s.outlineStyle !== "none" && s.outlineWidth !== "0px") || s.boxShadow !== "none"; };
  const seen = getComputedStyle(here).visibility !== "hidden" && box.right > 0 && box.width > 0;
  return { tag: here.tagName, name: here.getAttribute("aria-label") || here.innerText || "", seen, told: told(here) };
}"""
OWN_RING = ("INPUT", "CANVAS", "MAIN", "BODY", "HTML")
"""Fields have a border of another colour, the table draws its focus itself, and the page as a whole needs none."""


def look_at_two(page: Page, app: Running) -> list[str]:
    """Open two masked dates side by side; return the addresses of tiles that are asked for from now on."""
    tiles: list[str] = []
    page.on("request", lambda asked: tiles.append(asked.url) if "/tiles/" in asked.url else None)
    shown = []
    for day in ("2024-06-15", "2024-06-05"):
        page.goto(f"{app.base}/?time={day}")
        choose_row_when_there(page)
        page.get_by_role("button", name="Look").first.click()
        page.get_by_text("UCL and SCL agree on").first.wait_for()
        shown.append(page.url.split("show=")[1].split("#")[0])
    page.goto(f"{app.base}/look?show={','.join(shown)}")
    page.get_by_text("UCL and SCL agree on").nth(1).wait_for()
    page.wait_for_function("window.location.hash.includes('map=')")
    return tiles


def labels(page: Page, pane: int) -> Any:
    """What the graticule of a pane says: where it is, and how near."""
    return page.locator(".labels").nth(pane).inner_text()


def test_two_dates_side_by_side(app: Running, page: Page) -> None:
    tiles = look_at_two(page, app)
    assert [page.locator(".pane h3").nth(i).inner_text()[:10] for i in (0, 1)] == [
        "2024-06-15",
        "2024-06-05",
    ]
    before = labels(page, 0)
    shares = page.locator(".shares").all_inner_texts()
    assert all("In this view" in text for text in shares)
    zoom = page.url.split("map=")[1].split("/")[0]
    page.locator(".pane").nth(1).get_by_role("button", name="Zoom in").click()
    page.wait_for_function("(zoom) => document.querySelector('[data-testid=stApp]') && !window.location.hash.includes(zoom)", arg=zoom)  # fmt: skip
    page.wait_for_timeout(500)
    assert labels(page, 0) == labels(page, 1) != before
    page.wait_for_timeout(1500)
    assert page.locator(".shares").all_inner_texts() != shares, "shares are those of the view"
    page.locator(".canvas").nth(1).click()
    page.get_by_text(VALUES).nth(1).wait_for()
    places = [text.split(":")[0] for text in page.locator(".values").all_inner_texts()]
    assert places[0] == places[1]
    page.get_by_text("Stretch of the pictures").first.click()
    with page.expect_request(lambda asked: "/tiles/colour/" in asked.url and "stretch=" in asked.url):  # fmt: skip
        page.get_by_text("Choose it by hand").first.click()
    stretched = {address.split("/")[5] for address in tiles if "stretch=" in address}
    page.wait_for_timeout(1500)
    assert len({address.split("/")[5] for address in tiles if "stretch=" in address}) == 2, stretched  # fmt: skip
    assert "stretched=true" in page.url


def test_a_map_is_used_by_keys(app: Running, page: Page) -> None:
    look_at_two(page, app)
    page.get_by_role("button", name="Swipe this view").first.focus()
    page.keyboard.press("Tab")
    place = page.url.split("map=")[1]
    page.keyboard.press("ArrowRight")
    page.wait_for_function("(place) => !window.location.hash.includes(place)", arg=place)
    page.keyboard.press(" ")
    page.get_by_text(VALUES).nth(1).wait_for()
    page.get_by_role("button", name="Swipe this view").first.press("Enter")
    viewer = page.frame_locator("iframe[title^=Swipe]")
    divider = viewer.get_by_role("slider", name="Divider")
    divider.press("ArrowRight")
    assert divider.get_attribute("aria-valuenow") == "52"


def test_a_rectangle_is_drawn_by_keys(app: Running, page: Page) -> None:
    page.goto(f"{app.base}/?time=2024-06-05")
    page.get_by_text("1 scene,").first.wait_for()
    page.get_by_role("button", name="Draw a rectangle").first.press("Enter")
    page.locator(".canvas canvas").first.focus()
    page.keyboard.press(" ")
    for key in ("ArrowRight", "ArrowDown"):
        page.keyboard.press(key)
        page.wait_for_timeout(700)
    page.keyboard.press(" ")
    page.get_by_text(re.compile(r"The area has [\d.,]+ km²")).first.wait_for()


def test_focus_is_seen_and_goes_to_nothing_hidden(app: Running, page: Page) -> None:
    look_at_two(page, app)
    page.locator("body").press("Tab")
    met = []
    for _ in range(60):
        found = page.evaluate(FOCUS)
        if found["tag"] == "BODY":
            break
        met.append(found["name"].split("\n")[-1])
        assert found["seen"], found
        assert found["told"] or found["tag"] in OWN_RING, found
        page.keyboard.press("Tab")
    for name in ("Scenes", "Queue", "Swipe this view", "Accept", "Flag, with a note"):
        assert name in met, met
    assert [each for each in met if each.startswith("Map.")], met
    assert "Your name" not in met, "it is in the sidebar, which is closed"
    page.get_by_test_id("stExpandSidebarButton").click()
    page.get_by_label("Your name", exact=True).wait_for()
