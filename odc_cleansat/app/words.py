"""What a browser gets to read when something fails: what happened and what to do, but no place of this machine."""

from __future__ import annotations

import logging
import secrets
import traceback

from sqlalchemy.exc import OperationalError

from ..addresses import without_places
from ..errors import CleansatError, first_line

log = logging.getLogger("odc_cleansat.app")


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
