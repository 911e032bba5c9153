"""Run published benchmarks: the scores of a model, beside those that others have published."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import CleansatError
from ..models.model import Model
from .cloudsen12 import evaluate_cloudsen12
from .pixbox import evaluate_pixbox
from .published import PUBLISHED, Row
from .tables import Table, aligned_table, format_score

BENCHMARKS = tuple(PUBLISHED)
"""Names of the benchmarks that are known."""


@dataclass(frozen=True)
class Score:
    """The result of a benchmark for one model."""

    benchmark: str
    """Name of the benchmark."""

    rows: list[Row]
    """Scores by question."""

    counted: str
    """What was counted, and what was left out."""

    iou: dict[str, float] = field(default_factory=dict)
    """Intersection over union of each class over all pixels, 0 to 1, where the model and the labels share theirs."""

    @property
    def mean_iou(self) -> float:
        """Mean of the intersections over unions, 0 to 1; NaN where there are none."""
        return sum(self.iou.values()) / len(self.iou) if self.iou else math.nan


def run_benchmark(
    name: str,
    folder: Path,
    model: Model,
    *,
    engine: str | None = None,
    precision: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Score:
    """Mask the data of a benchmark, and compare the masks with its labels.

    Masks are the network's own answer, without light: the published ones know no sun either.

    Parameters
    ----------
    name
        ``cloudsen12``: the patches of the test split of CloudSEN12+ with labels of high quality, 509 pixels a side.
        Scores are medians over the patches. ``pixbox``: the pixels of PixBox-S2-CMIX, for cloud, shadow and clear.
        ``cmix``: the same pixels for cloud alone, with semi-transparent cloud and without.
    folder
        Where the data lie, as their makers publish them.
    model
        The model to measure.
    engine, precision
        See :func:`~odc_cleansat.models.engines.get_engine`.
    progress
        Called with the number of patches or scenes done and the number there are.

    Returns
    -------
    Score
        The scores of the model.

    Raises
    ------
    CleansatError
        If there is no such benchmark, its data are not there, or cannot be read.
    """
    if name in ("pixbox", "cmix"):
        rows, counted = evaluate_pixbox(
            folder, model, cloud_alone=name == "cmix", engine=engine, precision=precision, progress=progress
        )  # fmt: skip
        return Score(name, rows, counted)
    if name == "cloudsen12":
        rows, counted, iou = evaluate_cloudsen12(
            folder, model, engine=engine, precision=precision, progress=progress
        )
        return Score(name, rows, counted, iou)
    raise CleansatError(f"there is no benchmark {name!r}; choose from {', '.join(BENCHMARKS)}.")


def score_text(score: Score) -> str:
    """Return a score for people: a table for each question with the published rows, and their sources."""
    published = PUBLISHED[score.benchmark]
    lines = [score.counted]
    for question in dict.fromkeys(row.question for row in score.rows):
        rows = [row for row in (*score.rows, *published) if row.question is question]
        lines += ["", question.value, *aligned_table(_table(rows))]
    if score.iou:
        each = ", ".join(f"{label} {value:.3f}" for label, value in score.iou.items())
        lines += ["", f"IoU over all pixels: {each}; mean {score.mean_iou:.3f}"]
    if published:
        lines += ["", "Published:"]
        lines += [f"  {row.maker}: {row.source}" for row in _first_of_each(published)]
        lines.append(
            "Rows of another level were made from other data: they are no measure of the model alone."
        )
    else:
        lines += ["", "No published numbers are known to us."]
    return "\n".join(lines)


def _table(rows: Sequence[Row]) -> Table:
    shares = any(row.shares for row in rows)
    header = ["", "level", "BOA", "PA", "UA", "OA"]
    header += ["PA < 0.1", "PA > 0.9", "UA < 0.1", "UA > 0.9"] * shares
    table = [header]
    for row in rows:
        scores = [row.boa, row.pa, row.ua, row.oa]
        if shares:
            scores += row.shares or (math.nan,) * 4
        mark = "" if row.source else " (here)"
        table.append([row.maker + mark, row.level, *map(format_score, scores)])
    return table


def _first_of_each(rows: Sequence[Row]) -> list[Row]:
    return list({row.maker: row for row in reversed(rows)}.values())[::-1]
