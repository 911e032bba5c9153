"""Pages that are made of a template."""

from __future__ import annotations

import json
import re

import pytest

from odc_cleansat.review.templates import fill_template


@pytest.mark.parametrize("name", ["page.html", "swipe.html"])
def test_titles_and_data_are_no_markup(name: str) -> None:
    title, data = "<b>A & B</b> __DATA__", {"note": "</script><i>é__TITLE__"}
    text = fill_template(name, title, data)
    assert "<b>A" not in text
    assert "&lt;b&gt;A &amp; B&lt;/b&gt; __DATA__" in text
    (found,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)  # fmt: skip
    assert json.loads(found) == data


def test_numbers_have_to_be_known() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        fill_template("page.html", "", {"share": float("nan")})
