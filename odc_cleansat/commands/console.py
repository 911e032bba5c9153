"""What commands have in common: steps with a bar, and names of programs."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click


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
