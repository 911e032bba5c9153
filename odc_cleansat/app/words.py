"""What a browser gets to read when something fails: what happened and what to do, but no place of this machine."""

from __future__ import annotations

import logging
import re
import secrets
import traceback

from sqlalchemy.exc import OperationalError

from ..addresses import without_places
from ..errors import CleansatError, first_line

log = logging.getLogger("odc_cleansat.app")

_MEANS_SOMETHING = re.compile(r"([\\`*_\[\]<>#~:$&!|^=]|^[-+]|(?<=^\d)[.)])")
_LINKED = re.compile(r"(?<=:)(?=//|material/)|(?<=\bwww)(?=\.)|(?<=@)(?=\w)")
_NO_BREAK = "\u2060"


def plain(text: str) -> str:
    """Return a text of strangers for a place that reads Markdown: it is shown as it is, without links, pictures, colours.

    Names, notes, labels of scenes, and what people typed go through this, wherever Streamlit has no widget for plain text.
    """
    escaped = _MEANS_SOMETHING.sub(r"\\\1", " ".join(text.split()))
    # Addresses become links even where they are escaped; a character without width ends that.
    return _LINKED.sub(_NO_BREAK, escaped)


def in_words(error: BaseException) -> str:
    """Return what a person may read of an error.

    Paths and addresses are cut to their last part. An error that nobody foresaw is written to the log, and the
    person gets its number.
    """
    if isinstance(error, CleansatError):
        return without_places(str(error))
    if isinstance(error, OperationalError):
        log.error("the database: %s", first_line(error.orig or error))
        return "the database of the datacube does not answer. Try again in a moment."
    number = secrets.token_hex(4)
    # In the text, for the command line shows texts alone.
    log.error("error %s: %s", number, "".join(traceback.format_exception(error)))
    return (
        f"Something failed that nobody foresaw. Tell whoever runs this application: error {number}. "
        "Try again, or reload the page."
    )
