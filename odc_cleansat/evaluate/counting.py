"""What is counted of a label and a prediction, block by block: confusions and boundaries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..classes import CloudClass
from ..errors import CleansatError
from ..grids.centres import Roi
from .confusion import Confusion, Question

QUESTIONS = tuple(Question)
WHOLE: Roi = (slice(None), slice(None))


@dataclass(frozen=True)
class Protocol:
    """How pixels near edges are dealt with. All distances are in pixels of the label, along rows and
    columns, so that a diagonal neighbour is one pixel away.
    """

    ignored: tuple[int, ...] = (0, 1, 2, 5)
    """For each of these, everything is counted once without the pixels that are this near to another
    class in the label. Cloud, shadow and the rest count as classes here; 0 leaves none out."""

    boundary: int = 2
    """The boundary IoU compares only the pixels of either side that are this near to their own edge
    (Cheng et al. 2021, doi:10.1109/CVPR46437.2021.01508); 0 for none. The edge of the data is not an edge."""

    dilation: int = 0
    """Cloud and shadow are first widened by this much in label and prediction alike, into clear."""

    def __post_init__(self) -> None:
        for value in (*self.ignored, self.boundary, self.dilation):
            if not 0 <= value <= 100:
                raise CleansatError(f"a distance of {value} pixels is not between 0 and 100.")
        if 0 not in self.ignored:
            object.__setattr__(self, "ignored", (0, *self.ignored))
        object.__setattr__(self, "ignored", tuple(sorted(set(self.ignored))))

    @property
    def margin(self) -> int:
        """How far a pixel's counts depend on its surroundings."""
        return self.dilation + max(*self.ignored, self.boundary)


@dataclass(frozen=True, eq=False)
class Counts:
    """What was counted of one prediction; parts and scenes are added with ``+``."""

    confusions: np.ndarray
    """``(len(Protocol.ignored), 7, 7)`` int64, a :class:`Confusion` each."""

    boundaries: np.ndarray
    """``(len(Question), 2)`` int64: boundary pixels of both sides, and of either."""

    @classmethod
    def zero(cls, protocol: Protocol) -> Counts:
        """Of no pixels."""
        return cls(
            np.zeros((len(protocol.ignored), len(CloudClass), len(CloudClass)), dtype="int64"),
            np.zeros((len(QUESTIONS), 2), dtype="int64"),
        )

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.confusions + other.confusions, self.boundaries + other.boundaries)

    @property
    def confusion(self) -> Confusion:
        """Of all pixels, those near edges included."""
        return Confusion(self.confusions[0])

    def boundary_iou(self, question: Question) -> float:
        """Intersection over union of the boundaries, 0 to 1; NaN where neither side has one."""
        both, either = self.boundaries[QUESTIONS.index(question)]
        return both / either if either else float("nan")


def count(
    label: np.ndarray,
    predictions: Sequence[np.ndarray],
    protocol: Protocol | None = None,
    inside: Roi = WHOLE,
) -> list[Counts]:
    """Count predictions against a label.

    Parameters
    ----------
    label
        ``(h, w)`` uint8 :class:`~odc_cleansat.CloudClass` codes, nodata 0.
    predictions
        Each like the label.
    protocol
        How edges are dealt with.
    inside
        The pixels that count; the others are their surroundings.

    Returns
    -------
    list of Counts
        One for each prediction.
    """
    protocol = protocol or Protocol()
    label = _widened(label, protocol.dilation)
    labels = [_without_edges(label, k)[inside] for k in protocol.ignored]
    edge = _boundaries(label, protocol.boundary, inside)
    has_label = label[inside] != CloudClass.NODATA
    found = []
    for prediction in predictions:
        codes = _widened(prediction, protocol.dilation)
        confusions = [Confusion.of(each, codes[inside]).matrix for each in labels]
        valid = has_label & (codes[inside] != CloudClass.NODATA)
        boundaries = np.zeros((len(QUESTIONS), 2), dtype="int64")
        for row, a, b in zip(
            boundaries, edge, _boundaries(codes, protocol.boundary, inside), strict=False
        ):
            row[:] = np.sum(a & b & valid), np.sum((a | b) & valid)
        found.append(Counts(np.stack(confusions), boundaries))
    return found


def three_classes(codes: np.ndarray) -> np.ndarray:
    """Cloud of any kind, shadow, and all other classes as clear; uint8, nodata 0, as are codes of no class."""
    table = np.zeros(256, dtype="uint8")
    table[list(CloudClass)] = CloudClass.CLEAR
    for question, cls in (
        (Question.CLOUD, CloudClass.CLOUD),
        (Question.SHADOW, CloudClass.SHADOW),
    ):
        table[list(question.classes)] = cls
    table[CloudClass.NODATA] = CloudClass.NODATA
    classes: np.ndarray = table[codes]
    return classes


def _without_edges(label: np.ndarray, distance: int) -> np.ndarray:
    """The label, nodata where another of the three classes is that near."""
    if not distance:
        return label
    classes = three_classes(label)
    # No data is neither the greatest nor the least of a neighbourhood, and so never another class.
    some = np.where(classes == CloudClass.NODATA, np.uint8(255), classes)
    least = _nearby(np.minimum, some, distance)
    greatest = _nearby(np.maximum, classes, distance)
    kept: np.ndarray = np.where(least == greatest, label, np.uint8(CloudClass.NODATA))
    return kept


def _boundaries(codes: np.ndarray, distance: int, inside: Roi) -> list[np.ndarray]:
    """For each question the pixels that say yes and have a no that near."""
    if not distance:
        return []
    nodata = codes == CloudClass.NODATA
    found = []
    for question in QUESTIONS:
        yes = question.members[codes]
        interior = _nearby(np.minimum, (yes | nodata).view("uint8"), distance)
        found.append((yes & (interior == 0))[inside])
    return found


def _nearby(ufunc: np.ufunc, values: np.ndarray, distance: int) -> np.ndarray:
    """The least or greatest value that near; as the filters of `scipy.ndimage`, but ten times as fast."""
    found: np.ndarray = np.pad(values, distance, mode="edge")
    for axis in (0, 1):
        found = np.moveaxis(found, axis, 0)
        width = 1
        while width < 2 * distance + 1:
            step = min(width, 2 * distance + 1 - width)
            found = ufunc(found[:-step], found[step:])
            width += step
        found = np.moveaxis(found, 0, axis)
    return found


def _widened(codes: np.ndarray, distance: int) -> np.ndarray:
    """Cloud and shadow grown into clear; cloud wins where they meet."""
    if not distance:
        return codes
    grown: np.ndarray = codes.copy()
    clear = codes == CloudClass.CLEAR
    for question, cls in (
        (Question.SHADOW, CloudClass.SHADOW),
        (Question.CLOUD, CloudClass.CLOUD),
    ):
        yes = question.members[codes].view("uint8")
        reached = _nearby(np.maximum, yes, distance) > 0
        grown[reached & clear] = cls
    return grown
