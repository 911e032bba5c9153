"""Benchmarks as people see them: our rows beside published ones."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from odc_cleansat import get_model
from odc_cleansat.errors import CleansatError
from odc_cleansat.evaluate.benchmark import Score, run_benchmark, score_text
from odc_cleansat.evaluate.confusion import Question
from odc_cleansat.evaluate.published import Row


def test_a_benchmark_that_is_not_known(tmp_path: Path) -> None:
    with pytest.raises(CleansatError, match="choose from cloudsen12, pixbox, cmix"):
        run_benchmark("imagenet", tmp_path, get_model(None))


def test_published_rows_stand_beside_ours() -> None:
    ours = Row("mine", "L2A", Question.CLOUD, 0.9, 0.8, 0.7, shares=(0.1, 0.5, 0, 0.25))
    text = score_text(Score("cloudsen12", [ours], "counted", {"clear": 0.5, "cloud": 0.7}))
    (line,) = [line for line in text.splitlines() if "mine (here)" in line]
    assert line.split() == [
        "mine",
        "(here)",
        "L2A",
        "0.900",
        "0.800",
        "0.700",
        "NA",
        "0.100",
        "0.500",
        "0.000",
        "0.250",
    ]
    assert "UNetMobV2" in text
    assert "mean 0.600" in text
    assert "doi:10.1038/s41597-022-01878-2" in text
    assert "Sen2Cor" in text
    assert "shadow" not in text.replace("shadow is", ""), "nobody asked for shadow"


def test_without_published_rows_that_is_said() -> None:
    ours = Row("mine", "L1C", Question.CLOUD, 0.9)
    score = Score("cmix", [ours], "counted")
    assert "No published numbers are known" in score_text(score)
    assert math.isnan(score.mean_iou)
