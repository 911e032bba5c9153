"""The field of the page Troubleshooting finds pasted messages."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Page, sync_playwright

CHROMIUM = Path("/usr/bin/chromium")
SCRIPT = Path(__file__).parents[2] / "docs/assets/finder.js"
TOPICS = """<!doctype html><table><tbody><tr><td><a href="models.html">Models</a></td></tr></tbody></table>
<div id="finder"><input type="search"><ol></ol></div><script src="finder.js"></script>"""
MODELS = """<!doctype html><main><h1>Models and weights</h1><table><tbody>
<tr><td>there is no model <em>NAME</em>; there are …</td><td>take one of these</td></tr>
<tr><td>there is no verdict …; give one of …</td><td>give one of these</td></tr>
<tr><td>the stretch … is unknown; give one of …</td><td>give one of these</td></tr>
<tr><td><em>NAME</em> has to be one of …</td><td>give one of these</td></tr>
<tr><td>cannot read <em>PATH</em>: <em>REASON</em></td><td>look at the file</td></tr>
</tbody></table></main>"""


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    if not CHROMIUM.exists():
        pytest.skip("Chromium is not here: apt-get install chromium")
    (tmp_path / "index.html").write_text(TOPICS, "utf-8")
    (tmp_path / "models.html").write_text(MODELS, "utf-8")
    (tmp_path / "finder.js").write_bytes(SCRIPT.read_bytes())
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
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
