"""What callers pass: whether it is a number, a mapping or names, and which name they may have meant.

Python takes anything for anything. So a function that users call looks at the kind of each argument before it compares
it or looks it up. Then text for a number is a :class:`CleansatError` that names the argument, and no TypeError.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any, TypeGuard

import numpy as np

FARTHEST = 20_000.0
"""Metres beyond which a dilation cannot be meant. A tile of Sentinel-2 is 110 km wide."""


def is_number(value: Any) -> TypeGuard[float]:
    """Return whether a value is one finite number.

    Numbers of numpy and arrays without dims count. Text, true and false, and integers that no float can hold do not.
    """
    try:
        found = np.asarray(value)
        return found.ndim == 0 and found.dtype.kind in "iuf" and bool(np.isfinite(found))
    except Exception:  # an object may say anything of itself as an array
        return False


def fault_of_flags(**flags: Any) -> str | None:
    """Say which of some arguments that are true or false is something else.

    Parameters
    ----------
    **flags
        What the caller passes, by the name of the argument.

    Returns
    -------
    str or None
        A sentence; None if nothing is wrong.
    """
    for name, value in flags.items():
        if not isinstance(value, bool | np.bool_):
            return f"{name} is {value!r:.100}; pass True or False."
    return None


def fault_of_metres(dilation: Any, kinds: Iterable[str]) -> str | None:
    """Say what is wrong with metres by which classes are dilated.

    Parameters
    ----------
    dilation
        What the caller passes: a mapping of names to metres on the ground, or None.
    kinds
        Names that there are.

    Returns
    -------
    str or None
        A sentence; None if nothing is wrong.
    """
    names = " and ".join(kinds)
    if dilation is None:
        return None
    if not isinstance(dilation, Mapping):
        return f"the dilation is {dilation!r}; pass a mapping of {names} to metres."
    for name, metres in dilation.items():
        if name not in kinds:
            return f"cannot dilate {name!r}; choose from {names}.{meant(name, kinds)}"
        if not is_number(metres) or metres < 0:
            return f"cannot dilate {name} by {metres!r}; pass a number of metres, 0 or more."
        if metres > FARTHEST:
            return f"cannot dilate {name} by {metres:g} m; pass {FARTHEST:g} m at most."
    return None


def fault_of_progress(progress: Any) -> str | None:
    """Say why a function cannot be told how far work is.

    Parameters
    ----------
    progress
        What the caller passes: a function of what is done and of how much there is, or None.

    Returns
    -------
    str or None
        A sentence; None if nothing is wrong.
    """
    if progress is None:
        return None
    try:
        inspect.signature(progress).bind(0, 1)
    except TypeError:  # it cannot be called, or not with two numbers
        return f"progress is {progress!r:.100}; pass a function of two numbers."
    except ValueError:  # a function of C that does not tell what it takes
        return None
    return None


def texts(value: Any) -> list[str] | None:
    """Return the texts that a caller passes, one or several; None if it is something else."""
    if isinstance(value, str):
        return [value]
    try:
        found = list(value)
    except Exception:  # not iterable, or not to its end
        return None
    return found if all(isinstance(each, str) for each in found) else None


def meant(given: object, known: Iterable[str]) -> str:
    """Return a question that ends a message on an unknown name: `` Did you mean 'median'?``.

    Parameters
    ----------
    given
        What the caller passes.
    known
        The names that there are.

    Returns
    -------
    str
        Empty if no name is like the given one. Small and capital letters do not count.
    """
    names = {name.lower(): name for name in known}
    near = get_close_matches(str(given).lower(), names, 1)
    return f" Did you mean {names[near[0]]!r}?" if near else ""
