"""Read arrays of Zarr stores, on this machine or behind a URL, chunk by chunk.

An array has the address of its store and the path in it: ``/data/NAME.zarr/measurements/reflectance/r10m/b02``. So addresses
of bands stay texts, as those of files are. GDAL does not read all Zarr that there is, above all not version 3. Therefore
zarr-python reads.
"""

from __future__ import annotations

import os
import re
import threading
import time
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from urllib.request import url2pathname

import numpy as np
from cachetools import LRUCache, cached

from ..errors import CleansatError, OutputError, SceneError, first_line
from .settings import URL_SCHEME, open_filesystem, s3_options

_PLACE = re.compile(r"(?P<store>.+?\.zarr)(?P<inner>/.*)?", re.IGNORECASE | re.DOTALL)

_DOCUMENTS = ("zarr.json", ".zmetadata", ".zgroup", ".zattrs", ".zarray")
"""Names of the metadata of a group or an array."""

_REMOTE_SECONDS = 600
"""Time after which the metadata of a remote store are read anew."""

_KEPT = 384 * 2**20
"""Most bytes of chunks that are kept."""

_LEAST = 1024
"""Rows and columns that are read at once, at least: small chunks are read together."""


class Place(NamedTuple):
    """A group or an array in a store."""

    store: str
    """Path or URL of the store, without ``file://``."""

    inner: str
    """Path in the store, without a slash before and after; empty for its root."""


def is_zarr(address: str) -> bool:
    """Return whether an address is that of a Zarr store, or of a group or an array in it."""
    if ".zarr" not in address.lower() or (found := split_address(address)) is None:
        return False
    return "." not in found.inner.rsplit("/", 1)[-1]  # a file may lie below a folder of any name


def split_address(address: str) -> Place | None:
    """Return the store and the path in it, from an address; None if it is not in a store whose name ends in ``.zarr``."""
    if (scheme := URL_SCHEME.match(address)) is not None and scheme[0].lower() == "file":
        address = url2pathname(urlsplit(address).path)
    if (found := _PLACE.fullmatch(address)) is None:
        return None
    return Place(found["store"], (found["inner"] or "").strip("/"))


def place_of(address: str) -> Place:
    """Return the store and the path in it, from an address.

    Raises
    ------
    SceneError
        If the address is not in a store whose name ends in ``.zarr``.
    """
    if (found := split_address(address)) is None:
        raise SceneError(f"{address} is in no Zarr store; its name ends in .zarr.")
    return found


def has_metadata(folder: Any) -> bool:
    """Return whether a folder on this machine is a Zarr store, by the names of its files."""
    return any((folder / name).is_file() for name in _DOCUMENTS)


def stamp_of(place: Place) -> int:
    """Return a number that changes when the metadata of a store do; of a remote one, every ten minutes."""
    if URL_SCHEME.match(place.store):
        return int(time.monotonic() // _REMOTE_SECONDS)
    stamps = [0]
    for name in _DOCUMENTS:
        for folder in {place.store, os.path.join(place.store, place.inner)}:
            try:
                stamps.append(os.stat(os.path.join(folder, name)).st_mtime_ns)
            except (OSError, ValueError):
                continue
    return max(stamps)


def open_node(place: Place) -> Any:
    """Open a group or an array; its metadata are read once.

    Parameters
    ----------
    place
        Where it is.

    Returns
    -------
    zarr.Group or zarr.Array
        Read only.

    Raises
    ------
    SceneError
        If zarr is not installed, the store cannot be read, or it lacks the path.
    """
    return _node(place, stamp_of(place))


def find_node(place: Place) -> Any:
    """Open a group or an array; None if the store lacks it.

    Parameters
    ----------
    place
        Where it is.

    Raises
    ------
    SceneError
        If zarr is not installed, or the store cannot be read.
    """
    root = _root(place.store, stamp_of(Place(place.store, "")))
    try:
        return root[place.inner] if place.inner else root
    except KeyError:
        return None
    except Exception as error:  # of zarr, numcodecs, fsspec and what they stand on
        raise SceneError(_unreadable(f"{place.store}/{place.inner}", error)) from error


@lru_cache(maxsize=256)
def _node(place: Place, stamp: int) -> Any:
    found = find_node(place)
    if found is None:
        raise SceneError(
            f"{place.store} lacks {place.inner}. Is it whole, and a product of Sentinel-2 in ESA's layout?"
        )
    return found


@lru_cache(maxsize=64)
def _root(store: str, stamp: int) -> Any:
    try:
        import zarr
    except ImportError as error:
        raise SceneError(_WANTED) from error
    if int(zarr.__version__.split(".")[0]) < 3:
        raise SceneError(_WANTED)
    try:
        return zarr.open_group(_opened_store(store), mode="r")
    except CleansatError:
        raise
    except Exception as error:  # of zarr, fsspec and what they stand on
        raise SceneError(_unreadable(store, error)) from error


_WANTED = "reading Zarr needs zarr 3; run: pip install 'odc-cleansat[zarr]'"


def _opened_store(store: str) -> Any:
    """Return a store of zarr, with the settings of S3 that count for other files."""
    from zarr.storage import FsspecStore, LocalStore

    if (scheme := URL_SCHEME.match(store)) is None:
        return LocalStore(store, read_only=True)
    try:
        open_filesystem(store)  # which says what is not installed
    except OutputError as error:
        raise SceneError(str(error)) from error
    is_s3 = scheme[0].lower() in ("s3", "s3a")
    return FsspecStore.from_url(
        store, storage_options=s3_options(store) if is_s3 else {}, read_only=True
    )


def _unreadable(what: str, error: Exception) -> str:
    named = first_line(error)
    reason = named if isinstance(error, OSError) else f"{type(error).__name__}: {named}"
    return f"cannot read {what} as Zarr: {reason}. Is it there, and whole?"


# --- pixels ---------------------------------------------------------------------------


class Pixels:
    """The numbers of an array with two dims, read when they are asked for.

    Parameters
    ----------
    place
        Where the array is.

    Raises
    ------
    SceneError
        If there is none, or it cannot be read, or it is no array of numbers with two dims.
    """

    def __init__(self, place: Place) -> None:
        array = open_node(place)
        name = f"{place.store}/{place.inner}"
        if not hasattr(array, "chunks"):
            raise SceneError(f"{name} is a group of Zarr and no band; give one of its arrays.")
        if array.ndim != 2 or array.dtype.kind not in "uif" or 0 in array.shape:
            raise SceneError(
                f"{name} is no band: it has the shape {array.shape} and the dtype {array.dtype}, and two dims of numbers are "
                "needed."
            )
        self.place = place
        self.stamp = stamp_of(place)
        self.shape: tuple[int, int] = array.shape
        self.dtype = np.dtype(array.dtype.newbyteorder("="))
        chunks = (array.chunks[0], array.chunks[1])
        self.unit = (_unit(chunks[0], self.shape[0]), _unit(chunks[1], self.shape[1]))

    def read(self, rows: slice, columns: slice) -> np.ndarray:
        """Read a part.

        Parameters
        ----------
        rows, columns
            Within the array, each with a step of 1.

        Returns
        -------
        numpy.ndarray
            Dims ``(y, x)``, of the dtype of the array.

        Raises
        ------
        SceneError
            If a chunk cannot be read. One that is not there is no data, by the rules of Zarr.
        """
        result = np.empty((rows.stop - rows.start, columns.stop - columns.start), self.dtype)
        height, width = self.unit
        for i in range(rows.start // height, -(-rows.stop // height)):
            for j in range(columns.start // width, -(-columns.stop // width)):
                part = _read_unit(self.place, self.stamp, self.unit, i, j)
                top, left = i * height, j * width
                y = slice(max(rows.start, top), min(rows.stop, top + part.shape[0]))
                x = slice(max(columns.start, left), min(columns.stop, left + part.shape[1]))
                result[
                    y.start - rows.start : y.stop - rows.start,
                    x.start - columns.start : x.stop - columns.start,
                ] = part[y.start - top : y.stop - top, x.start - left : x.stop - left]
        return result


def _unit(chunk: int, size: int) -> int:
    """Return how many rows or columns are read at once: whole chunks."""
    return min(chunk * max(1, _LEAST // chunk), size)


@cached(LRUCache(_KEPT, getsizeof=lambda part: min(part.nbytes, _KEPT)), lock=threading.Lock())
def _read_unit(place: Place, stamp: int, unit: tuple[int, int], i: int, j: int) -> np.ndarray:
    """Read some chunks that lie together, which are kept for a while: blocks that are asked for share them."""
    array = open_node(place)
    try:
        read = array[i * unit[0] : (i + 1) * unit[0], j * unit[1] : (j + 1) * unit[1]]
    except Exception as error:  # of zarr, numcodecs, fsspec and what they stand on
        raise SceneError(_unreadable(f"{place.store}/{place.inner}", error)) from error
    part = np.asarray(read)
    part = part.astype(part.dtype.newbyteorder("="), copy=False)
    part.flags.writeable = False
    return part
