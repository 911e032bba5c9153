"""Teachers: pretrained models whose answers a network learns to give."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from ..classes import CLOUDS, CloudClass
from ..errors import ModelError
from ..grids.windows import prepare_window
from ..masks.light import white_cores
from ..models.engines import get_engine
from ..models.model import Model
from ..progress import SILENT, Reporter
from .patches import InputKind, Patch
from .tiles import Tile
from .truths import possible_channels

Teachers = Mapping[InputKind, Model]
"""The teacher for each level and number of bands; empty where labels alone teach."""

_LEAST_WEIGHT = 0.2
"""Weight of a patch of a single class; one in which all classes are equally common has 1 more."""


def teachers_by_kind(models: Iterable[Model]) -> dict[InputKind, Model]:
    """Return the teachers by the level and number of bands that they are for.

    Raises
    ------
    ModelError
        If two are for the same, or they differ in classes or resolution.
    """
    teachers: dict[InputKind, Model] = {}
    for model in models:
        kind = (model.level, len(model.bands))
        if kind in teachers:
            raise ModelError(
                f"{teachers[kind].name} and {model.name} are both for {_in_words(kind)}; name one."
            )
        teachers[kind] = model
        first = next(iter(teachers.values()))
        if set(model.classes) != set(first.classes) or model.resolution != first.resolution:
            raise ModelError(
                f"{first.name} and {model.name} differ in their classes or resolution and cannot teach one network."
            )
    return teachers


def teacher_answers(
    teachers: Teachers, kind: InputKind, batch: np.ndarray, classes: Sequence[CloudClass]
) -> np.ndarray:
    """Return the class probabilities that the teacher for a kind gives.

    Parameters
    ----------
    teachers
        All teachers.
    kind
        Level and number of bands of the batch.
    batch
        ``(N, C, H, W)`` float32 reflectance.
    classes
        The K classes, in the order that is wanted.

    Returns
    -------
    numpy.ndarray
        ``(N, K, H, W)`` float32 probabilities.

    Raises
    ------
    ModelError
        If there is no teacher for the kind.
    """
    model = _teacher_for(kind, teachers)
    answers = get_engine(model)(batch)
    order = [model.classes.index(each) for each in classes]
    if order != sorted(order):
        answers = answers[:, order]
    for pixels, answer in zip(batch, answers, strict=True):
        _fill_white_cores(pixels, answer, model.bands, classes)
    return answers


def _fill_white_cores(
    pixels: np.ndarray, answer: np.ndarray, bands: Sequence[str], classes: Sequence[CloudClass]
) -> None:
    """Make cloud of clipped white in the midst of cloud, as masks have it too."""
    if CloudClass.CLOUD not in classes:
        return
    clouds = [i for i, each in enumerate(classes) if each in CLOUDS]
    cores = white_cores(pixels, bands, np.isin(answer.argmax(axis=0), clouds))
    if cores.any():
        answer[:, cores] = 0
        answer[classes.index(CloudClass.CLOUD), cores] = 1


def taught_classes(teachers: Teachers, classes: Sequence[CloudClass]) -> tuple[CloudClass, ...]:
    """Return those of the classes that the teachers know, in the same order; all of them without teachers."""
    if not teachers:
        return tuple(classes)
    known = next(iter(teachers.values())).classes
    return tuple(each for each in classes if each in known)


def answers_for_tiles(
    tiles: Sequence[Tile], teachers: Teachers, classes: Sequence[CloudClass]
) -> np.ndarray:
    """Return the teachers' class probabilities for tiles, as they were before they were spoilt.

    Parameters
    ----------
    tiles
        N tiles of one size.
    teachers
        All teachers.
    classes
        The K classes, in the order that is wanted.

    Returns
    -------
    numpy.ndarray
        ``(N, K, H, W)`` float32 probabilities.

    Raises
    ------
    ModelError
        If there is no teacher for a tile.
    """
    numbers: dict[InputKind, list[int]] = defaultdict(list)
    for i, tile in enumerate(tiles):
        numbers[tile.kind].append(i)
    answers: list[np.ndarray] = [np.empty(0)] * len(tiles)
    for kind, members in numbers.items():
        batch = np.stack([tiles[i].sharp for i in members])
        for i, answer in zip(members, teacher_answers(teachers, kind, batch, classes), strict=True):
            answers[i] = answer
    return np.stack(answers)


def weight_by_variety(
    patches: Sequence[Patch],
    teachers: Teachers,
    classes: Sequence[CloudClass],
    reporter: Reporter = SILENT,
) -> list[Patch]:
    """Return patches with weights that also grow with the variety of their classes.

    There is least to learn from patches that are clear or overcast. Patches without a pixel that has all bands are left
    out. Without teachers, patches of whose pixels nothing is known are left out too.

    Raises
    ------
    ModelError
        If there are teachers, but none for a patch.
    """
    channels = possible_channels(classes)
    weighted = []
    title = f"Looking at {len(patches)} patches, and how much there is to learn from each"
    with reporter.step(title, "patch") as count:
        for i, patch in enumerate(patches):
            count(i + 1, len(patches))
            if teachers:
                shares = _shares_by_teacher(patch, teachers, classes)
            else:
                shares = _shares_by_label(patch, channels)
            if shares is not None:
                entropy = -(shares * np.log(shares + 1e-9)).sum() / np.log(len(shares))
                weight = patch.weight * (_LEAST_WEIGHT + float(entropy))
                weighted.append(replace(patch, weight=weight))
    return weighted


def _shares_by_teacher(
    patch: Patch, teachers: Teachers, classes: Sequence[CloudClass]
) -> np.ndarray | None:
    """Return the share of each class in a patch as its teacher sees it; None without data."""
    batch = prepare_window(patch.at(_teacher_for(patch.kind, teachers).resolution))
    if batch is None:
        return None
    mean: np.ndarray = teacher_answers(teachers, patch.kind, batch, classes).mean(axis=(0, 2, 3))
    return mean


def _shares_by_label(patch: Patch, channels: np.ndarray) -> np.ndarray | None:
    """Return the share of each class in the label of a patch; None where it says nothing.

    A pixel that leaves several classes possible counts in equal parts for each of them.
    """
    if patch.truth is None:
        return None
    valid = np.isfinite(patch.pixels).all(axis=0)
    counts = np.bincount(patch.truth[valid], minlength=256)
    counts[channels.all(axis=1)] = 0  # all classes are possible, so nothing is known
    if not counts.any():
        return None
    shares: np.ndarray = counts @ (channels / channels.sum(axis=1, keepdims=True))
    shares /= shares.sum()
    return shares


def _teacher_for(kind: InputKind, teachers: Teachers) -> Model:
    if kind not in teachers:
        raise ModelError(f"no teacher answers for {_in_words(kind)}; name one.")
    return teachers[kind]


def _in_words(kind: InputKind) -> str:
    level, count = kind
    return f"{level} with {count} bands"
