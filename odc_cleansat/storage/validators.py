"""Read YAML files that people write, and validate their values.

A validator takes a value as YAML gives it and returns what it means. Its ValueError completes a sentence that
begins with the key, such as "should be text".
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, TypeVar

from ..arguments import meant
from ..errors import CleansatError
from .reader import parse_yaml, read_file

T = TypeVar("T")
Validator = Callable[[Any], Any]
"""Returns the meaning of a value, or raises ValueError."""


def read_mapping(path: Path, kind: str) -> dict[Any, Any]:
    """Return the contents of a YAML file that holds a mapping.

    Parameters
    ----------
    path
        The file.
    kind
        What the document is, for messages, such as ``recipe``.

    Raises
    ------
    ValueError
        If the file cannot be read or holds no mapping; the message is a whole sentence.
    """
    try:
        found = parse_yaml(read_file(path), str(path))
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror or error}.") from error
    if not isinstance(found, dict):
        raise ValueError(f"{path} is no {kind}, which is a mapping of keys to values.")
    return found


def validated(
    where: str, found: Any, validators: Mapping[str, Validator], needed: Collection[str] = ()
) -> dict[str, Any]:
    """Return the validated values of a mapping.

    Parameters
    ----------
    where
        What the mapping is, for messages; empty at the top of a document.
    found
        The mapping.
    validators
        Allowed key to validator.
    needed
        Required keys.

    Raises
    ------
    ValueError
        If a key is unknown or missing, or a value is invalid; the message is a whole sentence.
    """
    inside = f"{where}: " if where else ""
    if not isinstance(found, dict):
        raise ValueError(
            f"{where} should be a mapping of keys to values, and is {shortened(found)}."
        )
    if unknown := [str(key) for key in found if key not in validators]:
        hint = meant(unknown[0], validators) or f" There are {', '.join(validators)}."
        raise ValueError(f"{inside}there is no {unknown[0]!r}.{hint}")
    if missing := [key for key in needed if key not in found]:
        raise ValueError(f"{inside}it lacks {', '.join(missing)}.")
    values = {}
    for key, value in found.items():
        try:
            values[key] = validators[key](value)
        except CleansatError:
            raise
        except ValueError as error:
            message = str(error)
            # The message of a mapping inside this one is a whole sentence already.
            if not message.endswith("."):
                given = "empty; fill it in" if value in ("", [], None) else shortened(value)
                message = f"{key} {message}, and is {given}."
            raise ValueError(inside + message) from None
    return values


def shortened(value: Any) -> str:
    """Return a value as text for a message, at most 60 characters."""
    shown = repr(value)
    return shown if len(shown) <= 60 else shown[:57] + "..."


def text(value: Any) -> str:
    """Return text in one line.

    Raises
    ------
    ValueError
        If the value is not text or empty.
    """
    if not isinstance(value, str) or not value.strip():
        raise ValueError("should be text (a number in quotes)")
    line = " ".join(value.split())
    if any(unicodedata.category(character) == "Cc" for character in line):
        raise ValueError("should be text without control characters")
    return line


def flag(value: Any) -> bool:
    """Return true or false.

    Raises
    ------
    ValueError
        If the value is neither.
    """
    if not isinstance(value, bool):
        raise ValueError("should be true or false")
    return value


def number(value: Any) -> float:
    """Return a finite number.

    Raises
    ------
    ValueError
        If the value is not a finite number.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError("should be a number")
    return float(value)


def above_zero(value: Any) -> float:
    """Return a number above 0.

    Raises
    ------
    ValueError
        If the value is not such a number.
    """
    if not number(value) > 0:
        raise ValueError("should be above 0")
    return float(value)


def not_negative(value: Any) -> float:
    """Return a number that is 0 or more.

    Raises
    ------
    ValueError
        If the value is not such a number.
    """
    if not number(value) >= 0:
        raise ValueError("should be a number, not below 0")
    return float(value)


def fraction(value: Any) -> float:
    """Return a number from 0 to below 1.

    Raises
    ------
    ValueError
        If the value is not such a number.
    """
    if not 0 <= number(value) < 1:
        raise ValueError("should be from 0 to below 1")
    return float(value)


def whole(least: int) -> Callable[[Any], int]:
    """Return a validator of whole numbers not below a least one."""

    def validate(value: Any) -> int:
        if type(value) is not int or value < least:
            raise ValueError(f"should be a whole number from {least}")
        return value

    return validate


def one_of(choices: Collection[str]) -> Callable[[Any], str]:
    """Return a validator of one of some words."""

    def validate(value: Any) -> str:
        if not isinstance(value, str) or value not in choices:
            raise ValueError(f"should be {' or '.join(choices)}")
        return value

    return validate


def list_of(
    validator: Callable[[Any], T], *, unique: bool = False
) -> Callable[[Any], tuple[T, ...]]:
    """Return a validator of lists that are not empty.

    Parameters
    ----------
    validator
        For each value.
    unique
        Whether the values must differ.
    """

    def validate_all(value: Any) -> tuple[T, ...]:
        if not isinstance(value, list) or not value:
            raise ValueError("should be a list")
        values = tuple(map(validator, value))
        if unique and len(set(values)) < len(values):
            raise ValueError("should name each but once")
        return values

    return validate_all
