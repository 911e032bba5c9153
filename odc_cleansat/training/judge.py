"""How far a network agrees with its teachers, and with labels, on what was held out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..classes import CloudClass
from ..grids.windows import prepare
from .patches import Patch
from .teachers import Teachers, answer
from .truths import possible_channels

if TYPE_CHECKING:
    import torch


BY_LABEL = " label"
"""Ends the name of a group whose measure is a label, where a teacher is another."""


class Case(NamedTuple):
    """One patch, and what would be right."""

    batch: np.ndarray
    """``(1, C, H, W)`` float32 reflectance."""

    right: np.ndarray
    """``(K, h, w)`` bool: whether a channel may win."""

    counted: np.ndarray
    """``(h, w)`` bool: pixels with data, of which something is known."""


class Judge:
    """Measures agreement at the resolution of the model.

    Parameters
    ----------
    groups
        Patches by the name of what they stand for.
    teachers
        Whose answers count as right. Labels count too, for themselves.
    classes
        Of the network's channels.
    resolution
        It works at, metres.
    """

    def __init__(
        self,
        groups: Mapping[str, Sequence[Patch]],
        teachers: Teachers,
        classes: Sequence[CloudClass],
        resolution: float,
    ) -> None:
        self._cases: dict[str, list[Case]] = {}
        table = possible_channels(classes)
        for name, patches in groups.items():
            for patch in patches:
                pixels = patch.at(resolution)
                batch = prepare(pixels)
                if batch is None:
                    continue
                valid = np.isfinite(pixels).all(axis=0)
                rows, columns = valid.shape
                kind = (patch.level, len(patch.bands))
                if kind in teachers:
                    best = answer(teachers, kind, batch, classes)[0, :, :rows, :columns].argmax(0)
                    right = np.arange(len(classes))[:, None, None] == best
                    self._cases.setdefault(name, []).append(Case(batch, right, valid))
                if patch.truth is not None:
                    right = table[patch.truth_at(resolution)].transpose(2, 0, 1)
                    known = valid & ~right.all(axis=0)
                    if not known.any():
                        continue
                    own = name + BY_LABEL if teachers else name
                    self._cases.setdefault(own, []).append(Case(batch, right, known))

    def __call__(self, network: Network) -> dict[str, float]:
        """Share of the pixels whose class is right, for each group."""
        return {name: _share(network, cases) for name, cases in self._cases.items()}


def _share(network: Network, cases: Sequence[Case]) -> float:
    right = total = 0
    for case in cases:
        rows, columns = case.counted.shape
        best = network.logits(case.batch)[:, :rows, :columns].argmax(axis=0)
        hit = np.take_along_axis(case.right, best[None], axis=0)[0]
        right += int((hit & case.counted).sum())
        total += int(case.counted.sum())
    return right / total if total else float("nan")


class Network:
    """A network with its normalisation, for reflectance of all bands or the first of them."""

    def __init__(
        self,
        module: torch.nn.Module,
        mean: Sequence[float],
        std: Sequence[float],
        device: torch.device,
        half: bool,
    ) -> None:
        import torch

        self.module = module
        self.device = device
        self.half = half
        self._mean, self._std = (
            torch.tensor(values, device=device, dtype=torch.float32).view(-1, 1, 1)
            for values in (mean, std)
        )

    def inputs(self, reflectance: Sequence[np.ndarray] | np.ndarray) -> torch.Tensor:
        """Normalised ``(N, C, H, W)``; bands that are not there stand at their mean, which is 0."""
        import torch

        size = reflectance[0].shape[1:]
        shape = (len(reflectance), len(self._mean), *size)
        found = torch.zeros(shape, device=self.device)
        for i, each in enumerate(reflectance):
            count = len(each)
            values = torch.from_numpy(each).to(self.device)
            found[i, :count] = (values - self._mean[:count]) / self._std[:count]
        return found.to(memory_format=torch.channels_last)

    def __call__(self, reflectance: Sequence[np.ndarray] | np.ndarray) -> torch.Tensor:
        """Logits, ``(N, K, H, W)`` float32."""
        import torch

        inputs = self.inputs(reflectance)
        with torch.autocast(self.device.type, torch.bfloat16, self.half):
            logits: torch.Tensor = self.module(inputs)
        return logits.float()

    def logits(self, batch: np.ndarray) -> np.ndarray:
        """Of one window ``(1, C, H, W)`` in evaluation, ``(K, H, W)``."""
        import torch

        was = self.module.training
        self.module.eval()
        with torch.inference_mode():
            found: np.ndarray = self(batch)[0].cpu().numpy()
        self.module.train(was)
        return found
