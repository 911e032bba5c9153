"""Arguments of `dc.load` that say how to read: checked before anything is searched or read."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import Any

from rasterio.enums import Resampling

from ..errors import CubeError
from .graph import check_chunks

READING = ("dask_chunks", "fuse_func", "patch_url", "progress_cbk", "skip_broken_datasets")
"""Names of these arguments, but for ``resampling``."""


def reading_options(terms: dict[str, Any]) -> dict[str, Any]:
    """Take the arguments on reading out of those of a call, which keep the others.

    Parameters
    ----------
    terms
        Arguments that are not None.

    Returns
    -------
    dict
        Those of :data:`READING` that are there, functions that fuse by their names.

    Raises
    ------
    CubeError
        If one cannot be used, or ``driver`` is among them.
    """
    if "driver" in terms:
        raise CubeError("the driver cannot be chosen: the mask has one of its own; leave it out.")
    options = {key: terms.pop(key) for key in READING if key in terms}
    if "dask_chunks" in options:
        check_chunks(options["dask_chunks"])
    for name in ("patch_url", "progress_cbk"):
        if name in options and not callable(options[name]):
            raise CubeError(f"{name} is {options[name]!r:.100}; pass a function.")
    if "fuse_func" in options:
        options["fuse_func"] = _fusers(options["fuse_func"])
    return options


def _fusers(given: Any) -> Any:
    if isinstance(given, Mapping):
        return {name: each if each is None else _name_of(each) for name, each in given.items()}
    return _name_of(given)


def _name_of(fuser: Any) -> str:
    """Return the name by which workers can import a function that fuses."""
    module, _, name = fuser.rpartition(".") if isinstance(fuser, str) else ("", "", "")
    if callable(fuser):
        module, name = (str(getattr(fuser, key, "")) for key in ("__module__", "__qualname__"))
    try:
        __import__(module)
        found = getattr(sys.modules[module], name)
    except (ImportError, AttributeError, ValueError, KeyError) as error:
        raise CubeError(
            f"fuse_func is {fuser!r:.100}, which workers cannot import; pass a function of a module, or its name such as "
            "'package.module.function'."
        ) from error
    if not callable(found):
        raise CubeError(f"fuse_func is {fuser!r:.100}, which is no function.")
    return f"{module}.{name}"


def resampling_methods(given: Any) -> dict[str, str | None]:
    """Return the method of resampling by the name of the band, ``*`` for all others.

    Parameters
    ----------
    given
        A method or a mapping of bands to methods, each a name, a number or a member of rasterio's `Resampling`; or None.

    Raises
    ------
    CubeError
        If there is no such method.
    """
    methods = given if isinstance(given, Mapping) else {"*": given}
    return {name: method and _method(method) for name, method in methods.items()}


def _method(given: Any) -> str:
    try:
        return str((Resampling[given] if isinstance(given, str) else Resampling(given)).name)
    except (KeyError, ValueError, TypeError) as error:
        raise CubeError(
            f"resampling {given!r:.100} is unknown; choose from {_listed(Resampling.__members__)}."
        ) from error


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)
