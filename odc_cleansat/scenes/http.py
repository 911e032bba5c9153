"""Access to STAC APIs and documents over HTTP."""

from __future__ import annotations

import re
from typing import Any

from ..errors import first_line

_RETRIED = (429, 500, 502, 503, 504)
"""Status codes after which a request is sent again."""


def stac_io() -> Any:
    """Return a reader of STAC over HTTP that repeats a request if the server fails for a moment."""
    from pystac_client.stac_api_io import StacApiIO
    from urllib3 import Retry

    retry = Retry(total=3, backoff_factor=0.5, status_forcelist=_RETRIED, allowed_methods=None)
    return StacApiIO(max_retries=retry, timeout=60)


def innermost_reason(error: BaseException) -> str:
    """Return the innermost cause in the text of a network error, without the object that carried it."""
    text = str(error)
    causes = re.findall(r"(?:Caused by|: )\s*\w*(?:Error|Exception)\(?[^:]*: (.*)", text)
    return (causes[-1] if causes else first_line(Exception(text))).strip("'\"().")
