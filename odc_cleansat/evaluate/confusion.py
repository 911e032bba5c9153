"""The confusion matrix of a label and a prediction, and every score from it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np

from ..classes import CLOUDS, CloudClass
from ..errors import SceneError

CLASSES = len(CloudClass)
METRICS = ("recall", "precision", "f1", "f2", "iou", "boa", "oa", "kappa")
"""Scores of a yes-or-no question: ``kappa`` is -1 to 1, the others are 0 to 1."""


class Question(Enum):
    """A yes-or-no question about every pixel: is it of one of these classes?"""

    CLOUD = "cloud"
    SHADOW = "shadow"
    CONTAMINATED = "contaminated"
    CLEAR = "clear"

    @property
    def classes(self) -> tuple[CloudClass, ...]:
        """The classes for which the answer is yes. Clear is all but cloud and shadow, so also snow and water."""
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
        """Whether the answer is yes for each class code, ``(7,)`` bool."""
        return np.isin(np.arange(CLASSES), self.classes)


@dataclass(frozen=True, eq=False)
class Confusion:
    """The number of pixels with each pair of classes in a label and a prediction.

    Add confusions with ``+``, or with ``sum(parts, Confusion.zero())``.
    """

    matrix: np.ndarray
    """``(7, 7)`` int64 pixels, label by row and prediction by column, in the order of the codes of
    :class:`~odc_cleansat.CloudClass`. The first row and the first column hold pixels without data in one
    of the two; no score counts them."""

    @classmethod
    def zero(cls) -> Confusion:
        """Return the confusion of no pixels."""
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
            If the shapes differ, or there are codes above 6.
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
                    f"the {name} has codes from {codes.min()} to {codes.max()}, but those of the UCL are 0 to "
                    f"{CLASSES - 1}; translate it with a mapping."
                )
        pairs = label.astype("uint8") * np.uint8(CLASSES) + prediction.astype("uint8")
        counts = np.bincount(pairs.ravel(), minlength=CLASSES**2)
        return cls(counts.reshape(CLASSES, CLASSES).astype("int64"))

    def __add__(self, other: Confusion) -> Confusion:
        return Confusion(self.matrix + other.matrix)

    @property
    def labelled(self) -> int:
        """Number of pixels that have a label."""
        return int(self.matrix[1:].sum())

    @property
    def pixels(self) -> int:
        """Number of pixels that have a label and a prediction."""
        return int(self.matrix[1:, 1:].sum())

    @property
    def unanswered(self) -> float:
        """Share of the labelled pixels without a prediction, 0 to 1; NaN without labelled pixels."""
        return 1 - self.pixels / self.labelled if self.labelled else float("nan")

    def without_answer(self, question: Question) -> float:
        """Return the share without a prediction of the pixels that the label answers with yes.

        It is 0 to 1, and NaN without such pixels.
        """
        yes = self.matrix[question.members]
        return float(yes[:, 0].sum() / yes.sum()) if yes.any() else float("nan")

    @property
    def changed(self) -> float:
        """Share of the pixels with data in both that differ in class, 0 to 1; NaN without such pixels."""
        same = int(np.trace(self.matrix[1:, 1:]))
        return 1 - same / self.pixels if self.pixels else float("nan")

    def support(self, question: Question) -> int:
        """Return the number of pixels with a prediction that the label answers with yes."""
        return int(self.matrix[question.members, 1:].sum())

    def scores(self, question: Question) -> dict[str, float]:
        """Return the scores of a question; see :func:`scores`."""
        return {name: float(value) for name, value in scores(self.matrix, question).items()}


def scores(matrices: np.ndarray, question: Question) -> dict[str, np.ndarray]:
    """Compute the scores of a question, for one confusion matrix or many at once.

    ``recall`` is also called producer's accuracy (PA), and ``precision`` user's accuracy (UA). ``oa`` is the
    overall accuracy, and ``boa`` the balanced overall accuracy: the mean of the true positive and true
    negative rates. ``f2`` weighs recall twice.

    Parameters
    ----------
    matrices
        ``(..., 7, 7)`` pixels, any number type; see :class:`Confusion`.
    question
        The question, which says what counts as yes.

    Returns
    -------
    dict
        For each of :data:`METRICS` a float64 array ``(...)``. All scores are NaN if no pixel is yes in
        label or prediction. Recall is NaN if the label has no yes, precision if the prediction has none.
    """
    yes = question.members.astype("float64")
    no = 1 - yes
    no[CloudClass.NODATA] = 0

    counts = np.asarray(matrices, dtype="float64")
    answered_yes, answered_no = counts @ yes, counts @ no
    tp, fn = answered_yes @ yes, answered_no @ yes
    fp, tn = answered_yes @ no, answered_no @ no
    total = tp + fn + fp + tn
    recall = _ratio(tp, tp + fn)
    oa = _ratio(tp + tn, total)
    chance = _ratio((tp + fn) * (tp + fp) + (tn + fn) * (tn + fp), total**2)
    by_metric = {
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
    return {name: np.where(absent, np.nan, by_metric[name]) for name in METRICS}


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(whole == 0, np.nan, part / whole)
