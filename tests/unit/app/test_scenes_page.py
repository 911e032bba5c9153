"""The page of scenes: the table, the area that is typed, and errors in words."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import Cube

from odc_cleansat.app.service import Service
from odc_cleansat.errors import OutputError, SceneError
from odc_cleansat.storage.folder import Folder

from .conftest import Page


def test_scenes_are_listed_with_their_states(page: Page, cube: Cube) -> None:
    app = page("scenes_page")
    assert not app.exception
    frame = app.dataframe[0].value
    assert list(frame.state) == ["masked", "masked", "not masked"] or set(frame.state) == {
        "masked",
        "not masked",
    }
    assert set(frame.id) == {str(scene.id) for scene in cube.scenes.values()}
    assert frame.picture.str.contains("key=").all()
    assert "3 scenes, 1 of them not masked" in app.caption[-1].value


def test_an_area_in_the_address(page: Page) -> None:
    app = page("scenes_page", {"area": "13.6,47.7,13.8,47.9"})
    assert "The area has 333" in app.caption[0].value
    assert not app.error


def test_an_area_without_scenes(page: Page) -> None:
    app = page("scenes_page", {"area": "100,10,100.1,10.1"})
    assert r"has no scene of s2\_l2a in this area" in app.info[0].value


def test_an_area_that_makes_no_sense(page: Page) -> None:
    app = page("scenes_page", {"area": "14,47,13,48"})
    assert "west must be below east" in app.error[0].value
    assert "Try again" in [each.label for each in app.button]


def test_actions_wait_for_a_choice(page: Page) -> None:
    app = page("scenes_page")
    buttons = {each.label: each for each in app.button}
    assert buttons["Mask"].disabled
    assert buttons["Look"].disabled
    assert buttons["Judge"].disabled
    assert not buttons["Recall"].disabled


def test_scenes_that_are_refused_are_named(
    page: Page, cube: Cube, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(
        self: Service, scenes: list[object], person: str, area: object, *, light: bool
    ) -> None:
        raise SceneError("it lacks a band: B02")

    monkeypatch.setattr(Service, "ask", refuse)
    app = page("scenes_page", {"time": "2024-06"})
    west = list(app.dataframe[0].value.id).index(str(cube.scenes["west"].id))
    app.session_state["scene_table"] = {"selection": {"rows": [west], "columns": [], "cells": []}}
    app.run()
    next(each for each in app.button if each.label == "Mask 1 scene").click().run()
    assert "it lacks a band: B02" in app.error[0].value.replace("\\", "")


def test_a_store_that_cannot_be_written_is_told_before_anything_is_asked(
    page: Page, cube: Cube, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Folder) -> None:
        raise OutputError(f"{self} cannot be written: Read-only file system.")

    monkeypatch.setattr(Folder, "check_writable", refuse)
    app = page("scenes_page", {"time": "2024-06"})
    assert "No mask can be made now" in app.warning[0].value
    assert "Read-only file system" in app.warning[0].value.replace("\\", "")
    assert str(Path(service.settings.store).parent) not in app.warning[0].value
    west = list(app.dataframe[0].value.id).index(str(cube.scenes["west"].id))
    app.session_state["scene_table"] = {"selection": {"rows": [west], "columns": [], "cells": []}}
    app.run()
    buttons = {each.label: each for each in app.button}
    assert buttons["Mask 1 scene"].disabled
    assert not buttons["Look"].disabled
    with pytest.raises(OutputError, match="Read-only"):
        service.ask([cube.scenes["west"].id], "Ann")
    assert not service.queue.jobs()


def test_the_tools_of_the_table_lie_upon_no_button(page: Page) -> None:
    """They are drawn over what is above the table."""
    app = page("scenes_page")
    table = app.dataframe[0].type
    drawn = [each.type for each in app.main if each.type in (table, "button", "caption")]
    assert drawn[drawn.index(table) - 1] == "caption"
