"""Tasks: a mask to refine goes to a worker without a datacube, tells how far it is, and can be broken off."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from conftest import Cube

from odc_cleansat.batch.queue import MaskQueue
from odc_cleansat.batch.tasks import RefineTask
from odc_cleansat.batch.worker import WithdrawnError, WrittenMask, make_mask
from odc_cleansat.cube.refining import RefineJob, refine_jobs
from odc_cleansat.errors import SceneError
from odc_cleansat.products.product import MaskProduct

from .test_queue import await_, over

pytestmark = pytest.mark.filterwarnings("ignore:no data in ucl where 1 of")


@pytest.fixture
def july(cube: Cube, tmp_path: Path) -> RefineJob:
    """The mask of July, which June's can refine."""
    _, found = refine_jobs(cube.dc, "s2_l2a", tmp_path / "masks")
    return found


def sent(job: RefineJob, root: Path) -> RefineTask:
    """A task as a worker gets it."""
    task: RefineTask = pickle.loads(pickle.dumps(RefineTask.of(job, root, 0)))
    return task


def test_a_worker_makes_the_same_without_a_datacube(july: RefineJob, tmp_path: Path) -> None:
    task = sent(july, tmp_path / "other")
    assert (task.mask, task.dates, task.refine) == (july.how.id, "hindsight", True)
    assert task.dataset.id == july.asked.scene.id
    assert task.job().how.id == july.how.id
    made = make_mask(task)
    assert isinstance(made, WrittenMask)
    assert not made.found
    here, there = MaskProduct(july.run()), MaskProduct(made.document)
    assert (here.id, here.name) == (there.id, there.name)
    assert here.layer_file("ucl") != there.layer_file("ucl")
    assert here.read("_ucl.tif") == there.read("_ucl.tif")
    again = make_mask(task)
    assert isinstance(again, WrittenMask)
    assert again.found


def test_progress_grows_to_all_there_is_and_may_break_it_off(
    july: RefineJob, tmp_path: Path
) -> None:
    told: list[tuple[int, int]] = []
    july.masks(lambda *now: told.append(now))
    assert len({total for _, total in told}) == 1
    done = [each for each, _ in told]
    assert done == sorted(done)
    assert len(set(done)) > 3
    assert done[-1] == told[0][1]

    def stop(done: int, total: int) -> None:
        raise WithdrawnError("nobody wants it.")

    with pytest.raises(WithdrawnError):
        july.run(stop)
    assert not any((tmp_path / "masks").rglob("*.tif"))


def test_the_queue_has_it_once_for_all_and_finds_it_then(
    july: RefineJob, scheduler: str, tmp_path: Path
) -> None:
    indexed: list[Path | str] = []
    with MaskQueue(tmp_path / "masks", scheduler=scheduler, index=indexed.append) as masks:
        job = masks.ask_refined(july, person="ada")
        assert (job.mask, job.scene, job.dates) == (july.how.id, july.asked.scene.id, "hindsight")
        assert masks.ask_refined(july, person="bob").mask == job.mask
        assert len(masks.jobs()) == 1
        done = over(masks, job)
        assert (done.state, done.reason) == ("done", "")
        assert done.done == done.total > 0
        assert indexed == [july.document]
        assert masks.ask_refined(july, person="eve").state == "found"


def test_nobody_wants_it_any_more(july: RefineJob, scheduler: str, tmp_path: Path) -> None:
    with MaskQueue(tmp_path / "masks", scheduler=scheduler) as masks:
        job = masks.ask_refined(july, person="ada")
        masks.withdraw(job.mask, "ada")
        await_(lambda: all(each.is_over for each in masks.jobs()))
        assert masks.jobs()[0].state == "withdrawn"
    assert july.document is None


def test_there_is_no_other_date(cube: Cube, tmp_path: Path) -> None:
    june, _ = refine_jobs(cube.dc, "s2_l2a", tmp_path, hindsight=False)
    with (
        MaskQueue(tmp_path) as masks,
        pytest.raises(SceneError, match="mask more dates first"),
    ):
        masks.ask_refined(june, person="ada")
