"""How long work tells a person what goes on: one protocol for the demo, batch runs and training."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Protocol


class Count(Protocol):
    """Is told how far a step is. It also serves where ``progress`` is a callable of ``(done, total)``."""

    def __call__(self, done: int, total: int, note: str = "") -> None:
        """Take note that `done` of `total` are finished; `note` is a short remark, for instance ``2 failed``."""


class Reporter(Protocol):
    """Tells a person what goes on."""

    def say(self, text: str, level: str = "info") -> None:
        """Tell one line; its level is ``info``, ``warning`` or ``error``."""

    def step(self, text: str, unit: str = "", together: int = 1) -> AbstractContextManager[Count]:
        """Begin a step that may take a while, and end it with the block.

        Parameters
        ----------
        text
            What is done, for instance ``Classifying``.
        unit
            What is counted, in the singular, for instance ``scene``.
        together
            How many units are worked at side by side.

        Returns
        -------
        contextlib.AbstractContextManager
            Gives the block its :class:`Count`, which it may call or not.
        """


def count_nothing(done: int, total: int, note: str = "") -> None:
    """A :class:`Count` that tells nobody."""


class _Silent:
    """Tells nobody."""

    def say(self, text: str, level: str = "info") -> None:
        pass

    @contextlib.contextmanager
    def step(self, text: str, unit: str = "", together: int = 1) -> Iterator[Count]:
        yield count_nothing


SILENT: Reporter = _Silent()
"""A reporter that tells nobody: the default."""


class Pace:
    """How long a unit of a step takes, also where several are worked at side by side.

    These begin together and end nearly together. So the time between any two ends says little. Between ends that
    are whole rounds apart it is right, for then as much has been begun as has ended.

    Parameters
    ----------
    together
        How many units are worked at side by side.
    """

    def __init__(self, together: int = 1) -> None:
        self._together = max(together, 1)
        self._first: list[tuple[int, float]] = []
        """Units that were done, and when, at the ends of the first round."""

    def add(self, done: int, now: float) -> float | None:
        """Take note of what is done, and return the pace.

        Parameters
        ----------
        done
            How many units are done.
        now
            The time, seconds since any moment.

        Returns
        -------
        float or None
            Seconds a unit; None until more is done than was begun together.
        """
        rounds = [(n, then) for n, then in self._first if done - n >= self._together]
        whole = [(n, then) for n, then in rounds if (done - n) % self._together == 0]
        if len(self._first) < self._together:
            self._first.append((done, now))
        if not rounds:
            return None
        before, then = (whole or rounds)[0]
        return (now - then) / (done - before)


def duration(seconds: float) -> str:
    """Return a duration for people, like `3 s`, `2 min 5 s` or `1 h 3 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"
