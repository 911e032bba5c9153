"""Scores over all pixels and by scene, with intervals."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from odc_cleansat.evaluate.confusion import Confusion, Question
from odc_cleansat.evaluate.counting import Counts, Protocol
from odc_cleansat.evaluate.mappings import MAPPINGS
from odc_cleansat.evaluate.rasters import Case
from odc_cleansat.evaluate.results import Evaluation
from odc_cleansat.evaluate.streaming import evaluate_rasters

from .helpers import GRID, blobs, codes, evaluation, raster, save


def test_pooled_and_by_scene(many: Evaluation) -> None:
    pooled = many.find("good", Question.SHADOW, "recall")
    each = [
        many.find("good", Question.SHADOW, "recall", "scene", scene=s).value for s in many.scenes
    ]
    support = [
        many.find("good", Question.SHADOW, "support", "scene", scene=s).value for s in many.scenes
    ]
    assert pooled.value == pytest.approx(np.average(each, weights=support))
    assert many.find("good", Question.SHADOW, "recall", "median").value == np.median(each)
    share = many.find("good", Question.SHADOW, "recall_high", "share").value
    assert share == np.mean(np.array(each) > 0.9)
    assert 0 < share < 1
    assert many.find("good", Question.SHADOW, "recall_low", "share").value == 0


def test_only_what_both_sides_know_is_asked(many: Evaluation) -> None:
    assert many.questions == tuple(Question)
    assert many.answered("binary") == {Question.CLOUD}
    assert many.find("binary", Question.CLOUD, "iou").value == 1
    assert math.isnan(many.find("binary", Question.SHADOW, "iou").value)
    assert not [
        r for r in many.results if r.predictor == "binary" and r.question is not Question.CLOUD
    ]


def test_intervals(many: Evaluation) -> None:
    """Those of a bootstrap that draws scenes, written out."""
    found = many.find("good", Question.CLOUD, "iou")
    assert found.low < found.value < found.high
    rng, drawn = np.random.default_rng(0), []
    matrices = [c.confusion for c in many.counts["good"]]
    for chosen in rng.integers(6, size=(1000, 6)):
        total = sum((matrices[i] for i in chosen), Confusion.zero())
        drawn.append(total.scores(Question.CLOUD)["iou"])
    assert (found.low, found.high) == pytest.approx(tuple(np.percentile(drawn, (2.5, 97.5))))
    median = many.find("good", Question.CLOUD, "recall", "median")
    assert median.low <= median.value <= median.high
    edge = many.find("good", Question.CLOUD, "boundary_iou")
    assert edge.low < edge.value < edge.high


def test_an_interval_covers_what_it_should() -> None:
    """Of 60 samples of 20 scenes, about 95 % of the intervals hold the share that all have in truth."""
    rng, covered = np.random.default_rng(7), 0
    for _ in range(60):
        counts = []
        for recall in rng.beta(8, 2, size=20):
            matrix = np.zeros((1, 7, 7), "int64")
            matrix[0, 3, 3], matrix[0, 3, 1] = round(1000 * recall), 1000 - round(1000 * recall)
            counts.append(Counts(matrix, np.zeros((4, 2), "int64")))
        sample = Evaluation(
            tuple(map(str, range(20))), MAPPINGS["ucl"], {"p": MAPPINGS["shadow-label"]},
            {"p": tuple(counts)}, Protocol((0,), 0), draws=200,
        )  # fmt: skip
        found = sample.find("p", Question.SHADOW, "recall")
        covered += found.low <= 0.8 <= found.high
    assert covered / 60 > 0.85


def test_one_scene_has_no_interval(tmp_path: Path) -> None:
    found = evaluation(tmp_path, blobs(1), blobs(2)).find("p0", Question.CLOUD, "iou")
    assert 0 < found.value < 1
    assert math.isnan(found.low)
    assert math.isnan(found.high)


def test_scenes_without_the_class_do_not_count_in_the_median(tmp_path: Path) -> None:
    with_cloud, clear = codes(2, 2, 1, 1)[np.newaxis], codes(1, 1, 1, 1)[np.newaxis]
    half = codes(2, 1, 1, 1)[np.newaxis]
    grid = GRID[:1, :4]
    cases = [
        Case(
            str(i),
            raster(save(tmp_path / f"label{i}.tif", label, grid)),
            {"p": raster(save(tmp_path / f"p{i}.tif", p, grid))},
        )
        for i, (label, p) in enumerate([(with_cloud, half), (clear, clear), (clear, clear)])
    ]
    found = evaluate_rasters(cases)
    assert found.find("p", Question.CLOUD, "recall", "median").value == 0.5
    assert math.isnan(found.find("p", Question.CLOUD, "oa", "scene", scene="1").value)
    assert math.isnan(found.find("p", Question.SHADOW, "recall", "median").value)
