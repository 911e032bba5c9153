"""Work on dask.distributed: processes on this machine or any cluster, which get units of work as they are free."""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar
from urllib.parse import urlsplit

from dask.utils import key_split

from ..errors import CleansatError
from ..storage.settings import CACHE, CACHE_VARIABLE
from ..threads import available_cpus

if TYPE_CHECKING:
    from distributed import Client, Future


THREADS_VARIABLE = "CLEANSAT_THREADS"
"""Environment variable: the processors that one process may use; see :func:`~odc_cleansat.threads.available_cpus`."""

SCENE_MEMORY = 3_500_000_000
"""Bytes for each worker: a whole Sentinel-2 tile takes 2.9 GB of it."""

WORKERS_GONE = 120
"""Seconds after which workers of this machine that are all gone will not come back. A new one takes a few."""

CONNECT_TIMEOUT = 20
"""Seconds that a scheduler has to answer."""

_LOOK_AGAIN = 0.2
"""Seconds between two looks at what workers have done."""


class ClusterError(CleansatError):
    """A dask cluster that cannot be started or reached, or whose workers cannot do the work."""


@contextlib.contextmanager
def dask_client(
    workers: int | None = None, scheduler: Any = None, scenes: int | None = None
) -> Iterator[Client]:
    """Connect to the scheduler at an address, or start processes on this machine, which end with the block.

    Only what is given to the client is computed there: lazy arrays of this process do not become its work.

    Parameters
    ----------
    workers
        Processes; by default one for each processor, if each can have :data:`SCENE_MEMORY`. Each
        works at one scene at a time and has its share of the processors.
    scheduler
        Address of a running scheduler, or a cluster of dask, such as one of dask-jobqueue or dask-gateway.
    scenes
        How many scenes there are: no more workers are started.

    Yields
    ------
    distributed.Client
        Connected.

    Raises
    ------
    ClusterError
        If nothing answers, or processes cannot be started.
    """
    from distributed import Client

    if scheduler is not None:
        try:
            client = Client(scheduler, timeout=CONNECT_TIMEOUT, set_as_default=False)
        except (OSError, ValueError) as error:
            raise ClusterError(
                f"no dask scheduler answers at {scheduler}: {error}. Is it running, and the address right?"
            ) from error
        with client:
            yield client
        return
    count = workers or default_workers()
    with (
        _local_cluster(min(count, scenes or count)) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        client.register_plugin(_plugin())
        yield client


def default_workers() -> int:
    """Return how many workers suit this machine: one for each processor, as far as memory goes."""
    from distributed.system import MEMORY_LIMIT

    return max(1, min(available_cpus(), int(MEMORY_LIMIT // SCENE_MEMORY)))


@contextlib.contextmanager
def _local_cluster(workers: int) -> Iterator[Any]:
    import dask
    import distributed.scheduler
    import distributed.worker
    from distributed import LocalCluster
    from distributed.system import MEMORY_LIMIT

    share = max(1, available_cpus() // workers)
    with dask.config.set(_settings()):
        try:
            with _interrupts_ignored():
                cluster = LocalCluster(
                    n_workers=workers,
                    threads_per_worker=1,
                    processes=True,
                    memory_limit=MEMORY_LIMIT // workers,
                    dashboard_address="127.0.0.1:0",
                    silence_logs=logging.CRITICAL,
                    scheduler_kwargs={"extensions": _extensions(distributed.scheduler)},
                    extensions=_extensions(distributed.worker),
                    env={
                        THREADS_VARIABLE: str(share),
                        "PYTHONWARNINGS": "ignore",
                        CACHE_VARIABLE: os.environ.get(CACHE_VARIABLE, CACHE),
                    },
                )
        except (OSError, RuntimeError) as error:
            raise ClusterError(
                f"cannot start {workers} workers on this machine: {error}"
            ) from error
        with cluster:
            yield cluster


def _settings() -> dict[str, Any]:
    """Settings of dask for a cluster on this machine."""
    import dask

    memory = "distributed.worker.memory."
    return {
        # A worker that pauses for want of memory may never go on; one that is ended is started anew.
        memory + "target": False,
        memory + "spill": False,
        memory + "pause": False,
        memory + "terminate": 0.95,
        # One death may be anybody's fault, see `work_through`.
        "distributed.scheduler.allowed-failures": 1,
        # The profiler looks at the stacks a hundred times a second, which takes a quarter of a worker's time.
        "distributed.worker.profile.enabled": False,
        "distributed.admin.low-level-log-length": 100,
        # Each process wakes fifty times a second otherwise: a tenth of a processor for two workers.
        "distributed.admin.tick.interval": "1s",
        "distributed.admin.system-monitor.interval": "5s",
        # dask has memory given back at once, and taking it anew costs a tenth of the time. Arrays of 4 MB and more are
        # given back nevertheless: kept, they would leave 0.3 GB of holes, and a whole tile takes no less time.
        "distributed.nanny.pre-spawn-environ": {
            **dask.config.get("distributed.nanny.pre-spawn-environ"),
            "MALLOC_TRIM_THRESHOLD_": 2**28,
            "MALLOC_MMAP_THRESHOLD_": 2**22,
        },
        # Without an address the scheduler would take port 8787 on all interfaces.
        "distributed.scheduler.http.routes": [],
        "distributed.worker.http.routes": [],
    }


def _extensions(module: Any) -> dict[str, Any]:
    """Dask's extensions but for its spans, which remember every unit and which nobody looks at."""
    return {name: each for name, each in module.DEFAULT_EXTENSIONS.items() if name != "spans"}


@contextlib.contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """Processes that are started in the block never receive Ctrl-C; nor does this one, meanwhile.

    A terminal sends it to all processes; what it means is for the client to decide.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _plugin() -> Any:
    from distributed import WorkerPlugin

    class IgnoreInterrupts(WorkerPlugin):  # type: ignore[misc]
        """For workers that are started later, in place of those that died."""

        def setup(self, worker: Any) -> None:
            import signal

            signal.signal(signal.SIGINT, signal.SIG_IGN)

    return IgnoreInterrupts()


def dashboard(client: Client) -> str | None:
    """Return the address of the dashboard of a scheduler elsewhere; None if it serves none."""
    port = client.scheduler_info().get("services", {}).get("dashboard")
    if client.cluster is not None or not port:
        return None
    host = urlsplit(client.scheduler.address).hostname
    return f"http://{host}:{port}/status"


def describe(client: Client) -> str:
    """Return how many workers a client has, in words."""
    workers = len(client.nthreads())
    if not workers:
        return "a cluster without workers yet"
    return f"{workers} workers" if workers > 1 else "1 worker"


_T = TypeVar("_T")


class _Unit(Protocol):
    @property
    def key(self) -> str: ...


_U = TypeVar("_U", bound=_Unit)


def work_through(
    client: Client,
    function: Callable[[_U], _T],
    units: Iterable[_U],
    stop: Callable[[], bool] = lambda: False,
) -> Iterator[tuple[_U, _T | BaseException]]:
    """Apply a function to units of work on a cluster, and yield each unit with its result.

    Units are taken as workers get free, two for each of their threads. So any number of units takes no
    more memory than a few.

    If a worker dies, dask gives its units to another worker, also those whose results it still
    had. Units that were there when several workers died are done last, one at a time. So the one at fault
    takes no other with it.

    Parameters
    ----------
    client
        Of the cluster.
    function
        Runs on the workers.
    units
        Each has a `key`, a name for its task.
    stop
        Asked all the time; once true, no more units are begun.

    Yields
    ------
    tuple
        A unit, and its result or the error.

    Raises
    ------
    ClusterError
        If the scheduler is lost, or the workers have no `odc_cleansat`.
    """
    dispatcher = _Dispatcher(client, function, units, stop)
    try:
        yield from dispatcher.results()
    finally:
        dispatcher.cancel_all()


class _Dispatcher(Generic[_U, _T]):
    """Hands out units of work and takes back their results; see :func:`work_through`."""

    def __init__(
        self,
        client: Client,
        function: Callable[[_U], _T],
        units: Iterable[_U],
        stop: Callable[[], bool],
    ) -> None:
        self._client = client
        self._function = function
        self._units = iter(units)
        self._stop = stop
        self._workers = Workers(client)
        self._pending: dict[Future, _U] = {}
        """Handed out, in that order."""
        self._over: queue.SimpleQueue[Future] = queue.SimpleQueue()
        """Of the pending ones, those that are over; some may not be pending any more."""
        self._suspects: deque[_U] = deque()
        """Units that were there when workers died, to be done again."""
        self._alone = False
        """Whether suspects are being done, one at a time."""
        self._cancelled = False

    def results(self) -> Iterator[tuple[_U, _T | BaseException]]:
        """Yield units with their results until nothing is left, or none may be begun any more."""
        from distributed.scheduler import KilledWorker

        self._fill()
        while self._pending:
            if self._stop() and not self._cancelled:
                self._cancel_waiting()
                continue
            future = self._next()
            if future is None:
                self._workers.threads()  # which says so if there are none any more
                continue
            unit = self._pending.pop(future)
            result = outcome(future)
            suspect = isinstance(result, KilledWorker) and not self._alone
            if suspect:
                self._suspects.append(unit)
            self._fill()
            if not suspect:
                yield unit, result

    def cancel_all(self) -> None:
        """Give up what is pending, also what has begun."""
        if self._pending:
            self._client.cancel(list(self._pending), force=True)

    def _fill(self) -> None:
        """Hand out as many units as there is room for; suspects when all else is done."""
        while not self._stop() and len(self._pending) < max(2, 2 * self._workers.threads()):
            unit = next(self._units, None)
            if unit is None:
                break
            self._submit(unit)
        if not self._pending and self._suspects and not self._stop():
            self._alone = True
            self._submit(self._suspects.popleft())

    def _submit(self, unit: _U) -> None:
        future = self._client.submit(self._function, unit, key=unit.key, pure=False)
        self._pending[future] = unit
        future.add_done_callback(self._over.put)

    def _next(self) -> Future | None:
        """A pending future that is over, if there is one soon."""
        try:
            future = self._over.get(timeout=_LOOK_AGAIN)
        except queue.Empty:
            return None
        if future not in self._pending:
            return None
        if future.status == "lost":
            # Its worker died before the result was fetched; the scheduler has it made again.
            threading.Timer(_LOOK_AGAIN, self._over.put, [future]).start()
            return None
        return future

    def _cancel_waiting(self) -> None:
        """Cancel what has not begun."""
        self._cancelled = True
        for future in _waiting(self._client, self._pending):
            del self._pending[future]
            future.cancel()


def outcome(future: Future) -> Any:
    """Return the result of a future that is over, or its error.

    Raises
    ------
    ClusterError
        If the scheduler is lost, or the workers have no `odc_cleansat`.
    """
    error: BaseException | None
    if future.cancelled():
        raise ClusterError(
            "the connection to the dask scheduler was lost. What was indexed stays; run again to go on."
        )
    error = future.exception()
    if isinstance(error, ModuleNotFoundError) and "odc_cleansat" in str(error):
        raise ClusterError(
            "the workers of the scheduler have no odc_cleansat; install it there, in the same version as here."
        )
    return future.result() if error is None else error


def explained(error: BaseException) -> BaseException:
    """Return an error whose text says what dask's own error means."""
    from distributed.scheduler import KilledWorker

    if isinstance(error, KilledWorker):
        return ClusterError(
            f"{error.allowed_failures + 1} workers died while they made this mask, most likely because memory "
            "ran out: a whole tile takes 3 GB. Use fewer workers on a machine, or give them more memory."
        )
    return error


def _waiting(client: Client, pending: Iterable[Future]) -> list[Future]:
    """Return those whose work has not begun, because all threads of their worker are at others.

    The scheduler answers at once. Workers know better, but one that is just starting does not answer for
    seconds, in which the others begin what should have been cancelled.
    """
    threads = client.nthreads()
    held = {key: worker for worker, keys in client.processing().items() for key in keys}
    waiting = []
    for future in pending:  # as they were submitted, which is how workers take them
        worker = held.get(future.key)
        if worker is not None and threads.get(worker, 0) > 0:
            threads[worker] -= 1
        elif not future.done():
            waiting.append(future)
    return waiting


class Workers:
    """The threads of all workers, asked at most once a second."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._asked = float("-inf")
        self._seen = time.monotonic()
        self._threads: dict[str, int] = {}

    def threads(self, but: Collection[str] = ()) -> int:
        """Return how many threads there are, without those of some workers.

        Raises
        ------
        ClusterError
            If all workers of this machine died and none comes back. Workers of a scheduler elsewhere may.
        """
        now = time.monotonic()
        if now - self._asked > 1:
            key_split.cache_clear()  # else dask remembers the names of 100,000 units
            self._threads = dict(self._client.nthreads())
            self._asked = now
            if self._threads or self._client.cluster is None:
                self._seen = now
            elif now - self._seen > WORKERS_GONE:
                raise ClusterError(
                    "all workers on this machine have died and none comes back, most likely for want of memory. What "
                    "was written stays. Run again with fewer workers to go on."
                )
        return sum(count for worker, count in self._threads.items() if worker not in but)
