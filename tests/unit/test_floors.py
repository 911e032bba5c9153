"""Floors of requirements: each has one, and those that do not apply here are passed over."""

from __future__ import annotations

import floors
from packaging.version import Version


def test_each_requirement_has_a_floor() -> None:
    found = dict(floors.floors(floors.requirements()))
    assert found["numpy"] is not None
    assert len(found) > 40
    assert [name for name, floor in found.items() if floor is None] == []


def test_floors_of_what_applies_here() -> None:
    lines = ["one[more] >=1.2,<2", "two ==3.0", "three", "old >=1; python_version < '3'"]
    assert list(floors.floors(lines)) == [
        ("one", Version("1.2")), ("two", Version("3.0")), ("three", None),
    ]  # fmt: skip
