"""The page to look: what an address shows, and verdicts."""

from __future__ import annotations

import dataclasses
import datetime

import pytest
from conftest import Cube

from odc_cleansat.app.service import Service
from odc_cleansat.batch.jobs import Job
from odc_cleansat.cube.scene_list import MaskRow

from .conftest import Page


def address(cube: Cube, *names: str) -> dict[str, str]:
    pairs = [f"{cube.scenes[n].id}.{cube.masks[n].id if n in cube.masks else '-'}" for n in names]
    return {"show": ",".join(pairs)}


def test_a_masked_scene(page: Page, cube: Cube) -> None:
    app = page("view_page", address(cube, "june"))
    assert not app.exception
    assert not app.error
    assert "2024-06-15" in app.subheader[0].value
    assert {"Accept", "Reject", "Flag, with a note"} <= {each.label for each in app.button}


def test_a_scene_without_a_mask_can_be_masked(page: Page, cube: Cube) -> None:
    app = page("view_page", address(cube, "west"))
    assert [each.label for each in app.button] == ["Mask this scene"]


def test_two_dates(page: Page, cube: Cube) -> None:
    app = page("view_page", address(cube, "june", "july"))
    assert not app.error
    assert sum(each.label == "Accept" for each in app.button) == 2


def test_nothing_is_chosen(page: Page) -> None:
    app = page("view_page")
    assert "No scene is chosen" in app.info[0].value


@pytest.mark.parametrize(
    ("show", "words"),
    [
        ("nonsense", "no id"),
        ("00000000-0000-4000-8000-000000000000.-", "has no dataset"),
        (",".join(["a.b"] * 5), "too many"),
    ],
)
def test_addresses_that_show_nothing(page: Page, show: str, words: str) -> None:
    assert words in page("view_page", {"show": show}).error[0].value


def test_a_flag_needs_a_note(page: Page, cube: Cube, service: Service) -> None:
    app = page("view_page", address(cube, "june"))
    app.button(key=f"flag_{cube.masks['june'].id}").click().run()
    assert "write it as the note" in app.error[0].value
    assert not service.verdicts(cube.masks["june"].id)


def test_masks_by_several_models(
    page: Page, cube: Cube, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    june, july = cube.masks["june"].id, cube.masks["july"].id
    rows = (MaskRow(june, "one", None, None), MaskRow(july, "other", None, None))
    monkeypatch.setattr(type(service), "masks_of", lambda self, scene: rows)
    app = page("view_page", address(cube, "june"))
    assert app.selectbox[0].options == [
        f"{name}, the network's own answer" for name in ("one", "other")
    ]
    app.selectbox[0].set_value(july).run()
    assert f"{cube.scenes['june'].id}.{july}" in app.query_params["show"]


def test_a_scene_that_was_masked_since(page: Page, cube: Cube) -> None:
    app = page("view_page", {"show": f"{cube.scenes['june'].id}.-"})
    assert "Accept" in {each.label for each in app.button}


def test_a_part_is_shown_until_the_whole_is_there(
    page: Page, cube: Cube, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = datetime.datetime.now(datetime.UTC)
    june = service.mask(cube.masks["june"].id).document_file
    scene = cube.scenes["west"].id
    job = Job(cube.masks["west"].id if "west" in cube.masks else scene, scene, "T33", ("Ann",), "running", now, done=3, total=9)  # fmt: skip
    jobs = [job]
    monkeypatch.setattr(type(service.queue), "jobs", lambda self: jobs)
    monkeypatch.setattr(type(service.queue), "job", lambda self, mask: {j.mask: j for j in jobs}.get(mask))  # fmt: skip
    app = page("view_page", {"show": f"{scene}.-"})
    assert [each.label for each in app.button] == ["Withdraw"]
    assert "The mask is being made: 3 of 9 windows" in app.get("progress")[0].proto.text
    jobs[0] = dataclasses.replace(job, part=str(june))
    app.run()
    assert not app.error
    assert "The area that was asked for is shown" in app.get("progress")[0].proto.text
    assert "Accept" not in {each.label for each in app.button}, "a part is not judged"
    assert service.mask(job.part_id).id == cube.masks["june"].id
    jobs[0] = dataclasses.replace(job, state="failed", ended=now)
    app.run()
    assert [each.label for each in app.button] == ["Mask this scene"]
