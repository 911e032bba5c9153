"""What a server of reviews knows and writes."""

from __future__ import annotations

import errno
import json
import shutil
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from s3_server import Proxy, client

from odc_cleansat.errors import CleansatError, SceneError
from odc_cleansat.products.verdict_files import SUFFIX, accept, reject, review_state, verdicts
from odc_cleansat.review import desk as desk_module
from odc_cleansat.review.collection import Collection, Unreadable, collect
from odc_cleansat.review.desk import LONGEST_NOTE, Desk, UnknownMaskError
from odc_cleansat.storage.folder import Folder
from unit.review.helpers import copies, inspected, product


@pytest.fixture
def stored(masks: Path, tmp_path: Path) -> Path:
    """Three masks."""
    return copies(masks, tmp_path / "my masks", 3)


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Verdicts are read at each refresh."""
    monkeypatch.setattr(desk_module, "EVERY", 0)
    monkeypatch.setattr(desk_module, "SHARE", 1e9)


@pytest.fixture
def desk(stored: Path) -> Iterator[Desk]:
    found = collect(stored, None)
    with Desk(lambda: found, fetch_scenes=True) as opened:
        opened.refresh()
        yield opened


def ids(desk: Desk) -> list[uuid.UUID]:
    return [uuid.UUID(row["id"]) for row in desk.since(0)["rows"]]


def folder_of(stored: Path, mask: uuid.UUID) -> Path:
    (document,) = (path for path in stored.rglob("*.odc-metadata.yaml") if str(mask) in path.read_text())  # fmt: skip
    return document.parent


def test_masks_are_inspected_in_the_background(desk: Desk, stored: Path) -> None:
    first = desk.since(0)
    assert len(first["rows"]) == 3
    assert all(row["state"] == "unreviewed" for row in first["rows"])
    whole = inspected(desk)
    for row in whole["rows"]:
        assert row["doubt"]["score"] is not None
        assert row["pictures"] == {
            name: f"masks/{row['id']}/{name}" for name in ("rgb", "ucl", "scl")
        }
        assert "target" not in row
        assert "Where" not in dict(row["made"])
    assert str(stored.parent) not in json.dumps(whole)
    assert desk.since(whole["version"])["rows"] == []
    assert len(desk.since(whole["version"] + 1000)["rows"]) == 3  # of a server before this one


def test_pictures_are_made_anew_if_they_were_not_kept(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    inspected(desk)
    mask = ids(desk)[0]
    kept = {name: desk.picture(mask, name) for name in ("rgb", "ucl", "scl")}
    assert [kind for _, kind in kept.values()] == ["image/webp", "image/png", "image/png"]
    assert kept["ucl"][0].startswith(b"\x89PNG")
    monkeypatch.setattr(desk_module, "PICTURES", 10)
    desk._pictures.clear()
    assert {name: desk.picture(mask, name) for name in kept} == kept
    assert not desk._pictures
    with pytest.raises(UnknownMaskError, match="no such picture"):
        desk.picture(mask, "etc")
    with pytest.raises(UnknownMaskError, match="not among those that are served"):
        desk.picture(uuid.uuid4(), "rgb")


def test_verdicts_are_files_beside_the_masks(desk: Desk, stored: Path) -> None:
    one, two, three = ids(desk)
    said = desk.give("accept", [one, two, one], " fine ", " A. Name ")
    assert said["failed"] == {}
    assert {mask: each["state"] for mask, each in said["reviews"].items()} == {
        str(one): "accepted", str(two): "accepted",
    }  # fmt: skip
    (written,) = verdicts(folder_of(stored, one))
    assert (written.verdict, written.note, written.by) == ("accept", "fine", "A. Name")
    assert verdicts(folder_of(stored, three)) == []
    desk.give("flag", [three], "two\nlines\x1b[2J\u202e", "A. Name")
    assert verdicts(folder_of(stored, three))[0].note == "two\nlines [2J"
    undone = desk.give("withdraw", [one], "", "A. Name")
    review = undone["reviews"][str(one)]
    assert review["state"] == "unreviewed"
    assert [(v["verdict"], v["stands"]) for v in review["verdicts"]] == [
        ("withdraw", False), ("accept", False),
    ]  # fmt: skip
    assert review_state(verdicts(folder_of(stored, one))) == "unreviewed"
    again = desk.give("withdraw", [one, two], "", "B")
    assert "no verdict by 'B'" in again["failed"][str(one)]
    assert again["reviews"][str(two)]["state"] == "accepted"


def test_what_others_say_is_seen_at_the_next_refresh(desk: Desk, stored: Path) -> None:
    inspected(desk)
    one, two, _ = ids(desk)
    version = desk.since(0)["version"]
    reject(folder_of(stored, one), "smoke", "B")
    assert desk.since(version)["reviews"] == {}
    desk.refresh()
    seen = desk.since(version)
    assert {mask: review["state"] for mask, review in seen["reviews"].items()} == {str(one): "rejected"}  # fmt: skip
    accept(folder_of(stored, two), by="B")
    desk._due = time.monotonic() + 100
    desk.refresh()  # not yet
    assert desk.since(seen["version"])["reviews"] == {}
    desk._due = 0
    with desk._reading:
        desk.refresh()  # another one is at it
    assert desk.since(seen["version"])["reviews"] == {}


@pytest.mark.parametrize(
    ("kind", "note", "by", "words"),
    [
        ("delete", "", "me", "there is no verdict 'delete'; give one of accept, reject"),
        ("accept", "", "  ", "nobody's name was given"),
        ("accept", "", "a\nb", "that is no name"),
        ("accept", "", "x" * 101, "at most 100 characters"),
        ("reject", "x" * (LONGEST_NOTE + 1), "me", "the note has 2001 characters; 2000 are allowed"),
        ("flag", "  ", "me", "a flag is a remark"),
    ],
)  # fmt: skip
def test_what_cannot_be_taken(
    desk: Desk, stored: Path, kind: str, note: str, by: str, words: str
) -> None:
    with pytest.raises(CleansatError, match=words):
        desk.give(kind, ids(desk), note, by)
    assert not list(stored.rglob(f"*{SUFFIX}"))


def test_one_mask_that_fails_stops_no_other(
    desk: Desk, stored: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone, locked, fine = ids(desk)
    shutil.rmtree(folder_of(stored, gone))
    place, unknown = folder_of(stored, locked), uuid.uuid4()
    write = Folder.write

    def denied(folder: Folder, name: str, *more: Any) -> Any:
        if folder.path == place:
            raise PermissionError(errno.EACCES, "Permission denied", str(place / name))
        return write(folder, name, *more)

    monkeypatch.setattr(Folder, "write", denied)
    said = desk.give("accept", [gone, locked, fine, unknown], "", "me")
    assert list(said["failed"]) == [str(gone), str(locked), str(unknown)]
    assert "are not there any more" in said["failed"][str(gone)]
    assert "Permission denied. Verdicts are kept with the masks" in said["failed"][str(locked)]
    assert "not among those that are served any more" in said["failed"][str(unknown)]
    assert said["reviews"][str(fine)]["state"] == "accepted"
    assert str(stored.parent) not in json.dumps(said)
    assert not place.parent.joinpath(gone.hex).exists()


@pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)
def test_masks_in_a_store(masks: Path, bucket: str, moto: int, proxy: Proxy) -> None:
    source = product(masks, "06")
    for path in source.iterdir():
        client(moto).upload_file(str(path), bucket, f"masks/one/{path.name}")
    found = collect(f"s3://{bucket}/masks", None)
    with Desk(lambda: found) as desk:
        desk.refresh()
        inspected(desk)
        (mask,) = ids(desk)
        assert desk.picture(mask, "ucl")[1] == "image/png"
        said = desk.give("accept", [mask], "", "me")
        assert said["reviews"][str(mask)]["state"] == "accepted"
        assert [each.by for each in verdicts(f"s3://{bucket}/masks/one")] == ["me"]
        proxy.fail("deny", method="PUT")
        failed = desk.give("reject", [mask], "", "me")
        assert "no permission; check the credentials" in failed["failed"][str(mask)]
        proxy.fail("deny")
        desk.refresh()
        (row,) = desk.since(0)["rows"]
        assert row["state"] == "accepted"
        assert row["unread"]
        shown = json.dumps([said, failed, desk.since(0)])
        for place in (f"s3://{bucket}", proxy.url, bucket + "/", "secret"):
            assert place not in shown


def test_verdicts_that_cannot_be_read_leave_what_was_known(desk: Desk, stored: Path) -> None:
    inspected(desk)
    mask = ids(desk)[0]
    desk.give("reject", [mask], "", "me")
    (file,) = folder_of(stored, mask).glob(f"*{SUFFIX}")
    file.write_text("{")
    desk.refresh()
    (row,) = (row for row in desk.since(0)["rows"] if row["id"] == str(mask))
    assert row["state"] == "rejected"
    assert "cannot be read as a verdict" in row["unread"]
    assert str(stored.parent) not in row["unread"]


def test_masks_come_and_go(stored: Path) -> None:
    whole = collect(stored, None)
    some = [Collection(whole.products[:2], (Unreadable("/there/x y/z", "it is broken"),))]
    with Desk(lambda: some[0]) as desk:
        desk.refresh()
        found = desk.since(0)
        assert [row["label"] for row in found["rows"]][2:] == ["z"]
        assert "id" not in found["rows"][2]
        some[0] = Collection(whole.products[1:], ())
        desk.refresh()
        new = desk.since(found["version"])
        assert str(whole.products[2].id) in [row["id"] for row in new["rows"]]
        said = desk.give("accept", [whole.products[0].id], "", "me")
        assert said == {"reviews": {}, "failed": {str(whole.products[0].id): desk_module.GONE}}


def test_a_mask_that_breaks_the_inspection_has_a_row(
    stored: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("nobody expects this")

    monkeypatch.setattr(desk_module, "mask_row", broken)
    found = collect(stored, None)
    with Desk(lambda: found, fetch_scenes=True) as desk:
        desk.refresh()
        for row in inspected(desk)["rows"]:
            assert row["gaps"] == ["it cannot be inspected; the log says why"]
    assert "nobody expects this" in caplog.text


def test_a_page_to_swipe(desk: Desk, stored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mask = ids(desk)[0]
    page = desk.swipe(mask)
    for name in ("SCL (simulated)", "Confidence"):
        assert name in page
    assert str(stored.parent) not in page
    monkeypatch.setattr(desk_module, "mask_dataset", None)
    assert desk.swipe(mask) is page  # kept
    with pytest.raises(UnknownMaskError):
        desk.swipe(uuid.uuid4())


def test_scenes_are_opened_where_the_user_has_them(stored: Path) -> None:
    """Elsewhere only if the user says so, and what to do is told in the words of whoever serves."""
    found = collect(next(stored.iterdir()), None)
    with Desk(
        lambda: found, words=lambda text: text.replace("fetch_scenes=True", "--fetch")
    ) as desk:
        desk.refresh()
        (row,) = inspected(desk)["rows"]
        assert "rgb" not in row["pictures"]
        assert "--fetch" in row["gaps"][0]
        with pytest.raises(SceneError) as caught:
            desk.swipe(found.products[0].id)
        assert "--fetch" in desk.reason(caught.value)


def test_a_page_to_swipe_needs_the_scene(stored: Path) -> None:
    (record,) = list(stored.rglob("*.proc-info.yaml"))[:1]
    record.write_text(record.read_text().replace("/june/", "/no/").replace("/july/", "/no/"))
    found = collect(record.parent, None)
    with Desk(lambda: found, fetch_scenes=True) as desk:
        desk.refresh()
        with pytest.raises(SceneError):
            desk.swipe(found.products[0].id)
