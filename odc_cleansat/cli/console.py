"""What commands tell a person: lines, steps with a bar, durations and names of programs."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..addresses import without_secrets
from ..errors import CleansatError
from ..progress import Pace, duration
from .journal import for_programs, keep, tell
from .wording import in_options

if TYPE_CHECKING:
    from ..progress import Count


_PROCESSES = Path("/proc/self")

_LINE_EVERY = 30.0
"""Seconds between two lines about one step, where no terminal shows a bar."""

_BAR_AFTER = 0.5
"""Seconds that a step takes before its bar appears."""


class Console:
    """A :class:`~odc_cleansat.progress.Reporter` that prints.

    What is counted in a step is shown by a bar on a terminal, elsewhere by a line now and then.

    Parameters
    ----------
    to_stderr
        Whether lines go to standard error, for instance because programs read standard output.
    """

    def __init__(self, to_stderr: bool = False) -> None:
        self._to_stderr = to_stderr
        self._bar: _Bar | None = None

    def say(self, text: str, level: str = "info", **values: object) -> None:
        """Print a line, above the bar; for programs with its values."""
        with self._bar.set_aside() if self._bar else contextlib.nullcontext():
            shown = in_options(without_secrets(text))
            tell(shown, err=self._to_stderr, level=level, **values)

    @contextlib.contextmanager
    def step(self, text: str, unit: str = "", together: int = 1) -> Iterator[Count]:
        """Print what begins, show what is counted, and print how long it took if that is a second or more."""
        self.say(f"{text} ...")
        begun = time.monotonic()
        if sys.stderr.isatty() and not for_programs():
            self._bar = _Bar(unit)
        try:
            yield _Progress(self._bar, keep if self._bar else self.say, unit, Pace(together))
        finally:
            if self._bar:
                self._bar.close()
            self._bar = None
        if (seconds := time.monotonic() - begun) >= 1:
            self.say(f"  done in {seconds:.1f} s")


class _Bar:
    """A bar of tqdm. It appears when a step has taken half a second."""

    def __init__(self, unit: str) -> None:
        self._unit = unit
        self._bar: Any = None

    def show(self, done: int, total: int, notes: str) -> None:
        """Show how far the step is, with notes behind the bar."""
        from tqdm import tqdm

        if self._bar is None:
            # Without tqdm's own forecast, which takes units that end together for a sprint.
            self._bar = tqdm(
                total=total,
                initial=done,
                unit=self._unit or "it",
                file=sys.stderr,
                leave=False,
                delay=_BAR_AFTER,
                bar_format="{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}{postfix}]",
            )
        self._bar.set_postfix_str(notes, refresh=False)
        self._bar.update(done - self._bar.n)

    def set_aside(self) -> contextlib.AbstractContextManager[None]:
        """Clear the bar while something else is printed."""
        if self._bar is None:
            return contextlib.nullcontext()
        beside: contextlib.AbstractContextManager[None] = self._bar.external_write_mode(sys.stderr)
        return beside

    def close(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.close()


class _Progress:
    """Says how far a step is, how fast it goes and how long it will take: by a bar, and by lines now and then."""

    def __init__(self, bar: _Bar | None, write: Callable[..., None], unit: str, pace: Pace) -> None:
        self._bar = bar
        self._write = write
        self._unit = f" {unit}s" if unit else ""
        self._last = time.monotonic()
        self._pace = pace

    def __call__(self, done: int, total: int, note: str = "") -> None:
        now = time.monotonic()
        pace = self._pace.add(done, now)
        left = "" if pace is None else f"{duration(pace * (total - done))} left"
        if self._bar:
            self._bar.show(done, total, ", ".join(filter(None, [left, note])))
        if now - self._last < _LINE_EVERY:
            return
        self._last = now
        speed = f"{3600 / pace:.0f} an hour" if pace else ""
        parts = [f"{done} of {total}{self._unit}", note, speed, left]
        self._write(", ".join(filter(None, parts)), done=done, total=total)


def describe_error(error: Exception) -> str:
    """Return in one line what went wrong; of errors that nobody expects, how to see more."""
    expected = isinstance(error, CleansatError | OSError)
    if not expected and sys.platform == "linux" and not _PROCESSES.exists():
        error = CleansatError(
            "there is no /proc here, and dask needs it. Mount it: mount -t proc proc /proc"
        )
    if isinstance(error, CleansatError):
        return in_options(str(error))
    if isinstance(error, OSError):
        what = f"{error.filename}: " if error.filename else ""
        return without_secrets(f"{what}{error.strerror or error}")
    first = without_secrets((str(error).strip().splitlines() or ["no message"])[0])
    return (
        f"unexpected {type(error).__name__}: {first}. Run with `cleansat --debug ...` for details."
    )


def program(name: str) -> str:
    """Return how to call a program of this environment: by its name if that finds it, else by its path."""
    beside = Path(sys.executable).parent / name
    on_path = shutil.which(name)
    found = on_path is not None and Path(on_path).resolve() == beside.resolve()
    return name if found or not beside.exists() else os.path.relpath(beside)
