"""Truth of training pixels: the set of classes that a label leaves possible, kept as bits.

Few labels know every class. A label of cloud alone does not tell clear ground from shadow. A label
with one kind of cloud does not tell thin from thick. So truth is the set of classes that are possible.
A network is right if it names any of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from ..classes import CloudClass
from ..evaluate.mappings import ClassMapping

UNKNOWN = 0
"""Truth of a pixel of which nothing is known."""

_CLASSES = frozenset(CloudClass) - {CloudClass.NODATA}
_GROUND = frozenset({CloudClass.CLEAR, CloudClass.SNOW, CloudClass.WATER})

SIMULATED_MAPPING = ClassMapping(
    "simulated", {int(c): c for c in (CloudClass.CLEAR, CloudClass.CLOUD, CloudClass.SHADOW)}
)
"""What the codes of simulated clouds mean."""


def class_bits(classes: Iterable[CloudClass]) -> int:
    """Return a set of classes as a number from 0 to 255.

    >>> class_bits([CloudClass.CLEAR, CloudClass.SHADOW])
    10
    """
    return sum(1 << int(each) for each in set(classes))


def truth_of(codes: np.ndarray, mapping: ClassMapping) -> np.ndarray:
    """Return which classes the codes of a label leave possible.

    Parameters
    ----------
    codes
        Any shape, any number.
    mapping
        What the codes mean. A class that it does not know may hide behind one that it knows: thin cloud behind cloud,
        and every other class behind clear.

    Returns
    -------
    numpy.ndarray
        Same shape, uint8 :func:`class_bits`; 0 where the label has no data.
    """
    known = mapping.classes
    table = np.zeros(len(CloudClass), dtype="uint8")
    for each in known:
        table[each] = truth_of_classes(each, known)
    truth: np.ndarray = table[mapping.apply(codes)]
    return truth


def truth_of_classes(label: CloudClass, known: Iterable[CloudClass]) -> int:
    """Return :func:`class_bits` of the classes that a label leaves possible which knows some classes only.

    >>> truth_of_classes(CloudClass.CLOUD, [CloudClass.CLEAR, CloudClass.CLOUD])
    68
    """
    return class_bits(_possible_classes(label, frozenset(known)))


def _possible_classes(label: CloudClass, known: frozenset[CloudClass]) -> frozenset[CloudClass]:
    """Return the classes that a pixel of this label may have, in a label that knows some classes only."""
    hidden: frozenset[CloudClass] = frozenset()
    if label is CloudClass.CLEAR:
        hidden = _CLASSES - known
        if CloudClass.CLOUD in known:
            hidden -= {CloudClass.THIN_CLOUD}
    elif label is CloudClass.CLOUD:
        hidden = frozenset({CloudClass.THIN_CLOUD}) - known
    return hidden | {label}


def possible_channels(classes: Sequence[CloudClass]) -> np.ndarray:
    """Return which channels of a network are right for each truth.

    A network with one kind of cloud uses it for thin cloud as well. A network without snow or water uses
    clear for them.

    Parameters
    ----------
    classes
        Classes of the network's K channels.

    Returns
    -------
    numpy.ndarray
        ``(256, K)`` bool, one row for each value of :func:`class_bits`. A row is all true where nothing is known, or
        where the network has none of the classes.
    """
    values = np.arange(256)
    table = np.stack(
        [
            (values & class_bits(_classes_of_channel(each, frozenset(classes)))) != 0
            for each in classes
        ],
        axis=1,
    )
    table[~table.any(axis=1)] = True
    return table


def _classes_of_channel(
    channel: CloudClass, classes: frozenset[CloudClass]
) -> frozenset[CloudClass]:
    """Return the classes for which a network with these classes uses a channel."""
    others: frozenset[CloudClass] = frozenset()
    if channel is CloudClass.CLEAR:
        others = _GROUND - classes
    elif channel is CloudClass.CLOUD:
        others = frozenset({CloudClass.THIN_CLOUD}) - classes
    return others | {channel}
