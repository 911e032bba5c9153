"""Rasters that stay open for a while, because whoever pans over a map reads neighbouring blocks of the same files."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Hashable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..scenes.files import BandFile, local_path

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

MOST = 24
"""Rasters that stay open while nobody reads them."""

SECONDS = 60.0
"""How long they do."""


class _Idle(NamedTuple):
    key: Hashable
    since: float
    """When it was read last, seconds of the monotonic clock."""
    raster: DatasetReader


class OpenRasters:
    """Rasters that are open. Each is read by one thread at a time; two threads have two of a file."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[_Idle] = []

    @contextlib.contextmanager
    def opened(self, file: BandFile, **options: Any) -> Iterator[DatasetReader]:
        """Open a file, or take one that is open.

        Parameters
        ----------
        file
            The file.
        **options
            For GDAL.

        Raises
        ------
        DocumentError
            If it is a pipe or a device, or is a stranger's and names another file.
        rasterio.errors.RasterioError
            If it cannot be opened.
        """
        key = (file.uri, file.of_stranger, _stamp(file), *sorted(options.items()))
        with file.reopened(self._take(key), **options) as raster:
            try:
                yield raster
            except BaseException:
                raster.close()
                raise
        self._give(key, raster)

    def close(self) -> None:
        """Close what nobody reads."""
        with self._lock:
            idle, self._idle = self._idle, []
        for each in idle:
            each.raster.close()

    def _take(self, key: Hashable) -> DatasetReader | None:
        with self._lock:
            found = next((each for each in reversed(self._idle) if each.key == key), None)
            if found is not None:
                self._idle.remove(found)
        return None if found is None else found.raster

    def _give(self, key: Hashable, raster: DatasetReader) -> None:
        now = time.monotonic()
        with self._lock:
            every = [*self._idle, _Idle(key, now, raster)]
            self._idle = [each for each in every[-MOST:] if now - each.since < SECONDS]
            old = [each for each in every if each not in self._idle]
        for each in old:
            each.raster.close()


def _stamp(file: BandFile) -> Hashable:
    """Return what tells a file on this machine from one that has taken its place."""
    path = local_path(file.uri)
    if "://" in path or path.startswith("/vsi"):
        return None
    try:
        status = Path(path).stat()
    except OSError:  # whoever opens it is told
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size
