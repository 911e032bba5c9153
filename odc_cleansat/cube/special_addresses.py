"""Addresses that stand for a file which our reader driver reads in a special way."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote, unquote

from ..masks.on_demand import ADDRESS
from ..scenes.files import BandFile

MASK_LAYER = f"{ADDRESS}/indexed-mask"
"""How addresses of a layer of an indexed mask begin."""

SHIFTED = f"{ADDRESS}/without-offset"
"""How addresses of a band begin whose radiometric offset is taken off."""

NO_MASK = f"{ADDRESS}/no-mask"
"""How addresses begin that stand for the mask of a scene without one."""


def file_address(kind: str, file: BandFile, offset: float = 0) -> str:
    """Return the address that stands for a file that is read in a special way.

    Parameters
    ----------
    kind
        The way: :data:`MASK_LAYER`, :data:`SHIFTED` or :data:`NO_MASK`.
    file
        The file.
    offset
        What is added to the values, digital numbers.
    """
    return f"{kind}?{quote(file.uri, safe=':/')}&{file.band}&{offset:g}"


def file_of(address: str) -> tuple[BandFile, float]:
    """Return the file that an address stands for, and what is added to its values, digital numbers."""
    uri, band, offset = address.partition("?")[2].rsplit("&", 2)
    return BandFile(unquote(uri), int(band), None), float(offset)


def patched_address(address: str, patch: Callable[[str], str]) -> str:
    """Return the address that stands for the same file at another place.

    Parameters
    ----------
    address
        One that :func:`file_address` gave.
    patch
        Returns the address to read from for the address of a file.
    """
    kind, (file, offset) = address.partition("?")[0], file_of(address)
    return file_address(kind, file._replace(uri=patch(file.uri)), offset)
