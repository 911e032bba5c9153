"""Processors and memory that a process may use, and pools of threads that a forked process can use too."""

from __future__ import annotations

import contextlib
import functools
import os
import resource
import sys
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from .errors import EngineError
from .settings import setting

Lazy = TypeVar("Lazy")
Result = TypeVar("Result")


def available_cpus() -> int:
    """Return the number of processors for this process: those of its affinity mask and cgroup.

    The setting ``threads`` overrides it, e.g. in each of several processes that share a machine.
    """
    if (asked := setting("threads") or "").isdigit():
        return max(1, int(asked))
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for group in _cgroups("cpu"):
        with contextlib.suppress(OSError, ValueError):  # there is none, or it is "max" or -1
            quota, period = (
                (group / "cpu.max").read_text().split()
                if (group / "cpu.max").exists()
                else ((group / f"cpu.cfs_{each}_us").read_text() for each in ("quota", "period"))
            )
            if int(quota) > 0:
                cpus = max(1, min(cpus, round(int(quota) / int(period))))
    return cpus


def _cgroups(controller: str) -> list[Path]:
    """Return the folders of the control groups that limit this process, of version 2 and of version 1."""
    roots = {_CGROUPS: "/", _CGROUPS / controller: "/"}
    with contextlib.suppress(OSError):
        for line in _OWN_GROUPS.read_text().splitlines():
            _, kinds, place = line.split(":", 2)
            if controller in kinds.split(",") or not kinds:
                roots[_CGROUPS / controller if kinds else _CGROUPS] = place
    groups = []
    for root, place in roots.items():
        # In a container without a namespace of its own, the place is that on the host, and only the root is there.
        inner = root / place.lstrip("/")
        groups += [each for each in (inner, *inner.parents) if each.is_relative_to(root)]
    return groups


_CGROUPS = Path("/sys/fs/cgroup")
_OWN_GROUPS = Path("/proc/self/cgroup")


def available_memory() -> int:
    """Return the bytes of memory that are free on this machine, or what limits leave of them: of cgroup or ``ulimit -v``."""
    import psutil

    found = [int(psutil.virtual_memory().available)]
    most, _ = resource.getrlimit(resource.RLIMIT_AS)
    if most != resource.RLIM_INFINITY:
        found.append(max(0, most - int(psutil.Process().memory_info().vms)))
    for group in _cgroups("memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):
            with contextlib.suppress(OSError, ValueError):  # there is none, or it is "max"
                found.append(int((group / name).read_text()))
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


class _ForkGate:
    """Holds a fork back while threads are where a child would inherit locks that nobody releases.

    OpenVINO, PyTorch and GDAL have such locks, and nobody can renew them from outside.
    """

    def __init__(self, torn: bool = False) -> None:
        self.torn = torn
        """Whether this process was forked in the midst of such work."""
        self._changed = threading.Condition()
        self._inside: Counter[int] = Counter()
        self._forking = 0

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Hold forks back in this context, which may be nested."""
        me = threading.get_ident()
        with self._changed:
            # Whoever is inside goes on: a fork waits for it.
            self._changed.wait_for(lambda: me in self._inside or not self._forking)
            self._inside[me] += 1
        try:
            yield
        finally:
            with self._changed:
                self._inside[me] -= 1
                self._inside += Counter()  # without those that are outside
                self._changed.notify_all()

    def before(self) -> None:
        """Wait for the other threads. What this thread itself does cannot be waited for."""
        with self._changed:
            self._forking += 1
            me = threading.get_ident()
            self._changed.wait_for(lambda: not self._inside.keys() - {me}, PATIENCE)
            self.torn = bool(self._inside)

    def after(self) -> None:
        """Let threads go on in the parent."""
        with self._changed:
            self._forking -= 1
            self.torn = False
            self._changed.notify_all()


PATIENCE = 60.0
"""Seconds that a fork waits for other threads."""

_GATE = _ForkGate()


@contextlib.contextmanager
def no_fork() -> Iterator[None]:
    """Hold back forks of other threads in this context, or this function: a network runs, or files are read."""
    with _GATE.held():
        yield


def check_fork() -> None:
    """Raise if this process was forked while a mask was being made, so that it could wait for ever.

    Raises
    ------
    EngineError
        If it was.
    """
    if _GATE.torn:
        raise EngineError(
            "this process was forked from one that makes masks, and would wait for ever for what that one "
            "holds. Fork earlier, or start processes with multiprocessing.get_context('spawn')."
        )


ASLEEP = 20.0
"""Seconds without any work of a processor after which a forked process is taken to wait for ever."""

_IDLE = 0.05
"""Seconds of a processor that waiting itself takes in that time, at most."""

_forked = False
"""Whether this process was forked."""


def watched(call: Callable[[], Result]) -> Result:
    """Call what runs in a library's threads. In a forked process it is given up if nothing happens any more.

    A library may take the threads of its parent for its own, and wait for them for ever.

    Parameters
    ----------
    call
        Runs a network, or loads one.

    Raises
    ------
    EngineError
        If it is given up. From then on :func:`check_fork` raises, too.
    """
    if not _forked:
        return call()
    answer: Future[Result] = Future()
    run = partial(copy_context().run, call)
    threading.Thread(target=_answer, args=(run, answer), daemon=True).start()
    spent, since = time.process_time(), time.monotonic()
    while not wait([answer], timeout=1).done:
        now = time.process_time()
        if now - spent > _IDLE:
            spent, since = now, time.monotonic()
        elif time.monotonic() - since > ASLEEP:
            _GATE.torn = True
            check_fork()
    return answer.result()


def _answer(call: Callable[[], Result], answer: Future[Result]) -> None:
    try:
        answer.set_result(call())
    except BaseException as error:
        answer.set_exception(error)


def _renew_gate() -> None:
    global _GATE, _GUARDED, _forked
    _GATE, _GUARDED, _forked = _ForkGate(_GATE.torn), threading.Lock(), True


def _forget_pools() -> None:
    """Have dask make its pools anew, for lazy masks that a forked process computes."""
    threaded: Any = sys.modules.get("dask.threaded")
    if threaded is not None:
        threaded.default_pool = None
        threaded.pools.clear()


_LOCKING = ("dask", "datacube", "odc", "rasterio", "xarray")
"""Packages that hold locks of Python while a mask is made, e.g. that of :func:`dask.tokenize.tokenize`."""


def _renew_locks() -> None:
    """Release the locks of modules and classes: a forked process has no other thread that would."""
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in _LOCKING:
            for each in list(vars(module).values()):
                inner = vars(each).values() if isinstance(each, type) else ()
                for holder in (each, *inner):
                    _renew_lock(holder)


def _renew_lock(holder: Any) -> None:
    # Before Python 3.12 a cached property of a class has one lock for all objects.
    if isinstance(holder, functools.cached_property) or type(holder).__name__ == "SerializableLock":
        holder = getattr(holder, "lock", None)
    if type(holder).__name__ in ("lock", "RLock"):
        holder._at_fork_reinit()  # as Python's own library does


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pools)
    os.register_at_fork(after_in_child=_renew_locks)
    os.register_at_fork(
        before=lambda: _GATE.before(),
        after_in_parent=lambda: _GATE.after(),
        after_in_child=_renew_gate,
    )
