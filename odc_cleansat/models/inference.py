"""What all engines share: batches that fit into memory, networks that are broken off, and a trial run on noise."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from contextvars import ContextVar

import numpy as np

from ..errors import EngineError, ModelError
from .model import Model

PROBE = (2, 128, 192)
"""Batch, height and width that every network must be able to take."""

_OUT_OF_MEMORY = re.compile(
    r"out of memory|bad[ _]alloc|can't allocate|failed to allocate", re.IGNORECASE
)


_check: ContextVar[Callable[[], object] | None] = ContextVar("check", default=None)


@contextlib.contextmanager
def checked_by(check: Callable[[], object]) -> Iterator[None]:
    """Let networks that this thread runs in the block be broken off.

    Parameters
    ----------
    check
        Called some times a second while a network runs, if the engine can do that. What it raises ends the run.
    """
    token = _check.set(check)
    try:
        yield
    finally:
        _check.reset(token)


def current_check() -> Callable[[], object] | None:
    """Return what breaks off the networks of this thread; None if nothing does."""
    return _check.get()


def run_in_parts(run: Callable[[np.ndarray], np.ndarray], batch: np.ndarray) -> np.ndarray:
    """Run a batch. If it does not fit into memory, run its halves, down to single windows.

    Parameters
    ----------
    batch
        Reflectance, ``(N, C, H, W)`` float32.

    Returns
    -------
    numpy.ndarray
        What `run` returns for the whole batch, ``(N, K, H, W)`` float32.

    Raises
    ------
    EngineError
        If a single window does not fit into memory.
    """
    try:
        return run(batch)
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and not _OUT_OF_MEMORY.search(str(error)):
            raise
        if len(batch) == 1:
            height, width = batch.shape[2:]
            raise EngineError(
                f"memory does not suffice for a window of {height} x {width} pixels; "
                "free some, or use a model whose tiling is finer."
            ) from error
    middle = len(batch) // 2
    return np.concatenate([run_in_parts(run, batch[:middle]), run_in_parts(run, batch[middle:])])


def noise_for(model: Model) -> np.ndarray:
    """Return random reflectance to try a network on, always the same, ``(1, C, 128, 192)`` float32."""
    noise = np.random.default_rng(0).uniform(0, 0.6, (1, len(model.bands), *PROBE[1:]))
    return noise.astype("float32")


def check_answers(model: Model, run: Callable[[np.ndarray], np.ndarray]) -> None:
    """Run a network on noise, and raise if it does not return probabilities.

    Parameters
    ----------
    run
        Takes reflectance ``(N, C, H, W)`` float32 and returns probabilities ``(N, K, H, W)`` float32.

    Raises
    ------
    ModelError
        If the answer has another shape, is not finite, or does not sum to 1.
    """
    answer = run(noise_for(model))
    if answer.shape != (wanted := (1, len(model.classes), *PROBE[1:])):
        raise ModelError(
            f"model {model.name}: the network gives an array of the shape {answer.shape}, not {wanted}: one "
            f"channel for each of its classes ({', '.join(c.label for c in model.classes)})."
        )
    if not np.isfinite(answer).all():
        raise ModelError(
            f"model {model.name}: the network gives values that are not finite; its weights are spoilt, or "
            "too large for this precision."
        )
    if answer.min() < -0.001 or np.abs(answer.sum(axis=1) - 1).max() > 0.02:
        raise ModelError(
            f"model {model.name}: what the network gives are no probabilities, which add up to 1; if it has "
            "no softmax at its end, say output: logits in its document."
        )
