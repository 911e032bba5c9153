"""The door: keys name a person, expire, and cannot be made by others."""

from __future__ import annotations

import pytest

from odc_cleansat.app.door import JUDGE, SEE, ClosedError, Door, named_by_header

starlette = pytest.importorskip("starlette.datastructures", reason="the extra app is not installed")

NOBODY = starlette.Headers({})


def test_a_key_names_its_person() -> None:
    door = Door()
    assert door.person(door.key("Ann"), NOBODY) == "Ann"


@pytest.mark.parametrize("key", [None, "", "Ann", "a.b.c", "é"])
def test_no_key_of_ours(key: str | None) -> None:
    with pytest.raises(ClosedError, match="no valid key"):
        Door().person(key, NOBODY)


def test_a_key_of_another_start_or_one_that_was_changed() -> None:
    door = Door()
    with pytest.raises(ClosedError, match="no valid key"):
        door.person(Door().key("Ann"), NOBODY)
    with pytest.raises(ClosedError, match="no valid key"):
        door.person("X" + door.key("Ann"), NOBODY)


def test_an_old_key() -> None:
    door = Door(seconds=-1)
    with pytest.raises(ClosedError, match="reload"):
        door.person(door.key("Ann"), NOBODY)


@pytest.mark.parametrize("use", [SEE, JUDGE])
def test_a_key_for_something_else(use: str) -> None:
    """Who passes on the address of a picture does not pass on the right to judge."""
    door = Door()
    other = JUDGE if use == SEE else SEE
    assert door.person(door.key("Ann", use), NOBODY, use) == "Ann"
    with pytest.raises(ClosedError, match="no valid key"):
        door.person(door.key("Ann", use), NOBODY, other)


def test_behind_a_proxy_a_key_opens_for_its_own_person() -> None:
    door = Door(user_header="X-User")
    key = door.key("Ann")
    assert door.person(key, starlette.Headers({"x-user": "Ann"})) == "Ann"
    with pytest.raises(ClosedError, match="somebody else"):
        door.person(key, starlette.Headers({"x-user": "Bob"}))
    with pytest.raises(ClosedError, match="names nobody"):
        door.person(key, NOBODY)


def test_the_header_of_a_proxy() -> None:
    assert named_by_header([" Ann "]) == "Ann"
    for values in ([], [" "], ["n" * 1000], ["Ann", "Bob"]):
        with pytest.raises(ClosedError, match="proxy"):
            named_by_header(values)


def test_whoever_signs_out_closes_what_they_have_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    door, now = Door(), 1_800_000_000.0
    monkeypatch.setattr("time.time", lambda: now)
    of_ann, of_bob = door.key("Ann"), door.key("Bob")
    door.leave("Ann")
    with pytest.raises(ClosedError, match="signed out"):
        door.person(of_ann, NOBODY)
    assert door.person(of_bob, NOBODY) == "Bob"
    now += 2
    assert door.person(door.key("Ann"), NOBODY) == "Ann"


def test_windows_of_before_a_sign_out_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    door, now = Door(), 1_800_000_000.0
    monkeypatch.setattr("time.time", lambda: now)
    assert not door.has_left("Ann", now)
    door.leave("Ann")
    assert door.has_left("Ann", now - 5)
    assert not door.has_left("Ann", now + 5), "she has signed in again"
    assert not door.has_left("Bob", now - 5)


def test_sessions_are_inside_once_somebody_is_let_in() -> None:
    door = Door()
    assert not door.is_inside("s")
    door.enter("s")
    assert door.is_inside("s")
    assert not door.is_inside("")


def test_a_browser_meets_the_same_addresses_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else each run of a page would load all tiles anew."""
    door, now = Door(), 1_800_000_000.0
    monkeypatch.setattr("time.time", lambda: now)
    first = door.key("Ann")
    now += 60
    assert door.key("Ann") == first
    assert door.key("Ann", JUDGE) != first
    door.leave("Ann")
    now += 60
    assert door.key("Ann") != first
