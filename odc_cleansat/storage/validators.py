"""Reading YAML files that people write: each value is checked, and what is wrong is said with its key.

A check takes a value as YAML gives it and returns what it means; its ValueError says what the value
should be, as the end of a sentence that begins with the key.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

import yaml

from ..errors import CleansatError

T = TypeVar("T")
Validator = Callable[[Any], Any]


def read_mapping(path: Path, kind: str) -> dict[Any, Any]:
    """The contents of a file that should be a mapping, of such a kind of document.

    Raises
    ------
    ValueError
        With a whole sentence, if it is not.
    """
    try:
        found = yaml.safe_load(path.read_text("utf-8"))
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror or error}.") from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1})" if mark else ""
        problem = str(getattr(error, "problem", None) or error).splitlines()[0].rstrip(".")
        raise ValueError(f"{path} is not YAML{where}: {problem}.") from error
    except RecursionError as error:
        raise ValueError(f"{path} is nested too deep for a {kind}.") from error
    if not isinstance(found, dict):
        raise ValueError(f"{path} is no {kind}, which is a mapping of keys to values.")
    return found


def validated(
    where: str, found: Any, checks: Mapping[str, Validator], needed: Collection[str] = ()
) -> dict[str, Any]:
    """The values of a mapping, each checked.

    Parameters
    ----------
    where
        What the mapping is, for messages; empty at the top of a document.
    found
        The mapping.
    checks
        For each key that there may be.
    needed
        Keys that there must be.

    Raises
    ------
    ValueError
        With a whole sentence that says what is wrong.
    """
    inside = f"{where}: " if where else ""
    if not isinstance(found, dict):
        raise ValueError(
            f"{where} should be a mapping of keys to values, and is {shortened(found)}."
        )
    if unknown := [str(key) for key in found if key not in checks]:
        near = get_close_matches(unknown[0], checks, 1)
        hint = f"perhaps {near[0]!r} is meant." if near else f"there are {', '.join(checks)}."
        raise ValueError(f"{inside}there is no {unknown[0]!r}; {hint}")
    if missing := [key for key in needed if key not in found]:
        raise ValueError(f"{inside}it lacks {', '.join(missing)}.")
    values = {}
    for key, value in found.items():
        try:
            values[key] = checks[key](value)
        except CleansatError:
            raise
        except ValueError as error:
            said = str(error)
            # Of a mapping within, the message is whole.
            if not said.endswith("."):
                state = "empty; fill it in" if value in ("", [], None) else shortened(value)
                said = f"{key} {said}, and is {state}."
            raise ValueError(inside + said) from None
    return values


def shortened(value: Any) -> str:
    """A value for a message."""
    shown = repr(value)
    return shown if len(shown) <= 60 else shown[:57] + "..."


# --- checks ---------------------------------------------------------------------------


def text(value: Any) -> str:
    """Text in one line."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError("should be text (a number in quotes)")
    return " ".join(value.split())


def flag(value: Any) -> bool:
    """Yes or no."""
    if not isinstance(value, bool):
        raise ValueError("should be true or false")
    return value


def number(value: Any) -> float:
    """Any finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError("should be a number")
    return float(value)


def above_zero(value: Any) -> float:
    """A number above 0."""
    if not number(value) > 0:
        raise ValueError("should be above 0")
    return float(value)


def not_negative(value: Any) -> float:
    """A number from 0."""
    if not number(value) >= 0:
        raise ValueError("should be a number, not below 0")
    return float(value)


def fraction(value: Any) -> float:
    """A number from 0 to below 1."""
    if not 0 <= number(value) < 1:
        raise ValueError("should be from 0 to below 1")
    return float(value)


def whole(least: int) -> Callable[[Any], int]:
    """A whole number from a least one."""

    def check(value: Any) -> int:
        if type(value) is not int or value < least:
            raise ValueError(f"should be a whole number from {least}")
        return value

    return check


def one_of(choices: Collection[str]) -> Callable[[Any], str]:
    """One of some words."""

    def check(value: Any) -> str:
        if not isinstance(value, str) or value not in choices:
            raise ValueError(f"should be {' or '.join(choices)}")
        return value

    return check


def list_of(check: Callable[[Any], T], *, unique: bool = False) -> Callable[[Any], tuple[T, ...]]:
    """A list that is not empty."""

    def check_all(value: Any) -> tuple[T, ...]:
        if not isinstance(value, list) or not value:
            raise ValueError("should be a list")
        found = tuple(map(check, value))
        if unique and len(set(found)) < len(found):
            raise ValueError("should name each but once")
        return found

    return check_all
