"""Indexing of masks that a queue has made: never two at a time, and in words where it fails."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest

from odc_cleansat.batch.indexing import Indexer, told
from odc_cleansat.batch.records import Failure
from odc_cleansat.batch.worker import WrittenMask
from odc_cleansat.errors import CubeError

MASK = WrittenMask(Path("mask.odc-metadata.yaml"), ("a guess",))


@pytest.fixture
def task() -> Any:
    return SimpleNamespace(
        retries=0,
        mask=uuid4(),
        dataset=SimpleNamespace(id=uuid4(), metadata_doc={"id": str(uuid4()), "label": "T33"}),
    )


def test_masks_are_indexed_one_at_a_time(task: Any) -> None:
    inside, most = 0, 0

    def index(document: Path | str) -> None:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        threading.Event().wait(0.005)
        inside -= 1

    indexer = Indexer(index)
    threads = [threading.Thread(target=indexer.index, args=(task, MASK)) for _ in range(6)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert (inside, most) == (0, 1)
    indexer.close()


def test_a_rejected_mask_is_not_indexed(task: Any) -> None:
    def index(document: Path | str) -> None:
        raise AssertionError

    assert Indexer(index).index(task, MASK._replace(rejected=True)) is None
    assert "rejected" in told(MASK._replace(rejected=True), None)["warnings"][-1]


def test_what_goes_wrong_is_told(task: Any) -> None:
    def index(document: Path | str) -> None:
        raise CubeError("the database is away.")

    failed = Indexer(index).index(task, MASK)
    assert isinstance(failed, Failure)
    fields = told(MASK, failed)
    assert (fields["state"], fields["document"]) == ("failed", MASK.document)
    assert fields["reason"].startswith("the mask is written, but cannot be indexed: the database")
    assert told(MASK, None)["state"] == "done"
    assert told(MASK._replace(found=True), None)["state"] == "found"
