"""The page over many masks: its figures, its flags, and what it does in a browser."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from calling import Run
from conftest import Cube
from odc.geo.geobox import GeoBox

from odc_cleansat import CloudClass
from odc_cleansat.classes import class_percent, scl_to_ucl
from odc_cleansat.cube.embedded import CONFIG_NAME
from odc_cleansat.errors import OutputError
from odc_cleansat.grids.windows import Tiling
from odc_cleansat.models.registry import get_model
from odc_cleansat.products.product import MaskProduct
from odc_cleansat.products.verdict_files import accept, flag, reject
from odc_cleansat.review.flags import (
    contradiction,
    little_data,
    low_confidence,
    offset_doubt,
    seams,
)
from odc_cleansat.review.hot_spots import hot_spots
from odc_cleansat.review.inspection import inspect_mask
from odc_cleansat.review.layers import thin, thin_grid
from odc_cleansat.review.page_rows import block_means, pictures
from odc_cleansat.review.review_page import drop_pictures, page, picture_side
from odc_cleansat.scenes.offset import Offset

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = Path("/usr/bin/chromium")
CLEAR, CLOUD, SHADOW = (int(c) for c in (CloudClass.CLEAR, CloudClass.CLOUD, CloudClass.SHADOW))
UTM = GeoBox((320, 320), Affine(20, 0, 399960, 0, -20, 5300040), "EPSG:32633")


def read(path: Path) -> dict[str, Any]:
    """The data in a page."""
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', path.read_text(), re.DOTALL)  # fmt: skip
    found: dict[str, Any] = json.loads(text)
    return found


# --- hot spots ------------------------------------------------------------------------


def test_hot_spots_are_where_two_masks_differ() -> None:
    ucl = np.full((320, 320), CLEAR, dtype="uint8")
    scl = ucl.copy()
    scl[40:60, 60:80] = CLOUD  # all of a cell, the fourth of the third row
    scl[200:210, 300:320] = SHADOW  # half of another
    scl[:, 0] = 0
    found = hot_spots(ucl, scl, UTM)
    assert (found.side, found.columns) == (20, 16)
    assert [each.cell for each in found.spots] == [2 * 16 + 3, 10 * 16 + 15]
    assert [each.percent for each in found.spots] == [100, 50]
    assert (found.spots[0].ucl, found.spots[0].scl) == ("clear", "cloud")
    assert found.spots[1].scl == "cloud shadow"
    assert found.percent.count(0) == 254
    assert found.score == pytest.approx(150 / 26)  # the worst tenth of 256 cells
    lat, lon = (float(part.split("°")[0]) for part in found.spots[0].place.split(", "))
    x, y = UTM.crs.transformer_to_crs("EPSG:4326")([399960 + 70 * 20], [5300040 - 50 * 20])
    assert (lon, lat) == (pytest.approx(x[0], abs=1e-4), pytest.approx(y[0], abs=1e-4))


def test_hot_spots_need_data_and_know_kinds_of_cloud_as_one() -> None:
    ucl = np.full((100, 70), CloudClass.THIN_CLOUD, dtype="uint8")
    scl = np.full((100, 70), CLOUD, dtype="uint8")
    grid = GeoBox((100, 70), UTM.affine, UTM.crs)
    found = hot_spots(ucl, scl, grid)
    assert (found.score, found.spots, found.columns) == (0, (), 10)
    nothing = hot_spots(ucl, np.zeros_like(scl), grid)
    assert np.isnan(nothing.score)
    assert set(nothing.percent) == {None}
    ucl[...] = CloudClass.WATER
    scl[...] = CloudClass.SNOW
    assert hot_spots(ucl, scl, grid).score == 0  # both are clear of cloud


def test_the_grid_of_thinned_pixels_is_in_their_centres() -> None:
    index = np.arange(321 * 250).reshape(321, 250)
    grid = GeoBox(index.shape, UTM.affine, UTM.crs)
    for step in (1, 2, 3, 4, 7):
        small = thin(index, step)
        there = thin_grid(grid, small.shape, step)
        for row, column in ((0, 0), (small.shape[0] - 1, small.shape[1] - 1)):
            x, y = there.affine * (column + 0.5, row + 0.5)
            j, i = ~grid.affine * (x, y)
            assert (i % 1, j % 1) == (pytest.approx(0.5), pytest.approx(0.5))
            assert index[int(i), int(j)] == small[row, column]


# --- flags ----------------------------------------------------------------------------


def test_contradiction() -> None:
    found = contradiction(95, 3)
    assert found
    assert (found.name, found.text) == ("contradiction", "95 % cloud by UCL, 3 % by SCL")
    assert contradiction(4, 99)
    for ucl, scl in ((95, 20), (80, 5), (0, 0), (100, 100), (float("nan"), 0)):
        assert contradiction(ucl, scl) is None


def test_offset() -> None:
    rng = np.random.default_rng(1)
    ground = rng.uniform(0.02, 0.4, (200, 200, 3)).astype("float32")
    known = Offset(-1000, "s2:processing_baseline is 05.10")
    assert offset_doubt(known, ground) is None
    assert offset_doubt(known, None) is None
    bright = offset_doubt(Offset(0, "argument"), ground + 0.1)
    assert bright
    assert "as if 0.1 had to be subtracted" in bright.text
    dark = offset_doubt(known, ground - 0.1)
    assert dark
    assert "removed already" in dark.text
    guess = offset_doubt(Offset(0, "assumed: the metadata does not tell"), ground)
    assert guess
    assert "assumed" in guess.text


def test_confidence_and_data() -> None:
    percent = np.full((100, 100), 97, dtype="uint8")
    percent[:50] = 255
    assert low_confidence(percent) is None
    percent[50:54] = 55  # 8 % of those with data
    assert low_confidence(percent) is None
    percent[50:58] = 55
    found = low_confidence(percent)
    assert found
    assert "below 60 % in 16 %" in found.text
    assert low_confidence(np.full((10, 10), 84, dtype="uint8"))
    assert low_confidence(np.full((10, 10), 255, dtype="uint8")) is None
    assert little_data(9.9)
    assert little_data(10) is None


def blobs(shape: tuple[int, int], seed: int) -> np.ndarray:
    """Clouds with shadow, of all sizes."""
    from scipy import ndimage

    rng = np.random.default_rng(seed)
    field = np.zeros(shape, dtype="float32")
    for size, weight in ((4, 0.3), (10, 0.6), (40, 1.0)):
        coarse = rng.normal(size=[n // size + 2 for n in shape]).astype("float32")
        field += weight * ndimage.zoom(coarse, size, order=2)[: shape[0], : shape[1]]
    codes = np.full(shape, CLEAR, dtype="uint8")
    codes[np.roll(field, (12, 9), (0, 1)) > 0.9] = SHADOW
    codes[field > 0.8] = CLOUD
    return codes


MODEL = replace(get_model(None), tiling=Tiling((448, 448), 64, whole=0))
"""Its windows are half as large, so that a small mask has several."""


@pytest.mark.parametrize("seed", range(3))
def test_seams_are_found_where_they_are_planted_and_nowhere_else(seed: int) -> None:
    grid = GeoBox((1500, 1600), UTM.affine, UTM.crs)  # 30 by 32 km: one cut each way
    codes = blobs(grid.shape, seed)
    assert seams(codes, grid, MODEL) is None
    column = (31 * 448 * 30 - 399960) // 20  # a cut: a whole multiple of the stride of 448 at 30 m
    assert 0 < column < 1600
    planted = codes.copy()
    planted[:, column:] = blobs(grid.shape, seed + 100)[:, column:]
    found = seams(planted, grid, MODEL)
    assert found
    assert found.name == "seams"
    elsewhere = codes.copy()
    elsewhere[:, column + 150 :] = blobs(grid.shape, seed + 100)[:, column + 150 :]
    assert seams(elsewhere, grid, MODEL) is None  # no window ends there
    rows = codes.copy()
    row = (5300040 - 393 * 448 * 30) // 20
    assert 0 < row < 1500
    rows[row:] = blobs(grid.shape, seed + 100)[row:]
    assert seams(rows, grid, MODEL)


def test_no_seams_without_windows() -> None:
    grid = GeoBox((300, 300), UTM.affine, UTM.crs)
    assert seams(blobs(grid.shape, 1), grid, get_model(None)) is None  # one window
    lonlat = GeoBox((1500, 1600), Affine(0.0002, 0, 14, 0, -0.0002, 48), "EPSG:4326")
    assert seams(blobs(lonlat.shape, 1), lonlat, MODEL) is None


# --- one mask -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def masks(cube: Cube, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copies of the masks of june and july, to give verdicts on."""
    folder: Path = shutil.copytree(
        cube.folder / "products", tmp_path_factory.mktemp("page") / "masks"
    )
    return folder


def product(masks: Path, month: str) -> Path:
    (document,) = masks.rglob(f"*_2024-{month}-*.odc-metadata.yaml")
    return document.parent


def test_a_look_at_a_mask(cube: Cube, masks: Path) -> None:
    (mask,) = MaskProduct.find(product(masks, "06"))
    found = inspect_mask(mask)
    assert found.gaps == []
    assert (
        found.grid.shape == found.ucl.shape == found.scl.shape == found.rgb.shape[:2] == (300, 360)
    )
    with rasterio.open(next(product(masks, "06").glob("*_ucl.tif"))) as file:
        np.testing.assert_array_equal(found.ucl, file.read(1))  # not thinned: it is small
    with rasterio.open(cube.folder / "june" / "SCL.tif") as file:
        np.testing.assert_array_equal(found.scl, scl_to_ucl(file.read(1)))
    expected = {c.label: p for c, p in class_percent(found.ucl).items()}
    for name in ("clear", "cloud", "shadow"):
        assert found.percent[name] == pytest.approx(expected[name], abs=0.01)
    with rasterio.open(cube.folder / "june" / "B04.tif") as file:
        red = file.read(1).reshape(300, 2, 360, 2).mean(axis=(1, 3))
    np.testing.assert_allclose(found.rgb[..., 0], (red - 1000) / 10000, atol=2e-4)
    cloudy = [np.isin(codes, [CLOUD, CloudClass.THIN_CLOUD]) for codes in (found.ucl, found.scl)]
    both = (found.ucl != 0) & (found.scl != 0)
    same = 100 * np.mean((cloudy[0] == cloudy[1])[both])
    assert found.agreement["cloud"] == pytest.approx(same)
    assert 0 < found.agreement["overall"] < same < 100
    assert found.flags == []


def test_thinned_looks_agree_on_the_same_pixels(
    masks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (mask,) = MaskProduct.find(product(masks, "06"))
    whole = inspect_mask(mask)
    monkeypatch.setattr("odc_cleansat.review.inspection.SIDE", 100)
    small = inspect_mask(mask)  # every fourth pixel
    np.testing.assert_array_equal(small.ucl, thin(whole.ucl, 4))
    np.testing.assert_array_equal(small.scl, thin(whole.scl, 4))
    assert small.percent == whole.percent
    assert small.agreement["overall"] == pytest.approx(whole.agreement["overall"], abs=3)


def test_what_is_missing_is_a_gap(masks: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(product(masks, "06"), tmp_path / "mask"))
    record = next(copy.glob("*.proc-info.yaml"))
    text = record.read_text()
    record.write_text(text.replace("/june/", "/nowhere/"))
    (mask,) = MaskProduct.find(copy)
    found = inspect_mask(mask)
    assert found.rgb is None
    assert found.scl is None
    assert found.agreement == {}
    assert [gap.split(":")[0] for gap in found.gaps] == ["true colour", "SCL"]
    record.unlink()
    next(copy.glob("*_confidence.tif")).write_bytes(b"no raster")
    assert [gap.split(":")[0] for gap in inspect_mask(MaskProduct(copy)).gaps] == ["processing record", "scene", "confidence"]  # fmt: skip


# --- the page -------------------------------------------------------------------------


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
    data = read(path)
    rows = {row["day"][:7]: row for row in data["rows"] if "day" in row}
    june, july = rows["2024-06"], rows["2024-07"]
    assert data["rows"][-1]["label"] == str(broken)
    assert "no EO3 document" in data["rows"][-1]["gaps"][0]
    scores = [row["hot"]["score"] for row in data["rows"][:2]]
    assert scores == sorted(scores, reverse=True)
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
    assert made["Model"].startswith("unet-efficientnetb4-l2a-6b")
    assert made["Radiometric offset"].startswith("-1000 (")
    assert made["Grid"] == "300 x 360 pixels of 20 m, EPSG:32633"
    for name, kind in (("rgb", "webp"), ("ucl", "png"), ("scl", "png")):
        assert june["pictures"][name].startswith(f"data:image/{kind};base64,")
    text = path.read_text()
    assert not re.search(r'(src|href)="(?!data:)', text)
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "").replace("http-equiv", "")
    assert text.count("</script>") == 2


def test_a_verdict_outlives_the_pixels(masks: Path, tmp_path: Path) -> None:
    """A rejected mask that cannot be read any more is still rejected."""
    folder = Path(shutil.copytree(product(masks, "07"), tmp_path / "rejected"))
    reject(folder, "haze", "A. Reviewer")
    next(folder.glob("*_ucl.tif")).unlink()
    (row,) = read(page(tmp_path, tmp_path / "page.html"))["rows"]
    assert (row["state"], row["by"]) == ("rejected", "A. Reviewer")
    assert [each["note"] for each in row["verdicts"]] == ["haze"]
    assert len(row["gaps"]) == 1


def test_pictures_have_the_colours_of_the_classes(masks: Path) -> None:
    import io
    from base64 import b64decode

    from PIL import Image

    (mask,) = MaskProduct.find(product(masks, "06"))
    found = inspect_mask(mask)
    uri = pictures(found, 2)["ucl"]
    picture = np.asarray(Image.open(io.BytesIO(b64decode(uri.split(",")[1]))).convert("RGB"))
    assert picture.shape == (150, 180, 3)
    for c in (CloudClass.CLEAR, CloudClass.CLOUD, CloudClass.SHADOW):
        colour = [int(c.colour[i : i + 2], 16) for i in (1, 3, 5)]
        np.testing.assert_array_equal((picture == colour).all(axis=-1), found.ucl[::2, ::2] == c)


def test_block_means() -> None:
    picture = np.arange(5 * 4 * 3, dtype="float32").reshape(5, 4, 3)
    small = block_means(picture, 2)
    assert small.shape == (3, 2, 3)
    np.testing.assert_allclose(small[0, 0], picture[:2, :2].mean(axis=(0, 1)))
    np.testing.assert_allclose(block_means(picture, 1), picture)


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


def test_the_command_over_a_datacube(cube: Cube, run: Run, tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    config = cube.folder / CONFIG_NAME
    done = run("review", "page", "--time", "2024-06", "-o", out, "--title", "A & B", "-C", config)
    assert done.exit_code == 0, done.output
    assert re.search(r"page.html: \d\.\d MB", done.output)
    data = read(out)
    (row,) = data["rows"]
    assert row["id"] == row["target"] == str(cube.masks["june"].id)
    assert row["scl"] is not None
    assert data["command"] == f"cleansat review VERDICT -C {config}"
    assert "<h1>A &amp; B</h1>" in out.read_text()
    wrong = run("review", "page", cube.folder, "--time", "2024")
    assert wrong.exit_code == 2


def test_the_command_over_a_folder(masks: Path, run: Run, tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    done = run("review", "page", masks, "-o", out)
    assert done.exit_code == 0, done.output
    assert len(read(out)["rows"]) == 2


# --- in a browser ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not CHROMIUM.exists():
        pytest.skip(f"Chromium is not here ({CHROMIUM}); it is no dependency")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    options = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=str(CHROMIUM), args=options)
        yield browser
        browser.close()


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
    return page(masks, folder / "page.html")


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
    rows = read(written)["rows"]
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
    assert opened.locator("#shown").inner_text() == "1 of 3 masks"
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
    bar = opened.get_by_role("region", name="Chosen masks")
    assert "2 chosen" in bar.inner_text()
    bar.get_by_role("button", name="Choose none").click()
    assert bar.is_hidden()
    assert not any(box.is_checked() for box in opened.get_by_role("checkbox").all())


def test_the_chart_tells_its_values(opened: Page, written: Path) -> None:
    june = next(row for row in read(written)["rows"] if row.get("day", "").startswith("2024-06"))
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
