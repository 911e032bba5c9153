"""YAML files that people write, and what is said of wrong values."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from odc_cleansat.storage import validators as v

KEYS = {"name": v.text, "share": v.fraction, "steps": v.whole(1), "tags": v.list_of(v.text, unique=True)}  # fmt: skip


@pytest.mark.parametrize(
    ("validator", "value", "meaning"),
    [
        (v.text, " two  words\n", "two words"),
        (v.flag, True, True),
        (v.number, 3, 3.0),
        (v.above_zero, 0.5, 0.5),
        (v.not_negative, 0, 0.0),
        (v.fraction, 0, 0.0),
        (v.whole(2), 2, 2),
        (v.one_of(["a", "b"]), "b", "b"),
        (v.list_of(v.whole(0)), [2, 1], (2, 1)),
    ],
)
def test_right_values(validator: Callable[[Any], Any], value: Any, meaning: Any) -> None:
    found = validator(value)
    assert (found, type(found)) == (meaning, type(meaning))


@pytest.mark.parametrize(
    ("validator", "value", "message"),
    [
        (v.text, 3, "should be text"),
        (v.text, " ", "should be text"),
        (v.flag, 1, "true or false"),
        (v.number, True, "a number"),
        (v.number, float("nan"), "a number"),
        (v.above_zero, 0, "above 0"),
        (v.not_negative, -1, "not below 0"),
        (v.fraction, 1, "below 1"),
        (v.whole(2), 1, "a whole number from 2"),
        (v.whole(0), True, "a whole number"),
        (v.whole(0), 1.0, "a whole number"),
        (v.one_of(["a", "b"]), "c", "should be a or b"),
        (v.list_of(v.text), [], "a list"),
        (v.list_of(v.text), "a", "a list"),
        (v.list_of(v.text, unique=True), ["a", "a"], "each but once"),
    ],
)
def test_wrong_values(validator: Callable[[Any], Any], value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        validator(value)


def test_a_mapping_is_validated_key_by_key() -> None:
    found = v.validated("", {"name": "x", "tags": ["a", "b"]}, KEYS, ["name"])
    assert found == {"name": "x", "tags": ("a", "b")}


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"nam": "x"}, "^data: there is no 'nam'. Did you mean 'name'\\?$"),
        ({"zzzz": 1}, "there is no 'zzzz'. There are name, share, steps, tags."),
        ({"share": 0}, "^data: it lacks name.$"),
        ({"name": "x", "share": 2}, "^data: share should be from 0 to below 1, and is 2.$"),
        ({"name": ""}, r"name should be text .*, and is empty; fill it in.$"),
        ({"name": ["y" * 99]}, r"and is \['y{50,}\.\.\.\.$"),
        ([1], r"^data should be a mapping of keys to values, and is \[1\].$"),
    ],
)
def test_what_is_wrong_is_said_with_its_key(mapping: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        v.validated("data", mapping, KEYS, ["name"])


def test_a_mapping_within_says_it_once() -> None:
    keys = {"data": lambda value: v.validated("data", value, KEYS)}
    with pytest.raises(
        ValueError, match=r"^data: steps should be a whole number from 1, and is 0\.$"
    ):
        v.validated("", {"data": {"steps": 0}}, keys)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a: [1", r"is not YAML \(line \d\)"),
        (b"\xff\xfe\xfa", "is not YAML"),
        (b"- a\n", "is no recipe, which is a mapping"),
        (b"[" * 400, "nested too deep for a recipe|is not YAML"),
    ],
)
def test_files_that_hold_no_mapping(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        v.read_mapping(path, "recipe")


def test_a_file_with_a_mapping_and_one_that_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    with pytest.raises(ValueError, match=r"cannot read .*x\.yaml: No such file"):
        v.read_mapping(path, "recipe")
    path.write_text("name: x\n")
    assert v.read_mapping(path, "recipe") == {"name": "x"}
