"""What a batch of tiles teaches: which pixel learns from the teacher, from labels, or from simulated thin cloud."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..classes import CLOUDS, CloudClass
from .clouds import visible_bands
from .schedule import Schedule
from .spoiling import move
from .tiles import Tile
from .truths import UNKNOWN, class_bits, possible_channels, truth_of_classes

if TYPE_CHECKING:
    import torch

_THICK = 0.5
"""Reflectance of all visible bands above which cloud that the teacher sees is thick. Through cloud that hides less than
63 % of dark ground hardly any gets so bright."""


class PixelLesson(NamedTuple):
    """From whom each pixel of N tiles learns."""

    taught: np.ndarray
    """``(N, H, W)`` bool: where the teacher is heard."""

    truth: np.ndarray
    """``(N, H, W)`` uint8, classes that labels leave possible, 0 where nothing is known."""

    veil: np.ndarray
    """``(N, H, W)`` uint8, classes that simulated thin cloud leaves possible, 0 where there is none."""


def lesson_of(
    tiles: Sequence[Tile], answers: np.ndarray | None, classes: Sequence[CloudClass]
) -> PixelLesson:
    """Return from whom each pixel learns.

    Where simulated thin cloud lies over ground that the teacher calls clear, its truth counts and not the teacher. Over
    shadow, either is right. Over cloud, the teacher counts. Gaps in the data teach nothing.

    Parameters
    ----------
    tiles
        N tiles.
    answers
        Class probabilities of the teacher where the tiles lie, ``(N, K, H, W)`` float32; None without a teacher.
    classes
        The K classes.
    """
    truth, veil = (np.stack([getattr(tile, name) for tile in tiles]) for name in ("truth", "veil"))
    counted = np.stack([tile.counted for tile in tiles])
    clear, shadow = class_bits([CloudClass.CLEAR]), class_bits([CloudClass.SHADOW])
    if answers is None:
        below = truth
    else:
        bits = np.array([class_bits([each]) for each in classes], dtype="uint8")
        below = bits[answers.argmax(axis=1)]
        truth = _with_thick_cloud(tiles, truth, below)
    veiled = (veil != 0) & counted
    # Labels may leave open whether a pixel is clear or, say, water, but not whether it is cloud.
    over_clear = veiled & ((below & clear) != 0) & ((below & class_bits(CLOUDS)) == 0)
    over_shadow = veiled & (below == shadow)
    veil = np.where(over_clear, veil, np.where(over_shadow, veil | shadow, UNKNOWN)).astype("uint8")
    # Below thin cloud labels of anything but cloud no longer hold.
    known = counted & (~veiled | ((truth & ~np.uint8(class_bits(CLOUDS))) == 0))
    truth = np.where(known & ~over_clear & ~over_shadow, truth, UNKNOWN).astype("uint8")
    return PixelLesson(counted & ~(over_clear | over_shadow), truth, veil)


def _with_thick_cloud(tiles: Sequence[Tile], truth: np.ndarray, best: np.ndarray) -> np.ndarray:
    """Return the truth, with thick cloud where the teacher says cloud and the tile is very bright."""
    thick = class_bits([CloudClass.CLOUD])
    bright = np.stack(
        [
            move(tile.sharp[visible_bands(tile.bands)].min(axis=0), tile.phase, 0.0) > _THICK
            for tile in tiles
        ]
    )
    found = bright & (truth == UNKNOWN) & ((best & class_bits(CLOUDS)) != 0)
    return np.where(found, thick, truth).astype("uint8")


def channel_groups(taught: Sequence[CloudClass], classes: Sequence[CloudClass]) -> np.ndarray:
    """Return which channels of a network stand for each class of its teachers.

    A teacher with one kind of cloud means thin cloud by it too.

    Returns
    -------
    numpy.ndarray
        ``(T, K)`` bool for T taught classes and K channels.
    """
    channels = possible_channels(classes)
    groups: np.ndarray = channels[[truth_of_classes(each, taught) for each in taught]]
    return groups


@dataclass(frozen=True)
class Lesson:
    """What a batch teaches, on the device of the network."""

    answers: torch.Tensor | None
    """Class probabilities of the teacher, ``(N, T, H, W)`` float32; None without a teacher."""

    groups: torch.Tensor
    """Channels that stand for each taught class, ``(T, K)`` bool."""

    taught: torch.Tensor
    """Where the teacher is heard, ``(N, H, W)`` bool."""

    possible: torch.Tensor
    """Channels that labels leave possible, ``(N, K, H, W)`` bool; all of them where nothing is known."""

    veiled: torch.Tensor
    """Channels that simulated thin cloud leaves possible, ``(N, K, H, W)`` bool; all of them where there is none."""


def loss_of(log_probabilities: torch.Tensor, lesson: Lesson, schedule: Schedule) -> torch.Tensor:
    """Return the loss: the mean over all pixels of the divergence from the teacher and the cross-entropies.

    Parameters
    ----------
    log_probabilities
        Logarithms of the network's class probabilities, ``(N, K, H, W)`` float32.
    lesson
        What the batch teaches.
    schedule
        Has the weights.

    Returns
    -------
    torch.Tensor
        Scalar float32, nats per pixel.
    """
    from torch.nn import functional

    # It has a gradient even where nothing is known, and neither weight takes part.
    loss = log_probabilities.new_zeros((), requires_grad=True)
    if lesson.answers is not None:
        together = _of_groups(log_probabilities, lesson.groups)
        divergence = functional.kl_div(together, lesson.answers, reduction="none").sum(dim=1)
        loss = loss + schedule.teacher * (divergence * lesson.taught).mean()
    for weight, possible in ((schedule.truth, lesson.possible), (schedule.thin, lesson.veiled)):
        if weight and not possible.all():
            # The probability that the network gives to all possible classes together.
            known = log_probabilities.masked_fill(~possible, -math.inf).logsumexp(dim=1)
            loss = loss - weight * known.mean()
    return loss


def _of_groups(log_probabilities: torch.Tensor, groups: torch.Tensor) -> torch.Tensor:
    """Return the logarithms of the probabilities of groups of channels, ``(N, T, H, W)``."""
    import torch

    if groups.shape[0] == groups.shape[1]:
        return log_probabilities
    return torch.stack([log_probabilities[:, group].logsumexp(dim=1) for group in groups], dim=1)
