"""Lists of scenes: short ones at once, long ones in the background, and none twice."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import pytest

from odc_cleansat.app import scene_lists
from odc_cleansat.app.scene_lists import FIRST, SceneLists
from odc_cleansat.errors import CubeError

ALL: Sequence[Any] = list(range(2000))


class Cube:
    """Lists scenes, all of them only once the gate is open."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.asked: list[int | None] = []

    def find(self, limit: int | None) -> Sequence[Any]:
        self.asked.append(limit)
        if limit is None:
            assert self.gate.wait(30)
        return ALL[:limit]


@pytest.fixture
def cube(monkeypatch: pytest.MonkeyPatch) -> Cube:
    monkeypatch.setattr(scene_lists, "PATIENCE", 0.05)
    return Cube()


def until_made(lists: SceneLists) -> None:
    while not lists.is_made("a"):
        threading.Event().wait(0.001)


def test_a_short_list_is_made_once(cube: Cube) -> None:
    cube.gate.set()
    lists = SceneLists()
    assert [lists.get("a", 0, cube.find) for _ in range(3)] == [(ALL, True)] * 3
    assert cube.asked == [None]
    lists.get("b", 0, cube.find)
    assert cube.asked == [None, None]


def test_the_first_of_a_long_list_are_there_at_once(cube: Cube) -> None:
    lists = SceneLists()
    assert lists.get("a", 0, cube.find) == (ALL[:FIRST], False)
    assert not lists.is_made("a")
    cube.gate.set()
    until_made(lists)
    assert lists.get("a", 0, cube.find) == (ALL, True)
    assert cube.asked == [None, FIRST]


def test_after_a_change_the_list_is_made_anew_and_the_old_one_shown_meanwhile(cube: Cube) -> None:
    cube.gate.set()
    lists = SceneLists()
    lists.get("a", 0, cube.find)
    cube.gate.clear()
    assert lists.get("a", 1, cube.find) == (ALL, True)
    assert cube.asked == [None, None]
    cube.gate.set()
    until_made(lists)
    lists.get("a", 1, cube.find)
    assert len(cube.asked) == 2


def test_an_old_list_is_made_anew(cube: Cube, monkeypatch: pytest.MonkeyPatch) -> None:
    cube.gate.set()
    lists = SceneLists()
    lists.get("a", 0, cube.find)
    monkeypatch.setattr(scene_lists, "FRESH_SECONDS", -1)
    lists.get("a", 0, cube.find)
    assert len(cube.asked) == 2


def test_what_fails_is_told_and_tried_again(cube: Cube) -> None:
    def fail(limit: int | None) -> Sequence[Any]:
        raise CubeError("the database is away.")

    lists = SceneLists()
    for _ in range(2):
        with pytest.raises(CubeError, match="is away"):
            lists.get("a", 0, fail)
    cube.gate.set()
    assert lists.get("a", 0, cube.find) == (ALL, True)
