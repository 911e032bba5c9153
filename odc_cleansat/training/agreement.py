"""Agreement of a network with its teachers and with labels, on the held-out patches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..classes import CloudClass
from ..grids.windows import prepare_window
from .lessons import channel_groups
from .network import NormalisedNetwork
from .patches import Patch
from .spoiling import spoil_once
from .teachers import Teachers, taught_classes, teacher_answers
from .thin_cloud import draw_thin_cloud, veil_truth
from .truths import class_bits, possible_channels

BY_LABEL = " label"
"""End of the name of a group that is compared with labels, where it is compared with teachers too."""

SPOILT, BELOW_THIN = " spoilt", " below thin cloud"
"""Ends of the names of groups of patches that are spoilt, and of those below simulated thin cloud."""


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
    spoilt
        Share of each kind of spoilt picture. Patches that are spoilt in one of these ways make groups of their own, in
        which the teachers' answers for the patches as they are count as right.
    """

    def __init__(
        self,
        groups: Mapping[str, Sequence[Patch]],
        teachers: Teachers,
        classes: Sequence[CloudClass],
        resolution: float,
        spoilt: Mapping[str, float] | None = None,
    ) -> None:
        self._teachers = teachers
        self._taught = taught_classes(teachers, classes)
        self._spoilt = spoilt or {}
        self._classes = classes
        self._resolution = resolution
        self._channels = possible_channels(classes)
        self._references: dict[str, list[_Reference]] = {}
        for name, patches in groups.items():
            for number, patch in enumerate(patches):
                for group, reference in self._references_of(patch, name, number):
                    self._references.setdefault(group, []).append(reference)

    def measure(self, network: NormalisedNetwork) -> dict[str, float]:
        """Return the share of the pixels whose class is right, 0 to 1, for each group."""
        return {
            name: _share_right(network, references) for name, references in self._references.items()
        }

    def _references_of(
        self, patch: Patch, group: str, number: int
    ) -> Iterator[tuple[str, _Reference]]:
        """Give the references by teacher and by label, each with the name of its group."""
        pixels = patch.at(self._resolution)
        batch = prepare_window(pixels)
        if batch is None:
            return
        valid = np.isfinite(pixels).all(axis=0)
        if patch.kind in self._teachers:
            rows, columns = valid.shape
            answers = teacher_answers(self._teachers, patch.kind, batch, self._taught)[0]
            groups = channel_groups(self._taught, self._classes)
            right = groups[answers[:, :rows, :columns].argmax(axis=0)].transpose(2, 0, 1)
            yield group, _Reference(batch, right, valid)
            rng = np.random.default_rng(number)
            if self._spoilt and CloudClass.THIN_CLOUD in self._classes:
                yield group + BELOW_THIN, self._below_thin(rng, batch, right, valid, patch.bands)
            if self._spoilt:
                seen = spoil_once(rng, batch[0], patch.bands, self._spoilt)
                seen_valid = np.isfinite(seen).all(axis=0)[:rows, :columns] & valid
                filled = prepare_window(seen)
                if filled is not None:
                    yield group + SPOILT, _Reference(filled, right, seen_valid)
        if patch.truth is not None:
            right = self._channels[patch.truth_at(self._resolution)].transpose(2, 0, 1)
            known = valid & ~right.all(axis=0)
            if known.any():
                name = group + BY_LABEL if self._teachers else group
                yield name, _Reference(batch, right, known)

    def _below_thin(
        self,
        rng: np.random.Generator,
        batch: np.ndarray,
        right: np.ndarray,
        valid: np.ndarray,
        bands: tuple[str, ...],
    ) -> _Reference:
        """Return a patch below simulated thin cloud, where that leaves no doubt over ground that is clear."""
        shape = batch.shape[2:]
        clouds = draw_thin_cloud(rng, max(shape)).cut(shape)
        veil = veil_truth(clouds)[: valid.shape[0], : valid.shape[1]]
        thin = veil == class_bits([CloudClass.THIN_CLOUD])
        channel = np.array([each is CloudClass.THIN_CLOUD for each in self._classes])
        clear = right[self._classes.index(CloudClass.CLEAR)]
        right = np.where(thin, channel[:, None, None], right)
        seen = clouds.over(batch[0], bands)[None]
        return _Reference(seen, right, valid & clear & (thin | (veil == 0)))


def _share_right(network: NormalisedNetwork, references: Sequence[_Reference]) -> float:
    right = total = 0
    for reference in references:
        rows, columns = reference.counted.shape
        best = network.best_channels(reference.batch)[:rows, :columns]
        hit = np.take_along_axis(reference.right, best[None], axis=0)[0]
        right += int((hit & reference.counted).sum())
        total += int(reference.counted.sum())
    return right / total if total else float("nan")
