"""Tables of an evaluation, as text and as Markdown."""

from __future__ import annotations

import math

from odc_cleansat.evaluate.confusion import Question
from odc_cleansat.evaluate.results import Evaluation
from odc_cleansat.evaluate.tables import (
    WIDTH,
    aligned_table,
    format_score,
    markdown_table,
    matrix_tables,
    scene_tables,
    score_tables,
)


def test_scores_and_no_scores() -> None:
    assert [format_score(v) for v in (0, 0.12345, 1, math.nan)] == ["0.000", "0.123", "1.000", "NA"]


def test_a_wide_table_is_cut_and_a_narrow_one_aligned() -> None:
    assert aligned_table([["", "a"], ["name", "1"]]) == ["        a", "  name  1"]
    wide = aligned_table([["", *("x" * 30,) * 4], ["name", *"1234"]])
    assert len(wide) == 4
    assert max(map(len, wide)) <= WIDTH + 2
    assert [line.split() for line in wide[1::2]] == [["name", "1", "2"], ["name", "3", "4"]]


def test_markdown() -> None:
    assert markdown_table([["", "a"], ["b", "1"]]) == ["|  | a |", "|---|---|", "| b | 1 |"]


def test_tables_hold_what_was_asked_and_answered(many: Evaluation) -> None:
    tables = dict(score_tables(many))
    assert len(tables) == 3 * len(Question)
    pooled = tables["cloud: all pixels"]
    assert [row[0] for row in pooled] == ["", "good", "binary"]
    recall = many.find("good", Question.CLOUD, "recall")
    assert pooled[1][1] == f"{recall.value:.3f} [{recall.low:.3f}, {recall.high:.3f}]"
    assert [row[0] for row in tables["shadow: median of the scenes"]] == ["", "good"]
    assert tables["shadow: edges"][0][1:4] == ["F1", "F1 without 1 px", "F1 without 2 px"]
    scenes = dict(scene_tables(many))["cloud: each scene"]
    assert [row[0] for row in scenes[1:]] == list(many.scenes)
    matrix = dict(matrix_tables(many))["good: pixels by class"]
    total = sum(int(cell.replace(",", "")) for row in matrix[1:] for cell in row[1:])
    assert total == many.confusion("good").labelled
