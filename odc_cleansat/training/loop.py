"""The loop in which a network learns, is evaluated and is saved."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..progress import SILENT, Reporter, duration
from .agreement import AgreementMeter
from .curves import add_row, draw_curves
from .feeding import drawn_ahead, workers_for
from .history import History
from .learner import Learner, Task
from .schedule import Schedule
from .speed import write_speed
from .tiles import TileSampler

if TYPE_CHECKING:
    import torch


_SAVE_EVERY = 300.0
"""Seconds between two checkpoints. So much work is lost when a run is killed."""

_PACE_AFTER = 10
"""Number of steps after which the duration of the rest is estimated."""

_SHOWN_STEPS = 50
"""Number of steps over which the loss that is shown is averaged."""


def _never() -> bool:
    return False


@dataclass(frozen=True)
class Session:
    """How one session of a run computes, and when it ends."""

    device: str | None = None
    """``cuda`` or ``cpu``; by default cuda where there is one."""

    precision: str | None = None
    """``bf16`` or ``f32``; by default bf16 where the device computes in it."""

    seconds: float = math.inf
    """Time after which it ends, seconds."""

    stop: Callable[[], bool] = _never
    """Asked after each step whether to end."""

    reporter: Reporter = SILENT
    """Is told of steps, loss and agreement."""


def fit(
    network: torch.nn.Module,
    tiles: TileSampler,
    folder: Path,
    task: Task,
    session: Session | None = None,
) -> History:
    """Train a network; go on where an earlier session ended.

    Parameters
    ----------
    network
        Normalised reflectance ``(N, C, H, W)`` in, logits ``(N, K, H, W)`` out. Bands that a tile lacks are 0, which is
        their mean.
    tiles
        What it learns from.
    folder
        Folder of the run, for the checkpoint and the learning curves.
    task
        What it learns.
    session
        How to compute, and when to end.

    Returns
    -------
    History
        Steps, losses and the last agreement.

    Raises
    ------
    ModelError
        If a teacher or the device is missing, the checkpoint belongs to another schedule, or the loss is not
        finite; the last checkpoint then stays.
    """
    session = session or Session()
    schedule = task.schedule
    folder.mkdir(parents=True, exist_ok=True)
    learner = Learner(network, task, session.device, session.precision)
    history = learner.resume(folder)
    meter = AgreementMeter(
        task.held_out, task.teachers, task.classes, tiles.resolution, task.spoilt
    )
    workers = workers_for(learner.device, schedule)
    title = f"Going on after step {history.step}" if history.step else "Training"
    with (
        session.reporter.step(title, "step") as count,
        closing(drawn_ahead(tiles, schedule, history.step, workers)) as batches,
    ):
        progress = _Progress(history, schedule, session.reporter)
        saved_at, saved_step = time.perf_counter(), history.step
        while True:
            with learner.watch.measure("waiting for tiles"):
                batch = next(batches, None)
            if batch is None:
                break
            loss = learner.learn(batch, history.step)
            progress.add(loss)
            evaluated = schedule.evaluates_after(history.step)
            with learner.watch.measure("evaluating and saving"):
                if evaluated:
                    history.agreement = meter.measure(learner.average)
                    add_row(folder, history)
                if evaluated or time.perf_counter() - saved_at > _SAVE_EVERY:
                    learner.save(folder, history)
                    saved_at, saved_step = time.perf_counter(), history.step
                if evaluated:
                    draw_curves(folder)
            if evaluated:
                progress.tell_agreement()
            count(history.step, schedule.steps, progress.note)
            if session.stop() or progress.elapsed > session.seconds:
                break
    if saved_step != history.step:
        learner.save(folder, history)
    session.reporter.say(write_speed(folder, learner.watch, history.step, learner.device, workers))
    return history


class _Progress:
    """Keeps the history of a run, and tells how it goes.

    Parameters
    ----------
    history
        That of the run; it is changed.
    schedule
        How many steps there will be.
    reporter
        Is told.
    """

    def __init__(self, history: History, schedule: Schedule, reporter: Reporter) -> None:
        self._history = history
        self._schedule = schedule
        self._reporter = reporter
        self._begun = time.perf_counter()
        self._first = history.step
        self._seconds_before = history.seconds

    @property
    def elapsed(self) -> float:
        """Seconds since the session began."""
        return time.perf_counter() - self._begun

    @property
    def note(self) -> str:
        """Loss and mean agreement, in a few words."""
        note = f"loss {self._history.mean_loss(_SHOWN_STEPS):.4f}"
        if agreement := self._history.agreement:
            note += f", agreement {100 * sum(agreement.values()) / len(agreement):.2f} %"
        return note

    def add(self, loss: float) -> None:
        """Count a step, and tell after some how long the others will take."""
        history, steps = self._history, self._schedule.steps
        history.step += 1
        history.seconds = self._seconds_before + self.elapsed
        history.losses.append(loss)
        if history.step - self._first == _PACE_AFTER and history.step < steps:
            pace = self.elapsed / _PACE_AFTER
            left = duration(pace * (steps - history.step))
            self._reporter.say(f"{pace:.2f} s a step: about {left} to step {steps}")

    def tell_agreement(self) -> None:
        """Tell the agreement on each group."""
        history = self._history
        groups = ", ".join(f"{name} {100 * share:.2f}" for name, share in history.agreement.items())
        loss = history.mean_loss(_SHOWN_STEPS)
        self._reporter.say(f"step {history.step}: loss {loss:.4f}; agreement, %: {groups}")
