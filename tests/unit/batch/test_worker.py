"""What runs on a worker, here without one: making and finding masks, and trying again."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

from odc_cleansat.batch import Failure, worker
from odc_cleansat.batch.survey import survey
from odc_cleansat.batch.tasks import SceneTask
from odc_cleansat.batch.worker import (
    WrittenMask,
    collected_warnings,
    find_mask,
    make_mask,
    with_retries,
)
from odc_cleansat.errors import GapWarning, ModelError, OutputError, ReflectanceWarning
from unit.archive import Archive, request


def task(archive: Archive, root: Path, retries: int = 0) -> SceneTask:
    month, (scene,) = archive.scenes(1)
    (found,) = survey(archive.dc, request(month, root), [scene.id])
    assert found.mask is not None
    return SceneTask(found.scene, found.mask, root, None, None, retries, {}, "r1")


def test_a_mask_is_made_once_and_then_found(archive: Archive, tmp_path: Path) -> None:
    asked = task(archive, tmp_path)
    missing = find_mask(asked)
    assert isinstance(missing, Failure)
    assert "without only_accepted=True it is made again" in missing.reason
    made, again, found = make_mask(asked), make_mask(asked), find_mask(asked)
    assert isinstance(made, WrittenMask)
    assert not made.found
    assert isinstance(again, WrittenMask)
    assert again.found
    assert isinstance(found, WrittenMask)
    assert made.document == again.document == found.document
    assert [mask.rejected for mask in (made, again, found)] == [False] * 3


def test_it_is_tried_again_after_pauses_that_double(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(worker.time, "sleep", pauses.append)
    asked = task(archive, tmp_path, retries=8)

    def fail(error: Exception) -> None:
        raise error

    failed = with_retries(lambda: fail(OutputError("full")), asked, "mask", ModelError)
    assert isinstance(failed, Failure)
    assert (failed.attempts, failed.error, failed.mask) == (9, "OutputError", asked.mask)
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]
    final = with_retries(lambda: fail(ModelError("no")), asked, "mask", ModelError)
    assert isinstance(final, Failure)
    assert final.attempts == 1
    outcomes = iter([OSError("down"), None])
    assert (
        with_retries(lambda: (e := next(outcomes)) and fail(e), asked, "mask", ModelError) is None
    )


def test_only_what_is_said_of_reflectance_is_collected_and_each_once() -> None:
    with collected_warnings() as texts:
        warnings.warn("a guess", ReflectanceWarning, stacklevel=1)
        warnings.warn("a guess", ReflectanceWarning, stacklevel=1)
        warnings.warn("a gap", GapWarning, stacklevel=1)
    assert texts == ["a guess"]
