"""Pages that are made of a template."""

from __future__ import annotations

import hashlib
import json
import re
from base64 import b64decode

import pytest

from odc_cleansat.review.templates import content_policy, fill_template


@pytest.mark.parametrize("name", ["page.html", "swipe.html"])
def test_titles_and_data_are_no_markup(name: str) -> None:
    title, data = "<b>A & B</b> __DATA__", {"note": "</script><i>é__TITLE__"}
    text = fill_template(name, title, data)
    assert "<b>A" not in text
    assert "&lt;b&gt;A &amp; B&lt;/b&gt; __DATA__" in text
    (found,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)  # fmt: skip
    assert json.loads(found) == data


def test_a_page_may_run_what_stands_in_it_and_nothing_else() -> None:
    text = fill_template("page.html", "A", {})
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'sha256-")
    assert "unsafe" not in policy
    for tag in ("style", "script"):
        (allowed,) = re.findall(rf"{tag}-src 'sha256-([^']*)'", policy)
        (content,) = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        assert b64decode(allowed) == hashlib.sha256(content.encode()).digest()
    assert 'Policy" content=""' in fill_template("page.html", "A", {}, served=True)
    assert content_policy("<p>", "img-src data:") == "default-src 'none'; img-src data:"


def test_a_page_without_data() -> None:
    text = fill_template("trouble.html", "<Nothing> is there", {"a": 1})
    assert text.count("&lt;Nothing&gt; is there") == 2
    assert text.endswith("</html>\n")


def test_numbers_have_to_be_known() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        fill_template("page.html", "", {"share": float("nan")})
