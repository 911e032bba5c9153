"""What commands have in common: steps with a bar, and names of programs."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

if TYPE_CHECKING:
    from ..batch.records import Failure, Plan


class Console:
    """Says each step when it begins, with a bar where it can be counted and the time it took."""

    def say(self, text: str) -> None:
        """Print one line."""
        click.echo(text)

    @contextlib.contextmanager
    def step(self, text: str) -> Iterator[Callable[[int, int], None]]:
        """Print a line, and a bar as soon as something is counted."""
        from tqdm import tqdm

        from ..demo import timed

        click.echo(f"{text} ...")
        bars: list[tqdm[Any]] = []

        def progress(done: int, total: int) -> None:
            if not bars:
                bars.append(tqdm(total=total, leave=False, file=sys.stderr, delay=0.5))
            bars[0].update(done - bars[0].n)

        with timed() as seconds:
            try:
                yield progress
            finally:
                for bar in bars:
                    bar.close()
            if seconds() >= 1:
                click.echo(f"  done in {seconds():.1f} s")


def program(name: str) -> str:
    """How to call a program of this environment: by its name if that finds it, else by its path."""
    beside = Path(sys.executable).parent / name
    on_path = shutil.which(name)
    found = on_path is not None and Path(on_path).resolve() == beside.resolve()
    return name if found or not beside.exists() else os.path.relpath(beside)


_LINE_EVERY = 30.0


def say(text: str, to_stderr: bool = False) -> None:
    """Print to a person; aside, where standard output is a program's."""
    click.echo(text, err=to_stderr)


def duration(seconds: float) -> str:
    """Like `3 s`, `2 min 5 s` or `1 h 3 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


class Listing:
    """Lists failures in a file as they come, and shows how the run goes on.

    On a terminal there is a bar, elsewhere a line now and then.
    """

    def __init__(self, path: Path, found: Plan, aside: bool) -> None:
        self.path = path
        self._aside = aside
        self._file: TextIO | None = None
        self._failed = 0
        self._begun = self._last = time.monotonic()
        self._bar: Any = None
        self._found = found

    def __enter__(self) -> Listing:
        self.path.unlink(missing_ok=True)
        for failure in self._found.failures:
            self._write(failure)
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()
        if self._file is not None:
            self._file.close()

    def say(self, text: str) -> None:
        """Print a line, above the bar."""
        with self._beside_bar():
            say(text, self._aside)

    def scene(self, done: int, total: int, failure: Failure | None) -> None:
        """Count a scene, and list it if it failed."""
        if failure:
            self._write(failure)
            self.say(f"  failed: {failure.label}: {failure.reason}")
        if sys.stderr.isatty():
            self._advance(done, total)
        elif time.monotonic() - self._last > _LINE_EVERY:
            self._last = time.monotonic()
            say(self._line(done, total), self._aside)

    def _line(self, done: int, total: int) -> str:
        passed = time.monotonic() - self._begun
        rest = passed / done * (total - done)
        failed = f", {self._failed} failed" if self._failed else ""
        return (
            f"{done} of {total} scenes{failed}, {3600 * done / passed:.0f} an hour, "
            f"{duration(rest)} left"
        )

    def _advance(self, done: int, total: int) -> None:
        from tqdm import tqdm

        if self._bar is None:
            self._bar = tqdm(total=total, unit="scene", file=sys.stderr, leave=False)
        self._bar.update(done - self._bar.n)
        if self._failed:
            self._bar.set_postfix(failed=self._failed)

    @contextmanager
    def _beside_bar(self) -> Iterator[None]:
        if self._bar is None:
            yield
            return
        with self._bar.external_write_mode(file=sys.stderr):
            yield

    def _write(self, failure: Failure) -> None:
        if self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("w", encoding="utf-8", buffering=1)
        self._file.write(failure.to_json() + "\n")
        self._failed += 1
