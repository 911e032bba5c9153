"""An evaluation as tables for people, files for programs, and one figure."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .._version import __version__
from ..classes import CloudClass
from ..errors import OutputError
from .confusion import METRICS, Question
from .results import HIGH, LOW, Evaluation, Result

NA = "NA"
LISTED = 100
"""Scenes that the page lists one by one."""

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

# After Okabe and Ito, in an order in which neighbours differ in lightness too.
_COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#666666", "#f0e442")
MOST_NAMED = 5
"""With more bars side by side their values would run into one another."""

_HATCHES = ("", "///", "...", "\\\\\\", "xxx", "---", "ooo", "+++")

Table = list[list[str]]


def text(evaluation: Evaluation) -> str:
    """For the terminal."""
    lines = [_summary(evaluation)]
    for title, table in _tables(evaluation):
        lines += ["", title, *_aligned(table)]
    return "\n".join([*lines, "", *_notes(evaluation)])


def markdown(evaluation: Evaluation) -> str:
    """A page with everything that the terminal shows, the scenes one by one, and the full matrices."""
    lines = ["# Masks against labels", "", _summary(evaluation), ""]
    for title, table in [*_tables(evaluation), *_scene_tables(evaluation), *_matrices(evaluation)]:
        lines += [f"## {title}", "", *markdown_table(table), ""]
    return "\n".join([*lines, *(f"- {note}" for note in _notes(evaluation)), ""])


def as_dict(evaluation: Evaluation) -> dict[str, Any]:
    """Everything, for JSON: NaN as None."""
    names = [c.label for c in CloudClass]
    return {
        "version": __version__,
        "scenes": list(evaluation.scenes),
        "unit": evaluation.unit,
        "label": _mapping(evaluation.label),
        "predictors": {name: _mapping(each) for name, each in evaluation.mappings.items()},
        "protocol": {
            "ignored_px": list(evaluation.protocol.ignored),
            "boundary_px": evaluation.protocol.boundary,
            "dilation_px": evaluation.protocol.dilation,
            "common": evaluation.common,
            "bootstrap": {"draws": evaluation.draws, "seed": evaluation.seed},
        },
        "results": [_record(result) for result in evaluation.results],
        "confusion": {
            name: {
                "label": names,
                "prediction": names,
                "pixels": evaluation.confusion(name).matrix.tolist(),
                "unanswered": _number(evaluation.confusion(name).unanswered),
            }
            for name in evaluation.predictors
        },
    }


def write(evaluation: Evaluation, folder: str | Path) -> list[Path]:
    """Write ``evaluation.md``, ``.json``, ``.csv`` and ``.png`` into a folder, which is made if missing.

    Raises
    ------
    OutputError
        If they cannot be written.
    """
    folder = Path(folder)
    contents = {
        "evaluation.md": markdown(evaluation),
        "evaluation.json": json.dumps(as_dict(evaluation), indent=1) + "\n",
        "evaluation.csv": _csv(evaluation),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            (folder / name).write_text(content, encoding="utf-8")
        draw(evaluation, folder / "evaluation.png")
    except OSError as error:
        raise OutputError(f"cannot write to {folder}: {error.strerror or error}.") from error
    return [folder / name for name in (*contents, "evaluation.png")]


def draw(evaluation: Evaluation, path: str | Path) -> None:
    """Bars of recall, precision and IoU over all pixels, with their intervals, a panel a question."""
    from matplotlib.figure import Figure

    shown = ("recall", "precision", "iou")
    predictors, questions = evaluation.predictors, evaluation.questions
    width = 0.8 / max(len(predictors), 1)
    across = 2 if len(questions) > 1 else 1
    down = max(math.ceil(len(questions) / across), 1)
    figure = Figure(
        figsize=(max(across * max(3.4, 0.7 * len(predictors) + 1.4), 5.5), 3.4 * down + 1),
        layout="constrained",
    )
    panels = figure.subplots(down, across, squeeze=False, sharey=True)
    for panel in panels.flat[len(questions) :]:
        panel.set_visible(False)
    for panel, question in zip(panels.flat, questions, strict=False):
        for i, name in enumerate(predictors):
            found = [evaluation.find(name, question, metric) for metric in shown]
            at = np.arange(len(shown)) + (i - (len(predictors) - 1) / 2) * width
            panel.bar(
                at, [r.value for r in found], width, label=name,
                color=_COLOURS[i % len(_COLOURS)], hatch=_HATCHES[i % len(_HATCHES)],
                edgecolor="white", linewidth=0.8,
            )  # fmt: skip
            for x, result in zip(at, found, strict=True):
                _whisker(panel, x, result, named=len(predictors) <= MOST_NAMED)
        panel.set_title(question.value)
        panel.set_xticks(np.arange(len(shown)), ["recall\n(PA)", "precision\n(UA)", "IoU"])
        panel.set_ylim(0, 1.12)
        panel.set_yticks(np.arange(0, 1.01, 0.2))
        panel.grid(axis="y", color="#dddddd", linewidth=0.6)
        panel.set_axisbelow(True)
        panel.spines[["top", "right"]].set_visible(False)
    for panel in panels[:, 0]:
        panel.set_ylabel(f"score over all {evaluation.unit}s")
    handles, labels = panels.flat[0].get_legend_handles_labels()
    columns = min(len(predictors), 2 * across)
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, frameon=False)
    figure.suptitle(_figure_title(evaluation), fontsize="medium")
    figure.savefig(path, dpi=150)


def _figure_title(evaluation: Evaluation) -> str:
    n = len(evaluation.scenes)
    if n < 2:
        return "1 scene: no intervals"
    return f"{n} scenes; lines are 95 % intervals, by bootstrap over scenes"


def _whisker(panel: Any, x: float, result: Result, named: bool) -> None:
    top = result.value
    if math.isnan(result.value):
        panel.annotate(NA, (x, 0.01), ha="center", va="bottom", fontsize="x-small")
        return
    if not math.isnan(result.low):
        panel.plot([x, x], [result.low, result.high], color="black", lw=1.4, solid_capstyle="butt")
        for end in (result.low, result.high):
            panel.plot([x - 0.03, x + 0.03], [end, end], color="black", lw=1.4)
        top = max(top, result.high)
    if named:
        panel.annotate(
            f"{result.value:.2f}", (x, top), xytext=(0, 2), textcoords="offset points",
            ha="center", va="bottom", fontsize="x-small",
        )  # fmt: skip


# --- tables ---------------------------------------------------------------------------


def _summary(evaluation: Evaluation) -> str:
    n = len(evaluation.scenes)
    labelled = max(evaluation.confusion(name).labelled for name in evaluation.predictors)
    widened = evaluation.protocol.dilation
    return (
        f"{n} scene{'s' * (n != 1)}, {labelled:,} {evaluation.unit}s with a label ({evaluation.label.name})"
        + (" for which all predictions have data." if evaluation.common else ".")
        + (f" Both sides widened by {widened} px." if widened else "")
    )


def _tables(evaluation: Evaluation) -> list[tuple[str, Table]]:
    found = []
    for question in evaluation.questions:
        names = [n for n in evaluation.predictors if question in evaluation.answered(n)]
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


def _pooled(evaluation: Evaluation, question: Question, names: Sequence[str]) -> Table:
    header = ["", *(TITLES[m] for m in METRICS), f"label {evaluation.unit}s", "no answer"]
    rows = [
        [
            name,
            *(
                (_with_interval if m in ("recall", "precision", "iou") else _plain)(
                    evaluation.find(name, question, m)
                )
                for m in METRICS
            ),
            f"{evaluation.find(name, question, 'support').value:,.0f}",
            _percent(evaluation.confusion(name).without_answer(question)),
        ]
        for name in names
    ]
    return [header, *rows]


def _medians(evaluation: Evaluation, question: Question, names: Sequence[str]) -> Table:
    shares = ("recall_low", "recall_high", "precision_low", "precision_high")
    shown = ("recall", "precision", "iou", "boa")
    header = ["", *(TITLES[m] for m in shown)]
    header += [f"{side} {sign}" for side in ("PA", "UA") for sign in (f"< {LOW}", f"> {HIGH}")]
    rows = [
        [
            name,
            *(_with_interval(evaluation.find(name, question, m, "median")) for m in shown),
            *(_percent(evaluation.find(name, question, m, "share").value) for m in shares),
        ]
        for name in names
    ]
    return [header, *rows]


def _edges(evaluation: Evaluation, question: Question, names: Sequence[str]) -> Table:
    ignored, boundary = evaluation.protocol.ignored, evaluation.protocol.boundary
    header = ["", *(f"F1 without {k} px" if k else "F1" for k in ignored)]
    rows = [
        [name, *(_plain(evaluation.find(name, question, "f1", ignored=k)) for k in ignored)]
        for name in names
    ]
    if boundary:
        header.append(f"boundary IoU ({boundary} px)")
        for name, row in zip(names, rows, strict=True):
            row.append(_with_interval(evaluation.find(name, question, "boundary_iou")))
    return [header, *rows]


def _scene_tables(evaluation: Evaluation) -> list[tuple[str, Table]]:
    """Scene by scene, if there are not too many to read; the CSV has them in any case."""
    if not 1 < len(evaluation.scenes) <= LISTED:
        return []
    return [
        (f"{question.value}: each scene", _each_scene(evaluation, question))
        for question in evaluation.questions
    ]


def _each_scene(evaluation: Evaluation, question: Question) -> Table:
    names = [n for n in evaluation.predictors if question in evaluation.answered(n)]
    shown = [(name, metric) for name in names for metric in ("recall", "precision", "f1", "iou")]
    table = [["scene", f"label {evaluation.unit}s", *(f"{n} {TITLES[m]}" for n, m in shown)]]
    for scene in evaluation.scenes:
        support = evaluation.find(names[0], question, "support", "scene", scene=scene)
        found = (evaluation.find(n, question, m, "scene", scene=scene) for n, m in shown)
        table.append([scene, f"{support.value:,.0f}", *map(_plain, found)])
    return table


def _matrices(evaluation: Evaluation) -> list[tuple[str, Table]]:
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


def _label_class(evaluation: Evaluation, c: CloudClass) -> str:
    """What a label calls clear may be all but the one class that it knows."""
    if c is CloudClass.CLEAR and Question.CLEAR not in evaluation.label.questions:
        return "other"
    return c.description


def _notes(evaluation: Evaluation) -> list[str]:
    notes = []
    if len(evaluation.scenes) < 2:
        notes.append("One scene: no intervals, they need two or more.")
    else:
        notes.append(
            f"Brackets: 95 % intervals, {evaluation.draws} bootstrap draws of {len(evaluation.scenes)} scenes"
            + (", so few that they are rough." if len(evaluation.scenes) < 20 else ".")
        )
    supports = [
        {
            evaluation.find(name, question, "support").value
            for name in evaluation.predictors
            if question in evaluation.answered(name)
        }
        for question in evaluation.questions
    ]
    if any(len(each) > 1 for each in supports):
        notes.append(
            "Each is judged where it has data itself, and so not all on the same pixels: see label pixels and no answer. "
            "--common, in Python common=True, counts those that all have."
        )
    notes.append(f"{NA}: not defined, as the class is absent.")
    asked = set(Question) - set(evaluation.questions)
    if asked:
        unknown = ", ".join(q.value for q in Question if q in asked)
        notes.append(f"Not asked, as label or predictions do not know it: {unknown}.")
    return notes


def markdown_table(table: Table) -> list[str]:
    """A table, header first, as lines of Markdown."""
    rows = [f"| {' | '.join(row)} |" for row in table]
    return [rows[0], "|" + "---|" * len(table[0]), *rows[1:]]


def _aligned(table: Table) -> list[str]:
    """Columns side by side; those that are too many for a line go below."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    blocks: list[list[int]] = [[]]
    for i in range(1, len(widths)):
        used = widths[0] + sum(widths[j] + 2 for j in [*blocks[-1], i])
        if used > 98 and blocks[-1]:
            blocks.append([])
        blocks[-1].append(i)
    return [
        "  " + (row[0].ljust(widths[0]) + "".join("  " + row[i].rjust(widths[i]) for i in block))
        for block in blocks
        for row in table
    ]


def score(value: float) -> str:
    """A score between 0 and 1, or NA."""
    return NA if math.isnan(value) else f"{value:.3f}"


def _plain(result: Result) -> str:
    return score(result.value)


def _with_interval(result: Result) -> str:
    if math.isnan(result.low):
        return score(result.value)
    return f"{score(result.value)} [{result.low:.3f}, {result.high:.3f}]"


def _percent(value: float) -> str:
    return (
        NA
        if math.isnan(value)
        else f"{100 * value:.0f} %"
        if value in (0, 1)
        else f"{100 * value:.1f} %"
    )


# --- for programs ---------------------------------------------------------------------


def _record(result: Result) -> dict[str, Any]:
    return {
        "predictor": result.predictor,
        "question": result.question.value,
        "protocol": result.protocol,
        "scene": result.scene,
        "ignored_px": result.ignored,
        "metric": result.metric,
        "value": _number(result.value),
        "low": _number(result.low),
        "high": _number(result.high),
    }


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


def _mapping(mapping: Any) -> dict[str, Any]:
    return {
        "mapping": mapping.name,
        "codes": {str(code): cls.label for code, cls in sorted(mapping.codes.items())},
        "questions": sorted(q.value for q in mapping.questions),
    }


def _csv(evaluation: Evaluation) -> str:
    records = [_record(result) for result in evaluation.results]
    columns = [
        "predictor", "question", "protocol", "scene", "ignored_px", "metric", "value", "low", "high",
    ]  # fmt: skip
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(
        {key: "NA" if value is None else value for key, value in record.items()}
        for record in records
    )
    return out.getvalue()
