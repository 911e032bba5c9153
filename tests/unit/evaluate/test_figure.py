"""The figure of an evaluation."""

from __future__ import annotations

from pathlib import Path

import pytest

from odc_cleansat.evaluate.figure import draw_figure
from odc_cleansat.evaluate.results import Evaluation

from .helpers import blobs, evaluation


def test_bars_of_many_scenes(many: Evaluation, tmp_path: Path) -> None:
    draw_figure(many, tmp_path / "many.png")
    assert (tmp_path / "many.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("predictors", [1, 7])
def test_bars_of_one_scene_without_intervals(tmp_path: Path, predictors: int) -> None:
    found = evaluation(tmp_path, blobs(1), *map(blobs, range(predictors)))
    draw_figure(found, tmp_path / "one.svg")
    text = (tmp_path / "one.svg").read_text()
    assert text.count("<path") > 40
