"""What a label says of a pixel: a set of classes, kept as bits.

Few labels say all. One that knows cloud only does not tell clear ground from shadow, and one with a single
kind of cloud does not tell thin from thick. So truth is the set of classes that may be there, and a
network is right if it names any of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from ..classes import CloudClass
from ..evaluate.mappings import ClassMapping

UNKNOWN = 0
"""Truth where nothing is known."""

_CLASSES = frozenset(CloudClass) - {CloudClass.NODATA}
_GROUND = frozenset({CloudClass.CLEAR, CloudClass.SNOW, CloudClass.WATER})

SIMULATED = ClassMapping(
    "simulated", {int(c): c for c in (CloudClass.CLEAR, CloudClass.CLOUD, CloudClass.SHADOW)}
)
"""Of the truth of simulated clouds."""


def bits(classes: Iterable[CloudClass]) -> int:
    """A set of classes as a number, 0 to 255.

    >>> bits([CloudClass.CLEAR, CloudClass.SHADOW])
    10
    """
    return sum(1 << int(each) for each in set(classes))


def truth_of(codes: np.ndarray, mapping: ClassMapping) -> np.ndarray:
    """What the codes of a label say.

    Parameters
    ----------
    codes
        Any shape, any number.
    mapping
        What they mean. Classes that it does not know may hide behind those it does: thin cloud behind
        cloud, and anything behind clear.

    Returns
    -------
    numpy.ndarray
        Same shape, uint8 :func:`bits`, 0 where the label has no data.
    """
    known = frozenset(mapping.codes.values())
    table = np.zeros(len(CloudClass), dtype="uint8")
    for each in known:
        table[each] = bits(_meant(each, known))
    found: np.ndarray = table[mapping.apply(codes)]
    return found


def _meant(named: CloudClass, known: frozenset[CloudClass]) -> frozenset[CloudClass]:
    hidden: frozenset[CloudClass] = frozenset()
    if named is CloudClass.CLEAR:
        hidden = _CLASSES - known
        if CloudClass.CLOUD in known:
            hidden -= {CloudClass.THIN_CLOUD}
    elif named is CloudClass.CLOUD:
        hidden = frozenset({CloudClass.THIN_CLOUD}) - known
    return hidden | {named}


def possible_channels(classes: Sequence[CloudClass]) -> np.ndarray:
    """``(256, K)`` bool: by :func:`bits`, which channels of a network would be right.

    A network that knows one kind of cloud means both by it, and by clear it means snow and water unless it
    knows them. All are right where nothing is known, and where the network has no word for it.
    """
    numbers = np.arange(256)
    table = np.stack(
        [(numbers & bits(_covered(each, frozenset(classes)))) != 0 for each in classes], axis=1
    )
    table[~table.any(axis=1)] = True
    return table


def _covered(channel: CloudClass, classes: frozenset[CloudClass]) -> frozenset[CloudClass]:
    others: frozenset[CloudClass] = frozenset()
    if channel is CloudClass.CLEAR:
        others = _GROUND - classes
    elif channel is CloudClass.CLOUD:
        others = frozenset({CloudClass.THIN_CLOUD}) - classes
    return others | {channel}
