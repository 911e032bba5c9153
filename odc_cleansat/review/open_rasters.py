"""Rasters that stay open for a while, because whoever pans over a map reads neighbouring blocks of the same files.

Those that are warped for a map stay warped, too. To begin to warp takes ten times as long as to read a tile.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ..scenes.files import BandFile, local_path
from ..storage.zarr_store import is_zarr

if TYPE_CHECKING:
    from rasterio.io import DatasetReader
    from rasterio.vrt import WarpedVRT

MOST = 24
"""Rasters that stay open while nobody reads them. Each has some MB, for blocks that are being read."""

VIEWS = 16
"""Views of each that stay."""

SECONDS = 60.0
"""How long they do."""


class View(Protocol):
    """How a raster is seen; two that are equal see it alike."""

    def __hash__(self) -> int: ...

    def of(self, file: BandFile, raster: DatasetReader) -> WarpedVRT:
        """Return the view of a raster that is open, which stays so."""
        ...


@dataclass(eq=False)
class _Open:
    """A raster that is open, and how it is seen."""

    key: Hashable
    raster: DatasetReader
    views: dict[View, WarpedVRT] = field(default_factory=dict)
    """Those used last stand at the end."""
    since: float = 0.0
    """When it was read last, seconds of the monotonic clock."""

    def seen(self, file: BandFile, view: View | None) -> DatasetReader | WarpedVRT:
        """Return a view of the raster, which is made if need be."""
        if view is None:
            return self.raster
        if view not in self.views:
            while len(self.views) >= VIEWS:
                self.views.pop(next(iter(self.views))).close()
            self.views[view] = view.of(file, self.raster)
        self.views[view] = self.views.pop(view)
        return self.views[view]

    def close(self) -> None:
        for each in self.views.values():
            each.close()
        self.raster.close()


class OpenRasters:
    """Rasters that are open. Each is read by one thread at a time; two threads have two of a file."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[_Open] = []

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
        if is_zarr(file.uri):  # rasterio reads it only in the thread that has opened it
            with file.opened(**options) as raster:
                seen = raster if view is None else view.of(file, raster)
                with contextlib.closing(seen):
                    yield seen
            return
        key = (file.uri, file.of_stranger, _stamp(file), *sorted(options.items()))
        known = self._take(key, view)
        with file.reopened(None if known is None else known.raster, **options) as raster:
            mine = known or _Open(key, raster)
            try:
                yield mine.seen(file, view)
            except BaseException:
                mine.close()
                raise
        self._give(mine)

    def close(self) -> None:
        """Close what nobody reads."""
        with self._lock:
            idle, self._idle = self._idle, []
        for each in idle:
            each.close()

    def _take(self, key: Hashable, view: View | None) -> _Open | None:
        """Return a raster that is open and idle, the one read last; rather one that has the view."""
        with self._lock:
            found = [each for each in reversed(self._idle) if each.key == key]
            found.sort(key=lambda each: view not in each.views)
            if found:
                self._idle.remove(found[0])
        return found[0] if found else None

    def _give(self, mine: _Open) -> None:
        mine.since = now = time.monotonic()
        with self._lock:
            every = [*self._idle, mine]
            self._idle = [each for each in every[-MOST:] if now - each.since < SECONDS]
            old = [each for each in every if each not in self._idle]
        for each in old:
            each.close()


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
