"""The one reader of files, YAML and JSON: documents of strangers harm nobody, whatever stands in them.

A document has limits of size, depth and number of values, aliases counted as what they stand for. It has no key twice,
no number that others cannot read, and no text that cannot be written. JSON has no NaN, which YAML may have. Whatever is
wrong, the answer is a :class:`DocumentError`. All documents of the package are read here.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

from ..errors import CleansatError, fault_of, first_line

LARGEST = 32 * 2**20
"""Most bytes of a document in JSON."""

LARGEST_YAML = 2 * 2**20
"""Most bytes of a document in YAML, which takes about 2 seconds."""

DEEPEST = 64
"""Most levels of lists and mappings in one another. A STAC item has about ten."""

MOST = 2_000_000
"""Most values of a document, each alias counted as what it stands for."""

_INTEGERS = 2**64
"""Integers are smaller; others would not survive a database, numpy or other languages."""


class DocumentError(CleansatError):
    """A document that cannot be read: no text, no YAML or JSON, too large, too deep, or with a key twice."""

    def __init__(self, message: str, reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason or message
        """What is wrong, without the name of the document."""


def read_file(path: Path, largest: int = LARGEST) -> bytes:
    """Return the contents of a file of limited size. Pipes and devices are refused, and not waited for.

    Raises
    ------
    DocumentError
        If it is larger, or no file.
    OSError
        If it is missing or cannot be read.
    """
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
        check_regular(file.fileno(), path)
        content = file.read(largest + 1)
    if len(content) > largest:
        raise DocumentError(f"{path} is larger than {largest // 2**20} MiB, so it is not read.")
    return content


def check_regular(file: int | Path, name: Path | str) -> None:
    """Raise if a file is a pipe, a device or the like, which may never end.

    Raises
    ------
    DocumentError
        If it is.
    OSError
        If it is missing.
    """
    mode = os.stat(file).st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):  # whoever opens a folder is told so
        raise DocumentError(f"{name} is a pipe or a device; give a file.")


def parse_json(content: bytes | str, name: str, *, nan: bool = False) -> Any:
    """Return what a document in JSON holds.

    Parameters
    ----------
    content
        The document.
    name
        What it is called in messages.
    nan
        Whether NaN is allowed, as Python writes it.

    Raises
    ------
    DocumentError
        If it is no JSON, or breaks one of the limits.
    """
    text = _text(content, name, "JSON", LARGEST)
    try:
        found = json.loads(
            text,
            parse_int=_integer,
            parse_float=_finite,
            parse_constant=float if nan else _no_constant,
            object_pairs_hook=_unique,
        )
        _check_values(found)
    except (ValueError, RecursionError, MemoryError) as error:
        raise DocumentError(f"{name} is not JSON: {_reason(error)}.", _reason(error)) from error
    return found


def parse_yaml(content: bytes | str, name: str) -> Any:
    """Return what a document in YAML holds.

    Parameters
    ----------
    content
        The document.
    name
        What it is called in messages.

    Raises
    ------
    DocumentError
        If it is no YAML, or breaks one of the limits.
    """
    text = _text(content, name, "YAML", LARGEST_YAML)
    try:
        _check_events(yaml.parse(text, _Loader))
        found = yaml.load(text, _Loader)
        _check_values(found)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1})" if mark else ""
        problem = str(getattr(error, "problem", None) or error).splitlines()[0].rstrip(".")
        raise DocumentError(f"{name} is not YAML{where}: {problem}.", problem) from error
    except Exception as error:  # the constructors of PyYAML raise many kinds
        raise DocumentError(f"{name} is not YAML: {_reason(error)}.", _reason(error)) from error
    return found


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Refuses keys that stand twice in a mapping, and executes nothing."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        pairs = node.value if isinstance(node, yaml.MappingNode) else ()
        keys = [(key.tag, key.value) for key, _ in pairs if isinstance(key, yaml.ScalarNode)]
        if twice := _twice(keys):
            raise ValueError(f"the key {min(twice)[1]!r} stands there twice")
        found: dict[Any, Any] = super().construct_mapping(node, deep)
        return found


def _construct_integer(loader: Any, node: Any) -> int:
    if len(str(node.value)) > 40:  # one in sixties would take minutes
        raise ValueError(f"the number {node.value[:20]}... has too many digits")
    found: int = loader.construct_yaml_int(node)
    return found


_Loader.add_constructor("tag:yaml.org,2002:int", _construct_integer)


@contextlib.contextmanager
def strange_values(name: str, kind: type[CleansatError] = DocumentError) -> Iterator[None]:
    """Take values out of a document in this context, or in a function that this decorates, whatever stands in it.

    Parameters
    ----------
    name
        What the document is called in messages.
    kind
        The class of the error that is raised.

    Raises
    ------
    CleansatError
        If a value is missing, of another kind, or impossible.
    OSError
        If a file cannot be read.
    """
    try:
        yield
    except (CleansatError, OSError):
        raise
    except KeyError as error:
        raise kind(f"{name} lacks {error}.") from error
    except Exception as error:  # of Python, and of whatever library is handed the value
        raise kind(f"{name} is not as it should be: {fault_of(error)}.") from error


def _text(content: bytes | str, name: str, form: str, largest: int) -> str:
    if len(content) > largest:
        raise DocumentError(f"{name} is larger than {largest // 2**20} MiB, so it is not read.")
    try:
        text = content.decode("utf-8") if isinstance(content, bytes) else content
    except UnicodeDecodeError as error:
        reason = "it is no text in UTF-8"
        raise DocumentError(f"{name} is not {form}: {reason}.", reason) from error
    return text.removeprefix("\ufeff")


def _reason(error: BaseException) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deep"
    return "it is too large" if isinstance(error, MemoryError) else first_line(error)


def _twice(keys: Iterable[Any]) -> set[Any]:
    seen: set[Any] = set()
    return {key for key in keys if key in seen or seen.add(key)}  # type: ignore[func-returns-value]


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError(f"the key {min(_twice(key for key, _ in pairs))!r} stands there twice")
    return found


def _integer(text: str) -> int:
    if len(text) > 20:
        raise ValueError(f"the number {text[:20]}... has too many digits")
    return int(text)


def _finite(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError(f"the number {text[:20]} is too large")
    return number


def _no_constant(text: str) -> float:
    raise ValueError(f"{text} is no number in JSON")


def _check_events(events: Iterable[Any]) -> None:
    """Raise if YAML is nested too deep, or its aliases stand for too much, or for themselves."""
    sizes: dict[str | None, int] = {}
    open_ones: list[tuple[str | None, int]] = []
    count = 0
    for event in events:
        if isinstance(event, yaml.AliasEvent):
            if event.anchor in (anchor for anchor, _ in open_ones):
                raise ValueError(f"the alias {event.anchor!r} stands inside of what it stands for")
            count += sizes.get(event.anchor, 1)
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = open_ones.pop()
            if anchor is not None:
                sizes[anchor] = count - before
        elif isinstance(event, yaml.CollectionStartEvent):
            open_ones.append((event.anchor, count))
            count += 1
        elif isinstance(event, yaml.ScalarEvent):
            count += 1
        if len(open_ones) > DEEPEST:
            raise RecursionError
        if count > MOST:
            raise ValueError("it holds too many values")


def _check_values(found: Any) -> None:
    """Raise if a value is nested too deep, too large an integer, or text that cannot be written."""
    level, count = [found], 0
    for _ in range(DEEPEST + 1):
        level = [inner for each in level for inner in _inside(each)]
        if (count := count + len(level)) > MOST:
            raise ValueError("it holds too many values")
        if not level:
            return
    raise RecursionError


def _check_characters(text: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError("it holds half a character") from None


def _inside(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from value
        yield from value.values()
    elif isinstance(value, (list, tuple, set)):
        yield from value
    elif isinstance(value, str):
        if not value.isascii():
            _check_characters(value)
    elif isinstance(value, int) and abs(value) >= _INTEGERS:
        raise ValueError(f"the number {str(value)[:20]}... has too many digits")
