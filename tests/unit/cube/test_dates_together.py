"""Masks of several dates that are refined together are those that are refined one by one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import Cube
from fakes import brightness_engine

from odc_cleansat import load
from odc_cleansat.cube import dates_together
from odc_cleansat.cube.dates_together import batches, parts_of, run_batch
from odc_cleansat.cube.index import add_dataset
from odc_cleansat.cube.refining import RefineJob, refine_jobs, refined_masks
from odc_cleansat.errors import CleansatError, SceneError
from odc_cleansat.products.job import MaskJob

from .helpers import HOME

pytestmark = [
    pytest.mark.usefixtures("no_inference"),
    pytest.mark.filterwarnings("ignore:no data in ucl where 1 of:odc_cleansat.errors.GapWarning"),
]


@pytest.fixture
def jobs(cube: Cube, tmp_path: Path) -> list[RefineJob]:
    return [*refine_jobs(cube.dc, "s2_l2a", tmp_path)]


def test_together_gives_what_each_gives_alone(
    jobs: list[RefineJob], monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = [job.masks() for job in jobs]
    assert (alone[0].ucl != alone[1].ucl).any()
    monkeypatch.setattr("odc_cleansat.cube.refining.PART", 300)
    monkeypatch.setattr("odc_cleansat.cube.over_time.PART", 300)
    told: list[tuple[int, int]] = []
    for order in (jobs, jobs[::-1]):
        masks = refined_masks(order, lambda *step: told.append(step))
        for job, mask in zip(order, masks, strict=True):
            for name in ("ucl", "ucl_confidence"):
                np.testing.assert_array_equal(mask[name], alone[jobs.index(job)][name])
                assert mask[name].attrs == alone[0][name].attrs
    assert told
    assert all(0 <= done <= total for done, total in told)


def test_all_of_a_batch_are_written(jobs: list[RefineJob]) -> None:
    (batch,) = batches(jobs)
    assert batch == jobs
    assert parts_of(batch) == 2
    done, made = zip(*run_batch(batch), strict=True)
    assert [*done] == jobs
    assert [*made] == [job.document for job in jobs]
    assert None not in made


def test_a_batch_has_one_grid_and_times_that_differ(
    jobs: list[RefineJob], monkeypatch: pytest.MonkeyPatch
) -> None:
    june, july = jobs
    assert batches([]) == []
    assert batches([june, replace(july, hindsight=False)]) == [
        [june],
        [replace(july, hindsight=False)],
    ]
    twice = replace(july, around=[june.asked, replace(july.asked, scene=scene_of(june, july))])
    assert batches([june, twice]) == [[june], [twice]]
    for name, most in (("TOGETHER", 1), ("PIXELS", 1)):
        with monkeypatch.context() as patched:
            patched.setattr(dates_together, name, most)
            assert batches(jobs) == [[june], [july]]


def scene_of(june: RefineJob, july: RefineJob) -> object:
    """A scene of the time of the one, with the id of none."""

    class Other:
        id = "another"
        center_time = june.asked.scene.center_time

    return Other()


def test_a_date_in_another_projection_counts_as_in_load(cube: Cube, tmp_path: Path) -> None:
    with brightness_engine():
        document = MaskJob(cube.scenes["west"], tmp_path / "masks").run()
    west = add_dataset(cube.dc, document)
    try:
        jobs = [*refine_jobs(cube.dc, "s2_l2a", tmp_path)]
        (july,) = (job for job in jobs if job.asked.scene.id == cube.scenes["july"].id)
        assert cube.scenes["west"].id in {each.scene.id for each in july.around}
        mask = july.masks()
        loaded = load(cube.dc, "s2_l2a", time="2024-07-05", like=HOME, measurements=["ucl"],
                      ucl="indexed", refine="time")  # fmt: skip
        together = {
            job.asked.scene.id: made
            for batch in batches(jobs)
            for job, made in zip(batch, refined_masks(batch), strict=True)
        }
    finally:
        cube.dc.index.datasets.archive([west.id])
    assert mask.odc.geobox == HOME
    np.testing.assert_array_equal(mask.ucl, loaded.ucl[0])
    np.testing.assert_array_equal(together[july.asked.scene.id].ucl, mask.ucl)


def test_what_fails_together_is_tried_one_by_one(
    jobs: list[RefineJob], monkeypatch: pytest.MonkeyPatch
) -> None:
    june, july = jobs
    whole = dates_together.refined_masks

    def picky(dates: list[RefineJob], progress: object = None) -> object:
        if july in dates:
            raise SceneError("a scene or a mask cannot be read: gone.")
        return whole(dates, progress)

    monkeypatch.setattr(dates_together, "refined_masks", picky)
    (_, document), (_, error) = run_batch(jobs)
    assert document == june.document
    assert isinstance(error, CleansatError)
    assert july.document is None
