"""`patch_url` of `dc.load` and `odc.stac.load` for the files of which a mask is computed.

Both call it with the address of each band. The address of a computed band stands for several files, and theirs are the
addresses that may need a signature. So both are taught to call it for each of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from types import ModuleType
from typing import Any

from ..masks.on_demand import ADDRESS, COMPUTED, OnDemandMask
from .special_addresses import SHIFTED, patched_address

Patch = Callable[[str], str]


def reaching(patch: Patch) -> Patch:
    """Return a function for `patch_url` that reaches the files of computed bands.

    Parameters
    ----------
    patch
        Returns the address to read from for the address of a file.
    """
    plain = leaving(patch)

    def patched(address: str) -> str:
        if address.startswith(SHIFTED):
            return patched_address(address, patch)
        if not address.startswith(COMPUTED):
            return plain(address)
        layer, mask = OnDemandMask.from_address(address)
        files = tuple(file._replace(uri=patch(file.uri)) for file in mask.files)
        return replace(mask, files=files).address(layer)

    return patched


def leaving(patch: Patch) -> Patch:
    """Return a function for `patch_url` that leaves all but plain addresses alone.

    It is for scenes whose files are patched already.
    """

    def patched(address: str) -> str:
        return address if address.startswith(ADDRESS) else patch(address)

    patched.is_ours = True  # type: ignore[attr-defined]
    return patched


def teach_odc_stac() -> None:
    """Let `patch_url` of `odc.stac.load` reach the files of computed bands."""
    from odc.stac import _stac_load

    _wrap(_stac_load, "patch_urls", "edit")


def teach_datacube() -> None:
    """Let `patch_url` of `dc.load` reach the files of computed bands."""
    from datacube.storage import _loader

    _wrap(_loader, "driver_based_load", "patch_url")


def _wrap(module: ModuleType, name: str, argument: str) -> None:
    """Replace a function by one that widens an argument by :func:`reaching`; once."""
    original = getattr(module, name)
    if hasattr(original, "__wrapped__"):
        return

    @wraps(original)
    def wrapped(*values: Any, **named: Any) -> Any:
        patch = named.get(argument)
        if patch is not None and not hasattr(patch, "is_ours"):
            named[argument] = reaching(patch)
        return original(*values, **named)

    setattr(module, name, wrapped)
