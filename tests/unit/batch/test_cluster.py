"""The cluster: units of work, killed workers, interrupts, and what cannot be reached."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from odc_cleansat.batch import cluster
from odc_cleansat.batch.cluster import ClusterError, Workers, dask_client, describe, work_through
from odc_cleansat.batch.stop import Stop
from unit.archive import PATIENCE

if TYPE_CHECKING:
    from distributed import Client


class Work(NamedTuple):
    """A unit that does as it is told."""

    number: int
    seconds: float = 0.0
    deadly: bool = False
    begun: Path | None = None

    @property
    def key(self) -> str:
        return f"work-{self.number:032x}"


def do(work: Work) -> int:
    if work.begun:
        (work.begun / str(work.number)).touch()
    time.sleep(work.seconds)
    if work.deadly:
        os.kill(os.getpid(), signal.SIGKILL)
    if work.number == 13:
        raise ValueError("thirteen")
    return work.number


def test_units_are_taken_as_workers_get_free(client: Client) -> None:
    taken = over = most = 0

    def source() -> Iterator[Work]:
        nonlocal taken
        for number in range(300):
            taken += 1
            yield Work(number)

    for work, result in work_through(client, do, source()):
        most = max(most, taken - over)
        over += 1
        if work.number == 13:
            assert isinstance(result, ValueError)
        else:
            assert result == work.number
    assert over == 300
    assert most <= 5  # two for each of two workers, and the one in hand


def test_one_that_kills_its_workers_takes_no_other_with_it(client: Client) -> None:
    from distributed.scheduler import KilledWorker

    works = [Work(100 + i, seconds=0.05, deadly=i == 1) for i in range(6)]
    results = dict(work_through(client, do, works))
    assert isinstance(results.pop(works[1]), KilledWorker)
    assert results == {work: work.number for work in works if not work.deadly}


def test_results_that_die_with_a_worker_are_made_again(client: Client) -> None:
    """They were finished, and had not been fetched."""
    works = [Work(150 + i, seconds=0.5) for i in range(4)]

    def statuses() -> set[str]:
        return {client.futures[work.key].status for work in works if work.key in client.futures}

    until = time.monotonic() + PATIENCE
    results: dict[Work, object] = {}
    for work, result in work_through(client, do, works):
        if not results:
            while statuses() != {"finished"}:
                assert time.monotonic() < until
                time.sleep(0.01)
            # One only: a second would be the second to die with the first one's work.
            waiting = {each.key for each in works if each != work}
            held = client.has_what().items()
            holder = next(address for address, keys in held if waiting.intersection(keys))
            os.kill(client.run(os.getpid, workers=[holder])[holder], signal.SIGKILL)
            while "lost" not in statuses():
                assert time.monotonic() < until
                time.sleep(0.01)
        results[work] = result
    assert results == {work: work.number for work in works}


def test_what_has_begun_is_finished_when_it_stops(client: Client, tmp_path: Path) -> None:
    works = [Work(200 + i, seconds=1.5, begun=tmp_path) for i in range(20)]
    said: list[str] = []

    def interrupt() -> None:
        while not any(tmp_path.iterdir()):
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    with Stop(said.append) as stop:
        threading.Thread(target=interrupt).start()
        results = dict(work_through(client, do, works, stop))
    assert {str(number) for number in results.values()} == {p.name for p in tmp_path.iterdir()}
    assert 1 <= len(results) <= 2
    assert "Ctrl-C again" in said[0]


def test_lazy_arrays_of_this_process_are_not_its_work(client: Client) -> None:
    from distributed import get_client

    with pytest.raises(ValueError, match="No global client"):
        get_client()


def test_workers_share_the_processors(client: Client) -> None:
    from odc_cleansat.threads import available_cpus

    share = max(1, available_cpus() // 2)
    assert set(client.run(available_cpus).values()) == {share}


def test_a_cluster_in_words() -> None:
    class Threads:
        def __init__(self, count: int) -> None:
            self.nthreads = lambda: dict.fromkeys(map(str, range(count)), 1)

    said = [describe(Threads(count)) for count in (0, 1, 3)]  # type: ignore[arg-type]
    assert said == ["a cluster without workers yet", "1 worker", "3 workers"]


def test_no_scheduler_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "CONNECT_TIMEOUT", 0.5)
    with (
        pytest.raises(ClusterError, match="no dask scheduler answers at tcp://127"),
        dask_client(scheduler="tcp://127.0.0.1:1"),
    ):
        pass


def test_workers_that_never_come_back(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "WORKERS_GONE", 0.2)
    workers = Workers(client)
    assert workers.threads() == 2
    assert workers.threads(but=[next(iter(client.nthreads())), "gone"]) == 1
    monkeypatch.setattr(client, "nthreads", dict)
    workers._asked = workers._seen = float("-inf")
    with pytest.raises(ClusterError, match=r"none comes back.*fewer workers"):
        workers.threads()
    # Those of a scheduler elsewhere may, as where a cluster grows by itself.
    monkeypatch.setattr(client, "cluster", None)
    workers._asked = workers._seen = float("-inf")
    assert workers.threads() == 0


def of_worker(name: str) -> str | None:
    return os.environ.get(name)


@pytest.mark.parametrize("given", [None, "200"])
def test_workers_bound_what_gdal_keeps(monkeypatch: pytest.MonkeyPatch, given: str | None) -> None:
    monkeypatch.delenv("GDAL_CACHEMAX", raising=False)
    if given:
        monkeypatch.setenv("GDAL_CACHEMAX", given)
    with dask_client(1) as client:
        assert client.submit(of_worker, "GDAL_CACHEMAX").result() == (given or "128")


def test_a_cluster_in_place_of_an_address() -> None:
    """As those of dask-jobqueue and dask-gateway are: with a scheduler and workers of their own."""
    from distributed import LocalCluster

    with (
        LocalCluster(
            n_workers=1,
            threads_per_worker=1,
            processes=False,
            protocol="tcp",
            host="127.0.0.1",
            dashboard_address=None,
        ) as cluster,
        dask_client(scheduler=cluster) as client,
    ):
        assert client.submit(sum, [1, 2]).result(timeout=60) == 3


# dask-jobqueue leaves the shell of a local job to itself.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_workers_that_a_queue_of_jobs_starts(tmp_path: Path) -> None:
    """dask-jobqueue writes a script for each job; here a shell runs it at once, elsewhere SLURM does."""
    from dask_jobqueue.local import LocalCluster

    with (
        LocalCluster(
            cores=1, processes=1, memory="1GB", log_directory=str(tmp_path), worker_extra_args=["--host", "127.0.0.1"],
            scheduler_options={"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"},
        ) as queue,
        dask_client(scheduler=queue) as client,
    ):  # fmt: skip
        queue.scale(jobs=1)
        client.wait_for_workers(1, timeout=PATIENCE)
        assert client.submit(sum, [1, 2]).result(timeout=60) == 3
