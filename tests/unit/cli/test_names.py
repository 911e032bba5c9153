"""Misspelt names of commands and of values: what is meant is said."""

from __future__ import annotations

import pytest
from calling import Run, failure

from odc_cleansat.cli.names import Choice


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("composite",), "Did you mean 'export'?"),
        (("modles",), "there is no command 'modles'; there are demo, "),
        (("modles",), "Did you mean 'models'?"),
        (("models", "fecth"), "Did you mean 'fetch'?"),
        (("review", "acept", "x"), "Did you mean 'accept'?"),
        (("product", "ad"), "there is no command 'ad'; there are add. Did you mean 'add'?"),
        (("product", "add", "s2_l2a_ulc"), "Did you mean 's2_l2a_ucl'?"),
        (("recall", "--how", "Mod", "-o", "x.tif"), "'Mod' is none of nearest, mode, any_cloud, fraction. Did you mean 'mode'?"),
        (("recall", "--how", "zzz", "-o", "x.tif"), "'zzz' is none of nearest, mode, any_cloud, fraction."),
        (("recall", "--tiem", "2024"), "--time"),
    ],
)  # fmt: skip
def test_what_is_meant(run: Run, arguments: tuple[str, ...], text: str) -> None:
    assert text in failure(run(*arguments), code=2)


def test_a_right_word_is_what_it_was() -> None:
    assert Choice(["mode", "nearest"]).convert("mode", None, None) == "mode"
