"""The errors and warnings that this package raises on purpose."""

from __future__ import annotations

import errno
import logging
import re
import sys
import threading
import warnings

from .addresses import without_secrets


class _Public(logging.Filter):
    """Takes the secrets out of what is logged."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = without_secrets(record.getMessage()), None
        return True


LOG = logging.getLogger("odc_cleansat")
LOG.addFilter(_Public())


class CleansatError(ValueError):
    """An error that the caller can put right; the message says how, and holds no logins or keys of addresses."""

    def __init__(self, message: str = "") -> None:
        super().__init__(without_secrets(message))


class SceneError(CleansatError):
    """A scene that cannot be used, because of its bands, shape, CRS, resolution or pixels."""


class ModelError(CleansatError):
    """A model that is unknown, or whose weights are missing or damaged."""


class EngineError(CleansatError):
    """A network that needs more memory than there is, or a process in which none can run."""


class CubeError(CleansatError):
    """A datacube or its database that cannot be started, reached or used."""


class OutputError(CleansatError):
    """A product that cannot be written where it should be."""


class CleansatWarning(UserWarning):
    """Something that the caller should know; the message holds no logins or keys of addresses."""

    def __init__(self, message: str = "") -> None:
        super().__init__(without_secrets(message))


class ReflectanceWarning(CleansatWarning):
    """The conversion of digital numbers to reflectance is a guess, or looks wrong."""


class ModelWarning(CleansatWarning):
    """A model cannot be used, was made for other scenes, or has no masks where other models have."""


class LightWarning(CleansatWarning):
    """The angles of sun and satellite that a scene states cannot be right, so that its shadow is left as it is."""


class GapWarning(CleansatWarning):
    """Some files cannot be read, some scenes have no mask, or no time is clear enough; the result has no data there."""


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, without secrets, without its full stop, at most 300 characters."""
    line = (without_secrets(str(error)).strip() or type(error).__name__).splitlines()[0]
    return line.rstrip(".")[:300]


_PYTHONS = re.compile(
    r"unpack|invalid literal|could not convert|sequence element|must be str|__\w+__"
)
"""Words of Python for values of a wrong kind, in errors that are also raised for impossible values."""


def is_full(error: OSError) -> bool:
    """Whether there is no room on a disk, or no more is allowed there."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def fault_of(error: BaseException) -> str:
    """Return what is wrong with a document, from any error that reading its values has raised.

    Python's own words for values of a wrong kind say nothing to people, so they are not passed on.
    """
    if isinstance(error, CleansatError):
        return first_line(error)
    if isinstance(error, KeyError):
        return f"it lacks {error.args[0]}" if error.args else "it lacks a key"
    pythons = isinstance(error, (ArithmeticError, AttributeError, LookupError, TypeError))
    if pythons or _PYTHONS.search(str(error)):
        return "a value is of another kind than it should be, or has another length"
    return first_line(error)


def warn_caller(text: str, category: type[Warning]) -> None:
    """Warn at the line that called this package, however deep in the package the cause was found."""
    level, frame = 2, sys._getframe(1)
    while frame.f_back and frame.f_globals.get("__name__", "").startswith(f"{__package__}."):
        level, frame = level + 1, frame.f_back
    warnings.warn(text, category, stacklevel=level)


def tell(text: str, category: type[Warning]) -> None:
    """Warn from within a computation, which may run in any thread or process.

    The main thread warns as usual, and a dask worker sends the warning to its client. Other threads
    write it to the log ``odc_cleansat`` instead, because a warning could be lost there. Before Python 3.14
    all threads share the filters of warnings, and rasterio changes them while it reads.

    Parameters
    ----------
    text
        The message; logins and keys of its addresses are removed.
    category
        The class of the warning.
    """
    text = without_secrets(text)
    if (distributed := sys.modules.get("distributed.worker")) and _on_worker():
        distributed.warn(text, category)
    elif threading.current_thread() is threading.main_thread():
        warnings.warn(text, category, stacklevel=3)
    else:
        LOG.warning(text, extra={"category": category})


def _on_worker() -> bool:
    from distributed import get_worker

    try:
        get_worker()
    except ValueError:
        return False
    return True
