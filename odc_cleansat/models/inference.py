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

_ROUNDING = 0.02
"""Mean difference of probabilities beyond which two engines do not run the same network: bf16 makes .005 at most."""

_EVEN = 1e-6
"""Standard deviation of reflectance below which a band counts as even: numbers of float32 are not finer."""

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


def normalised_by_window(batch: np.ndarray) -> np.ndarray:
    """Return each band of each window with the mean 0 and the standard deviation 1.

    Parameters
    ----------
    batch
        Reflectance, ``(N, C, H, W)`` float32, unit 1.

    Returns
    -------
    numpy.ndarray
        Same shape, float32; 0 where all pixels of a band are equal.
    """
    # In float64, or a band that is nearly even would be a matter of rounding.
    mean = batch.mean(axis=(2, 3), keepdims=True, dtype="float64")
    std = batch.std(axis=(2, 3), keepdims=True, dtype="float64")
    std[std < _EVEN] = 1
    found: np.ndarray = (batch - mean.astype("float32")) / std.astype("float32")
    return found


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


def check_answers(
    model: Model, run: Callable[[np.ndarray], np.ndarray], expected: np.ndarray | None = None
) -> None:
    """Run a network on noise, and raise if it does not return probabilities, or others than expected.

    Parameters
    ----------
    run
        Takes reflectance ``(N, C, H, W)`` float32 and returns probabilities ``(N, K, H, W)`` float32.
    expected
        The answer of torch to :func:`noise_for`, ``(1, K, H, W)`` float32; None if nobody knows it.

    Raises
    ------
    ModelError
        If the answer has another shape, is not finite, does not sum to 1, or is not nearly the expected one.
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
    if expected is not None and np.abs(answer - expected).mean() > _ROUNDING:
        raise ModelError(
            f"model {model.name}: OpenVINO gives other probabilities than torch for this network; use the engine torch."
        )
