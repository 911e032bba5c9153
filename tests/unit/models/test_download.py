"""Downloads over good and bad lines."""

from __future__ import annotations

import os
import re
import time
from dataclasses import replace
from pathlib import Path

import pytest

from odc_cleansat import get_model
from odc_cleansat.errors import ModelError, SceneError
from odc_cleansat.models import download
from odc_cleansat.models.weights import fetch_weights, weights_path
from unit.models.weights_server import CONTENT, SHA256, Server, remote

pytestmark = pytest.mark.usefixtures("folder")


@pytest.mark.parametrize("fault", ["cut", "stall"])
def test_a_broken_download_goes_on_where_it_broke_off(server: Server, fault: str) -> None:
    server.faults["/some/net.pt"] = [fault]
    assert weights_path(remote(server)).read_bytes() == CONTENT
    (_, first), (_, second) = server.asked
    assert "Range" not in first
    start = int(second["Range"].removeprefix("bytes=").removesuffix("-"))
    assert 0 < start <= len(CONTENT) // 2


def test_another_process_goes_on_where_one_broke_off(server: Server, folder: Path) -> None:
    server.faults["/some/net.pt"] = ["cut"] * download.ATTEMPTS
    model = remote(server)
    with pytest.raises(ModelError, match=r"the line broke .*goes on from where it"):
        fetch_weights(model, progress=False)
    part = folder / "net-1" / ".net.pt.part"
    here = part.stat().st_size
    assert len(CONTENT) / 2 < here < len(CONTENT)
    server.asked.clear()
    fetch_weights(model, progress=False)
    assert [headers["Range"] for _, headers in server.asked] == [f"bytes={here}-"]
    assert weights_path(model).read_bytes() == CONTENT
    assert sorted(p.name for p in part.parent.iterdir() if p.suffix != ".lock") == ["net.pt"]


def test_a_slow_line_is_no_broken_one(server: Server) -> None:
    server.faults["/some/net.pt"] = ["slow"]
    fetch_weights(remote(server), progress=False)
    assert len(server.asked) == 1


def test_silence_is_given_up(server: Server) -> None:
    server.faults["/some/net.pt"] = ["stall"] * download.ATTEMPTS
    before = time.monotonic()
    with pytest.raises(ModelError, match="no answer in time"):
        fetch_weights(remote(server), progress=False)
    assert time.monotonic() - before < 10


def test_a_server_without_ranges_sends_all_again(server: Server) -> None:
    server.ranges = False
    server.faults["/some/net.pt"] = ["cut"]
    assert weights_path(remote(server)).read_bytes() == CONTENT
    assert "Range" in server.asked[1][1]


@pytest.mark.parametrize("sha256", [SHA256, ""], ids=["known", "unknown"])
def test_halves_of_two_versions_are_never_joined(server: Server, sha256: str) -> None:
    old = os.urandom(len(CONTENT))
    server.files["/some/net.pt"] = old
    server.faults["/some/net.pt"] = ["cut"] * download.ATTEMPTS
    with pytest.raises(ModelError, match="the line broke"):
        fetch_weights(remote(server, sha256), progress=False)
    server.files["/some/net.pt"] = CONTENT
    assert weights_path(remote(server, sha256)).read_bytes() == CONTENT


def test_a_part_longer_than_the_file_is_dropped(server: Server, folder: Path) -> None:
    part = folder / "net-1" / ".net.pt.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(bytes(len(CONTENT) + 1))
    assert weights_path(remote(server)).read_bytes() == CONTENT


def test_passing_troubles_of_the_server_are_waited_out(server: Server) -> None:
    server.faults["/some/net.pt"] = [500, 503, 429]
    assert weights_path(remote(server)).read_bytes() == CONTENT
    assert len(server.asked) == 4


@pytest.mark.parametrize(
    ("status", "words"),
    [(404, "moved or removed"), (401, "HF_TOKEN"), (403, "HF_TOKEN"), (410, "moved or removed")],
)
def test_lasting_troubles_are_not(server: Server, status: int, words: str) -> None:
    server.faults["/some/net.pt"] = [status] * 9
    with pytest.raises(ModelError, match=rf"{status}.*{words}"):
        fetch_weights(remote(server), progress=False)
    assert len(server.asked) == 1


def test_tries_are_counted(server: Server) -> None:
    server.faults["/some/net.pt"] = [500] * 9
    with pytest.raises(ModelError, match=rf"500 .*\({download.ATTEMPTS} tries\)"):
        fetch_weights(remote(server), progress=False)
    assert len(server.asked) == download.ATTEMPTS


def test_a_page_that_asks_to_log_in_is_no_weights(server: Server) -> None:
    server.faults["/some/net.pt"] = ["page"]
    with pytest.raises(ModelError, match="a web page and no weights"):
        fetch_weights(remote(server, sha256=""), progress=False)


def test_nobody_listens() -> None:
    model = replace(get_model(), weights="http://127.0.0.1:9/net.pt", name="net")
    with pytest.raises(ModelError, match=r"cannot fetch http://127\.0\.0\.1:9/net\.pt: .*refused"):
        fetch_weights(model, progress=False)


def test_messages_show_no_login_and_no_key(server: Server) -> None:
    """Messages are sent to colleagues and put into bug reports."""
    place = server.url.removeprefix("http://")
    address = f"http://me:hunter2@{place}/some/net.pt?sig=s3cr3t%2Fx&v=2"
    server.faults["/some/net.pt?sig=s3cr3t%2Fx&v=2"] = [404]
    with pytest.raises(ModelError, match="answers 404") as caught:
        fetch_weights(remote(server, weights=address), progress=False)
    assert f"http://***@{place}/some/net.pt?***&v=2" in str(caught.value)
    for text in ("s3://b/key=1/a@b.tif", "write to a@b.org", "s3://bucket/x?versionId=3"):
        assert str(ModelError(text)) == text
    for secret in ("X-Amz-Signature=abc", "access_token=abc", "SIG=abc"):
        assert str(SceneError(f"no {address[:30]}?page=1&{secret} there")).endswith(
            "?page=1&*** there"
        )


def test_redirects_are_followed(server: Server) -> None:
    server.redirects["/some/net.pt"] = "/elsewhere"
    server.files["/elsewhere"] = CONTENT
    server.faults["/elsewhere"] = ["cut"]
    assert weights_path(remote(server)).read_bytes() == CONTENT
    assert server.paths() == ["/some/net.pt", "/elsewhere"] * 2
    assert "Range" in server.asked[-1][1]


def test_redirects_in_a_circle_are_not(server: Server) -> None:
    server.redirects["/some/net.pt"] = "/some/net.pt"
    with pytest.raises(ModelError, match="30 redirects"):
        fetch_weights(remote(server), progress=False)


@pytest.mark.parametrize(
    "way", [["http://b.example/n"], ["http://b.example/n", "https://c.example/n"]]
)
def test_no_step_of_a_redirect_may_be_open(way: list[str], tmp_path: Path) -> None:
    from requests import Response

    def answer(status: int, url: str) -> Response:
        response = Response()
        response.status_code, response.url = status, url
        return response

    start = "https://a.example/n"
    *steps, last = [start, *way]
    final = answer(200, last)
    final.history = [answer(302, step) for step in steps]
    with pytest.raises(ModelError, match=r"leads to http://b\.example/n, which is not encrypted"):
        download._check_response(start, final, tmp_path / "part")
    final.history = [answer(302, start), answer(302, "http://localhost/n")]
    final.url = "https://c.example/n"
    download._check_response(start, final, tmp_path / "part")


def test_the_bar_goes_to_the_end(server: Server, capfd: pytest.CaptureFixture[str]) -> None:
    server.faults["/some/net.pt"] = ["cut", "slow"]
    fetch_weights(remote(server), progress=True)
    out, err = capfd.readouterr()
    assert not out
    assert re.search(r"net\.pt: +\d+%", err)


def test_a_corrupt_beginning_is_fetched_again(server: Server, folder: Path) -> None:
    model = remote(server)
    server.faults["/some/net.pt"] = ["cut"] * download.ATTEMPTS
    with pytest.raises(ModelError, match="the line broke"):
        fetch_weights(model, progress=False)
    part = folder / "net-1" / ".net.pt.part"
    part.write_bytes(bytes(part.stat().st_size))
    assert weights_path(model).read_bytes() == CONTENT
