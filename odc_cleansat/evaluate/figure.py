"""An evaluation as one figure."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .confusion import Question
from .results import Evaluation, Result
from .tables import NA

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_NAMED = 5
"""Number of predictors up to which bars show their value; beyond, the values would overlap."""

_SHOWN = {"recall": "recall\n(PA)", "precision": "precision\n(UA)", "iou": "IoU"}

# After Okabe and Ito, in an order in which neighbours differ in lightness too.
_COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#666666", "#f0e442")

_HATCHES = ("", "///", "...", "\\\\\\", "xxx", "---", "ooo", "+++")


def draw_figure(evaluation: Evaluation, path: str | Path) -> None:
    """Draw bars of recall, precision and IoU over all pixels with their intervals, a panel for each question.

    Parameters
    ----------
    evaluation
        The evaluation.
    path
        The file to write, of any format that matplotlib knows.
    """
    from matplotlib.figure import Figure

    predictors, questions = evaluation.predictors, evaluation.questions
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
        _draw_panel(panel, evaluation, question)
    for panel in panels[:, 0]:
        panel.set_ylabel(f"score over all {evaluation.unit}s")
    _draw_legend(figure, panels.flat[0], min(len(predictors), 2 * across))
    figure.suptitle(_title(evaluation), fontsize="medium")
    figure.savefig(path, dpi=150)


def _draw_panel(panel: Axes, evaluation: Evaluation, question: Question) -> None:
    predictors = evaluation.predictors
    width = 0.8 / max(len(predictors), 1)
    for i, name in enumerate(predictors):
        found = [evaluation.find(name, question, metric) for metric in _SHOWN]
        at = np.arange(len(_SHOWN)) + (i - (len(predictors) - 1) / 2) * width
        panel.bar(
            at, [r.value for r in found], width, label=name,
            color=_COLOURS[i % len(_COLOURS)], hatch=_HATCHES[i % len(_HATCHES)],
            edgecolor="white", linewidth=0.8,
        )  # fmt: skip
        for x, result in zip(at, found, strict=True):
            _draw_interval(panel, float(x), result)
            if len(predictors) <= MOST_NAMED:
                _draw_value(panel, float(x), result)
    panel.set_title(question.value)
    panel.set_xticks(np.arange(len(_SHOWN)), list(_SHOWN.values()))
    panel.set_ylim(0, 1.12)
    panel.set_yticks(np.arange(0, 1.01, 0.2))
    panel.grid(axis="y", color="#dddddd", linewidth=0.6)
    panel.set_axisbelow(True)
    panel.spines[["top", "right"]].set_visible(False)


def _draw_interval(panel: Axes, x: float, result: Result) -> None:
    """Draw the interval; NA if the score is not defined."""
    if math.isnan(result.value):
        panel.annotate(NA, (x, 0.01), ha="center", va="bottom", fontsize="x-small")
    elif not math.isnan(result.low):
        panel.plot([x, x], [result.low, result.high], color="black", lw=1.4, solid_capstyle="butt")
        for end in (result.low, result.high):
            panel.plot([x - 0.03, x + 0.03], [end, end], color="black", lw=1.4)


def _draw_value(panel: Axes, x: float, result: Result) -> None:
    if math.isnan(result.value):
        return
    top = result.value if math.isnan(result.high) else max(result.value, result.high)
    panel.annotate(
        f"{result.value:.2f}", (x, top), xytext=(0, 2), textcoords="offset points",
        ha="center", va="bottom", fontsize="x-small",
    )  # fmt: skip


def _draw_legend(figure: Figure, panel: Axes, columns: int) -> None:
    handles, labels = panel.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, frameon=False)


def _title(evaluation: Evaluation) -> str:
    scenes = len(evaluation.scenes)
    if scenes < 2:
        return "1 scene: no intervals"
    return f"{scenes} scenes; lines are 95 % intervals, by bootstrap over scenes"
