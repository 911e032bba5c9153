"""A network that learns step by step: from its teachers, from labels, or from both."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..classes import CloudClass
from ..errors import ModelError
from ..threads import available_cpus
from .answers import Answers
from .checkpoints import resume, save_checkpoint
from .devices import best_precision, find_device
from .history import History
from .lessons import Lesson, channel_groups, lesson_of, loss_of
from .network import NormalisedNetwork
from .patches import Patch
from .schedule import Schedule
from .speed import Stopwatch
from .spoiling import move
from .teachers import Teachers, taught_classes
from .tiles import Tile
from .truths import possible_channels

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Task:
    """What a network learns."""

    classes: Sequence[CloudClass]
    """Classes of its K channels."""

    mean: Sequence[float]
    """Mean reflectance of each band, for the normalisation."""

    std: Sequence[float]
    """Standard deviation of reflectance of each band, for the normalisation."""

    schedule: Schedule
    """Steps, rates and weights of the loss."""

    teachers: Teachers = field(default_factory=dict)
    """Teachers by level and number of bands; empty where labels alone teach."""

    held_out: Mapping[str, Sequence[Patch]] = field(default_factory=dict)
    """Patches to evaluate on, by the name of their group."""

    spoilt: Mapping[str, float] = field(default_factory=dict)
    """Share of each kind of spoilt picture, for the evaluation."""

    answers: Path | None = None
    """Folder in which the teachers' answers are kept; None to keep none."""


class Learner:
    """A network that learns, with the running average of its weights and its optimiser.

    Parameters
    ----------
    network
        Normalised reflectance ``(N, C, H, W)`` in, logits ``(N, K, H, W)`` out. Bands that a tile lacks are 0, which is
        their mean.
    task
        What it learns.
    device
        ``cuda`` or ``cpu``; by default cuda where there is one.
    precision
        ``bf16`` or ``f32``; by default bf16 where the device computes in it.

    Raises
    ------
    ModelError
        If there is no such device.
    """

    def __init__(
        self,
        network: torch.nn.Module,
        task: Task,
        device: str | None = None,
        precision: str | None = None,
    ) -> None:
        import torch
        from torch.optim.swa_utils import AveragedModel

        schedule = task.schedule
        self._task = task
        self._device = find_device(device)
        if self._device.type == "cpu":
            torch.set_num_threads(available_cpus())
        half = (precision or best_precision(self._device.type)) == "bf16"
        network = network.to(self._device, memory_format=torch.channels_last).train()
        # The statistics of batch normalisations are averaged too, so that they belong to the average.
        averaged = AveragedModel(
            network, multi_avg_fn=_running_average(schedule.average), use_buffers=True
        )
        self._optimiser = torch.optim.AdamW(
            network.parameters(), lr=schedule.rate, weight_decay=schedule.decay
        )
        self._averaged = averaged
        self._parts = {"network": network, "averaged": averaged, "optimiser": self._optimiser}
        self._network = NormalisedNetwork(network, task.mean, task.std, self._device, half)
        self.average = NormalisedNetwork(averaged.module, task.mean, task.std, self._device, half)
        self.watch = Stopwatch()
        self._channels = torch.from_numpy(possible_channels(task.classes)).to(self._device)
        self._taught = taught_classes(task.teachers, task.classes)
        self._answers = Answers(task.teachers, self._taught, task.answers)

    @property
    def device(self) -> str:
        """Return ``cuda`` or ``cpu``."""
        return str(self._device.type)

    def resume(self, folder: Path) -> History:
        """Go on from the last checkpoint in a folder if there is one, and return the history of the run.

        Raises
        ------
        ModelError
            If the checkpoint belongs to another schedule or network, or cannot be read.
        """
        return resume(folder, self._task.schedule, **self._parts)

    def save(self, folder: Path, history: History) -> None:
        """Write a checkpoint into a folder, in place of the last.

        Raises
        ------
        ModelError
            If it cannot be written.
        """
        save_checkpoint(folder, self._task.schedule, history, **self._parts)

    def learn(self, tiles: Sequence[Tile], step: int) -> float:
        """Learn from one batch of tiles.

        Parameters
        ----------
        tiles
            The batch.
        step
            Number of the step, from 0.

        Returns
        -------
        float
            The loss, nats per pixel.

        Raises
        ------
        ModelError
            If the loss or its gradient is not finite, or there is no teacher for a tile.
        """
        with self.watch.measure("teachers"):
            answers = self._answers_for(tiles, self._task.schedule.lesson_of(step))
        with self.watch.measure("network"):
            loss = self._learn(tiles, answers, step)
        self.watch.steps += 1
        return loss

    def _learn(self, tiles: Sequence[Tile], answers: np.ndarray | None, step: int) -> float:
        """Change the weights by one batch and its answers, and return the loss."""
        import torch

        schedule = self._task.schedule
        for group in self._optimiser.param_groups:
            group["lr"] = schedule.rate_at(step)
        # The same seed at every start, so that a network with dropout draws the same after a stop.
        torch.manual_seed(((schedule.seed << 32) + step) % 2**63)
        log_probabilities = self._network([tile.pixels for tile in tiles]).log_softmax(dim=1)
        lesson = self._lesson_of(tiles, answers)
        loss = loss_of(log_probabilities, lesson, schedule)
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self._network.module.parameters(), 1.0)
        if not torch.isfinite(loss + norm):
            raise ModelError(
                f"the loss or its gradient is not finite at step {step + 1}; lower the plan's rate, or "
                "look for strange values in the data. The last checkpoint is kept."
            )
        self._optimiser.step()
        self._averaged.update_parameters(self._network.module)
        return float(loss.detach())

    def _answers_for(self, tiles: Sequence[Tile], lesson: int) -> np.ndarray | None:
        """Return the teachers' class probabilities where the tiles lie now; None where labels alone teach."""
        task = self._task
        if not (task.teachers and task.schedule.teacher):
            return None
        kept = zip(self._answers.of(tiles, lesson), tiles, strict=True)
        return np.stack([move(answer, tile.phase, 1 / len(self._taught)) for answer, tile in kept])

    def _lesson_of(self, tiles: Sequence[Tile], answers: np.ndarray | None) -> Lesson:
        """Return what tiles teach."""
        import torch

        lesson = lesson_of(tiles, answers, self._taught)
        groups = torch.from_numpy(channel_groups(self._taught, self._task.classes))

        def channels(truth: np.ndarray) -> torch.Tensor:
            numbers = torch.from_numpy(truth).to(self._device).long()
            return self._channels[numbers].permute(0, 3, 1, 2)

        return Lesson(
            None if answers is None else torch.from_numpy(answers).to(self._device),
            groups.to(self._device),
            torch.from_numpy(lesson.taught).to(self._device),
            channels(lesson.truth),
            channels(lesson.veil),
        )


def _running_average(decay: float) -> Callable[[Any, Any, Any], None]:
    """Return the update of a running average over more and more steps, up to as many as the decay stands for.

    With the same decay from the first step on, the untrained weights count for too long: after 600 steps with 0.998 they
    are 0.3 of the average, and its answers are useless.
    """

    def update(averaged: Any, current: Any, count: Any) -> None:
        import torch

        share = 1 - min(decay, (1 + int(count)) / (10 + int(count)))
        with torch.no_grad():
            for old, new in zip(averaged, current, strict=True):
                if old.is_floating_point():
                    old.lerp_(new.to(old.dtype), share)
                else:
                    old.copy_(new)

    return update
