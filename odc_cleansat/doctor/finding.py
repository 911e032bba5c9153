"""What a probe found, and probes that have to answer in time."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from ..addresses import without_secrets
from ..errors import CleansatError, first_line

OK, WARNING, WRONG = "ok", "warning", "wrong"
"""The states of a finding."""


@dataclass(frozen=True)
class Finding:
    """One line of the examination; its texts hold no logins, keys or tokens."""

    topic: str
    """Which probe found it."""

    state: str
    """``ok``, ``warning`` or ``wrong``."""

    what: str
    """What was found, in a few words or a sentence."""

    mend: str = ""
    """What to do about it; empty if it is ok."""

    def __post_init__(self) -> None:
        for name in ("what", "mend"):
            object.__setattr__(self, name, without_secrets(getattr(self, name)))


Probe = Callable[[], Iterable[Finding]]
"""Yields what it finds, one finding after another."""


def in_time(topic: str, probe: Probe, seconds: float) -> Iterator[Finding]:
    """Yield the findings of a probe. One that fails, or takes too long for its next finding, ends with that as a finding.

    Parameters
    ----------
    topic
        Topic of a finding about the probe itself.
    probe
        It runs in a thread of its own, which is left behind if it does not answer.
    seconds
        Most time for each finding.
    """
    found: queue.SimpleQueue[Finding | None] = queue.SimpleQueue()

    def work() -> None:
        try:
            for each in probe():
                found.put(each)
        except CleansatError as error:
            found.put(Finding(topic, WRONG, str(error)))
        except Exception as error:  # of any library: the other probes go on
            said = f"unexpected {type(error).__name__}: {first_line(error)}"
            found.put(Finding(topic, WRONG, said, "Report it, with what this command prints."))
        found.put(None)

    # Not of a pool, whose threads Python awaits at its end.
    threading.Thread(target=work, name=f"cleansat-doctor-{topic}", daemon=True).start()
    while True:
        try:
            each = found.get(timeout=seconds)
        except queue.Empty:
            yield Finding(
                topic,
                WRONG,
                f"no answer within {seconds:g} s; the rest of this topic is not looked at",
                "Look at the network and the addresses in the settings, or at what else keeps this machine busy.",
            )
            return
        if each is None:
            return
        yield each
