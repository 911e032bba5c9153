"""Learning curves: the table of loss and agreement, and its picture."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .agreement import BELOW_THIN, SPOILT
from .history import History
from .run_folder import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes


_TABLE = "progress.csv"
"""File name of the table in the folder of a run."""

_PICTURE = "curves.png"
"""File name of the picture in the folder of a run."""

_LOSS_STEPS = 500
"""Number of steps over which the loss in the table is averaged."""

_NOT_GROUPS = ("step", "seconds", "loss")
"""Columns of the table that are not the agreement on a group."""

# Colours by Okabe and Ito, https://jfly.uni-koeln.de/color. After seven groups lines are dashed, then dotted.
_COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#666666")
_STYLES = ("-", "--", ":")

_Points = list[tuple[float, float]]


def add_row(folder: Path, history: History) -> None:
    """Add a row with the last agreement to the table. Rows of a session that was killed after its last checkpoint are replaced.

    Raises
    ------
    ModelError
        If the table cannot be written.
    """
    rows = [row for row in read_rows(folder) if row["step"] < history.step]
    rows.append(
        {
            "step": history.step,
            "seconds": round(history.seconds),
            "loss": round(history.mean_loss(_LOSS_STEPS), 5),
            **{name: round(value, 5) for name, value in history.agreement.items()},
        }
    )
    columns = list(dict.fromkeys(name for row in reversed(rows) for name in row))
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, restval="")
    writer.writeheader()
    writer.writerows(rows)
    with replacing(folder / _TABLE) as file:
        file.write(text.getvalue().encode())


def read_rows(folder: Path) -> list[dict[str, float]]:
    """Return the rows of the table: ``step``, ``seconds``, ``loss``, and the agreement on each group, 0 to 1."""
    path = folder / _TABLE
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [
            {
                name: int(float(value)) if name in ("step", "seconds") else float(value)
                for name, value in row.items()
                if value not in ("", None)
            }
            for row in csv.DictReader(file)
        ]


def draw_curves(folder: Path) -> Path | None:
    """Draw the loss and the agreement on each held-out group.

    Returns
    -------
    Path or None
        Path of the picture, PNG; None before the first evaluation.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = read_rows(folder)
    if not rows:
        return None
    figure = Figure(figsize=(11, 5), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, width_ratios=(2, 3))
    _draw_loss(left, rows)
    _draw_agreement(right, rows)
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.locator_params(axis="x", nbins=5, integer=True)
        axes.spines[["top", "right"]].set_visible(False)
    path = folder / _PICTURE
    with replacing(path) as file:
        figure.savefig(file, format="png", dpi=110)
    return path


def _draw_loss(axes: Axes, rows: Sequence[dict[str, float]]) -> None:
    points = [(row["step"], row["loss"]) for row in rows]
    axes.plot(*zip(*points, strict=True), color="#333333", marker=_marker(points))
    axes.set(title="Loss in training", xlabel="step", ylabel="nats a pixel")
    axes.set_ylim(bottom=0)


def _draw_agreement(axes: Axes, rows: Sequence[dict[str, float]]) -> None:
    groups = _drawn_groups(rows)
    best_first = sorted(groups.items(), key=lambda item: -item[1][-1][1])
    for i, (name, points) in enumerate(best_first):
        style: dict[str, Any] = {
            "color": _COLOURS[i % len(_COLOURS)],
            "linestyle": _STYLES[i // len(_COLOURS) % len(_STYLES)],
            "marker": _marker(points),
        }
        axes.plot(*zip(*points, strict=True), label=f"{name}  {points[-1][1]:.1f}", **style)
    if groups:
        # The first values are far below all later ones, and would press them together.
        later = [value for points in groups.values() for _, value in points[len(points) // 4 :]]
        axes.set_ylim(min(later) - 1, 100)
        axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False, title="last, %")
    axes.set(title="Agreement on what was held out", xlabel="step", ylabel="% of the pixels")


def _drawn_groups(rows: Sequence[dict[str, float]]) -> dict[str, _Points]:
    """Return steps and agreement, percent, of each group; of spoilt ones and of those below thin cloud the means."""
    members: dict[str, list[str]] = {}
    for name in rows[-1]:
        if name not in _NOT_GROUPS:
            end = next((each for each in (SPOILT, BELOW_THIN) if name.endswith(each)), None)
            members.setdefault(f"mean,{end}" if end else name, []).append(name)
    drawn = {each: _agreement_points(rows, names) for each, names in members.items()}
    return {name: points for name, points in drawn.items() if points}


def _agreement_points(rows: Sequence[dict[str, float]], names: Sequence[str]) -> _Points:
    """Return steps and the mean agreement on groups, percent."""
    points = []
    for row in rows:
        values = [row[name] for name in names if math.isfinite(row.get(name, math.nan))]
        if values:
            points.append((row["step"], 100 * sum(values) / len(values)))
    return points


def _marker(points: _Points) -> str | None:
    """Return a marker for a single point, which makes no line."""
    return "o" if len(points) == 1 else None
