"""An evaluation as tables of text."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..classes import CloudClass
from .confusion import METRICS, Question
from .results import HIGH, LOW, Evaluation, Result

NA = "NA"
"""Text for a score that is not defined."""

MOST_SCENES = 100
"""Number of scenes up to which the page lists each scene."""

TITLES = {
    "recall": "recall (PA)",
    "precision": "precision (UA)",
    "f1": "F1",
    "f2": "F2",
    "iou": "IoU",
    "boa": "BOA",
    "oa": "OA",
    "kappa": "kappa",
}
"""Title of the column of each metric."""

WIDTH = 98
"""Characters of a line in the terminal."""

Table = list[list[str]]
"""Rows of cells, header first."""


def score_tables(evaluation: Evaluation) -> list[tuple[str, Table]]:
    """Return for each question the tables of scores, each with its title."""
    found = []
    for question in evaluation.questions:
        names = _predictors(evaluation, question)
        found.append(
            (f"{question.value}: all {evaluation.unit}s", _pooled(evaluation, question, names))
        )
        if len(evaluation.scenes) > 1:
            found.append(
                (f"{question.value}: median of the scenes", _medians(evaluation, question, names))
            )
        if len(evaluation.protocol.ignored) > 1 or evaluation.protocol.boundary:
            found.append((f"{question.value}: edges", _edges(evaluation, question, names)))
    return found


def scene_tables(evaluation: Evaluation) -> list[tuple[str, Table]]:
    """Return the scores of each scene by question; nothing if there are too many scenes to read."""
    if not 1 < len(evaluation.scenes) <= MOST_SCENES:
        return []
    return [
        (f"{question.value}: each scene", _scenes(evaluation, question))
        for question in evaluation.questions
    ]


def matrix_tables(evaluation: Evaluation) -> list[tuple[str, Table]]:
    """Return the confusion matrix of each predictor, without the classes that do not occur."""
    found = []
    for name in evaluation.predictors:
        matrix = evaluation.confusion(name).matrix
        down = [c for c in CloudClass if c and matrix[c].any()]
        across = [c for c in CloudClass if matrix[down][:, c].any()]
        table = [["label \\ prediction", *(c.description for c in across)]]
        table += [
            [_label_class(evaluation, r), *(f"{matrix[r, c]:,}" for c in across)] for r in down
        ]
        found.append((f"{name}: {evaluation.unit}s by class", table))
    return found


def markdown_table(table: Table) -> list[str]:
    """Return a table as lines of Markdown."""
    rows = [f"| {' | '.join(row)} |" for row in table]
    return [rows[0], "|" + "---|" * len(table[0]), *rows[1:]]


def aligned_table(table: Table) -> list[str]:
    """Return a table as aligned lines; columns beyond the width of a line go below."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    blocks: list[list[int]] = [[]]
    for i in range(1, len(widths)):
        used = widths[0] + sum(widths[j] + 2 for j in [*blocks[-1], i])
        if used > WIDTH and blocks[-1]:
            blocks.append([])
        blocks[-1].append(i)
    return [
        "  " + (row[0].ljust(widths[0]) + "".join("  " + row[i].rjust(widths[i]) for i in block))
        for block in blocks
        for row in table
    ]


def format_score(value: float) -> str:
    """Return a score with three decimals, or NA for NaN."""
    return NA if math.isnan(value) else f"{value:.3f}"


# --- the tables of a question ---------------------------------------------------------


def _predictors(evaluation: Evaluation, question: Question) -> list[str]:
    return [name for name in evaluation.predictors if question in evaluation.answered(name)]


def _pooled(evaluation: Evaluation, question: Question, names: Sequence[str]) -> Table:
    with_interval = ("recall", "precision", "iou")
    table = [["", *(TITLES[m] for m in METRICS), f"label {evaluation.unit}s", "no answer"]]
    for name in names:
        row = [name]
        for metric in METRICS:
            result = evaluation.find(name, question, metric)
            row.append((_with_interval if metric in with_interval else _plain)(result))
        row.append(f"{evaluation.find(name, question, 'support').value:,.0f}")
        row.append(_percent(evaluation.confusion(name).without_answer(question)))
        table.append(row)
    return table


def _medians(evaluation: Evaluation, question: Question, names: Sequence[str]) -> Table:
    shares = ("recall_low", "recall_high", "precision_low", "precision_high")
    shown = ("recall", "precision", "iou", "boa")
    header = ["", *(TITLES[m] for m in shown)]
    header += [f"{side} {sign}" for side in ("PA", "UA") for sign in (f"< {LOW}", f"> {HIGH}")]
    table = [header]
    for name in names:
        medians = (evaluation.find(name, question, m, "median") for m in shown)
        parts = (evaluation.find(name, question, m, "share").value for m in shares)
        table.append([name, *map(_with_interval, medians), *map(_percent, parts)])
    return table


def _edges(evaluation: Evaluation, question: Question, names: Sequence[str]) -> Table:
    ignored, boundary = evaluation.protocol.ignored, evaluation.protocol.boundary
    table = [["", *(f"F1 without {k} px" if k else "F1" for k in ignored)]]
    for name in names:
        table.append(
            [name, *(_plain(evaluation.find(name, question, "f1", ignored=k)) for k in ignored)]
        )
    if boundary:
        table[0].append(f"boundary IoU ({boundary} px)")
        for name, row in zip(names, table[1:], strict=True):
            row.append(_with_interval(evaluation.find(name, question, "boundary_iou")))
    return table


def _scenes(evaluation: Evaluation, question: Question) -> Table:
    names = _predictors(evaluation, question)
    shown = [(name, metric) for name in names for metric in ("recall", "precision", "f1", "iou")]
    table = [["scene", f"label {evaluation.unit}s", *(f"{n} {TITLES[m]}" for n, m in shown)]]
    for scene in evaluation.scenes:
        support = evaluation.find(names[0], question, "support", "scene", scene=scene)
        found = (evaluation.find(n, question, m, "scene", scene=scene) for n, m in shown)
        table.append([scene, f"{support.value:,.0f}", *map(_plain, found)])
    return table


def _label_class(evaluation: Evaluation, c: CloudClass) -> str:
    """Return the name of a class; clear is `other` if the label knows only one class."""
    if c is CloudClass.CLEAR and Question.CLEAR not in evaluation.label.questions:
        return "other"
    return c.description


def _plain(result: Result) -> str:
    return format_score(result.value)


def _with_interval(result: Result) -> str:
    if math.isnan(result.low):
        return format_score(result.value)
    return f"{format_score(result.value)} [{result.low:.3f}, {result.high:.3f}]"


def _percent(share: float) -> str:
    if math.isnan(share):
        return NA
    return f"{100 * share:.0f} %" if share in (0, 1) else f"{100 * share:.1f} %"
