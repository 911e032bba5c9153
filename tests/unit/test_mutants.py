"""The runner of `make mutants` itself: what it changes, and what it reports."""

from __future__ import annotations

from pathlib import Path

import mutants
import pytest
from mutants import NO_REASON, Mutant

SOURCE = '''"""One docstring: 1 + 1."""
from __future__ import annotations
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    a = 1 + 2
@decorated(3)
def f(x: int | None = None) -> int | None:
    return x + 4
'''


@pytest.mark.parametrize("module", mutants.TESTS)
def test_modules_and_their_tests_are_there(module: str) -> None:
    """A module or test that has moved has to move in the table too."""
    assert mutants.file_of(module).is_file()
    for test in mutants.TESTS[module]:
        assert (mutants.ROOT / test.split("::")[0]).is_file(), test


def test_only_what_runs_is_changed() -> None:
    """Annotations, decorators, docstrings and what type checkers alone see are left as they are."""
    assert mutants.ignored(SOURCE) >= {4, 5, 6, 7}
    pytest.importorskip("cosmic_ray")
    assert {line for line, _ in mutants.changes(SOURCE)} == {8}


def test_stars_of_arguments_are_no_operators() -> None:
    """What is no Python is no mutant."""
    assert mutants.compiles("f(**more)")
    assert not mutants.compiles("f(>>more)")


def test_a_sample_is_the_same_for_a_seed() -> None:
    """So that survivors can be looked at again."""
    pytest.importorskip("cosmic_ray")
    first, again = (list(mutants.mutants("products.identity", 3, seed=1)) for _ in range(2))
    other = list(mutants.mutants("products.identity", 3, seed=2))
    assert first == again
    assert first != other


def test_a_sample_does_not_hang_on_the_order_of_the_operators(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They are found by their entry points, in the order of the disk."""
    plugins = pytest.importorskip("cosmic_ray.plugins")
    names = list(plugins.operator_names())
    found = []
    for order in (names, names[::-1]):
        monkeypatch.setattr(plugins, "operator_names", lambda order=order: order)
        found.append(list(mutants.mutants("products.identity", 3, seed=1)))
    assert found[0] == found[1]


def test_the_report_keeps_the_reasons(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A survivor needs a reason once; it stays while the lines are the same."""
    page = tmp_path / "mutants.md"
    monkeypatch.setattr(mutants, "PAGE", page)
    noticed = [Mutant("grids.grid", i, f"a{i}", f"b{i}", "") for i in range(9)]
    survivor = Mutant("grids.grid", 10, "x // 2", "x >> 2", "")
    results = {**dict.fromkeys(noticed, True), survivor: False}

    text, good = mutants.report(mutants.new_rows(results), seed=1)
    assert "| grids.grid | 9 | 10 | 90 |" in text
    assert not good, "the survivor has no reason yet"

    page.write_text(text.replace(NO_REASON, "Both are the same for 0."), encoding="utf-8")
    text, good = mutants.report(mutants.new_rows(results), seed=1)
    assert "Both are the same for 0." in text
    assert good

    text, good = mutants.report(mutants.new_rows({**results, noticed[0]: False}), seed=1)
    assert "| all | 8 | 10 | 80 |" in text
    assert not good, "too few are noticed"


def test_a_run_of_one_module_keeps_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page is the same when its rows are read and written again."""
    monkeypatch.setattr(mutants, "PAGE", tmp_path / "mutants.md")
    rows = {
        "grids.windows": mutants.Row(40, 40, {}),
        "grids.grid": mutants.Row(9, 10, {("x // 2", "x >> 2"): "Both are the same for 0."}),
    }
    page, good = mutants.report(rows, seed=1)
    assert good
    mutants.PAGE.write_text(page, encoding="utf-8")
    assert mutants.known_rows() == rows
