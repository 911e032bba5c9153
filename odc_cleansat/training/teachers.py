"""Teachers: pretrained models whose answers a network learns to give."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from ..classes import CloudClass
from ..errors import ModelError
from ..grids.windows import prepare
from ..models.engines import get_engine
from ..models.model import Model
from .patches import Patch
from .tiles import Tile
from .truths import possible_channels

Teachers = Mapping[tuple[str, int], Model]
"""Who answers for a level and a number of bands; empty where labels alone teach."""


def appoint(models: Iterable[Model]) -> dict[tuple[str, int], Model]:
    """The teachers by what they are for.

    Raises
    ------
    ModelError
        If two are for the same, or they differ in classes or resolution.
    """
    found: dict[tuple[str, int], Model] = {}
    for model in models:
        key = (model.level, len(model.bands))
        if key in found:
            raise ModelError(
                f"{found[key].name} and {model.name} are both for {_kind(key)}; name one."
            )
        found[key] = model
        first = next(iter(found.values()))
        if set(model.classes) != set(first.classes) or model.resolution != first.resolution:
            raise ModelError(
                f"{first.name} and {model.name} differ in their classes or resolution and cannot teach one network."
            )
    return found


def teach(tiles: Sequence[Tile], teachers: Teachers, classes: Sequence[CloudClass]) -> np.ndarray:
    """The teachers' probabilities of the tiles before they were blurred, ``(N, K, H, W)`` float32, in the order of the
    classes.

    Raises
    ------
    ModelError
        If none is for a tile.
    """
    groups: dict[tuple[str, int], list[int]] = defaultdict(list)
    for i, tile in enumerate(tiles):
        groups[tile.level, len(tile.bands)].append(i)
    answers: list[np.ndarray] = [np.empty(0)] * len(tiles)
    for kind, members in groups.items():
        found = answer(teachers, kind, np.stack([tiles[i].sharp for i in members]), classes)
        for i, each in zip(members, found, strict=True):
            answers[i] = each
    return np.stack(answers)


def answer(
    teachers: Teachers, kind: tuple[str, int], batch: np.ndarray, classes: Sequence[CloudClass]
) -> np.ndarray:
    """What the teacher for a kind says of ``(N, C, H, W)`` reflectance."""
    if kind not in teachers:
        raise ModelError(f"no teacher answers for {_kind(kind)}; name one.")
    model = teachers[kind]
    found = get_engine(model)(batch)
    order = [model.classes.index(each) for each in classes]
    return found if order == sorted(order) else found[:, order]


def weighed(
    patches: Sequence[Patch],
    teachers: Teachers,
    classes: Sequence[CloudClass],
    progress: Callable[[int, int], None] | None = None,
) -> list[Patch]:
    """Patches with weights by how much there is to learn, too: overcast and clear ones count least.

    Those without a pixel that has all bands are left out; without teachers also those whose labels say nothing.
    """
    table = possible_channels(classes)
    found = []
    for i, patch in enumerate(patches):
        if progress:
            progress(i + 1, len(patches))
        shares = _shares(patch, teachers, classes, table)
        if shares is not None:
            surprise = float(-(shares * np.log(shares + 1e-9)).sum() / np.log(len(shares)))
            found.append(replace(patch, weight=patch.weight * (0.2 + surprise)))
    return found


def _shares(
    patch: Patch, teachers: Teachers, classes: Sequence[CloudClass], table: np.ndarray
) -> np.ndarray | None:
    """Of each class in a patch, as its teacher or else its label has it."""
    if not teachers:
        if patch.truth is None:
            return None
        valid = np.isfinite(patch.pixels).all(axis=0)
        counts = np.bincount(patch.truth[valid], minlength=256)
        counts[table.all(axis=1)] = 0  # nothing to learn
        if not counts.any():
            return None
        shares: np.ndarray = counts @ (table / table.sum(axis=1, keepdims=True))
        shares /= shares.sum()
        return shares
    kind = (patch.level, len(patch.bands))
    if kind not in teachers:
        raise ModelError(f"no teacher answers for {_kind(kind)}; name one.")
    batch = prepare(patch.at(teachers[kind].resolution))
    if batch is None:
        return None
    mean: np.ndarray = answer(teachers, kind, batch, classes).mean(axis=(0, 2, 3))
    return mean


def _kind(kind: tuple[str, int]) -> str:
    return f"{kind[0]} with {kind[1]} bands"
