"""The reader of documents: whatever a stranger writes, the answer is one kind of error, and it comes soon."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import pytest

import odc_cleansat
from odc_cleansat.errors import SceneError
from odc_cleansat.storage.reader import (
    LARGEST_YAML,
    DocumentError,
    parse_json,
    parse_yaml,
    read_file,
    strange_values,
)

LAUGHS = "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "Expecting"),
        ("", "Expecting"),
        (b"\xff\xfe", "no text in UTF-8"),
        ("[" * 100_000, "nested too deep"),
        ("[" * 70 + "]" * 70, "nested too deep"),
        ('{"a": 1, "a": 2}', "the key 'a' stands there twice"),
        ("NaN", "NaN is no number"),
        ("[-Infinity]", "-Infinity is no number"),
        ("1e999", "too large"),
        ("9" * 25, "too many digits"),
        ("9" * 5000, "too many digits"),
        ('"\\ud800"', "half a character"),
        ("x" * (32 * 2**20 + 1), "larger than 32 MiB"),
    ],
)
def test_json_that_is_refused(content: str | bytes, reason: str) -> None:
    with pytest.raises(DocumentError, match=f"^x.json .*{reason}"):
        parse_json(content, "x.json")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("a: [", r"\(line 2\)"),
        (b"\xff\xfe", "no text in UTF-8"),
        ("[" * 100_000, "nest"),
        ("- " * 3000, "nested too deep"),
        ("a: 1\nb: 2\na: 3", "the key 'a' stands there twice"),
        ("9" * 25, "too many digits"),
        ("1:" + "59:" * 100_000 + "59", "too many digits"),
        (LAUGHS, "too many values"),
        ("&a [*a]", "inside of what it stands for"),
        ("a: &a {b: *a}", "inside of what it stands for"),
        ("a: *b", "undefined alias"),
        ("!!python/object/apply:os.system [ls]", "could not determine a constructor"),
        ("2024-99-99", "month"),
        ("!!timestamp x", "is not YAML"),
        ("!!bool maybe", "is not YAML"),
        ("? [a]\n: 1", "unhashable"),
        ("a: 'x\x00'", "control characters"),
        ("--- 1\n--- 2", "another document"),
        ("x" * (LARGEST_YAML + 1), "larger than 2 MiB"),
    ],
)
def test_yaml_that_is_refused(content: str | bytes, reason: str) -> None:
    begun = time.process_time()
    with pytest.raises(DocumentError, match=f"^x.yaml .*{reason}"):
        parse_yaml(content, "x.yaml")
    assert time.process_time() - begun < 2


def test_what_is_read() -> None:
    assert parse_json(b'\xef\xbb\xbf{"a": [1, 2.5, null]}', "x") == {"a": [1, 2.5, None]}
    assert str(parse_json("[NaN]", "x", nan=True)) == "[nan]"
    assert parse_yaml("{<<: {a: 1}, a: 2, b: &b [1], c: *b}", "x") == {"a": 2, "b": [1], "c": [1]}
    assert str(parse_yaml("nodata: .nan", "x")) == "{'nodata': nan}"
    assert parse_yaml("2024-06-15", "x").year == 2024


def test_files_that_are_none(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(DocumentError, match="pipe or a device"):
            read_file(path)
    (tmp_path / "x").write_bytes(b"12")
    assert read_file(tmp_path / "x", 2) == b"12"
    with pytest.raises(DocumentError, match="larger"):
        read_file(tmp_path / "x", 1)
    with pytest.raises(FileNotFoundError):
        read_file(tmp_path / "none")
    with pytest.raises(IsADirectoryError):
        read_file(tmp_path)


def test_no_other_module_parses_documents() -> None:
    """One reader, with its limits, for all."""
    package = Path(odc_cleansat.__file__).parent
    found = []
    for path in sorted(package.rglob("*.py")):
        for name in re.findall(
            r"\b(?:json\.loads?|yaml\.\w*[lL]oad\w*|serialise\.from_path|\w*\.parse_yaml|read_documents)\b",
            path.read_text("utf-8"),
        ):
            found.append(f"{path.relative_to(package).as_posix()}: {name}")
    others = [each for each in found if not each.startswith("storage/reader.py")]
    # They read what this package has written a moment ago.
    assert others == ["doctor/apart.py: json.loads", "storage/eo3.py: serialise.from_path"]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (KeyError("id"), "the item lacks 'id'."),
        (
            TypeError("no list"),
            "the item is not as it should be: a value is of another kind than it should be,",
        ),
        (RecursionError(), "the item is not as it should be: RecursionError"),
    ],
)
def test_odd_values_of_documents(error: Exception, said: str) -> None:
    with pytest.raises(DocumentError) as raised, strange_values("the item"):
        raise error
    assert str(raised.value).startswith(said)
    with pytest.raises(SceneError), strange_values("the item", SceneError):
        raise error
    for own in (SceneError("ours"), FileNotFoundError("gone")):
        with pytest.raises(type(own), match=str(own)), strange_values("the item"):
            raise own
