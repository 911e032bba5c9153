"""Figures for Prometheus, asked as it asks."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from urllib.request import urlopen
from weakref import WeakSet

import pytest
from ports import free_port

from odc_cleansat.batch import metrics
from odc_cleansat.batch.jobs import Jobs
from odc_cleansat.batch.metrics import Figure, served_metrics, watch
from odc_cleansat.errors import CleansatError
from unit.batch.test_jobs import task


def read(port: int) -> list[str]:
    text: str = urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10).read().decode()
    return text.splitlines()


class Run:
    left = 3

    def figures(self) -> Iterator[Figure]:
        yield Figure("cleansat_test_scenes", "Scenes", "state", {"left": self.left})


def test_figures_are_those_of_the_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    # Queues of other tests may live on.
    monkeypatch.setattr(metrics, "_WATCHED", WeakSet())
    run, port = Run(), free_port()
    watch(run)
    jobs = Jobs(9, 9)
    with served_metrics(port):
        lines = read(port)
        assert 'cleansat_test_scenes{state="left"} 3.0' in lines
        assert "# HELP cleansat_test_scenes Scenes" in lines
        assert 'cleansat_queue_jobs{state="waiting"} 0.0' in lines
        assert any(line.startswith("process_resident_memory_bytes") for line in lines)
        run.left = 2
        jobs.add(task(1), "ada")
        lines = read(port)
        assert 'cleansat_test_scenes{state="left"} 2.0' in lines
        assert 'cleansat_queue_jobs{state="waiting"} 1.0' in lines
        del run
        assert not any("cleansat_test_scenes" in line for line in read(port))
        said = f"port {port}: .*in use; give another port"
        with pytest.raises(CleansatError, match=said), served_metrics(port):
            pass
    with pytest.raises(OSError, match="refused"):
        read(port)


def test_without_a_port_or_a_package(monkeypatch: pytest.MonkeyPatch) -> None:
    with served_metrics(None) as registry:
        assert registry is None
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    said = r"pip install 'odc-cleansat\[metrics\]'"
    with pytest.raises(CleansatError, match=said), served_metrics(1):
        pass
