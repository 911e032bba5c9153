"""The page of the queue, and how far a job is in words."""

from __future__ import annotations

import dataclasses
import datetime
from uuid import uuid4

import pytest

from odc_cleansat.app.queue_page import progress_text
from odc_cleansat.app.service import Service
from odc_cleansat.batch.jobs import Job

from .conftest import Page

NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
WAITING = Job(uuid4(), uuid4(), "T33UVP", ("Ann",), "waiting", NOW, place=1)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "next"),
        ({"place": 3}, "number 3 of those that wait"),
        ({"state": "running"}, "begins"),
        ({"state": "running", "done": 3, "total": 9}, "3 of 9 windows"),
        ({"state": "running", "done": 0, "total": 1}, "0 of 1 window"),
        ({"state": "running", "persons": ()}, "stopping"),
        ({"state": "running", "done": 120, "total": 400, "dates": "hindsight"}, "30 %"),
        ({"state": "indexing"}, "being put into the datacube"),
    ],
)
def test_progress_in_words(changes: dict[str, object], words: str) -> None:
    assert progress_text(dataclasses.replace(WAITING, **changes)) == words  # type: ignore[arg-type]


def test_an_empty_queue(page: Page) -> None:
    assert "Nothing is being masked" in page("queue_page").info[0].value


def test_jobs_of_all_kinds(page: Page, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = dataclasses.replace(
        WAITING, mask=uuid4(), state="failed", reason="no B02", ended=NOW, light=False
    )
    done = dataclasses.replace(WAITING, mask=uuid4(), state="done", begun=NOW, ended=NOW)
    monkeypatch.setattr(type(service.queue), "jobs", lambda self: [WAITING, failed, done])
    app = page("queue_page")
    assert not app.exception
    assert {each.label for each in app.button} == {"Withdraw", "Ask again"}
    assert app.error[0].value == "No B02"
    assert any("masked in 0 s" in each.value for each in app.markdown)
    assert sum("without light" in each.value for each in app.markdown) == 1


def test_a_part_can_be_looked_at(
    page: Page, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = dataclasses.replace(WAITING, state="running", part="part.odc-metadata.yaml")
    monkeypatch.setattr(type(service.queue), "jobs", lambda self: [running])
    app = page("queue_page")
    assert not app.exception
    assert app.get("page_link")[0].proto.label == "Look at your area, which is masked"


def test_what_has_failed_can_be_asked_for_again(
    page: Page, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = dataclasses.replace(WAITING, state="failed", reason="no B02", ended=NOW)
    refined = dataclasses.replace(failed, mask=uuid4(), dates="earlier")
    asked: list[object] = []
    monkeypatch.setattr(type(service.queue), "jobs", lambda self: [failed, refined])
    monkeypatch.setattr(
        Service, "ask", lambda self, scenes, person, light: asked.append((scenes, person, light))
    )
    monkeypatch.setattr(
        Service,
        "refine",
        lambda self, scene, person, hindsight: asked.append((scene, person, hindsight)),
    )
    app = page("queue_page")
    assert "failed: T33UVP, by earlier dates" in app.markdown[-1].value
    app.button[0].click().run()
    assert asked == [([failed.scene], "Ann", True)]
    app.button[1].click().run()
    assert asked[1:] == [(failed.scene, "Ann", False)]
