"""The review page as a server gives it: routes, doors, and what it does in a browser."""

from __future__ import annotations

import json
import re
import socket
import threading
from base64 import b64encode
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.testclient import TestClient

from odc_cleansat.products.verdict_files import reject, review_state, verdicts
from odc_cleansat.review import desk as desk_module
from odc_cleansat.review import serving
from odc_cleansat.review.collection import collect
from odc_cleansat.review.desk import Desk
from odc_cleansat.review.serving import TOKEN, mounted, review_app, review_routes
from unit.review.helpers import copies, inspected

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@pytest.fixture(scope="module")
def stored(masks: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty masks."""
    return copies(masks, tmp_path_factory.mktemp("served") / "masks", 30)


@pytest.fixture(scope="module")
def desk(stored: Path) -> Iterator[Desk]:
    found = collect(stored, None)
    with pytest.MonkeyPatch.context() as patch, Desk(lambda: found, fetch_scenes=True) as opened:
        patch.setattr(desk_module, "EVERY", 0)
        patch.setattr(desk_module, "SHARE", 1e9)
        opened.refresh()
        inspected(opened)
        yield opened


@pytest.fixture(autouse=True)
def _unreviewed(stored: Path) -> Iterator[None]:
    yield
    for file in stored.rglob("*.verdict.json"):
        file.unlink()


class Caller:
    """A browser that has opened the page."""

    def __init__(self, app: Starlette, prefix: str = "/") -> None:
        self.client = TestClient(app, "http://localhost:8502", raise_server_exceptions=False)
        self.prefix = prefix
        self.page = self.client.get(prefix).text
        (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', self.page, re.DOTALL)  # fmt: skip
        self.data = json.loads(text)
        self.ids = [row["id"] for row in self.data["rows"]]

    def say(
        self, content: Any = None, headers: dict[str, str] | None = None, **changed: Any
    ) -> Any:
        """Send a verdict as the page does, but for what is changed."""
        document = {"verdict": "accept", "note": "", "by": "me", "masks": self.ids[:1], **changed}
        sent = {"content-type": "application/json", "sec-fetch-site": "same-origin",
                TOKEN: self.data["served"]["token"], **(headers or {})}  # fmt: skip
        sent = {name: value for name, value in sent.items() if value}
        content = json.dumps(document) if content is None else content
        return self.client.post(f"{self.prefix}verdicts", content=content, headers=sent)


@pytest.fixture
def caller(desk: Desk) -> Caller:
    return Caller(review_app(["localhost"], review_routes(desk, suggested="somebody")))


def test_the_page_holds_all_and_no_place(caller: Caller, stored: Path) -> None:
    assert len(caller.ids) == 30
    assert caller.data["served"].keys() == {
        "by", "suggested", "token", "version", "waiting", "every", "longest",
    }  # fmt: skip
    assert caller.data["served"]["suggested"] == "somebody"
    assert str(stored.parent) not in caller.page
    assert "cleansat review VERDICT" not in caller.page


def test_what_the_page_may_do(caller: Caller) -> None:
    answer = caller.client.get("/")
    policy = dict(each.split(" ", 1) for each in answer.headers["content-security-policy"].split("; "))  # fmt: skip
    assert policy["default-src"] == "'none'"
    assert policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == "'self'"
    (script,) = re.findall(r"<script>(.*?)</script>", answer.text, re.DOTALL)
    assert policy["script-src"] == f"'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'"  # fmt: skip
    for path in ("/", "/states", f"/masks/{caller.ids[0]}/ucl", "/masks/x", "/verdicts"):
        headers = caller.client.get(path).headers
        if path not in ("/masks/x", "/verdicts"):
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["referrer-policy"] == "no-referrer"
        assert "server" not in headers


def test_a_verdict_is_written_and_told(caller: Caller, desk: Desk) -> None:
    version = caller.data["served"]["version"]
    said = caller.say(masks=caller.ids[:2], note="fine")
    assert said.status_code == 200
    assert [each["state"] for each in said.json()["reviews"].values()] == ["accepted"] * 2
    seen = caller.client.get(f"/states?since={version}").json()
    assert set(seen["reviews"]) == set(caller.ids[:2])
    products = desk._source().products
    (first,) = (each for each in products if str(each.id) == caller.ids[0])
    (written,) = verdicts(str(first.folder))
    assert (written.verdict, written.by, written.note) == ("accept", "me", "fine")
    undone = caller.say(masks=caller.ids[:2], verdict="withdraw").json()
    assert [each["state"] for each in undone["reviews"].values()] == ["unreviewed"] * 2


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({TOKEN: ""}, 403),
        ({TOKEN: "0" * 64}, 403),
        ({TOKEN: "ü"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"sec-fetch-site": "none"}, 403),
        ({"sec-fetch-site": ""}, 403),
        ({"sec-fetch-site": "", "origin": "http://evil.example"}, 403),
        ({"sec-fetch-site": "", "origin": "null"}, 403),
        ({"sec-fetch-site": "", "origin": "http://localhost:8502"}, 200),
        ({"host": "evil.example"}, 400),
        ({"content-type": "text/plain"}, 415),
        ({"content-type": "application/json; charset=utf-8"}, 200),
    ],
)
def test_only_the_page_itself_can_write(
    caller: Caller, stored: Path, headers: dict[str, Any], status: int
) -> None:
    sent = {
        name: value.encode() if not value.isascii() else value for name, value in headers.items()
    }
    answer = caller.say(headers=sent)
    assert answer.status_code == status
    assert bool(list(stored.rglob("*.verdict.json"))) == (status == 200)


@pytest.mark.parametrize(
    ("document", "status", "words"),
    [
        ({"content": "{"}, 400, "no JSON"),
        ({"content": "[" * 100_000}, 400, "no JSON"),
        ({"content": "[]"}, 400, "no JSON object"),
        ({"content": b"\xff"}, 400, "no JSON"),
        ({"content": " " * 1_000_001}, 413, "choose fewer masks"),
        ({"verdict": "_give"}, 400, "There is no verdict '_give'"),
        ({"verdict": ["accept"]}, 400, "Verdict is no text"),
        ({"note": 5}, 400, "Note is no text"),
        ({"note": "x" * 2001}, 400, "The note has 2001 characters; 2000 are allowed"),
        ({"by": " "}, 400, "Nobody's name was given; say who you are"),
        ({"verdict": "flag"}, 400, "A flag is a remark"),
        ({"masks": []}, 400, "No mask was named"),
        ({"masks": "../../etc"}, 400, "No mask was named"),
        ({"masks": ["../../etc/passwd"]}, 400, "named by their ids"),
        ({"masks": [5]}, 400, "named by their ids"),
    ],
)
def test_what_is_no_verdict(
    caller: Caller, stored: Path, document: dict[str, Any], status: int, words: str
) -> None:
    answer = caller.say(**document)
    assert answer.status_code == status
    assert words in answer.json()["error"]
    assert not list(stored.rglob("*.verdict.json"))


def test_masks_are_named_by_ids_only(caller: Caller) -> None:
    for path in ("/masks/..%2f..%2fetc/ucl", "/masks/etc/swipe", "/masks//ucl"):
        assert caller.client.get(path).status_code == 404
    unknown = "00000000-0000-0000-0000-00000000ffff"
    for path in (
        f"/masks/{unknown}/ucl",
        f"/masks/{caller.ids[0]}/secret",
        f"/masks/{unknown}/swipe",
    ):
        answer = caller.client.get(path)
        assert answer.status_code == 404
        assert answer.json()["error"]
    said = caller.say(masks=[unknown]).json()
    assert "not among those that are served" in said["failed"][unknown]
    assert caller.client.get("/states?since=x").status_code == 400


def test_pictures_and_the_viewer(caller: Caller) -> None:
    picture = caller.client.get(f"/masks/{caller.ids[0]}/rgb")
    assert picture.headers["content-type"] == "image/webp"
    page = caller.client.get(f"/masks/{caller.ids[0]}/swipe")
    assert "sha256-" in page.headers["content-security-policy"]
    assert "Confidence" in page.text


def test_what_nobody_expects_is_told_without_a_traceback(
    caller: Caller, desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a secret of /the/machine")

    monkeypatch.setattr(desk, "give", broken)
    monkeypatch.setattr(desk, "swipe", broken)
    answer = caller.say()
    assert answer.status_code == 500
    assert answer.json() == {"error": "Something went wrong that nobody expected; the log of the server says what."}  # fmt: skip
    page = caller.client.get(f"/masks/{caller.ids[0]}/swipe", headers={"accept": "text/html"})
    assert page.status_code == 500
    assert "<h1>Something went wrong" in page.text
    assert "secret" not in page.text + answer.text
    assert "a secret of" in caplog.text

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", "/the/machine/disk")

    monkeypatch.setattr(desk, "give", full)
    assert caller.say().json() == {"error": "[Errno 28] No space left on device: disk"}


def test_mounted_by_an_application_that_knows_who_it_is(desk: Desk) -> None:
    name: list[str | None] = ["A. Name"]
    routes = review_routes(desk, lambda request: name[0], title="Ours")
    app = Starlette(routes=mounted("/a/review", routes))
    caller = Caller(app, "/a/review/")
    assert str(caller.client.get("/a/review").url) == "http://localhost:8502/a/review/"
    assert caller.data["served"]["by"] == "A. Name"
    assert "<h1>Ours</h1>" in caller.page
    assert not re.search(r'(src|href)="/', caller.page)
    said = caller.say(by="somebody else").json()
    assert [review["by"] for review in said["reviews"].values()] == ["A. Name"]
    name[0] = "B. Name"  # the page of another person
    assert caller.say().status_code == 403
    name[0] = None
    for path in ("", "states", f"masks/{caller.ids[0]}/ucl", f"masks/{caller.ids[0]}/swipe"):
        answer = caller.client.get(f"/a/review/{path}")
        assert answer.status_code == 401
        assert answer.json()["error"].startswith("Nobody is signed in")
    assert caller.say().status_code == 401


# In a browser


@pytest.fixture(scope="module")
def address(desk: Desk) -> Iterator[str]:
    """A server that listens."""
    with pytest.MonkeyPatch.context() as patch, socket.create_server(("127.0.0.1", 0)) as listening:
        patch.setattr(serving, "EVERY", 0.1)
        app = review_app(["127.0.0.1"], review_routes(desk))
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
        server.should_exit = True
        thread.join()


@pytest.fixture
def opened(browser: Browser, address: str) -> Iterator[Page]:
    """The page at the width of a desk; it may ask nobody else and complain of nothing."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(30_000)
    context.add_init_script("localStorage.setItem('cleansat-name', 'A. Name')")
    tab = context.new_page()
    problems: list[str] = []
    tab.on("pageerror", lambda error: problems.append(str(error)))
    tab.on("console", lambda said: problems.append(said.text) if said.type in ("error", "warning") else None)  # fmt: skip
    tab.on("request", lambda request: problems.append(request.url) if not request.url.startswith((address, "data:")) else None)  # fmt: skip
    tab.goto(address)
    yield tab
    context.close()
    assert problems == []


def states(stored: Path) -> list[str]:
    return [review_state(verdicts(each.parent)) for each in sorted(stored.rglob("*.odc-metadata.yaml"))]  # fmt: skip


def left(tab: Page, count: int) -> None:
    """Wait until so many are not judged and nothing is being written."""
    tab.locator("#acts", has_text=f"{count} of 30 unreviewed").wait_for()
    tab.locator("tr.mask", has_text="… writing").first.wait_for(state="detached")


def test_thirty_verdicts_are_thirty_keys(opened: Page, stored: Path) -> None:
    order = opened.locator("tr.mask").evaluate_all("all => all.map((each) => each.id)")
    assert opened.locator("tr.mask.current").get_attribute("id") == order[0]
    for i in range(30):
        opened.keyboard.press("r" if i % 3 == 0 else "a")
    left(opened, 0)
    said = states(stored)
    assert (said.count("accepted"), said.count("rejected")) == (20, 10)
    opened.keyboard.press("u")
    left(opened, 1)
    opened.keyboard.press("u")
    left(opened, 2)
    assert states(stored).count("unreviewed") == 2
    assert opened.locator("tr.mask.current").get_attribute("id") == order[28]
    history = opened.locator("tr.details .withdrawn")
    assert "accept by A. Name" in history.inner_text()
    assert "Withdrawn" in opened.locator("#said").inner_text()


def test_all_are_chosen_and_judged_together(opened: Page, stored: Path) -> None:
    opened.keyboard.press("Shift+X")
    bar = opened.get_by_role("region", name="Verdict")
    assert "30 chosen" in bar.inner_text()
    opened.keyboard.press("Escape")
    assert "chosen" not in bar.inner_text()
    opened.get_by_role("button", name="Choose all shown").click()
    opened.get_by_role("checkbox").nth(1).press("Space")
    bar.get_by_role("button", name="Accept").click()
    left(opened, 1)
    assert states(stored).count("accepted") == 29
    opened.keyboard.press("u")
    left(opened, 30)


def test_a_flag_has_a_note(opened: Page, stored: Path) -> None:
    opened.keyboard.press("f")
    asked = opened.get_by_role("dialog")
    asked.get_by_role("button", name="Flag").click()
    assert "write what it is about" in asked.get_by_role("alert").inner_text()
    opened.keyboard.type("haze, or a <b>?")  # its letters are no keys
    opened.keyboard.press("Enter")
    asked.wait_for(state="hidden")
    opened.locator("#said", has_text="Flagged").wait_for()
    opened.locator("tr.mask", has_text="1 remark").get_by_role("button", name="Details").click()
    assert "flag by A. Name: haze, or a <b>?" in opened.locator("tr.details", has_text="haze").inner_text()  # fmt: skip
    opened.keyboard.press("Shift+R")
    opened.keyboard.press("Escape")
    asked.wait_for(state="hidden")
    assert states(stored) == ["unreviewed"] * 30


def test_keys_walk_and_help(opened: Page) -> None:
    order = opened.locator("tr.mask").evaluate_all("all => all.map((each) => each.id)")
    for key, at in (("n", 1), ("ArrowRight", 2), ("p", 1), ("ArrowLeft", 0), ("p", 0)):
        opened.keyboard.press(key)
        assert opened.locator("tr.mask.current").get_attribute("id") == order[at]
    assert opened.locator("tr.details").count() == 1  # they go along
    opened.keyboard.press("d")
    assert opened.locator("tr.details").count() == 0
    for key in ("/", "?"):
        opened.keyboard.press(key)
        assert "accept or reject with a note" in opened.get_by_role("dialog").inner_text()
        opened.keyboard.press("a")  # not while help is read
        opened.keyboard.press("Escape")
    opened.keyboard.press("?")
    opened.get_by_label("Keys are on").uncheck()
    opened.get_by_role("button", name="Close").click()
    opened.keyboard.press("a")
    left(opened, 30)


def test_what_others_say_appears_and_who_is_asked(
    opened: Page, browser: Browser, address: str, desk: Desk, stored: Path
) -> None:
    other = browser.new_page()
    other.goto(address)
    other.keyboard.press("r")
    other.get_by_role("dialog").get_by_role("button", name="Reject").click()
    assert "Say who you are" in other.get_by_role("alert").inner_text()
    other.get_by_role("dialog").get_by_label("Your name").fill("B")
    other.keyboard.press("Enter")
    left(other, 29)
    left(opened, 29)
    assert "B, 20" in opened.locator("tr.mask", has_text="rejected").inner_text()
    other.close()
    reject(next(stored.rglob("*.odc-metadata.yaml")).parent, by="C")
    opened.locator("tr.mask", has_text="C, 20").wait_for()


def test_the_address_names_the_mask(opened: Page, browser: Browser) -> None:
    opened.keyboard.press("n")
    opened.keyboard.press("n")
    name = opened.locator("tr.mask.current").get_attribute("id")
    other = browser.new_page()
    other.goto(opened.url)
    assert other.locator("tr.mask.current").get_attribute("id") == name
    assert other.locator("tr.mask.current + tr.details").is_visible()
    other.close()


def test_a_click_counts_although_its_row_is_news(opened: Page, stored: Path) -> None:
    opened.get_by_text("still to be looked at").wait_for(state="hidden")
    opened.keyboard.press("n")
    row = opened.locator("tr.mask.current")
    name = opened.evaluate("location.hash.slice(1)")
    folder = next(each.parent for each in stored.rglob("*.odc-metadata.yaml") if name in each.read_text())  # fmt: skip
    row.get_by_role("button", name="Details").hover()
    opened.mouse.down()
    reject(folder, by="C")
    opened.wait_for_timeout(1000)  # the page asks ten times a second
    opened.mouse.up()
    opened.locator("tr.details").wait_for(state="detached")
    opened.locator("tr.mask", has_text="C, 20").wait_for()


def test_the_viewer_opens_beside_the_page(opened: Page) -> None:
    with opened.context.expect_page() as found:
        opened.locator("tr.mask.current").get_by_role("link", name="Swipe").click()
    found.value.get_by_role("heading", name="Confidence, percent").wait_for()
    assert opened.locator("tr.mask.current").count() == 1


@pytest.mark.parametrize("width", [1280, 390])
def test_it_fits_the_width(opened: Page, width: int) -> None:
    opened.set_viewport_size({"width": width, "height": 844})
    opened.reload()
    assert opened.evaluate("document.documentElement.scrollWidth") <= width
    accept = opened.get_by_role("region", name="Verdict").get_by_role("button", name="Accept")
    current = opened.locator("tr.mask.current")
    for judged in range(3):
        box, bar = current.bounding_box(), accept.bounding_box()
        assert box
        assert bar
        assert -1 < box["y"] < bar["y"] < 844  # what is judged is seen
        assert bar["height"] >= 36
        accept.click()
        left(opened, 29 - judged)
    assert opened.evaluate("document.documentElement.scrollWidth") <= width


def test_a_server_that_is_gone_is_told(browser: Browser, desk: Desk) -> None:
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(review_app(["127.0.0.1"], review_routes(desk, lambda _: "A. Name")), log_level="error", lifespan="off"))  # fmt: skip
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    tab = browser.new_page()
    tab.goto(f"http://127.0.0.1:{listening.getsockname()[1]}/")
    server.should_exit = True
    thread.join()
    listening.close()
    tab.keyboard.press("a")
    trouble = tab.locator("#said.trouble")
    trouble.wait_for()
    assert "the server does not answer. Is it still running?" in trouble.inner_text()
    left(tab, 30)
    assert tab.get_by_role("button", name="Undo").is_disabled()
    tab.close()
