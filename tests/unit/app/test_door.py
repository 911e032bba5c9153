"""The door: keys name a person, expire, and cannot be made by others."""

from __future__ import annotations

import pytest

from odc_cleansat.app.door import ClosedError, Door, named_by_header


def test_a_key_names_its_person() -> None:
    door = Door()
    assert door.person(door.key("Ann")) == "Ann"


@pytest.mark.parametrize("key", [None, "", "Ann", "a.b.c", "é"])
def test_no_key_of_ours(key: str | None) -> None:
    with pytest.raises(ClosedError, match="no valid key"):
        Door().person(key)


def test_a_key_of_another_start_or_one_that_was_changed() -> None:
    door = Door()
    with pytest.raises(ClosedError, match="no valid key"):
        door.person(Door().key("Ann"))
    with pytest.raises(ClosedError, match="no valid key"):
        door.person("X" + door.key("Ann"))


def test_an_old_key() -> None:
    door = Door(seconds=-1)
    with pytest.raises(ClosedError, match="reload"):
        door.person(door.key("Ann"))


def test_the_header_of_a_proxy() -> None:
    assert named_by_header({"X-User": " Ann "}, "X-User") == "Ann"
    for headers in ({}, {"X-User": " "}, {"X-User": "n" * 1000}):
        with pytest.raises(ClosedError, match="proxy"):
            named_by_header(headers, "X-User")
