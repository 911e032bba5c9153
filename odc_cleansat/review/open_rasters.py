"""Rasters that stay open for a while, because whoever pans over a map reads neighbouring blocks of the same files.

Those that are warped for a map stay warped, too. To begin to warp takes ten times as long as to read a tile.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Hashable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from ..scenes.files import BandFile, local_path

if TYPE_CHECKING:
    from rasterio.io import DatasetReader
    from rasterio.vrt import WarpedVRT

MOST = 48
"""Rasters that stay open while nobody reads them."""

SECONDS = 60.0
"""How long they do."""


class View(Protocol):
    """How a raster is seen; two that are equal see it alike."""

    def __hash__(self) -> int: ...

    def of(self, file: BandFile, raster: DatasetReader) -> WarpedVRT:
        """Return the view of a raster that is open, which stays so."""
        ...


class _Idle(NamedTuple):
    key: Hashable
    since: float
    """When it was read last, seconds of the monotonic clock."""
    raster: DatasetReader | WarpedVRT


class OpenRasters:
    """Rasters that are open. Each is read by one thread at a time; two threads have two of a file."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[_Idle] = []

    @contextlib.contextmanager
    def opened(
        self, file: BandFile, view: View | None = None, **options: Any
    ) -> Iterator[DatasetReader | WarpedVRT]:
        """Open a file, or take one that is open.

        Parameters
        ----------
        file
            The file.
        view
            How it is seen; by default as it is.
        **options
            For GDAL.

        Raises
        ------
        DocumentError
            If it is a pipe or a device, or is a stranger's and names another file.
        rasterio.errors.RasterioError
            If it cannot be opened.
        """
        key = (file.uri, file.of_stranger, _stamp(file), view, *sorted(options.items()))
        known = self._take(key)
        with file.reopened(known, **options) as raster:
            try:
                if known is None and view is not None:
                    raster = view.of(file, raster)
                yield raster
            except BaseException:
                _close(raster)
                raise
        self._give(key, raster)

    def close(self) -> None:
        """Close what nobody reads."""
        with self._lock:
            idle, self._idle = self._idle, []
        for each in idle:
            _close(each.raster)

    def _take(self, key: Hashable) -> DatasetReader | WarpedVRT | None:
        with self._lock:
            found = next((each for each in reversed(self._idle) if each.key == key), None)
            if found is not None:
                self._idle.remove(found)
        return None if found is None else found.raster

    def _give(self, key: Hashable, raster: DatasetReader | WarpedVRT) -> None:
        now = time.monotonic()
        with self._lock:
            every = [*self._idle, _Idle(key, now, raster)]
            self._idle = [each for each in every[-MOST:] if now - each.since < SECONDS]
            old = [each for each in every if each not in self._idle]
        for each in old:
            _close(each.raster)


def _close(raster: DatasetReader | WarpedVRT) -> None:
    raster.close()
    if (source := getattr(raster, "src_dataset", None)) is not None:
        source.close()


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
