"""The schedule of a training run: steps, learning rate, batches and the weights of the loss."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Schedule:
    """How long and with which settings a network is trained. It is the key ``plan`` of a recipe."""

    steps: int = 10_000
    """Number of steps. Each step takes one batch."""

    cooldown: int = 1_500
    """Number of last steps in which the learning rate falls to 0. It is level before, so that a run can be lengthened
    as long as the network improves."""

    batch: int = 8
    """Number of tiles in a batch."""

    size: int = 256
    """Side of a tile, pixels; a multiple of 32."""

    rate: float = 3e-3
    """Learning rate of AdamW."""

    warmup: int = 200
    """Number of first steps in which the learning rate rises."""

    decay: float = 0.01
    """Weight decay of AdamW."""

    average: float = 0.998
    """Decay of the running average of the weights. The average is what is exported."""

    teacher: float = 1.0
    """Weight of the teachers in the loss: their divergence from the network, nats per pixel."""

    truth: float = 0.1
    """Weight of labels and of simulated clouds in the loss: their cross-entropy, nats per pixel."""

    thin: float = 1.0
    """Weight of simulated thin cloud over clear ground in the loss: its cross-entropy, nats per pixel. There the teacher is
    not heard."""

    lessons: int = 0
    """Number of steps after which the same tiles come again, spoilt in other ways. The teachers' answers for them are kept
    on the disk. With 0 all tiles are new, and the teachers answer at each step."""

    check: int = 500
    """Number of steps between two evaluations on the held-out patches."""

    seed: int = 0
    """Seed of the first weights and of the tiles."""

    def rate_at(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0: it rises, stays level, and falls to 0 at the end."""
        rise = min(1.0, (step + 1) / max(1, self.warmup))
        fall = min(1.0, (self.steps - step) / max(1, self.cooldown))
        return self.rate * (rise * fall)

    def lesson_of(self, step: int) -> int:
        """Return the number of the lesson of a step: of the tiles that the teacher sees."""
        return step % self.lessons if self.lessons else step

    def evaluates_after(self, steps: int) -> bool:
        """Return whether the network is evaluated when so many steps are done."""
        return steps % self.check == 0 or steps == self.steps
