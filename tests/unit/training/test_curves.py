"""Learning curves."""

from __future__ import annotations

from pathlib import Path

from odc_cleansat.training.curves import add_row, draw_curves
from odc_cleansat.training.history import History


def test_curves_of_groups_that_have_no_measure(tmp_path: Path) -> None:
    progress = History(step=3, losses=[1.0])
    add_row(tmp_path, progress, {"good": 0.9, "odd": float("nan")})
    assert draw_curves(tmp_path) == tmp_path / "curves.png"
    add_row(tmp_path, History(step=6, losses=[1.0]), {"odd": float("nan")})
    assert draw_curves(tmp_path) is not None
