"""Refining as people choose it: names, which mask is shown, and refining by other dates."""

from __future__ import annotations

import dataclasses
import datetime
import time
from collections.abc import Iterator
from uuid import UUID, uuid4

import pytest
from conftest import Cube
from datacube.model import Dataset

from odc_cleansat.app.composite_page import COMPUTED
from odc_cleansat.app.refining import REFINE, argument, best_mask, name_of, need_new, say_former
from odc_cleansat.app.service import Service
from odc_cleansat.batch.jobs import Job
from odc_cleansat.cube.over_time import check_refine
from odc_cleansat.cube.scene_list import MaskRow
from odc_cleansat.errors import CubeError, ModelWarning, SceneError
from odc_cleansat.models.former import FORMER
from odc_cleansat.models.registry import DEFAULTS
from odc_cleansat.products.product import MaskProduct
from unit.archive import PATIENCE, masked_before

from .conftest import Page

AREA = "13.67,47.78,13.72,47.82"


@pytest.mark.parametrize("by", REFINE)
def test_each_choice_is_one_of_load(by: str) -> None:
    check_refine(argument(by))


def test_the_mask_that_is_shown_is_by_light_and_of_one_date() -> None:
    model = next(iter(DEFAULTS))
    plain = MaskRow(uuid4(), model, None, None)
    lit = MaskRow(uuid4(), model, None, None, light=True)
    dates = MaskRow(uuid4(), model, None, None, light=True, dates="hindsight")
    other = MaskRow(uuid4(), "other", None, None, light=True)
    assert best_mask([other, dates, plain, lit]) == lit
    assert best_mask([other, plain]) == plain
    assert best_mask([]) is None
    was = MaskRow(uuid4(), FORMER[0], None, None, light=True)
    assert best_mask([other, was]) == was
    assert best_mask([was, other, plain]) == plain
    assert len({name_of(mask) for mask in (plain, lit, dates, other)}) == 4


def test_masks_by_former_defaults_alone_need_new_ones() -> None:
    was, now, own = (
        MaskRow(uuid4(), model, None, None) for model in (FORMER[1], DEFAULTS[1], "own")
    )
    assert need_new([was])
    assert not any(map(need_new, ([], [now], [own], [was, now], [was, own])))
    assert say_former([[was, now], [own], []]) == ""
    said = say_former([[was], [was], [now]])
    assert said.startswith(f"2 scenes here have masks by {FORMER[1]} alone, once the default.")


@pytest.fixture(scope="module")
def old(cube: Cube, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dataset]:
    """A mask of June by the former default, beside that of today."""
    with masked_before(cube.dc, cube.scenes["june"], tmp_path_factory.mktemp("old")) as mask:
        yield mask


@pytest.fixture
def alone(cube: Cube, old: Dataset) -> Iterator[Dataset]:
    """The same, and that of today is archived."""
    cube.dc.index.datasets.archive([cube.masks["june"].id])
    yield old
    cube.dc.index.datasets.restore([cube.masks["june"].id])


def test_recall_asks_which_masks_are_taken(page: Page, old: Dataset) -> None:
    where = {"area": AREA, "time": "2024-06", "crs": "EPSG:32633", "resolution": "60"}
    app = page("recall_page", where)
    assert not app.error, app.error[0].value
    which = app.selectbox(key="masks_by")
    assert which.options == [DEFAULTS[0], f"{FORMER[0]}, once the default"]
    assert f"model={DEFAULTS[0]!r}" in app.code[0].value
    app.selectbox(key="masks_by").set_value(FORMER[0]).run()
    assert not app.error, app.error[0].value
    assert f"model={FORMER[0]!r}" in app.code[0].value


@pytest.mark.filterwarnings(
    "ignore:1 of 2 scenes have masks in the index:odc_cleansat.errors.ModelWarning"
)
def test_a_composite_takes_the_masks_that_are_there_if_asked(page: Page, alone: Dataset) -> None:
    app = page("composite_page", {"area": AREA, "time": "2024-06", "resolution": "60"})
    assert not app.error, app.error[0].value
    assert "model=" not in app.code[0].value
    which = app.selectbox(key="masks_by")
    assert which.options == [COMPUTED, f"{FORMER[0]}, once the default"]
    which.set_value(FORMER[0]).run()
    assert not app.error, app.error[0].value
    assert f"model={FORMER[0]!r}" in app.code[0].value


def test_scenes_with_masks_of_before_can_be_masked_anew(
    page: Page, cube: Cube, service: Service, alone: Dataset
) -> None:
    app = page("scenes_page", {"time": "2024-06"})
    said = [each.value for each in app.caption]
    says = f"1 scene here has masks by {FORMER[0]} alone, once the default."
    assert any(each.startswith(says) for each in said)
    frame = app.dataframe[0].value
    june = list(frame.id).index(str(cube.scenes["june"].id))
    assert frame.ucl[june] == alone.metadata_doc["properties"]["eo:cloud_cover"]
    app.session_state["scene_table"] = {"selection": {"rows": [june], "columns": [], "cells": []}}
    app.run()
    assert "Mask 1 scene" in {each.label for each in app.button}
    app = page("view_page", {"show": f"{frame.id[june]}.-"})
    assert not app.error, app.error[0].value
    assert any(each.value.startswith(says) for each in app.caption)
    assert "Mask this scene" in {each.label for each in app.button}
    assert f"{FORMER[0]}, refined by light" == name_of(service.masks_of(cube.scenes["june"])[0])


def test_a_mask_of_before_is_refined_by_those_of_its_model(
    service: Service, cube: Cube, alone: Dataset
) -> None:
    june = cube.scenes["june"].id
    with pytest.warns(ModelWarning, match="once"), pytest.raises(CubeError, match="mask it first"):
        service.refine(june, "Ann", hindsight=True)
    with pytest.raises(SceneError, match="mask more dates first"):
        service.refine(june, "Ann", hindsight=True, model=FORMER[0])


def test_a_scene_without_a_mask(service: Service, cube: Cube) -> None:
    with pytest.raises(CubeError, match="mask it first"):
        service.refine(cube.scenes["west"].id, "Ann", hindsight=True)


def test_a_scene_without_another_date(service: Service, cube: Cube) -> None:
    with pytest.raises(SceneError, match="mask more dates first"):
        service.refine(cube.scenes["june"].id, "Ann", hindsight=False)
    assert not service.queue.jobs()


def test_a_scene_is_refined_once_and_in_the_queue(
    service: Service, cube: Cube, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("odc_cleansat.app.indexing.index_mask", lambda dc, document: None)
    job = service.refine(cube.scenes["june"].id, "Ann", hindsight=True)
    assert (job.state, job.dates, job.persons) == ("waiting", "hindsight", ("Ann",))
    until = time.monotonic() + PATIENCE
    while not (now := service.queue.job(job.mask)) or not now.is_over:
        assert time.monotonic() < until
        time.sleep(0.1)
    assert (now.state, now.reason) == ("done", "")
    assert now.document is not None
    assert MaskProduct(now.document).properties["cleansat:refined"] == "hindsight"
    assert service.changes == 1
    assert service.refine(cube.scenes["june"].id, "Bob", hindsight=True).state == "found"
    assert service.mask(job.mask).id == job.mask


def following(
    cube: Cube, service: Service, monkeypatch: pytest.MonkeyPatch
) -> tuple[list[Job], list[tuple[UUID, bool, str | None]]]:
    """The jobs of a queue, and what is asked for: June refined, which gives the mask of July."""
    june, july = cube.scenes["june"].id, cube.masks["july"].id
    jobs: list[Job] = []
    asked: list[tuple[UUID, bool, str | None]] = []

    def refine(
        self: Service, scene: UUID, person: str, *, hindsight: bool, model: str | None
    ) -> Job:
        asked.append((scene, hindsight, model))
        now = datetime.datetime.now(datetime.UTC)
        jobs[:] = [Job(july, june, "T33", (person,), "running", now, done=3, total=9, dates="earlier")]  # fmt: skip
        return jobs[0]

    rows = (
        MaskRow(cube.masks["june"].id, "unet", None, None, light=True),
        MaskRow(july, "unet", None, None, light=True, dates="earlier"),
    )
    queue = type(service.queue)
    monkeypatch.setattr(Service, "masks_of", lambda self, scene: rows)
    monkeypatch.setattr(Service, "refine", refine)
    monkeypatch.setattr(queue, "jobs", lambda self: list(jobs))
    monkeypatch.setattr(queue, "job", lambda self, mask: next((j for j in jobs if j.mask == mask), None))  # fmt: skip
    return jobs, asked


def test_the_page_look_shows_how_far_it_is_and_then_what_it_gives(
    page: Page, cube: Cube, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs, asked = following(cube, service, monkeypatch)
    june, july = cube.scenes["june"].id, cube.masks["july"].id
    app = page("view_page", {"show": f"{june}.-", "dates": "earlier"})
    assert not app.error
    next(each for each in app.button if each.label == "Refine").click().run()
    assert asked == [(june, False, "unet")]
    assert app.get("progress")[0].proto.text == "The mask is being refined by earlier dates: 33 %."
    assert "Withdraw" in {each.label for each in app.button}
    document = service.mask(cube.masks["june"].id).document_file
    jobs[0] = dataclasses.replace(jobs[0], state="done", document=document)
    app.run()
    assert str(july) in str(app.query_params["show"])
    (which,) = [each for each in app.selectbox if each.label.startswith("Mask of")]
    assert which.value == july, "the choice of before must not win"
    assert not app.get("progress")


def test_the_page_look_says_why_no_refined_mask_came(
    page: Page, cube: Cube, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs, _ = following(cube, service, monkeypatch)
    app = page("view_page", {"show": f"{cube.scenes['june'].id}.-"})
    next(each for each in app.button if each.label == "Refine").click().run()
    withdrawn: list[tuple[UUID, str]] = []
    monkeypatch.setattr(type(service.queue), "withdraw", lambda self, *wish: withdrawn.append(wish))  # fmt: skip
    next(each for each in app.button if each.label == "Withdraw").click().run()
    assert withdrawn == [(jobs[0].mask, "Ann")]
    jobs[0] = dataclasses.replace(jobs[0], state="failed", reason="a file cannot be read.")
    app.run()
    assert app.error[0].value.endswith("A file cannot be read.")
    jobs[0] = dataclasses.replace(jobs[0], state="withdrawn", reason="")
    app.run()
    assert not app.error
    assert str(jobs[0].mask) not in str(app.query_params["show"])


def test_the_switch_of_light_decides_what_is_asked_for(
    page: Page, cube: Cube, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[UUID, bool]] = []

    def ask(self: Service, scenes: list[UUID], person: str, area: object, *, light: bool) -> None:
        asked.append((scenes[0], light))

    monkeypatch.setattr(Service, "ask", ask)
    app = page("scenes_page", {"time": "2024-06", "area": AREA})
    assert app.toggle(key="light").value, "on by default"
    assert "time='2024-06'" in app.code[0].value
    assert "refine" not in app.code[0].value
    june = list(app.dataframe[0].value.id).index(str(cube.scenes["june"].id))
    app.session_state["scene_table"] = {"selection": {"rows": [june], "columns": [], "cells": []}}
    app.run()
    labels = {each.label for each in app.button}
    assert "Mask" in labels, "the scene has a mask that light refined"
    app.toggle(key="light").set_value(False).run()
    assert "refine=False" in app.code[0].value
    compile(app.code[0].value, "lines", "exec")
    next(each for each in app.button if each.label == "Mask 1 scene").click().run()
    assert asked == [(cube.scenes["june"].id, False)]


def test_the_address_may_leave_light_out(page: Page) -> None:
    assert not page("scenes_page", {"light": "false"}).toggle(key="light").value
