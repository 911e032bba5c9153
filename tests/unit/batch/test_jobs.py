"""The list of a queue: joining, limits, places, withdrawing, and what is remembered."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from odc_cleansat.batch import jobs
from odc_cleansat.batch.jobs import Jobs, QueueFullError
from odc_cleansat.batch.tasks import SceneTask


def task(number: int) -> SceneTask:
    """A task of a scene of which only the name matters."""
    document = {"id": str(UUID(int=1000 + number)), "label": f"scene {number}"}
    scene: Any = SimpleNamespace(metadata_doc=document, uri=None)
    return SceneTask(scene, UUID(int=number), Path("masks"), None, None, 0, {}, "r1")


def listed(most_waiting: int = 9, most_per_person: int = 9, count: int = 3) -> Jobs:
    found = Jobs(most_waiting, most_per_person)
    for number in range(count):
        found.add(task(number), "ada")
    return found


def states(found: Jobs) -> dict[int, tuple[str, int | None]]:
    return {job.mask.int: (job.state, job.place) for job in found.all()}


def test_jobs_wait_in_the_order_of_asking() -> None:
    found = listed()
    assert states(found) == {0: ("waiting", 1), 1: ("waiting", 2), 2: ("waiting", 3)}
    first = found.take()
    assert first is not None
    assert first.mask.int == 0
    found.update(first.mask, state="running", done=2, total=7)
    assert states(found) == {0: ("running", None), 1: ("waiting", 1), 2: ("waiting", 2)}
    job = found.get(first.mask)
    assert job is not None
    assert (job.label, job.scene.int, job.done, job.total) == ("scene 0", 1000, 2, 7)
    assert not job.is_over
    found.put_back(first.mask)
    assert states(found) == {1: ("waiting", 1), 2: ("waiting", 2), 0: ("waiting", 3)}
    found.end(first.mask, "done", document="there")
    ended = found.all()[-1]
    assert (ended.mask.int, ended.document, ended.is_over) == (0, "there", True)
    assert ended.ended is not None
    assert ended.ended >= ended.asked


def test_several_people_want_one_mask() -> None:
    found = listed(count=1)
    mask = UUID(int=0)
    assert found.join(UUID(int=5), "bob") is None
    joined = found.add(task(0), "bob")
    assert joined.persons == ("ada", "bob")
    assert found.add(task(0), "bob").persons == ("ada", "bob")
    assert len(found.all()) == 1
    assert not found.withdraw(mask, "eve")
    assert not found.withdraw(mask, "ada")
    assert found.is_wanted(mask)
    assert not found.withdraw(mask, "bob")  # it waited: nobody has to be told
    assert states(found) == {0: ("withdrawn", None)}
    assert found.all()[0].persons == ("ada", "bob")
    assert not found.is_wanted(mask)
    assert not found.has_next()
    assert found.take() is None


def test_the_cluster_is_told_of_what_it_has() -> None:
    found = listed(count=2)
    for _ in range(2):
        found.take()
    assert found.withdraw(UUID(int=0), "ada")
    found.update(UUID(int=1), state="indexing")
    assert not found.withdraw(UUID(int=1), "ada")  # it is written: too late
    assert states(found) == {0: ("waiting", 1), 1: ("indexing", None)}
    found.end_all("failed", "the cluster is lost")
    assert states(found) == {0: ("failed", None), 1: ("indexing", None)}


def test_limits_in_words() -> None:
    found = listed(most_waiting=3, most_per_person=3)
    with pytest.raises(QueueFullError, match="ada waits for 3 masks already"):
        found.add(task(3), "ada")
    with pytest.raises(QueueFullError, match="3 masks already in the queue"):
        found.add(task(3), "bob")
    found.take()
    found.update(UUID(int=0), state="running")
    found.add(task(3), "bob")
    with pytest.raises(QueueFullError, match="ada waits for 3 masks already, as many as one"):
        found.join(UUID(int=3), "ada")
    assert found.join(UUID(int=2), "ada") is not None


def test_only_the_latest_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "KEPT", 2)
    found = listed()
    for number in (1, 0, 2):
        found.end(UUID(int=number), "done")
    assert list(states(found)) == [2, 0]
    found.add(task(0), "ada")
    assert states(found) == {0: ("waiting", 1), 2: ("done", None)}


def test_a_job_tells_whether_light_refines_its_mask() -> None:
    found = Jobs(9, 9)
    assert found.add(task(1), "ada").light
    assert not found.add(task(2)._replace(refine=False), "ada").light
