"""Learning curves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from .checkpoints import read_table

PICTURE = "curves.png"

# After Okabe and Ito; a second round is dashed.
_COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#666666")
_STYLES = ("-", "--", ":")
_NOT_GROUPS = ("step", "seconds", "loss")


def draw_curves(folder: Path) -> Path | None:
    """Draw the table of a run's progress: its loss, and the agreement on each held-out group.

    Returns
    -------
    Path or None
        Of the picture, PNG; None before the first look at what was held out.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = read_table(folder)
    if not rows:
        return None
    groups = {
        name: points
        for name in rows[-1]
        if name not in _NOT_GROUPS and (points := _points(rows, name))
    }
    figure = Figure(figsize=(11, 5), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, width_ratios=(2, 3))
    left.plot(
        [row["step"] for row in rows],
        [row["loss"] for row in rows],
        color="#333333",
        marker=_mark(rows),
    )
    left.set(title="Loss in training", xlabel="step", ylabel="nats a pixel")
    left.set_ylim(bottom=0)
    best_first = sorted(groups.items(), key=lambda item: -item[1][-1][1])
    for i, (name, points) in enumerate(best_first):
        right.plot(
            *zip(*points, strict=True),
            color=_COLOURS[i % len(_COLOURS)],
            linestyle=_STYLES[i // len(_COLOURS) % len(_STYLES)],
            marker=_mark(points),
            label=f"{name}  {points[-1][1]:.1f}",
        )
    if groups:
        # The first looks are far below all later ones, and would press them together.
        later = [value for points in groups.values() for _, value in points[len(points) // 4 :]]
        right.set_ylim(min(later) - 1, 100)
        right.legend(loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False, title="last, %")
    right.set(title="Agreement on what was held out", xlabel="step", ylabel="% of the pixels")
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.locator_params(axis="x", nbins=5, integer=True)
        axes.spines[["top", "right"]].set_visible(False)
    path = folder / PICTURE
    figure.savefig(draft := path.with_name(f".{PICTURE}"), format="png", dpi=110)
    draft.replace(path)
    return path


def _points(rows: Sequence[dict[str, float]], name: str) -> list[tuple[float, float]]:
    """Steps at which a group was looked at, and the agreement, %."""
    return [
        (row["step"], 100 * row[name]) for row in rows if math.isfinite(row.get(name, math.nan))
    ]


def _mark(points: Sequence[object]) -> str | None:
    """A single point makes no line, so it is drawn."""
    return "o" if len(points) == 1 else None
