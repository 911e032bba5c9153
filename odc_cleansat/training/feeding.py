"""Tiles for the coming steps: threads or processes draw them while the network learns.

A quick device takes more tiles than one process can draw, for Python runs one thread at a time. So there processes
draw them, and hand them over in shared memory.
"""

from __future__ import annotations

import os
import shutil
import signal
import warnings
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np

from ..threads import available_cpus, available_memory
from .schedule import Schedule
from .tiles import Tile, TileSampler

if TYPE_CHECKING:
    import torch

_SHARED = "/dev/shm"
"""Folder of the memory that processes share."""

_BYTES_PER_PIXEL = 60
"""Room that a pixel of a batch takes in shared memory, bytes: two times six bands, and what is known of it."""

_WAITING = 2
"""Number of batches that each process has ready."""

_MEMORY = 2 << 30
"""Memory of one process, bytes: it keeps resampled patches."""

_ARRAYS = ("pixels", "sharp", "truth", "veil", "counted")
"""Arrays of a tile, float32 before bytes."""


def workers_for(device: str, schedule: Schedule) -> int:
    """Return by how many workers tiles are drawn.

    Parameters
    ----------
    device
        ``cpu`` or ``cuda``. Beside a processor that learns it is one. Else it is as many as there are other
        processors, with 2 GB of memory for each and enough memory that they share.
    schedule
        Has the size of a batch.
    """
    if device == "cpu" or not hasattr(os, "fork") or not os.path.isdir(_SHARED):
        return 1
    # While one batch is unpacked, another may be written.
    batch = schedule.batch * schedule.size**2 * _BYTES_PER_PIXEL * (_WAITING + 1)
    by_memory = min(available_memory() // _MEMORY, shutil.disk_usage(_SHARED).free // batch)
    return int(max(1, min(available_cpus() - 1, by_memory)))


def drawn_ahead(
    tiles: TileSampler, schedule: Schedule, first: int, workers: int
) -> Generator[list[Tile], None, None]:
    """Give the tiles of each step, in order. Those of the next steps are drawn meanwhile.

    Parameters
    ----------
    tiles
        Draws them. The same steps give the same tiles, however many workers there are.
    schedule
        Steps, size of the batch and lessons.
    first
        Number of the first step, from 0.
    workers
        One is a thread of this process; several are processes.
    """
    batches = _Batches(tiles, schedule)
    if workers == 1:
        yield from _by_thread(batches, first)
    else:
        yield from _by_processes(batches, first, workers)


class _Batches:
    """The tiles of each step, as PyTorch's loader asks for them."""

    def __init__(self, tiles: TileSampler, schedule: Schedule) -> None:
        self._tiles, self._schedule = tiles, schedule

    def __len__(self) -> int:
        return self._schedule.steps

    def of(self, step: int) -> list[Tile]:
        """Return the tiles of a step."""
        return self._tiles.batch(step, self._schedule.batch, self._schedule.lesson_of(step))

    def __getitem__(self, step: int) -> _Packed:
        return _pack(self.of(step))


def _by_thread(batches: _Batches, first: int) -> Generator[list[Tile], None, None]:
    with ThreadPoolExecutor(1, "tiles") as executor:
        coming = deque([executor.submit(batches.of, first)])
        try:
            for step in range(first, len(batches)):
                batch = coming.popleft().result()
                coming.append(executor.submit(batches.of, step + 1))
                yield batch
        finally:
            for each in coming:
                each.cancel()


def _by_processes(batches: _Batches, first: int, workers: int) -> Generator[list[Tile], None, None]:
    from torch.utils.data import DataLoader

    loader: DataLoader[Any] = DataLoader(
        batches,
        batch_size=None,
        sampler=range(first, len(batches)),
        num_workers=workers,
        prefetch_factor=_WAITING,
        collate_fn=_as_it_is,
        worker_init_fn=_leave_signals,
        # Forked processes share the patches, which take gigabytes.
        multiprocessing_context="fork",
    )
    with warnings.catch_warnings():
        # Python warns of forks beside threads. These processes only compute with numpy.
        warnings.simplefilter("ignore", DeprecationWarning)
        packed = iter(loader)
    yield from map(_unpack, packed)


_Packed = tuple["torch.Tensor", list[tuple[Any, ...]]]
"""The bytes of all arrays of some tiles, and what else is known of each tile."""


def _pack(tiles: Sequence[Tile]) -> _Packed:
    """Return tiles as one tensor, which goes from process to process in shared memory."""
    import torch

    arrays = [getattr(tile, name) for tile in tiles for name in _ARRAYS]
    together = np.concatenate(
        [np.ascontiguousarray(each).reshape(-1).view("uint8") for each in arrays]
    )
    rest = [
        (tile.bands, tile.level, tile.phase, [getattr(tile, name).shape for name in _ARRAYS])
        for tile in tiles
    ]
    return torch.from_numpy(together), rest


def _unpack(packed: _Packed) -> list[Tile]:
    """Return the tiles of :func:`_pack`. Their arrays are views of the tensor."""
    tensor, rest = packed
    together, at = tensor.numpy(), 0
    tiles = []
    for bands, level, phase, shapes in rest:
        found = {}
        for name, shape, kind in zip(_ARRAYS, shapes, ("f4", "f4", "u1", "u1", "?"), strict=True):
            count = int(np.prod(shape)) * np.dtype(kind).itemsize
            found[name] = together[at : at + count].view(kind).reshape(shape)
            at += count
        tiles.append(Tile(bands=bands, level=level, phase=phase, **found))
    return tiles


def _as_it_is(packed: _Packed) -> _Packed:
    return packed


def _leave_signals(number: int) -> None:
    """Leave Ctrl-C to the process that trains, which ends this one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
