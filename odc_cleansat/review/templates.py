"""Fill the HTML templates of this package."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping
from importlib import resources
from typing import Any


def fill_template(name: str, title: str, data: Mapping[str, Any], mark: str = "") -> str:
    """Return a page (HTML) with a title, and with data for its script.

    Parameters
    ----------
    name
        Name of the template's file.
    title
        Title of the page, as plain text.
    data
        A document for JSON. NaN is not allowed.
    mark
        What the page is, by which it is known again; see :func:`~odc_cleansat.storage.replace.mark_of`.
    """
    # Without "<" no tag in the data can end the element that holds it.
    text = json.dumps(data, allow_nan=False, ensure_ascii=False).replace("<", "\\u003c")
    template = resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
    head, _, tail = template.partition("__DATA__")
    head = head.replace("__MARK__", html.escape(mark)).replace("__TITLE__", html.escape(title))
    return head + text + tail
