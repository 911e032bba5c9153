"""Learning curves."""

from __future__ import annotations

from pathlib import Path

from odc_cleansat.training.curves import _drawn_groups, add_row, draw_curves, read_rows
from odc_cleansat.training.history import History


def test_curves_of_groups_that_have_no_measure(tmp_path: Path) -> None:
    add_row(tmp_path, History(3, 1.0, [1.0], {"good": 0.9, "odd": float("nan")}))
    assert draw_curves(tmp_path) == tmp_path / "curves.png"
    add_row(tmp_path, History(6, 2.0, [1.0], {"odd": float("nan")}))
    assert draw_curves(tmp_path) is not None


def test_there_are_no_curves_before_the_first_evaluation(tmp_path: Path) -> None:
    assert read_rows(tmp_path) == []
    assert draw_curves(tmp_path) is None


def test_rows_after_the_last_checkpoint_of_a_killed_session_are_replaced(tmp_path: Path) -> None:
    for step in (3, 6, 9, 6):
        add_row(tmp_path, History(step, 10.0 * step, [4.0, 2.0], {f"group {step}": 0.5}))
    first, second = read_rows(tmp_path)
    assert first == {"step": 3, "seconds": 30, "loss": 3.0, "group 3": 0.5}
    assert second == {"step": 6, "seconds": 60, "loss": 3.0, "group 6": 0.5}


def test_of_spoilt_groups_the_mean_is_drawn() -> None:
    first = {"step": 3, "seconds": 1, "loss": 1.0, "a-6": 0.75, "a-6 spoilt": 0.5}
    second = {**first, "step": 6, "b-4": 1.0, "b-4 spoilt": 0.25, "a-6 below thin cloud": 0.125}
    assert _drawn_groups([first, second]) == {
        "a-6": [(3, 75.0), (6, 75.0)],
        "b-4": [(6, 100.0)],
        "mean, spoilt": [(3, 50.0), (6, 37.5)],
        "mean, below thin cloud": [(6, 12.5)],
    }
