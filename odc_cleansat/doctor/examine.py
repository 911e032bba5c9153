"""The whole examination, topic by topic."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..scenes.search import EARTH_SEARCH
from . import configured, database, folders, machine, network, packages, store
from .finding import Finding, Probe, in_time

TOPICS = ("python", "settings", "machine", "folders", "weights", "datacube", "store", "network")
"""What can be looked at, in this order."""


@dataclass(frozen=True)
class Questions:
    """What `examine` looks at."""

    topics: tuple[str, ...] = TOPICS
    """Some of :data:`TOPICS`."""

    config: tuple[str, ...] = ()
    """Configurations of datacube; of several, the first that exists. By default that of datacube itself."""

    env: str | None = None
    """Environment in the configuration."""

    stores: tuple[str, ...] = ()
    """Places for masks: paths, or URLs such as ``s3://bucket/prefix``."""

    online: bool = False
    """Whether to ask places on the internet that need no login."""

    stac_api: str = EARTH_SEARCH
    """STAC API to ask then."""

    options: tuple[str, ...] = ()
    """Variables of the environment that stand for options of commands, so that they are known."""

    wrong_options: str = ""
    """What is wrong with the options that the file of settings gives to commands."""

    seconds: float = 30.0
    """Most time for each finding."""


def examine(questions: Questions | None = None) -> Iterator[Finding]:
    """Yield what works and what does not, as it is found. Each finding comes within a time limit.

    Parameters
    ----------
    questions
        What to look at; by default what needs neither a store nor the internet.
    """
    asked = questions or Questions()
    for topic, probe in _probes(asked):
        if topic in asked.topics:
            yield from in_time(topic, probe, asked.seconds)


def _probes(asked: Questions) -> Iterator[tuple[str, Probe]]:
    """Yield each topic with its probe."""
    # A process apart is ended before its finding is given up.
    apart = 0.9 * asked.seconds
    yield "python", lambda: packages.probe(apart)
    yield "settings", lambda: configured.probe(asked.options, asked.wrong_options)
    yield "machine", lambda: machine.probe(apart)
    yield "folders", folders.probe
    yield "weights", lambda: network.probe_weights(asked.online)
    yield "datacube", lambda: database.probe(asked.config, asked.env)
    for place in asked.stores:
        yield "store", lambda place=place: store.probe(place)  # type: ignore[misc]
    if asked.online:
        yield "network", lambda: network.probe_stac(asked.stac_api)
