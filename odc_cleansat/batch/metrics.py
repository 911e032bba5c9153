"""Figures of what goes on in this process, for Prometheus: of runs, queues and what else is watched.

Whatever has figures says so by :func:`watch`, at no cost. They are asked for, and prometheus_client is imported, when
somebody looks.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple, Protocol
from weakref import WeakSet

from ..errors import CleansatError


class Figure(NamedTuple):
    """Figures of one kind."""

    name: str
    """Name in Prometheus, which begins with ``cleansat_``."""

    text: str
    """What is counted, with its unit."""

    label: str
    """What tells the values apart, such as ``state``."""

    values: Mapping[str, float]
    """The figures, by the value of the label."""


class Watched(Protocol):
    """Has figures."""

    def figures(self) -> Iterable[Figure]:
        """Return them as they are now; any thread may ask."""


_WATCHED: WeakSet[Watched] = WeakSet()


def watch(thing: Watched) -> None:
    """Show the figures of something from now on, as long as it lives."""
    _WATCHED.add(thing)


class _Collector:
    """What Prometheus's client asks."""

    def collect(self) -> Iterator[Any]:
        from prometheus_client.core import GaugeMetricFamily

        found = {each.name: each for thing in list(_WATCHED) for each in thing.figures()}
        for each in found.values():
            family = GaugeMetricFamily(each.name, each.text, labels=[each.label])
            for label, value in each.values.items():
                family.add_metric([label], value)
            yield family


@contextlib.contextmanager
def served_metrics(port: int | None, address: str = "127.0.0.1") -> Iterator[Any]:
    """Serve the figures of this process at ``http://127.0.0.1:PORT/metrics`` in this context.

    Parameters
    ----------
    port
        Where; None to serve nothing.
    address
        Address of this machine to listen on.

    Yields
    ------
    prometheus_client.CollectorRegistry or None
        Takes further metrics; None if nothing is served.

    Raises
    ------
    CleansatError
        If prometheus_client is missing, or the port is taken.
    """
    if port is None:
        yield None
        return
    try:
        from prometheus_client import CollectorRegistry, ProcessCollector, start_http_server
    except ImportError as error:
        raise CleansatError(
            "metrics need prometheus_client; run: pip install 'odc-cleansat[metrics]'"
        ) from error
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    registry.register(_Collector())
    try:
        server, thread = start_http_server(port, address, registry)
    except OSError as error:
        raise CleansatError(
            f"metrics cannot be served on port {port}: {error.strerror or error}; give another port."
        ) from error
    try:
        yield registry
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
