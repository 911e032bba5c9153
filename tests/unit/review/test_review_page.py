"""The page over many masks: its data, and what it does in a browser."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from conftest import Cube

from odc_cleansat import get_model
from odc_cleansat.errors import OutputError
from odc_cleansat.products.verdict_files import accept, flag, reject
from odc_cleansat.review.review_page import LEGEND, drop_pictures, page, picture_side
from odc_cleansat.review.templates import fill_template
from unit.review.helpers import page_data, product

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


def test_the_data_of_a_page(cube: Cube, masks: Path, tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    broken = Path(shutil.copytree(product(masks, "07"), masks.parent / "extra" / "broken"))
    next(broken.glob("*.odc-metadata.yaml")).write_text("{")
    said: list[tuple[int, int]] = []
    place = product(masks, "07")
    reject(place, "</script><b>smoke</b>", "A. Reviewer")
    flag(place, "look again", "B")
    try:
        path = page([masks, broken], tmp_path / "deep" / "page.html", progress=lambda *n: said.append(n))  # fmt: skip
    finally:
        for verdict in place.glob("*.verdict.json"):
            verdict.unlink()
    assert said[-1] == (3, 3)
    data = page_data(path)
    rows = {row["day"][:7]: row for row in data["rows"] if "day" in row}
    june, july = rows["2024-06"], rows["2024-07"]
    assert data["rows"][-1]["label"] == str(broken)
    assert "no EO3 document" in data["rows"][-1]["gaps"][0]
    scores = [row["doubt"]["score"] for row in data["rows"][:2]]
    assert scores == sorted(scores, reverse=True)
    assert june["doubt"].keys() == {"score", "worst", "unsure", "contested", "confidence"}
    assert july["state"] == "rejected"
    assert [v["verdict"] for v in july["verdicts"]] == ["flag", "reject"]
    assert july["verdicts"][1]["note"] == "</script><b>smoke</b>"
    assert july["remarks"] == 1
    assert june["state"] == "unreviewed"
    assert june["target"] == str(product(masks, "06"))
    assert june["id"] == str(cube.masks["june"].id)
    assert june["ucl_cloud"] == pytest.approx(
        june["ucl"]["cloud"] + june["ucl"].get("thin_cloud", 0), abs=0.01
    )
    assert june["agreement"].keys() == {"overall", "cloud", "shadow", "clear"}
    made = dict(june["made"])
    assert made["Model"].startswith(f"{get_model().name} ")
    assert made["Radiometric offset"].startswith("-1000 (")
    assert made["Grid"] == "300 x 360 pixels of 20 m, EPSG:32633"
    for name, kind in (("rgb", "webp"), ("ucl", "png"), ("scl", "png")):
        assert june["pictures"][name].startswith(f"data:image/{kind};base64,")
    text = path.read_text()
    assert not re.search(r'(src|href)="(?!data:)', text)
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "").replace("http-equiv", "")
    assert text.count("</script>") == 2


def test_pages_stay_small() -> None:
    assert [picture_side(n) for n in (1, 60, 61, 500, 5000)] == [512, 512, 256, 180, 128]
    rows = [
        {"label": str(i), "gaps": [], "pictures": {"rgb": "r" * 600, "scl": "s" * 300, "ucl": "u" * 200}}
        for i in range(100)
    ]  # fmt: skip
    drop_pictures(rows, 80_000)
    assert len(json.dumps(rows)) < 90_000
    left = [bool(row["pictures"]["rgb"]) for row in rows]
    assert left == sorted(left, reverse=True)  # the first keep theirs
    assert 0 < sum(left) < 100
    assert all(row["pictures"]["ucl"] and row["pictures"]["scl"] for row in rows)
    assert "true colour" in rows[-1]["gaps"][0]
    drop_pictures(rows, 10_000)
    assert not any(row["pictures"]["rgb"] or row["pictures"]["scl"] for row in rows)


def test_nothing_to_review(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="no mask product"):
        page(tmp_path, tmp_path / "page.html")
    with pytest.raises(OutputError, match="there is no mask to review"):
        page([], tmp_path / "page.html")


def test_a_page_that_cannot_be_written(masks: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot write"):
        page(product(masks, "06"), tmp_path / "file" / "page.html")
    with pytest.raises(
        OutputError,
        match=r"file is there already and is no page of masks\. Give another path, or remove that file",
    ):
        page(product(masks, "06"), tmp_path / "file")


@pytest.fixture(scope="module")
def written(cube: Cube, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both masks of the cube, of which july is rejected, and one that is broken."""
    folder = tmp_path_factory.mktemp("browser")
    masks = Path(shutil.copytree(cube.folder / "products", folder / "masks"))
    reject(product(masks, "07"), "<img src=x onerror=alert(1)>", "A. Reviewer")
    accept(product(masks, "06"), by="B")
    flag(product(masks, "06"), "haze?", "C")
    broken = Path(shutil.copytree(product(masks, "07"), masks / "broken"))
    next(broken.glob("*.odc-metadata.yaml")).write_text("{")
    return page(masks, folder / "page.html", fetch_scenes=True)


@pytest.fixture
def opened(browser: Browser, written: Path) -> Iterator[Page]:
    """The page at the width of a desk; it may ask for nothing and complain of nothing."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, offline=True)
    context.set_default_timeout(30_000)
    tab = context.new_page()
    problems: list[str] = []
    tab.on("pageerror", lambda error: problems.append(str(error)))
    tab.on("console", lambda said: problems.append(said.text) if said.type in ("error", "warning") else None)  # fmt: skip
    tab.on("request", lambda request: problems.append(request.url) if not request.url.startswith(("file:", "data:")) else None)  # fmt: skip
    tab.goto(written.as_uri())
    yield tab
    context.close()
    assert problems == []


def dates(tab: Page) -> list[str]:
    return [text[:7] for text in tab.locator("tr.mask .name").all_inner_texts()]


def test_sorting_and_filtering(opened: Page, written: Path) -> None:
    rows = page_data(written)["rows"]
    first = [(row.get("day") or "cannot be read")[:7] for row in rows]
    assert dates(opened) == first
    opened.get_by_role("columnheader", name="Scene").get_by_role("button").click()
    assert dates(opened) == ["2024-06", "2024-07", "cannot "]
    assert opened.locator("th[data-order=date]").get_attribute("aria-sort") == "ascending"
    opened.get_by_role("columnheader", name="Scene").get_by_role("button").press("Enter")
    assert dates(opened) == ["2024-07", "2024-06", "cannot "]  # unknown stays last
    opened.locator("#order").select_option("overall false")
    by_agreement = sorted(rows[:2], key=lambda row: row["agreement"]["overall"])
    assert dates(opened)[:2] == [row["day"][:7] for row in by_agreement]
    opened.locator("#by-state").select_option("rejected")
    assert dates(opened) == ["2024-07"]
    assert opened.locator("#count").inner_text() == "1 of 3 masks"
    opened.locator("#by-state").select_option("")
    opened.get_by_label("Search").fill("haze")
    assert dates(opened) == ["2024-06"]


def test_details_and_commands(opened: Page, masks: Path) -> None:
    row = opened.locator("tr.mask", has_text="2024-06")
    button = row.get_by_role("button", name="Details")
    button.focus()
    opened.keyboard.press("Enter")
    details = opened.locator("tr.details")
    assert details.locator("img").count() == 4
    widths = details.locator("img").evaluate_all("all => all.map((each) => each.naturalWidth)")
    assert set(widths) == {360}
    assert details.locator("svg rect").count() >= 16 * 14
    commands = details.locator("code").all_inner_texts()
    assert [text.split()[2] for text in commands] == ["accept", "reject", "flag"]
    assert commands[1].endswith("--note ''")
    assert "/s2_l2a_ucl_" in commands[0]
    details.get_by_role("button", name="Copy the command to accept").click()
    details.get_by_text("Copied").wait_for()
    assert "haze?" in details.inner_text()
    assert button.get_attribute("aria-expanded") == "true"
    button.click()
    assert opened.locator("tr.details").count() == 0


def test_notes_are_text_and_not_markup(opened: Page) -> None:
    note = opened.locator("tr.mask", has_text="2024-07").locator(".said")
    assert "<img src=x onerror=alert(1)>" in note.inner_text()
    assert opened.locator("img[src=x]").count() == 0


def test_several_are_chosen_together(opened: Page) -> None:
    for box in opened.get_by_role("checkbox").all()[:2]:
        box.press("Space")
    bar = opened.get_by_role("region", name="Verdict")
    assert "2 chosen" in bar.inner_text()
    bar.get_by_role("button", name="Choose none").click()
    assert bar.is_hidden()
    assert not any(box.is_checked() for box in opened.get_by_role("checkbox").all())


def test_the_chart_tells_its_values(opened: Page, written: Path) -> None:
    june = next(
        row for row in page_data(written)["rows"] if row.get("day", "").startswith("2024-06")
    )
    chart = opened.locator("#chart")
    assert chart.locator("circle").count() == chart.locator("rect").count() == 2
    chart.focus()
    opened.keyboard.press("ArrowRight")
    readout = opened.locator("#readout").inner_text()
    assert f"cloud {june['ucl_cloud']:.1f} % by UCL, {june['scl_cloud']:.1f} % by SCL" in readout
    opened.keyboard.press("Enter")
    assert opened.locator("tr.details").count() == 1
    width = chart.evaluate("each => each.clientWidth")
    chart.hover(position={"x": width - 20, "y": 40})
    assert opened.locator("#readout").inner_text().startswith("2024-07")


@pytest.mark.parametrize("width", [1280, 390])
def test_it_fits_the_width(opened: Page, width: int) -> None:
    opened.set_viewport_size({"width": width, "height": 844})
    for button in opened.get_by_role("button", name="Details").all():
        button.click()
    assert opened.evaluate("document.documentElement.scrollWidth") <= width
    assert opened.locator("thead").is_visible() == (width > 900)
    for image in opened.locator("tr.mask img").all()[:3]:
        box = image.bounding_box()
        assert box
        assert box["width"] >= 80


def test_keys_walk_through_a_page_that_is_a_file(opened: Page) -> None:
    order = opened.locator("tr.mask").evaluate_all("all => all.map((each) => each.id)")
    for key, at in (("n", 0), ("n", 1), ("p", 0)):
        opened.keyboard.press(key)
        assert opened.locator("tr.mask.current").get_attribute("id") == order[at]
    bar = opened.get_by_role("region", name="Verdict")
    assert bar.is_hidden()
    opened.keyboard.press("x")
    assert "1 chosen" in bar.inner_text()
    opened.keyboard.press("Shift+X")
    assert "3 chosen" in bar.inner_text()
    opened.keyboard.press("Escape")
    assert bar.is_hidden()
    opened.keyboard.press("?")
    assert "accept" not in opened.get_by_role("dialog").inner_text()


def test_the_number_of_a_hot_spot_stays_in_the_picture(browser: Browser, tmp_path: Path) -> None:
    """Also where the cell is a sliver at the lower right edge."""
    corner = {"cell": 288, "percent": 100, "what": "cloud by UCL, clear by SCL", "place": "there"}
    hot = {"score": 100, "side": 25, "columns": 17, "grid": [408, 408], "percent": [0] * 289, "size": "500 x 500 m", "spots": [corner]}  # fmt: skip
    empty = "data:image/gif;base64,R0lGODlhAQABAAAAACw="
    row = {"state": "unreviewed", "gaps": [], "target": "x", "id": "0", "label": "mask", "size": [408, 408], "made": [], "verdicts": [], "pictures": {"ucl": empty}, "hot": hot}  # fmt: skip
    data = {"command": "cleansat review VERDICT", "classes": LEGEND, "written": "", "version": "", "rows": [row]}  # fmt: skip
    (tmp_path / "page.html").write_text(fill_template("page.html", "One", data))
    tab = browser.new_page()
    tab.goto((tmp_path / "page.html").as_uri())
    tab.get_by_role("button", name="Details").click()
    box = tab.locator(".frame svg text").evaluate(
        "text => { const { x, y, width, height } = text.getBBox(); return [x, y, x + width, y + height]; }"
    )
    assert min(box[:2]) >= 0
    assert box[2] <= 408
    assert box[3] - 5 <= 408  # digits do not go below their line
    tab.close()


def test_only_some_of_many_rows_are_drawn(browser: Browser, tmp_path: Path) -> None:
    row = {"state": "unreviewed", "gaps": [], "target": "x"}
    rows = [{**row, "id": str(i), "label": f"mask {i}"} for i in range(230)]
    data = {"command": "cleansat review VERDICT", "classes": LEGEND, "written": "", "version": "", "rows": rows}  # fmt: skip
    (tmp_path / "page.html").write_text(fill_template("page.html", "Many", data))
    tab = browser.new_page()
    tab.goto((tmp_path / "page.html").as_uri())
    drawn = tab.locator("tr.mask")
    assert drawn.count() == 100
    tab.get_by_role("button", name="Show 100 more of 130").click()
    assert drawn.count() == 200
    drawn.last.get_by_role("button", name="Details").focus()
    tab.keyboard.press("n")
    assert "mask 200" in tab.locator("tr.mask.current").inner_text()
    assert drawn.count() == 230
    assert tab.locator("#more").is_hidden()
    tab.close()
