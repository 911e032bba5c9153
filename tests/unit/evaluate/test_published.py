"""Published scores: those of counted pixels come out as they were published."""

from __future__ import annotations

import math

import pytest

from odc_cleansat.evaluate.confusion import Question
from odc_cleansat.evaluate.published import PUBLISHED


def test_scores_of_published_counts() -> None:
    found = {row.question: round(100 * row.boa, 1) for row in PUBLISHED["pixbox"]}
    assert found == {Question.CLOUD: 91.2, Question.SHADOW: 80.5, Question.CLEAR: 92.2}


@pytest.mark.parametrize("name", PUBLISHED)
def test_each_row_has_a_source_and_possible_scores(name: str) -> None:
    for row in PUBLISHED[name]:
        assert row.source.startswith("doi:10.")
        assert row.level in ("L1C", "L2A")
        for score in (row.boa, row.pa, row.ua, row.oa):
            assert math.isnan(score) or 0 < score < 1
