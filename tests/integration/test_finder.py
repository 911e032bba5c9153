"""The field of the page Troubleshooting finds pasted messages."""

from __future__ import annotations

import importlib.util
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from markdown import markdown
from playwright.sync_api import Page, sync_playwright

CHROMIUM = Path("/usr/bin/chromium")
SCRIPT = Path(__file__).parents[2] / "docs/assets/finder.js"
INDEX = """<!doctype html><table><tbody><tr><td>{}</td></tr></tbody></table>
<div id="finder"><input type="search"><ol></ol></div><script src="finder.js"></script>"""
MODELS = """<!doctype html><main><h1>Models and weights</h1><table><tbody>
<tr><td>there is no model <em>NAME</em>; there are …</td><td>take one of these</td></tr>
<tr><td>there is no verdict …; give one of …</td><td>give one of these</td></tr>
<tr><td>the stretch … is unknown; give one of …</td><td>give one of these</td></tr>
<tr><td><em>NAME</em> has to be one of …</td><td>give one of these</td></tr>
<tr><td>cannot read <em>PATH</em>: <em>REASON</em></td><td>look at the file</td></tr>
</tbody></table></main>"""


def opened_in_browser(folder: Path, pages: dict[str, str]) -> Iterator[Page]:
    """Serve pages, the index and the script, and yield the index in a browser."""
    if not CHROMIUM.exists():
        pytest.skip("Chromium is not here: apt-get install chromium")
    for name, text in pages.items():
        (folder / f"{name}.html").write_text(text, "utf-8")
    links = "".join(f'<a href="{name}.html">{name}</a>' for name in pages)
    (folder / "index.html").write_text(INDEX.format(links), "utf-8")
    (folder / "finder.js").write_bytes(SCRIPT.read_bytes())
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with sync_playwright() as started:
            options = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
            browser = started.chromium.launch(executable_path=str(CHROMIUM), args=options)
            opened = browser.new_page()
            opened.goto(f"http://127.0.0.1:{server.server_port}/index.html")
            yield opened
            browser.close()
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    yield from opened_in_browser(tmp_path, {"models": MODELS})


@pytest.fixture(scope="module")
def pages_of_messages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """Field above all messages of the package, as *Troubleshooting* has them."""
    spec = importlib.util.spec_from_file_location("messages", SCRIPT.parents[1] / "messages.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["messages"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    pages = {
        topic: f"<!doctype html><main>{markdown(text, extensions=['tables'])}</main>"
        for topic, text in module.pages().items()
    }
    yield from opened_in_browser(tmp_path_factory.mktemp("messages"), pages)


@pytest.mark.parametrize(
    ("message", "first"),
    [
        ("there is no model 'unet-mine'; there are unet-yours", "there is no model NAME"),
        ("there is no model 'unet-mine'. Did you mean one of these?", "there is no model NAME"),
        ("cannot read B02.tif: it is cut off", "cannot read PATH"),
    ],
)
def test_a_pasted_message_is_found(page: Page, message: str, first: str) -> None:
    page.fill("#finder input", message)
    line = page.locator("#finder li").first
    line.wait_for()
    assert f"Models and weights: {first}" in line.inner_text()
    assert line.locator("a").get_attribute("href", timeout=5000) == page.url.replace(
        "index", "models"
    )


def test_words_of_no_message_find_nothing(page: Page) -> None:
    page.fill("#finder input", "cannot read")
    page.locator("#finder li").first.wait_for()
    page.fill("#finder input", "zebra")
    page.locator("#finder li").first.wait_for(state="detached")


REMEMBERED = {
    "no such model unet-mine": "there is no model NAME",
    "no mask by this model": "there is no mask by the model",
    "scene lacks swir16": "the scene lacks",
    "cannot reach the datacube": "the datacube cannot be reached",
    "database not answering": "the database of the datacube does not answer",
    "metadata don't say if the offset applies": "the metadata does not say whether a radiometric offset applies",
    "scene has masks by several models": "there are masks of the same scene by several models",
    "no output grid": "no output grid follows from the query",
    "resolution too coarse for the model": "too coarse for NAME",
    "product has no datasets": "has no datasets yet",
    "scene is level 1C": "is of level 1C",
    "scene without coordinate system": "the scene has no coordinate system",
    "masks not by default model": "masks are not by the default model",
    "index has no product s2_l2a_ucl": "the index has no product",
    "worker died out of memory": "workers died while they made this mask",
    "bucket does not exist": "there is no bucket",
    "parquet file is not whole": "is no whole file of Parquet",
    "several files of band B02 in folder": "files of the band BAND",
    "none has 60 % clear pixels, lower min_clear": "the result has no times: none of SIZE has",
    "needs 40 GB memory": "GB of memory",
    "preset unknown": "there is no preset NAME",
    "no scene in area": "there is no scene in this area at this time",
    "label 'x' has no labels": "has no labels of the layout",
    "streamlit not installed": "is not installed",
    "the offset 0 looks wrong: no pixel is darker than 0.11": "no pixel is darker than a reflectance of DARK",
}
"""Messages as people remember them, and words of those that they mean."""


@pytest.mark.parametrize("remembered", REMEMBERED)
def test_a_message_that_is_remembered_loosely_comes_first(
    pages_of_messages: Page, remembered: str
) -> None:
    pages_of_messages.fill("#finder input", "")
    pages_of_messages.locator("#finder li").first.wait_for(state="detached")
    pages_of_messages.fill("#finder input", remembered)
    line = pages_of_messages.locator("#finder li").first
    line.wait_for(timeout=20_000)
    assert REMEMBERED[remembered] in line.inner_text()
