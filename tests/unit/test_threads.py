"""Processors that may be used, and processes that are forked after threads have computed something."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import dask
import psutil
import pytest

from odc_cleansat.threads import available_cpus, available_memory, compute, steady_warnings

FORK = """
import sys
import warnings
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from fakes import brightness_engine
from odc_cleansat import classify
from odc_cleansat.synthetic.scene import SimulatedScene

warnings.simplefilter("ignore")
SCENE = SimulatedScene(shape=(120, 120)).to_xarray(20).isel(time=0)


def at_once(_):
    return int(classify(SCENE, offset=0).ucl.sum())


def lazily(_):
    return int(classify(SCENE.chunk(), offset=0).ucl.sum().compute())


with brightness_engine():
    for ask in (at_once, lazily):
        here = ask(0)
        with ProcessPoolExecutor(2, mp_context=get_context("fork")) as pool:
            assert list(pool.map(ask, range(3), timeout=60)) == [here] * 3
        with get_context("fork").Pool(2) as pool:
            assert pool.map_async(ask, range(3)).get(timeout=60) == [here] * 3
"""


def test_processors_that_may_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CLEANSAT_THREADS", raising=False)
    assert 1 <= available_cpus() <= len(os.sched_getaffinity(0))
    monkeypatch.setenv("CLEANSAT_THREADS", "3")
    assert available_cpus() == 3


@pytest.mark.parametrize(
    ("groups", "folder"),
    [
        ("0::/app.slice/run.service\n", "app.slice/run.service"),
        ("0::/app.slice/run.service\n", "app.slice"),
        ("0::/docker/4f5a\n", ""),
        ("7:cpu,cpuacct:/job\n4:memory:/job\n", "{}/job"),
        ("7:cpu,cpuacct:/docker/4f5a\n4:memory:/docker/4f5a\n", "{}"),
    ],
    ids=["own", "above", "container", "own, version 1", "container, version 1"],
)
def test_limits_of_control_groups(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, groups: str, folder: str
) -> None:
    monkeypatch.delenv("CLEANSAT_THREADS", raising=False)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)))
    (tmp_path / "self").write_text(groups)
    monkeypatch.setattr("odc_cleansat.threads._OWN_GROUPS", tmp_path / "self")
    monkeypatch.setattr("odc_cleansat.threads._CGROUPS", tmp_path / "groups")
    assert available_cpus() == 8
    old = "{}" in folder
    limits = {
        "memory": {"memory.limit_in_bytes" if old else "memory.max": "5000"},
        "cpu": {"cpu.cfs_quota_us": "200000", "cpu.cfs_period_us": "100000"} if old else {"cpu.max": "200000 100000"},
    }  # fmt: skip
    for controller, files in limits.items():
        there = tmp_path / "groups" / folder.format(controller)
        there.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (there / name).write_text(f"{text}\n")
    assert available_memory() == 5000
    assert available_cpus() == 2


def _reads_in_threads_that_leave_as_they_came() -> None:
    """As rioxarray reads: each records its warnings, and the first to come leaves first."""
    first_is_in, second_is_in, first_is_out = (threading.Event() for _ in range(3))

    def first() -> None:
        with warnings.catch_warnings(record=True):
            first_is_in.set()
            second_is_in.wait(10)
        first_is_out.set()

    def second() -> None:
        first_is_in.wait(10)
        with warnings.catch_warnings(record=True):
            second_is_in.set()
            first_is_out.wait(10)

    with ThreadPoolExecutor(2) as pool:
        for each in [pool.submit(first), pool.submit(second)]:
            each.result()


def test_warnings_are_not_lost_after_threads_have_read() -> None:
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        _reads_in_threads_that_leave_as_they_came()
        warnings.warn("lost", stacklevel=1)
    assert not told, "without a guard it goes to a list of a thread that has ended"
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        with steady_warnings():
            with steady_warnings():
                _reads_in_threads_that_leave_as_they_came()
            _reads_in_threads_that_leave_as_they_came()
        warnings.warn("heard", stacklevel=1)
    assert [str(each.message) for each in told] == ["heard"]
    with pytest.raises(ZeroDivisionError), steady_warnings():
        raise ZeroDivisionError
    with pytest.warns(UserWarning, match="heard"), steady_warnings():
        warnings.warn("heard", stacklevel=1)


def test_computing_leaves_the_filters_of_warnings() -> None:
    before = warnings.filters[:]
    assert compute(dask.delayed(warnings.simplefilter)("ignore")) is None
    assert warnings.filters == before


def test_a_forked_process_classifies_as_its_parent_did() -> None:
    """Linux's default up to Python 3.13. The child has none of the threads that its parent had."""
    done = subprocess.run(
        [sys.executable, "-c", FORK],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        capture_output=True, text=True, check=False, timeout=150,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


AMID = """
import os, sys, threading, time, warnings

from odc_cleansat import classify, get_model, threads
from odc_cleansat.errors import EngineError
from odc_cleansat.models import engines
from odc_cleansat.synthetic.scene import SimulatedScene

warnings.simplefilter("ignore")
KINDS = len(get_model().classes)
SCENE = SimulatedScene(shape=(120, 120)).to_xarray(20).isel(time=0)
native, begun, seconds = threading.Lock(), threading.Event(), float(sys.argv[1])
threads.PATIENCE = float(sys.argv[2])


def ask(batch):
    with native:  # as a lock within a library, which nobody renews in a child
        begun.set()
        time.sleep(seconds)
    return np.full((len(batch), KINDS, *batch.shape[2:]), 1 / KINDS, "float32")


class Engine:
    name, precision = "openvino", "f32"

    def __init__(self, *_):
        pass

    def __call__(self, batch):
        with threads.no_fork():
            return ask(batch)


import numpy as np

engines.OpenVINOEngine = Engine
parent = threading.Thread(target=classify, args=[SCENE], kwargs={"offset": 0}, daemon=True)
parent.start()
begun.wait()
child = os.fork()
if not child:
    seconds = 0
    try:
        classify(SCENE, offset=0)
    except EngineError:
        os._exit(7)
    os._exit(0)
deadline = time.monotonic() + 60
while time.monotonic() < deadline:
    done, status = os.waitpid(child, os.WNOHANG)
    if done:
        parent.join()
        classify(SCENE, offset=0)  # the parent goes on
        sys.exit(os.waitstatus_to_exitcode(status))
    time.sleep(0.05)
os.kill(child, 9)
sys.exit(99)
"""


@pytest.mark.parametrize(
    ("seconds", "patience", "code"), [(1.0, 60.0, 0), (5.0, 0.1, 7)], ids=["waits", "refused"]
)
def test_a_fork_while_another_thread_makes_a_mask(
    seconds: float, patience: float, code: int
) -> None:
    """It waits for the network; if that takes too long, the child refuses to make masks, and never hangs."""
    done = subprocess.run(
        [sys.executable, "-c", AMID, str(seconds), str(patience)],
        capture_output=True, text=True, check=False, timeout=200,
    )  # fmt: skip
    assert done.returncode == code, done.stderr


GIVEN_UP = """
import os, sys, threading, time

from odc_cleansat import threads
from odc_cleansat.errors import EngineError

threads.ASLEEP = 3.0
native = threading.Lock()
native.acquire()  # as a library's own, held by a thread that the child has not got


def busy():
    end = time.process_time() + 2
    while time.process_time() < end:
        pass
    return 5


def failing():
    raise KeyError("its own")


child = os.fork()
if child:
    assert threads.watched(busy) == 5
    _, status = os.waitpid(child, 0)
    sys.exit(os.waitstatus_to_exitcode(status))
assert threads.watched(busy) == 5
try:
    threads.watched(failing)
except KeyError:
    pass
begun = time.monotonic()
for call in (lambda: threads.watched(native.acquire), threads.check_fork):
    try:
        call()
    except EngineError as error:
        assert "get_context('spawn')" in str(error)
    else:
        os._exit(1)
os._exit(0 if time.monotonic() - begun < 30 else 2)
"""


def test_a_child_that_waits_for_its_parent_s_threads_gives_up() -> None:
    done = subprocess.run(
        [sys.executable, "-c", GIVEN_UP], capture_output=True, text=True, check=False, timeout=100
    )
    assert done.returncode == 0, done.stderr


REAL = """
import os, sys, threading, time, warnings

from odc_cleansat import classify
from odc_cleansat.errors import EngineError
from odc_cleansat.synthetic.scene import SimulatedScene

warnings.simplefilter("ignore")
SCENE = SimulatedScene(shape=(198, 198)).to_xarray(20).isel(time=0)
EXPECTED = int(classify(SCENE, offset=0, engine=sys.argv[1]).ucl.sum())
over = False


def work():
    while not over:
        classify(SCENE, offset=0, engine=sys.argv[1])


threading.Thread(target=work, daemon=True).start()
for i in range(2):
    time.sleep(0.3 * i)
    child = os.fork()
    if not child:
        try:
            found = int(classify(SCENE, offset=0, engine=sys.argv[1]).ucl.sum())
        except EngineError as error:  # never for ever
            os._exit("forked" not in str(error))
        os._exit(found != EXPECTED)
    deadline, done = time.monotonic() + 100, 0
    while not done and time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        time.sleep(0.05)
    if not done:
        os.kill(child, 9)
    assert done and not status, (i, done)
over = True
os._exit(0)
"""


@pytest.mark.parametrize("engine", ["openvino", "torch"])
def test_forks_while_a_real_network_runs(engine: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", REAL, engine], capture_output=True, text=True, check=False, timeout=400
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


LOCKED = """
import functools, os, sys, threading

import dask._expr
import dask.config
import dask.threaded
import dask.tokenize
import datacube.drivers._tools
import xarray.backends.locks

import odc_cleansat.threads

LOCKS = [
    dask.config.config_lock,
    dask.threaded.pools_lock,
    dask.tokenize.tokenize_lock,
    datacube.drivers._tools.DRIVER_CACHE_LOCK,
    xarray.backends.locks.NETCDFC_LOCK,
]
LOCKS += [
    each.lock
    for each in vars(dask._expr.Expr).values()
    if isinstance(each, functools.cached_property) and hasattr(each, "lock")
]
threading.Thread(target=lambda: [lock.acquire() for lock in LOCKS]).start()
child = os.fork()
if not child:
    os._exit(sum(not lock.acquire(timeout=0.1) for lock in LOCKS))
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_forked_process_can_have_the_locks_of_its_parent_s_threads() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOCKED], capture_output=True, text=True, check=False, timeout=100
    )
    assert done.returncode == 0, done.stderr


def test_memory_that_is_free(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    free = available_memory()
    assert 10_000_000 < free <= psutil.virtual_memory().total
    monkeypatch.setattr("odc_cleansat.threads._CGROUPS", tmp_path)
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("5000\n")
        assert available_memory() == 5000
        (tmp_path / name).write_text("max\n")
        assert available_memory() > 10_000_000
    have = psutil.Process().memory_info().vms
    monkeypatch.setattr("resource.getrlimit", lambda _: (have + 10**9, -1))
    assert 0.5e9 < available_memory() <= 1e9


def test_progress_counts_tasks_and_its_error_ends_the_work() -> None:
    begun: list[int] = []
    lazy = [dask.delayed(begun.append)(i) for i in range(40)]
    told: list[tuple[int, int]] = []
    compute(lazy, lambda *now: told.append(now))
    assert told[-1] == (told[-1][1], told[-1][1])
    assert [done for done, _ in told] == list(range(1, len(told) + 1))
    assert len(begun) == 40

    def stop(done: int, total: int) -> None:
        raise KeyError("enough")

    begun.clear()
    with pytest.raises(KeyError):
        compute(lazy, stop)
    assert len(begun) < 40
