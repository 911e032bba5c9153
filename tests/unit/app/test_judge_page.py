"""The page to judge."""

from __future__ import annotations

from .conftest import Page


def test_nothing_is_chosen(page: Page) -> None:
    assert "No mask is chosen" in page("judge_page").info[0].value
