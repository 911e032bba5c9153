"""How a network is trained, in numbers."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Plan:
    """How to train."""

    steps: int = 10_000
    """Batches in all."""

    cooldown: int = 1_500
    """The last steps, over which the learning rate falls to nothing. Until then it stays, so that a run
    can go on from its last checkpoint for as long as it improves."""

    batch: int = 8
    """Tiles a step."""

    size: int = 256
    """Side of a tile, pixels; a multiple of 32."""

    rate: float = 3e-3
    """Learning rate of AdamW."""

    warmup: int = 200
    """Steps over which the rate rises."""

    decay: float = 0.01
    """Weight decay."""

    average: float = 0.998
    """Decay of the running average of the weights, which is what is kept."""

    teacher: float = 1.0
    """Weight of the teacher's answer in the loss: its divergence from the network's, in nats a pixel."""

    truth: float = 0.1
    """Weight of labels and of the truth of simulated clouds: their cross-entropy, in nats a pixel."""

    check: int = 500
    """Steps between two looks at what was held out."""

    seed: int = 0
    """Of weights and tiles."""

    def share_of_rate(self, step: int) -> float:
        """Of the learning rate: up, level, and down to nothing at the end."""
        rise = min(1.0, (step + 1) / max(1, self.warmup))
        fall = min(1.0, (self.steps - step) / max(1, self.cooldown))
        return rise * fall


@dataclass
class Progress:
    """What is known of a run."""

    step: int = 0
    """Steps done."""

    seconds: float = 0.0
    """That they took, over all sessions."""

    losses: list[float] = field(default_factory=list)
    """Of each step."""

    agreement: dict[str, float] = field(default_factory=dict)
    """With the teacher, or with labels, on each group that was held out; at the last look."""

    steps: int = 0
    """That are planned."""
