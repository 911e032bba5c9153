"""The confusion matrix, and the scores from it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn import metrics

from odc_cleansat.errors import SceneError
from odc_cleansat.evaluate.confusion import METRICS, Confusion, Question

from .helpers import blobs, codes


@pytest.mark.parametrize("question", Question)
def test_scores_are_those_of_scikit_learn(question: Question) -> None:
    label, prediction = blobs(1, values="1234560"), blobs(2, values="1111236")
    both = (label > 0) & (prediction > 0)
    y, p = (np.isin(each[both], question.classes) for each in (label, prediction))
    expected = {
        "recall": metrics.recall_score(y, p),
        "precision": metrics.precision_score(y, p),
        "f1": metrics.f1_score(y, p),
        "f2": metrics.fbeta_score(y, p, beta=2),
        "iou": metrics.jaccard_score(y, p),
        "boa": metrics.balanced_accuracy_score(y, p),
        "oa": metrics.accuracy_score(y, p),
        "kappa": metrics.cohen_kappa_score(y, p),
    }
    confusion = Confusion.of(label, prediction)
    assert confusion.scores(question) == pytest.approx(expected)
    assert tuple(confusion.scores(question)) == METRICS
    assert confusion.support(question) == y.sum()
    assert confusion.pixels == both.sum()


def test_the_matrix_is_that_of_scikit_learn_and_adds_up() -> None:
    label, prediction = blobs(1, values="0123456"), blobs(2, values="0123456")
    whole = Confusion.of(label, prediction)
    expected = metrics.confusion_matrix(label.ravel(), prediction.ravel(), labels=range(7))
    np.testing.assert_array_equal(whole.matrix, expected)
    parts = [Confusion.of(a, b) for a, b in zip(label, prediction, strict=True)]
    np.testing.assert_array_equal(sum(parts, Confusion.zero()).matrix, expected)
    assert whole.matrix.dtype == np.int64


@pytest.mark.parametrize(
    ("label", "prediction", "expected"),
    [
        # Absent from both: nothing is defined, overall accuracy neither.
        ((1, 1, 1), (1, 1, 1), dict.fromkeys(METRICS, math.nan)),
        # In the label only: found none, and what was predicted is right or wrong in nothing.
        ((3, 3, 1, 1), (1, 1, 1, 1), {"recall": 0, "precision": math.nan, "f1": 0, "f2": 0, "iou": 0, "oa": 0.5, "boa": 0.5, "kappa": 0}),
        # In the prediction only.
        ((1, 1, 1, 1), (3, 1, 1, 1), {"recall": math.nan, "precision": 0, "f1": 0, "iou": 0, "oa": 0.75, "boa": math.nan}),
        # Everywhere in both: no true negatives to be right about.
        ((3, 3), (3, 3), {"recall": 1, "precision": 1, "f1": 1, "iou": 1, "oa": 1, "boa": math.nan, "kappa": math.nan}),
        # Only one pixel has data in both.
        ((3, 0, 1, 3), (0, 3, 0, 3), {"recall": 1, "precision": 1}),
        # No pixel has.
        ((0, 3), (3, 0), dict.fromkeys(METRICS, math.nan)),
    ],
)  # fmt: skip
def test_scores_by_hand(
    label: tuple[int, ...], prediction: tuple[int, ...], expected: dict[str, float]
) -> None:
    found = Confusion.of(codes(*label), codes(*prediction)).scores(Question.SHADOW)
    assert {name: found[name] for name in expected} == pytest.approx(expected, nan_ok=True)


def test_f2_kappa_and_what_is_unanswered_by_hand() -> None:
    # tp 3, fn 1, fp 2, tn 4; two more pixels have no prediction and one no label.
    label = codes(2, 2, 2, 6, 1, 1, 1, 3, 4, 5, 2, 1, 0)
    prediction = codes(2, 6, 2, 1, 2, 6, 1, 3, 1, 1, 0, 0, 2)
    confusion = Confusion.of(label, prediction)
    found = confusion.scores(Question.CLOUD)
    assert found["f2"] == pytest.approx(15 / 21)
    assert found["boa"] == pytest.approx((3 / 4 + 4 / 6) / 2)
    chance = (4 * 5 + 6 * 5) / 100
    assert found["kappa"] == pytest.approx((0.7 - chance) / (1 - chance))
    assert (confusion.labelled, confusion.pixels) == (12, 10)
    assert confusion.unanswered == pytest.approx(2 / 12)
    for question in Question:
        yes = confusion.matrix[question.members]
        assert confusion.without_answer(question) == pytest.approx(yes[:, 0].sum() / yes.sum())


def test_snow_and_water_are_clear_and_thin_cloud_is_cloud() -> None:
    confusion = Confusion.of(codes(1, 4, 5, 6, 2, 3), codes(4, 5, 1, 2, 6, 3))
    for question in Question:
        assert confusion.scores(question)["f1"] == 1
    assert confusion.changed == pytest.approx(5 / 6)


def test_what_is_no_mask_is_refused() -> None:
    with pytest.raises(SceneError, match="one grid"):
        Confusion.of(np.zeros((2, 3)), np.zeros((3, 2)))
    with pytest.raises(SceneError, match=r"from 1 to 9.*mapping"):
        Confusion.of(codes(1, 9), codes(1, 1))
