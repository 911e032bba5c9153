"""Verdicts on masks: kept beside them, never changed, and heeded by load, recall and runs."""

from __future__ import annotations

import errno
import getpass
import json
import shutil
import stat
import time
import uuid
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from datacube.utils import read_documents

from odc_cleansat.errors import CleansatError, OutputError
from odc_cleansat.products.verdict_files import (
    SUFFIX,
    Verdict,
    accept,
    current_verdict,
    flag,
    open_remarks,
    read_many,
    reject,
    review_state,
    verdict,
    verdicts,
)
from odc_cleansat.storage.folder import Folder
from unit.reviewed import Place


def test_a_verdict_is_a_file_beside_the_mask(place: Place) -> None:
    before = datetime.now(timezone.utc)
    said = accept(place.folders[0], "checked", "A. Reviewer")
    assert (said.mask, said.verdict, said.note, said.by) == (place.jobs[0].id, "accept", "checked", "A. Reviewer")  # fmt: skip
    assert before <= said.when <= datetime.now(timezone.utc)
    (file,) = place.files(0)
    assert json.loads(file.read_text()) == {
        "mask": str(place.jobs[0].id), "verdict": "accept", "note": "checked", "by": "A. Reviewer",
        "when": said.when.isoformat(), "version": said.version,
    }  # fmt: skip
    assert file.stat().st_mode & stat.S_IROTH  # whoever reads the mask reads the verdict
    assert not list(place.folders[0].glob(".*"))
    assert verdicts(place.folders[0]) == [said]
    assert verdict(place.folders[0]) == said
    assert verdicts(place.folders[1]) == []
    assert verdict(place.folders[1]) is None


def test_the_latest_that_accepts_or_rejects_counts_and_nothing_is_changed(place: Place) -> None:
    folder = place.folders[0]
    first = reject(folder, "smoke", "one")
    kept = place.files(0)[0].read_bytes()
    accept(folder, "no, dust", "two")
    last = flag(folder, "who knows?", "three")
    said = verdicts(folder)
    assert [each.by for each in said] == ["one", "two", "three"]
    assert verdict(folder) == said[1]
    assert review_state(said) == "accepted"
    assert open_remarks(said) == [last]
    assert place.files(0)[0].read_bytes() == kept
    again = reject(folder, "still", "one")
    assert (review_state(verdicts(folder)), open_remarks(verdicts(folder))) == ("rejected", [])
    assert current_verdict(verdicts(folder)) == again != first


def test_flags_alone_leave_a_mask_unreviewed() -> None:
    when = datetime(2024, 6, 1, tzinfo=timezone.utc)
    flags = [Verdict(uuid.uuid4(), "flag", str(i), "me", when, "1") for i in range(2)]
    assert (review_state(flags), current_verdict(flags), open_remarks(flags)) == (
        "unreviewed",
        None,
        flags,
    )
    assert (review_state([]), open_remarks([])) == ("unreviewed", [])


def test_who_by_default_and_who_not(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    assert accept(place.folders[0]).by == getpass.getuser()
    with pytest.raises(CleansatError, match="by is empty"):
        accept(place.folders[0], by="  ")

    def unknown() -> str:
        raise KeyError("getpwuid(): uid not found: 1000")

    monkeypatch.setattr(getpass, "getuser", unknown)
    with pytest.raises(CleansatError, match="does not tell who you are"):
        accept(place.folders[0])
    assert len(place.files(0)) == 1


def test_a_clock_that_is_behind_does_not_put_a_verdict_before_what_it_answers(place: Place) -> None:
    said = accept(place.folders[0], by="ahead")
    (file,) = place.files(0)
    stamp, rest = file.name.split("_", 1)
    future = (datetime.now(timezone.utc) + timedelta(days=1)).strftime("%Y%m%dT%H%M%S%fZ")
    file.rename(file.with_name(f"{future}_{rest}"))
    assert stamp < future
    later = reject(place.folders[0], by="behind")
    assert verdict(place.folders[0]) == later
    assert verdicts(place.folders[0]) == [said, later]


def test_json_there_and_back() -> None:
    said = Verdict(uuid.uuid4(), "reject", 'ein „Wolkenfeld"\n</script>', "Ü", datetime.now(timezone.utc), "0.1")  # fmt: skip
    assert Verdict.from_json(said.to_json()) == said
    for wrong in ("[]", "{}", "no json", said.to_json().replace("reject", "maybe")):
        with pytest.raises(ValueError):  # noqa: PT011
            Verdict.from_json(wrong)


def test_a_full_disk_leaves_nothing_behind(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("odc_cleansat.storage.atomic.os.fsync", full)
    before = sorted(place.folders[0].iterdir())
    with pytest.raises(OutputError, match=r"cannot write the verdict to .*No space left"):
        accept(place.folders[0])
    assert sorted(place.folders[0].iterdir()) == before


def test_masks_in_one_folder_keep_their_verdicts_apart(place: Place, tmp_path: Path) -> None:
    for folder in place.folders:
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
            said = Verdict(mask, "reject", "", "me", datetime.now(timezone.utc), "1")
            (folder / f"20240601T000000000000Z_{str(mask)[:8]}_00000000{SUFFIX}").write_text(said.to_json())  # fmt: skip
        folders[mask] = Folder(folder)
    begun = time.perf_counter()
    found, unread = read_many(folders)
    seconds = time.perf_counter() - begun
    assert not unread
    assert sum(review_state(each) == "rejected" for each in found.values()) == 100
    assert seconds < 2
