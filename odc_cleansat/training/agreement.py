"""Agreement of a network with its teachers and with labels, on the held-out patches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..classes import CloudClass
from ..grids.windows import prepare_window
from .network import NormalisedNetwork
from .patches import Patch
from .teachers import Teachers, teacher_answers
from .truths import possible_channels

BY_LABEL = " label"
"""End of the name of a group that is compared with labels, where it is compared with teachers too."""


@dataclass(frozen=True, eq=False)
class _Reference:
    """One patch with its right answers."""

    batch: np.ndarray
    """``(1, C, H, W)`` float32 reflectance."""

    right: np.ndarray
    """``(K, h, w)`` bool: which channels are right."""

    counted: np.ndarray
    """``(h, w)`` bool: pixels with data whose right channels are known."""


class AgreementMeter:
    """Measures on how many pixels a network gives the right class, at the resolution of the model.

    Parameters
    ----------
    groups
        Patches by the name of their group.
    teachers
        Teachers whose answers count as right. Labels make groups of their own.
    classes
        Classes of the network's channels.
    resolution
        Resolution of the network, metres.
    """

    def __init__(
        self,
        groups: Mapping[str, Sequence[Patch]],
        teachers: Teachers,
        classes: Sequence[CloudClass],
        resolution: float,
    ) -> None:
        self._teachers = teachers
        self._classes = classes
        self._resolution = resolution
        self._channels = possible_channels(classes)
        self._references: dict[str, list[_Reference]] = {}
        for name, patches in groups.items():
            for patch in patches:
                for group, reference in self._references_of(patch, name):
                    self._references.setdefault(group, []).append(reference)

    def measure(self, network: NormalisedNetwork) -> dict[str, float]:
        """Return the share of the pixels whose class is right, 0 to 1, for each group."""
        return {
            name: _share_right(network, references) for name, references in self._references.items()
        }

    def _references_of(self, patch: Patch, group: str) -> Iterator[tuple[str, _Reference]]:
        """Give the references by teacher and by label, each with the name of its group."""
        pixels = patch.at(self._resolution)
        batch = prepare_window(pixels)
        if batch is None:
            return
        valid = np.isfinite(pixels).all(axis=0)
        if patch.kind in self._teachers:
            rows, columns = valid.shape
            answers = teacher_answers(self._teachers, patch.kind, batch, self._classes)
            best = answers[0, :, :rows, :columns].argmax(0)
            right = np.arange(len(self._classes))[:, None, None] == best
            yield group, _Reference(batch, right, valid)
        if patch.truth is not None:
            right = self._channels[patch.truth_at(self._resolution)].transpose(2, 0, 1)
            known = valid & ~right.all(axis=0)
            if known.any():
                name = group + BY_LABEL if self._teachers else group
                yield name, _Reference(batch, right, known)


def _share_right(network: NormalisedNetwork, references: Sequence[_Reference]) -> float:
    right = total = 0
    for reference in references:
        rows, columns = reference.counted.shape
        best = network.best_channels(reference.batch)[:rows, :columns]
        hit = np.take_along_axis(reference.right, best[None], axis=0)[0]
        right += int((hit & reference.counted).sum())
        total += int(reference.counted.sum())
    return right / total if total else float("nan")
