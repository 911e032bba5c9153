"""The history of a training run: what its sessions have done so far."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass
class History:
    """Steps, time, losses and agreement of a run, over all its sessions."""

    step: int = 0
    """Number of steps done."""

    seconds: float = 0.0
    """Time that the steps took, seconds."""

    losses: list[float] = field(default_factory=list)
    """Loss of each step, nats per pixel."""

    agreement: dict[str, float] = field(default_factory=dict)
    """Share of the pixels whose class is right, 0 to 1, for each held-out group at the last evaluation."""

    def mean_loss(self, steps: int) -> float:
        """Return the mean loss of the last steps, nats per pixel."""
        return float(np.mean(self.losses[-steps:]))
