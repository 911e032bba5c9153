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

    def say(self, text: str) -> None:
        """Tell one line."""

    def step(self, text: str, unit: str = "") -> AbstractContextManager[Count]:
        """Begin a step that may take a while, and end it with the block.

        Parameters
        ----------
        text
            What is done, for instance ``Classifying``.
        unit
            What is counted, in the singular, for instance ``scene``.

        Returns
        -------
        contextlib.AbstractContextManager
            Gives the block its :class:`Count`, which it may call or not.
        """


def count_nothing(done: int, total: int, note: str = "") -> None:
    """A :class:`Count` that tells nobody."""


class _Silent:
    """Tells nobody."""

    def say(self, text: str) -> None:
        pass

    @contextlib.contextmanager
    def step(self, text: str, unit: str = "") -> Iterator[Count]:
        yield count_nothing


SILENT: Reporter = _Silent()
"""A reporter that tells nobody: the default."""


def duration(seconds: float) -> str:
    """Return a duration for people, like `3 s`, `2 min 5 s` or `1 h 3 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"
