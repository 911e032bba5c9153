"""What a browser gets to read when something fails: what happened and what to do, but no place of this machine."""

from __future__ import annotations

import logging
import re
import secrets

from ..errors import CleansatError

_PLACE = re.compile(
    r"(?:(?:file|s3|gs|az|https?|postgresql(?:\+\w+)?)://|/vsi\w+/|(?<![\w.<])/(?=[\w.~-]+/))[^\s'\"<>,;]*"
)
"""Matches addresses, and paths with a folder."""

log = logging.getLogger("odc_cleansat.app")


def in_words(error: BaseException) -> str:
    """Return what a person may read of an error.

    Paths and addresses are cut to their last part. An error that nobody foresaw is written to the log, and the
    person gets its number.
    """
    if isinstance(error, CleansatError):
        return without_places(str(error))
    number = secrets.token_hex(4)
    log.error("error %s", number, exc_info=error)
    return (
        f"Something failed that nobody foresaw. Tell whoever runs this application: error {number}. "
        "Try again, or reload the page."
    )


def without_places(text: str) -> str:
    """Return a text in which each path and address is its last part alone."""
    return _PLACE.sub(_last_part, text)


def _last_part(match: re.Match[str]) -> str:
    text = match.group(0)
    end = text[len(text.rstrip(".:)")) :]
    parts = [part for part in text[: len(text) - len(end)].split("?")[0].split("/") if part]
    return (parts[-1] if len(parts) > 1 else "…") + end
