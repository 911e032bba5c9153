"""Verdicts on masks: kept beside them, in order, and never changed."""

from __future__ import annotations

import errno
import getpass
import json
import re
import shutil
import stat
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path

import fsspec
import pytest
from datacube.utils import read_documents

from odc_cleansat.errors import CleansatError, OutputError
from odc_cleansat.products.verdict_files import (
    SUFFIX,
    Verdict,
    accept,
    current_verdict,
    flag,
    folder_of,
    open_remarks,
    read_many,
    reject,
    review_state,
    standing_verdicts,
    verdict,
    verdicts,
    withdraw,
)
from odc_cleansat.storage.folder import Folder
from unit.products.helpers import Masks

NOW = datetime(2024, 6, 1, 10, 11, 12, 13, tzinfo=UTC)


@pytest.fixture
def masks(tmp_path: Path) -> Masks:
    return Masks(Folder(tmp_path / "masks"))


@pytest.fixture
def stored() -> Iterator[Masks]:
    """The same behind a URL."""
    root = f"memory://{uuid.uuid4()}"
    yield Masks(Folder(root))
    fsspec.filesystem("memory").rm(root, recursive=True)


class StillClock(datetime):
    """A clock that stands."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> StillClock:
        return cls.fromtimestamp(NOW.timestamp(), tz)


def named(folder: Path, name: str, said: Verdict) -> None:
    (folder / name).write_text(said.to_json())


def given(kind: str, mask: uuid.UUID | None = None, note: str = "") -> Verdict:
    return Verdict(mask or uuid.uuid4(), kind, note, "me", NOW, "1")


def test_a_verdict_is_a_file_beside_the_mask(masks: Masks) -> None:
    before = datetime.now(UTC)
    said = accept(masks.folders[0], "checked", "A. Reviewer")
    assert (said.mask, said.verdict, said.note, said.by) == (masks.ids[0], "accept", "checked", "A. Reviewer")  # fmt: skip
    assert before <= said.when <= datetime.now(UTC)
    (file,) = masks.files(0)
    assert json.loads(file.read_text()) == {
        "mask": str(masks.ids[0]), "verdict": "accept", "note": "checked", "by": "A. Reviewer",
        "when": said.when.isoformat(), "version": said.version,
    }  # fmt: skip
    assert re.fullmatch(
        rf"\d{{8}}T\d{{12}}Z_{str(masks.ids[0])[:8]}_[0-9a-f]{{8}}\.verdict\.json", file.name
    )
    assert file.read_text().endswith("}\n")
    assert file.stat().st_mode & stat.S_IROTH  # whoever reads the mask reads the verdict
    assert not list(masks.folders[0].glob(".*"))
    assert verdicts(masks.folders[0]) == [said]
    assert verdict(masks.folders[0]) == said
    assert verdicts(masks.folders[1]) == []
    assert verdict(masks.folders[1]) is None


def test_the_latest_that_accepts_or_rejects_counts_and_nothing_is_changed(masks: Masks) -> None:
    folder = masks.folders[0]
    first = reject(folder, "smoke", "one")
    kept = masks.files(0)[0].read_bytes()
    accept(folder, "no, dust", "two")
    last = flag(folder, "who knows?", "three")
    said = verdicts(folder)
    assert [each.by for each in said] == ["one", "two", "three"]
    assert verdict(folder) == said[1]
    assert review_state(said) == "accepted"
    assert open_remarks(said) == [last]
    assert masks.files(0)[0].read_bytes() == kept
    again = reject(folder, "still", "one")
    assert (review_state(verdicts(folder)), open_remarks(verdicts(folder))) == ("rejected", [])
    assert current_verdict(verdicts(folder)) == again != first


def test_remarks_are_open_since_the_verdict_that_counts() -> None:
    said = [given(kind) for kind in ("flag", "accept", "flag", "reject", "flag", "flag")]
    assert open_remarks(said) == said[4:]
    assert open_remarks(said[:4]) == []
    assert open_remarks(said[:3]) == said[2:3]
    assert [review_state(said[:n]) for n in (1, 2, 3, 4, 6)] == [
        "unreviewed", "accepted", "accepted", "rejected", "rejected",
    ]  # fmt: skip


def test_flags_alone_leave_a_mask_unreviewed() -> None:
    when = datetime(2024, 6, 1, tzinfo=UTC)
    flags = [Verdict(uuid.uuid4(), "flag", str(i), "me", when, "1") for i in range(2)]
    assert (review_state(flags), current_verdict(flags), open_remarks(flags)) == (
        "unreviewed",
        None,
        flags,
    )
    assert (review_state([]), open_remarks([])) == ("unreviewed", [])


def test_a_withdrawal_takes_back_the_own_latest_verdict(masks: Masks) -> None:
    folder = masks.folders[0]
    with pytest.raises(
        CleansatError, match=r"there is no verdict by 'one' on .* to withdraw; name"
    ):
        withdraw(folder, by="one")
    assert masks.files(0) == []
    first = accept(folder, by="one")
    second = reject(folder, "smoke", "two")
    third = flag(folder, "who knows?", "one")
    kept = [file.read_bytes() for file in masks.files(0)]
    with pytest.raises(CleansatError, match="no verdict by 'three'"):
        withdraw(folder, by="three")  # though others have given theirs
    said = withdraw(folder, "a slip", " two ")
    assert (said.verdict, said.note, said.by) == ("withdraw", "a slip", "two")
    assert verdicts(folder) == [first, second, third, said]
    assert standing_verdicts(verdicts(folder)) == [first, third]
    assert verdict(folder) == first
    assert open_remarks(verdicts(folder)) == [third]
    withdraw(folder, by="one")
    assert standing_verdicts(verdicts(folder)) == [first]
    withdraw(folder, by="one")
    assert (review_state(verdicts(folder)), verdict(folder)) == ("unreviewed", None)
    with pytest.raises(CleansatError, match="no verdict by 'one'"):
        withdraw(folder, by="one")
    assert [file.read_bytes() for file in masks.files(0)][:3] == kept
    again = reject(folder, by="two")
    assert verdict(folder) == again


def test_a_withdrawal_of_nothing_changes_nothing() -> None:
    """Two may be written at once, as by two programs of one person."""
    said = [given("withdraw"), given("accept"), given("withdraw"), given("withdraw")]
    assert standing_verdicts(said[:2]) == said[1:2]
    assert standing_verdicts(said) == []


def test_who_by_default_and_who_not(masks: Masks, monkeypatch: pytest.MonkeyPatch) -> None:
    assert accept(masks.folders[0]).by == getpass.getuser()
    with pytest.raises(CleansatError, match="by is empty"):
        accept(masks.folders[0], by="  ")

    def unknown() -> str:
        raise KeyError("getpwuid(): uid not found: 1000")

    monkeypatch.setattr(getpass, "getuser", unknown)
    with pytest.raises(CleansatError, match="does not tell who you are"):
        accept(masks.folders[0])
    assert len(masks.files(0)) == 1


def test_a_clock_that_is_behind_does_not_put_a_verdict_before_what_it_answers(masks: Masks) -> None:
    said = accept(masks.folders[0], by="ahead")
    (file,) = masks.files(0)
    stamp, rest = file.name.split("_", 1)
    future = (datetime.now(UTC) + timedelta(days=1)).strftime("%Y%m%dT%H%M%S%fZ")
    file.rename(file.with_name(f"{future}_{rest}"))
    assert stamp < future
    later = reject(masks.folders[0], by="behind")
    assert verdict(masks.folders[0]) == later
    assert verdicts(masks.folders[0]) == [said, later]


def test_verdicts_of_one_moment_are_a_microsecond_apart(
    masks: Masks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those on other masks in the folder do not count."""
    monkeypatch.setattr("odc_cleansat.products.verdict_files.datetime", StillClock)
    folder = masks.folders[0]
    other = given("flag")
    named(folder, f"20300101T000000000000Z_{str(other.mask)[:8]}_00000000{SUFFIX}", other)
    said = [accept(folder, by="one"), reject(folder, by="two"), flag(folder, by="three")]
    stamps = [file.name.partition("_")[0] for file in masks.files(0)]
    assert stamps == [
        "20240601T101112000013Z", "20240601T101112000014Z", "20240601T101112000015Z", "20300101T000000000000Z",
    ]  # fmt: skip
    assert verdicts(folder) == said
    assert {each.when for each in said} == {NOW}


def test_files_that_are_no_verdicts_on_the_mask_are_left_alone(masks: Masks) -> None:
    folder, mask = masks.folders[0], masks.ids[0]
    digits, said = str(mask)[:8], accept(masks.folders[0], " fine  ", " me ")
    assert (said.note, said.by) == ("fine", "me")
    for name in (f"20240601_{digits}_00.txt", f"20240601_{digits}{SUFFIX}", f"20240601_{digits}_0_0{SUFFIX}",
                 f"20240601_0{digits[1:]}x_00{SUFFIX}"):  # fmt: skip
        (folder / name).write_text("no verdict")
    namesake = given("reject", uuid.UUID(digits + uuid.uuid4().hex[8:]))
    named(folder, f"20240601_{digits}_00{SUFFIX}", namesake)
    assert verdicts(folder) == [said]


def test_json_there_and_back() -> None:
    said = Verdict(uuid.uuid4(), "reject", 'ein „Wolkenfeld"\n</script>', "Ü", datetime.now(UTC), "0.1")  # fmt: skip
    assert Verdict.from_json(said.to_json()) == said
    assert '"by": "Ü"' in said.to_json()
    for wrong in ("[]", "{}", "no json", said.to_json().replace("reject", "maybe")):
        with pytest.raises(ValueError):  # noqa: PT011
            Verdict.from_json(wrong)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"verdict": "maybe"}, "the verdict 'maybe' is unknown"),
        ({"note": None}, r"no verdict: KeyError\('note'\)"),
        ({"when": 5}, r"no verdict: TypeError"),
        ({"mask": 5}, r"no verdict: AttributeError"),
        ({"mask": "5"}, "badly formed"),
        ({"when": "today"}, "Invalid isoformat"),
    ],
)
def test_json_that_is_no_verdict(change: dict[str, object], message: str) -> None:
    document = {**json.loads(given("flag").to_json()), **change}
    with pytest.raises(ValueError, match=message):
        Verdict.from_json(json.dumps({k: v for k, v in document.items() if v is not None}))


def test_a_full_disk_leaves_nothing_behind(masks: Masks, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("odc_cleansat.storage.atomic.os.fsync", full)
    before = sorted(masks.folders[0].iterdir())
    with pytest.raises(
        OutputError,
        match=r"cannot write the verdict to .*: No space left on device\. V.*make room there",
    ):
        accept(masks.folders[0])
    assert sorted(masks.folders[0].iterdir()) == before


def test_an_error_without_a_number(masks: Masks, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise OSError("it is broken")

    monkeypatch.setattr(Folder, "write", broken)
    with pytest.raises(
        OutputError, match=r"cannot write the verdict to .*: it is broken\. V.*give a copy"
    ):
        accept(masks.folders[0])


def test_verdicts_behind_a_url(stored: Masks) -> None:
    """Folders that cannot be read count as without verdicts, and the reason is told."""
    said = accept(str(stored.stores[0]), by="me")
    assert verdicts(str(stored.stores[0])) == [said]
    assert len(stored.stores[0].files()) == 2
    stored.stores[1].write(f"20240601_{str(stored.ids[1])[:8]}_0{SUFFIX}", b"{")
    unknown = uuid.uuid4()
    folders = dict(zip([*stored.ids, unknown], [*stored.stores, None], strict=True))
    found, unread = read_many(folders)
    assert found == {stored.ids[0]: [said], stored.ids[1]: [], stored.ids[2]: [], unknown: []}
    assert list(unread) == [stored.ids[1]]
    assert "cannot be read as a verdict: Expecting" in unread[stored.ids[1]]


def test_here_and_behind_a_url_at_once(masks: Masks, stored: Masks) -> None:
    said = {mask: [reject(str(store), by="me")] for each in (masks, stored)
            for mask, store in list(zip(each.ids, each.stores, strict=True))[::2]}  # fmt: skip
    ids, stores = [*stored.ids, *masks.ids], [*stored.stores, *masks.stores]
    found, unread = read_many(dict(zip(ids, stores, strict=True)))
    assert not unread
    assert found == {mask: said.get(mask, []) for mask in ids}


def test_a_folder_that_cannot_be_listed(masks: Masks, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(folder: Folder) -> dict[str, int]:
        raise PermissionError(errno.EACCES, "Permission denied", str(folder))

    monkeypatch.setattr(Folder, "files", denied)
    found, unread = read_many(dict(zip(masks.ids, masks.stores, strict=True)))
    assert found == {mask: [] for mask in masks.ids}
    assert ["Permission denied" in unread[mask] for mask in masks.ids] == [True] * 3


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OutputError("the store says no."), r"^the store says no\.$"),
        (
            OSError("no such disk"),
            r"verdict\.json cannot be read as a verdict: no such disk\. Take",
        ),
    ],
)
def test_a_verdict_that_cannot_be_opened(
    masks: Masks, monkeypatch: pytest.MonkeyPatch, error: OSError, message: str
) -> None:
    accept(masks.folders[0], by="me")

    def fail(folder: Folder, name: str) -> bytes:
        if name.endswith(SUFFIX):
            raise error
        return (Path(str(folder)) / name).read_bytes()

    monkeypatch.setattr(Folder, "read", fail)
    with pytest.raises(OutputError, match=message):
        verdicts(masks.folders[0])


def test_folder_of_a_document() -> None:
    assert folder_of(None) is None
    assert str(folder_of("/masks/1/a.odc-metadata.yaml")) == "/masks/1"
    assert str(folder_of("memory://masks/1/a.odc-metadata.yaml")) == "memory://masks/1"


def test_masks_in_one_folder_keep_their_verdicts_apart(masks: Masks, tmp_path: Path) -> None:
    for folder in masks.folders:
        shutil.copytree(folder, tmp_path / "flat", dirs_exist_ok=True)
    documents = sorted((tmp_path / "flat").glob("*.odc-metadata.yaml"))
    ids = [uuid.UUID(next(read_documents(path))[1]["id"]) for path in documents]
    reject(documents[0], by="me")
    accept(documents[1], by="me")
    assert [review_state(verdicts(each)) for each in documents] == [
        "rejected",
        "accepted",
        "unreviewed",
    ]
    said, unread = read_many(dict.fromkeys(ids, Folder(tmp_path / "flat")))
    assert not unread
    assert [review_state(said[each]) for each in ids] == ["rejected", "accepted", "unreviewed"]
    with pytest.raises(OutputError, match="several mask products"):
        accept(tmp_path / "flat")


def test_a_thousand_masks_on_disk_are_read_in_a_moment(tmp_path: Path) -> None:
    folders = {}
    for i in range(1000):
        mask = uuid.uuid4()
        folder = tmp_path / str(i // 50) / str(i)
        folder.mkdir(parents=True)
        for name in ("ucl.tif", "ucl_confidence.tif", "a.odc-metadata.yaml", "a.sha1"):
            (folder / name).touch()
        if i % 10 == 0:
            said = Verdict(mask, "reject", "", "me", datetime.now(UTC), "1")
            (folder / f"20240601T000000000000Z_{str(mask)[:8]}_00000000{SUFFIX}").write_text(said.to_json())  # fmt: skip
        folders[mask] = Folder(folder)
    begun = time.perf_counter()
    found, unread = read_many(folders)
    seconds = time.perf_counter() - begun
    assert not unread
    assert sum(review_state(each) == "rejected" for each in found.values()) == 100
    assert seconds < 2
