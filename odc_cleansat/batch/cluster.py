"""Work on dask.distributed: processes on this machine or any cluster, units handed out as workers get free."""

from __future__ import annotations

import contextlib
import logging
import queue
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from types import FrameType
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from dask.utils import key_split

from ..errors import CleansatError
from ..models.engines import available_cpus

if TYPE_CHECKING:
    from distributed import Client, Future


THREADS_VARIABLE = "CLEANSAT_THREADS"
"""Environment variable: the processors that one process may use; see :func:`~odc_cleansat.models.engines.available_cpus`."""

SCENE_MEMORY = 3_500_000_000
"""Bytes for each worker: a whole Sentinel-2 tile takes 2.9 GB of it."""

CONNECT_TIMEOUT = 20
"""Seconds that a scheduler has to answer."""

_LOOK_AGAIN = 0.2


class ClusterError(CleansatError):
    """A dask cluster that cannot be started or reached, or whose workers cannot do the work."""


class Stop:
    """Says whether to stop: from the first Ctrl-C or SIGTERM on. The second raises KeyboardInterrupt."""

    SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._asked = False
        self._before: dict[int, Any] = {}

    def __call__(self) -> bool:
        return self._asked

    def __enter__(self) -> Stop:
        if threading.current_thread() is threading.main_thread():
            self._before = {each: signal.signal(each, self._heard) for each in self.SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for each, handler in self._before.items():
            signal.signal(each, handler)

    def _heard(self, number: int, frame: FrameType | None) -> None:
        if self._asked:
            raise KeyboardInterrupt
        self._asked = True
        self._say("Stopping: scenes under way are being finished; Ctrl-C again stops at once.")


@contextlib.contextmanager
def dask_client(
    workers: int | None = None, scheduler: str | None = None, scenes: int | None = None
) -> Iterator[Client]:
    """A client of the scheduler at an address, or of processes on this machine, which end with it.

    Parameters
    ----------
    workers
        Processes; by default one for each processor, if each can have :data:`SCENE_MEMORY`. Each
        works at one scene at a time and has its share of the processors.
    scheduler
        Address of a running scheduler.
    scenes
        How many there are: no more workers are started.

    Raises
    ------
    ClusterError
        If nothing answers, or processes cannot be started.
    """
    from distributed import Client

    if scheduler is not None:
        try:
            client = Client(scheduler, timeout=CONNECT_TIMEOUT)
        except (OSError, ValueError) as error:
            raise ClusterError(
                f"no dask scheduler answers at {scheduler}: {error}. Is it running, and the address right?"
            ) from error
        with client:
            yield client
        return
    count = workers or default_workers()
    with _local_cluster(min(count, scenes or count)) as cluster, Client(cluster) as client:
        client.register_plugin(_plugin())
        yield client


def default_workers() -> int:
    """One for each processor, as far as memory goes."""
    from distributed.system import MEMORY_LIMIT

    return max(1, min(available_cpus(), int(MEMORY_LIMIT // SCENE_MEMORY)))


@contextlib.contextmanager
def _local_cluster(workers: int) -> Iterator[Any]:
    import dask
    import distributed.scheduler
    import distributed.worker
    from distributed import LocalCluster
    from distributed.system import MEMORY_LIMIT

    memory = "distributed.worker.memory."
    settings: dict[str, Any] = {
        # A worker that pauses for want of memory may never go on; one that is ended is started anew.
        memory + "target": False,
        memory + "spill": False,
        memory + "pause": False,
        memory + "terminate": 0.95,
        # One death may be anybody's fault, see `work_through`.
        "distributed.scheduler.allowed-failures": 1,
        # It looks at the stacks a hundred times a second, which takes a quarter of a worker's time.
        "distributed.worker.profile.enabled": False,
        "distributed.admin.low-level-log-length": 100,
        # Each process wakes fifty times a second otherwise: a tenth of a processor for two workers.
        "distributed.admin.tick.interval": "1s",
        "distributed.admin.system-monitor.interval": "5s",
        # dask has memory given back at once, and taking it anew costs a tenth of the time.
        "distributed.nanny.pre-spawn-environ": {
            **dask.config.get("distributed.nanny.pre-spawn-environ"),
            "MALLOC_TRIM_THRESHOLD_": 2**30,
            "MALLOC_MMAP_THRESHOLD_": 2**25,
        },
        # Without an address the scheduler would take port 8787 on all interfaces.
        "distributed.scheduler.http.routes": [],
        "distributed.worker.http.routes": [],
    }
    share = max(1, available_cpus() // workers)
    # Dask's spans remember every unit, and nobody looks at them.
    of_scheduler, of_workers = (
        {name: each for name, each in module.DEFAULT_EXTENSIONS.items() if name != "spans"}
        for module in (distributed.scheduler, distributed.worker)
    )
    with dask.config.set(settings):
        try:
            with _deaf():
                cluster = LocalCluster(
                    n_workers=workers,
                    threads_per_worker=1,
                    processes=True,
                    memory_limit=MEMORY_LIMIT // workers,
                    dashboard_address="127.0.0.1:0",
                    silence_logs=logging.CRITICAL,
                    scheduler_kwargs={"extensions": of_scheduler},
                    extensions=of_workers,
                    env={THREADS_VARIABLE: str(share), "PYTHONWARNINGS": "ignore"},
                )
        except (OSError, RuntimeError) as error:
            raise ClusterError(
                f"cannot start {workers} workers on this machine: {error}"
            ) from error
        with cluster:
            yield cluster


@contextlib.contextmanager
def _deaf() -> Iterator[None]:
    """Processes that are started within this never hear of Ctrl-C; nor does this one, meanwhile.

    A terminal sends it to all processes; what it means is for the client to say.
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

    class Deaf(WorkerPlugin):  # type: ignore[misc]
        """For workers that are started later, in place of those that died."""

        def setup(self, worker: Any) -> None:
            import signal

            signal.signal(signal.SIGINT, signal.SIG_IGN)

    return Deaf()


def describe(client: Client) -> str:
    threads = client.nthreads()
    if not threads:
        return "a cluster without workers yet"
    return f"{len(threads)} workers" if len(threads) > 1 else "1 worker"


_T = TypeVar("_T")


class _Task(Protocol):
    @property
    def key(self) -> str: ...


_U = TypeVar("_U", bound=_Task)


def work_through(
    client: Client,
    function: Callable[[_U], _T],
    units: Iterable[_U],
    stop: Callable[[], bool] = lambda: False,
) -> Iterator[tuple[_U, _T | BaseException]]:
    """Apply a function to units of work on a cluster; gives each with its result as they come.

    Units are taken as workers get free, two for each of their threads, so that any number of them takes no
    more memory than a few. If a worker dies, dask hands its units to another, those too whose results it still
    had. Units that were there when several workers died are done last, one at a time: so the one at fault
    takes no other with it.

    Parameters
    ----------
    function
        Runs on the workers.
    units
        Each has a `key`, a name for its task.
    stop
        Asked all the time; once true, no unit is begun any more.

    Yields
    ------
    tuple
        A unit, and its result or the error.

    Raises
    ------
    ClusterError
        If the scheduler is lost, or the workers have no `odc_cleansat`.
    """
    from distributed.scheduler import KilledWorker

    source = iter(units)
    window = _Window(client)
    over: queue.SimpleQueue[Future] = queue.SimpleQueue()
    pending: dict[Future, _U] = {}
    suspects: deque[_U] = deque()
    alone = cancelled = False

    def submit(unit: _U) -> None:
        future = client.submit(function, unit, key=unit.key, pure=False)
        pending[future] = unit
        future.add_done_callback(over.put)

    def fill() -> None:
        nonlocal alone
        while not stop() and len(pending) < window.size():
            unit = next(source, None)
            if unit is None:
                break
            submit(unit)
        if not pending and suspects and not stop():
            alone = True
            submit(suspects.popleft())

    try:
        fill()
        while pending:
            if stop() and not cancelled:
                cancelled = True
                for future in _waiting(client, pending):
                    del pending[future]
                    future.cancel()
                continue
            try:
                future = over.get(timeout=_LOOK_AGAIN)
            except queue.Empty:
                continue
            if future not in pending:
                continue
            if future.status == "lost":
                # Its worker died before the result was fetched; the scheduler has it made again.
                threading.Timer(_LOOK_AGAIN, over.put, [future]).start()
                continue
            unit = pending.pop(future)
            result = _outcome(future)
            if isinstance(result, KilledWorker) and not alone:
                suspects.append(unit)
                fill()
                continue
            fill()
            yield unit, result
    finally:
        if pending:
            client.cancel(list(pending), force=True)


def _outcome(future: Future) -> Any:
    """The result of a future that is over, or its error."""
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


def _waiting(client: Client, pending: Iterable[Future]) -> list[Future]:
    """Those whose work has not begun, for each thread of their worker is at another that came before.

    The scheduler says so at once. Workers know better, but one that is just starting does not answer for
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


class _Window:
    """How many units may be handed out: it follows the number of workers."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._asked = float("-inf")
        self._size = 0

    def size(self) -> int:
        if time.monotonic() - self._asked > 1:
            key_split.cache_clear()  # else dask remembers the names of 100,000 units
            self._size = max(2, 2 * sum(self._client.nthreads().values()))
            self._asked = time.monotonic()
        return self._size
