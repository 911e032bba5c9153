"""Fill the HTML templates of this package."""

from __future__ import annotations

import hashlib
import html
import json
import re
from base64 import b64encode
from collections.abc import Mapping
from importlib import resources
from typing import Any


def fill_template(
    name: str, title: str, data: Mapping[str, Any], mark: str = "", *, served: bool = False
) -> str:
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
    served
        Whether the page is for a server, which sends its own policy with it. A file has to hold one.
    """
    # Without "<" no tag in the data can end the element that holds it.
    text = json.dumps(data, allow_nan=False, ensure_ascii=False).replace("<", "\\u003c")
    template = resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
    policy = "" if served else content_policy(template, "img-src data:")
    head, data_is_here, tail = template.partition("__DATA__")
    for key, value in {"MARK": mark, "TITLE": title, "POLICY": policy}.items():
        head = head.replace(f"__{key}__", html.escape(value, quote=key != "POLICY"))
    return head + text * bool(data_is_here) + tail


def content_policy(page: str, *more: str) -> str:
    """Return a policy (CSP) that lets a page run its own scripts and styles and load nothing.

    Parameters
    ----------
    page
        The page (HTML). Scripts that run and styles have tags without attributes.
    more
        Further directives, such as ``img-src data:``.
    """
    allowed = ["default-src 'none'", *more]
    for tag in ("style", "script"):
        found = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        allowed.append(" ".join([f"{tag}-src", *map(_hash, found)]) if found else "")
    return "; ".join(filter(None, allowed))


def _hash(text: str) -> str:
    return f"'sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}'"
