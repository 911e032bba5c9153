"""One table of counts, label against prediction, and every score from it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np

from ..classes import CLOUDS, CloudClass
from ..errors import SceneError

CLASSES = len(CloudClass)
METRICS = ("recall", "precision", "f1", "f2", "iou", "boa", "oa", "kappa")
"""Scores of a yes-or-no question, each 0 to 1 but for ``kappa``, -1 to 1."""


class Question(Enum):
    """What is asked of every pixel: is it of one of these classes?"""

    CLOUD = "cloud"
    SHADOW = "shadow"
    CONTAMINATED = "contaminated"
    CLEAR = "clear"

    @property
    def classes(self) -> tuple[CloudClass, ...]:
        """The classes that say yes. Clear is all that is neither cloud nor shadow, snow and water too."""
        contaminated = (*CLOUDS, CloudClass.SHADOW)
        if self is Question.CLEAR:
            return tuple(c for c in CloudClass if c not in (*contaminated, CloudClass.NODATA))
        return {
            Question.CLOUD: CLOUDS,
            Question.SHADOW: (CloudClass.SHADOW,),
            Question.CONTAMINATED: contaminated,
        }[self]

    @property
    def members(self) -> np.ndarray:
        """By class code, bool: whether it says yes."""
        return np.isin(np.arange(CLASSES), self.classes)


@dataclass(frozen=True, eq=False)
class Confusion:
    """How many pixels have which class in a label and in a prediction.

    Confusions of parts are added with ``+``; those of many with ``sum(parts, Confusion.zero())``.
    """

    matrix: np.ndarray
    """``(7, 7)`` int64, label by row and prediction by column, in the order of the codes of
    :class:`~odc_cleansat.CloudClass`. Pixels that one of the two has no data for stand in the first
    row or column, and no score counts them."""

    @classmethod
    def zero(cls) -> Confusion:
        """Of no pixels."""
        return cls(np.zeros((CLASSES, CLASSES), dtype="int64"))

    @classmethod
    def of(cls, label: np.ndarray, prediction: np.ndarray) -> Confusion:
        """Count the pixels of two arrays.

        Parameters
        ----------
        label, prediction
            Same shape, integer :class:`~odc_cleansat.CloudClass` codes, nodata 0.

        Raises
        ------
        SceneError
            If the shapes differ, or there are other codes.
        """
        label, prediction = np.asarray(label), np.asarray(prediction)
        if label.shape != prediction.shape:
            raise SceneError(
                f"the label has the shape {label.shape} and the prediction {prediction.shape}; "
                "bring them to one grid."
            )
        for name, codes in (("label", label), ("prediction", prediction)):
            if codes.size and not (codes.min() >= 0 and codes.max() < CLASSES):
                raise SceneError(
                    f"the {name} has codes from {codes.min()} to {codes.max()}, those of the UCL are 0 to "
                    f"{CLASSES - 1}; translate it with a mapping."
                )
        pairs = label.astype("uint8") * np.uint8(CLASSES) + prediction.astype("uint8")
        counts = np.bincount(pairs.ravel(), minlength=CLASSES**2)
        return cls(counts.reshape(CLASSES, CLASSES).astype("int64"))

    def __add__(self, other: Confusion) -> Confusion:
        return Confusion(self.matrix + other.matrix)

    @property
    def labelled(self) -> int:
        """Pixels that have a label."""
        return int(self.matrix[1:].sum())

    @property
    def pixels(self) -> int:
        """Pixels that have a label and a prediction."""
        return int(self.matrix[1:, 1:].sum())

    @property
    def unanswered(self) -> float:
        """Share of the labelled pixels that have no prediction, 0 to 1; NaN without labelled pixels."""
        return 1 - self.pixels / self.labelled if self.labelled else float("nan")

    def without_answer(self, question: Question) -> float:
        """Share of the pixels for which the label says yes that have no prediction, 0 to 1; NaN without such pixels."""
        yes = self.matrix[question.members]
        return float(yes[:, 0].sum() / yes.sum()) if yes.any() else float("nan")

    @property
    def changed(self) -> float:
        """Share of the pixels with data in both whose class differs, 0 to 1; NaN without such pixels."""
        same = int(np.trace(self.matrix[1:, 1:]))
        return 1 - same / self.pixels if self.pixels else float("nan")

    def support(self, question: Question) -> int:
        """Pixels with a label and a prediction for which the label says yes."""
        return int(self.matrix[question.members, 1:].sum())

    def scores(self, question: Question) -> dict[str, float]:
        """The scores of a question; see :func:`scores`."""
        return {name: float(value) for name, value in scores(self.matrix, question).items()}


def scores(matrices: np.ndarray, question: Question) -> dict[str, np.ndarray]:
    """The scores of a question, for one confusion matrix or many at once.

    ``recall`` is also called producer's accuracy (PA) or true positive rate, ``precision`` user's
    accuracy (UA), ``oa`` overall and ``boa`` balanced overall accuracy, the mean of the true positive and
    true negative rates. ``f2`` weighs recall twice.

    Parameters
    ----------
    matrices
        ``(..., 7, 7)`` counts; see :class:`Confusion`.
    question
        What counts as yes.

    Returns
    -------
    dict
        For each of :data:`METRICS` a float64 array ``(...)``. All are NaN where no pixel is yes in label
        or prediction, and each where it would divide by nothing: recall where the label has no yes,
        precision where the prediction has none.
    """
    yes = question.members.astype("float64")
    no = 1 - yes
    no[CloudClass.NODATA] = 0

    def count(label: np.ndarray, prediction: np.ndarray) -> np.ndarray:
        found: np.ndarray = (np.asarray(matrices, dtype="float64") @ prediction) @ label
        return found

    tp, fn, fp, tn = count(yes, yes), count(yes, no), count(no, yes), count(no, no)
    total = tp + fn + fp + tn
    recall = _ratio(tp, tp + fn)
    oa = _ratio(tp + tn, total)
    chance = _ratio((tp + fn) * (tp + fp) + (tn + fn) * (tn + fp), total**2)
    found = {
        "recall": recall,
        "precision": _ratio(tp, tp + fp),
        "f1": _ratio(2 * tp, 2 * tp + fp + fn),
        "f2": _ratio(5 * tp, 5 * tp + fp + 4 * fn),
        "iou": _ratio(tp, tp + fp + fn),
        "boa": (recall + _ratio(tn, tn + fp)) / 2,
        "oa": oa,
        "kappa": _ratio(oa - chance, 1 - chance),
    }
    absent = tp + fn + fp == 0
    return {name: np.where(absent, np.nan, found[name]) for name in METRICS}


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(whole == 0, np.nan, part / whole)
