"""Processors and memory that a process may use, and pools of threads that a forked process can use too."""

from __future__ import annotations

import contextlib
import os
import resource
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from .settings import setting

Lazy = TypeVar("Lazy")


def available_cpus() -> int:
    """Return the number of processors for this process: those of its affinity mask and cgroup.

    The setting ``threads`` overrides it, e.g. in each of several processes that share a machine.
    """
    if (asked := setting("threads") or "").isdigit():
        return max(1, int(asked))
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
    except (OSError, ValueError):
        return cpus
    return cpus if quota == "max" else max(1, min(cpus, round(int(quota) / int(period))))


def available_memory() -> int:
    """Return the bytes of memory that are free on this machine, or what limits leave of them: of cgroup or ``ulimit -v``."""
    import psutil

    found = [int(psutil.virtual_memory().available)]
    most, _ = resource.getrlimit(resource.RLIMIT_AS)
    if most != resource.RLIM_INFINITY:
        found.append(max(0, most - int(psutil.Process().memory_info().vms)))
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        with contextlib.suppress(OSError, ValueError):  # there is none, or it is "max"
            found.append(int(Path("/sys/fs/cgroup", name).read_text()))
    return min(found)


_GUARDED = threading.Lock()
"""Held while :func:`steady_warnings` guards."""


@contextlib.contextmanager
def steady_warnings() -> Iterator[None]:
    """Put the filters of warnings back after this context, in which threads read or compute.

    Libraries change the filters while they read. Before Python 3.14 all threads share them. Two threads that leave
    them in the order in which they came would leave those of one for good, and every later warning of the process
    would be lost. Where several threads come here at a time, the first of them guards.
    """
    if not _GUARDED.acquire(blocking=False):
        yield
        return
    try:
        with warnings.catch_warnings():
            yield
    finally:
        _GUARDED.release()


def compute(lazy: Lazy, progress: Callable[[int, int], None] | None = None) -> Lazy:
    """Compute with dask, in threads that end with the call.

    Dask's own pool of threads stays for the life of the process, and a forked process inherits it without the
    threads. Whatever is given to such a pool waits for ever.

    Parameters
    ----------
    lazy
        A collection of dask, or lists, tuples and dictionaries with such collections: any shape and dtype.
    progress
        Called with the number of tasks done and of all tasks. An error that it raises ends the work.
    """
    import dask
    import dask.threaded

    def count(key: object, result: object, dsk: object, state: Any, worker: object) -> None:
        done = len(state["finished"])
        left = sum(len(state[name]) for name in ("waiting", "ready", "running"))
        if progress is not None:
            progress(done, done + left)

    with steady_warnings(), ThreadPoolExecutor(available_cpus(), "cleansat") as pool:
        # Not by the name of the scheduler, for which dask would import all of distributed.
        (computed,) = dask.compute(
            lazy,
            scheduler=dask.threaded.get,
            pool=pool,
            callbacks=[(None, None, None, count, None)] if progress else None,
        )
    result: Lazy = computed
    return result


def _forget_pools() -> None:
    """Have dask make its pools anew, for lazy masks that a forked process computes."""
    threaded: Any = sys.modules.get("dask.threaded")
    if threaded is not None:
        threaded.default_pool = None
        threaded.pools.clear()
        threaded.pools_lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pools)
