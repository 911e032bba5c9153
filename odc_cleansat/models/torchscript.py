"""Which TorchScript the user allows to run: it is a program, and not a table of numbers."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path

from ..errors import ModelError
from .model import Model
from .places import networks_of
from .registry import models_folder, not_written
from .weights import sha256_of

_ON_TRIAL: ContextVar[frozenset[str]] = ContextVar("_ON_TRIAL", default=frozenset())
"""Sha256 of the files that :func:`torchscript_on_trial` lets run."""


@contextlib.contextmanager
def torchscript_on_trial(model: Model) -> Iterator[None]:
    """Let the model's TorchScript run, and remember that the user trusts it if nothing fails within.

    Raises
    ------
    ModelError
        If it cannot be remembered.
    """
    hashes = [sha256_of(each) for each in networks_of(model) if each.format == "torchscript"]
    before = _ON_TRIAL.set(frozenset(hashes))
    try:
        yield
    finally:
        _ON_TRIAL.reset(before)
    for each in hashes:
        allow_torchscript(each)


def allow_torchscript(sha256: str) -> None:
    """Remember that the user trusts the TorchScript file of this sha256, and lets it run.

    Kept in the folder of the user's models, in ``torchscript-allowed.txt``.

    Raises
    ------
    ModelError
        If that cannot be written.
    """
    record = _allowed()
    if sha256 in _hashes(record):
        return
    try:
        record.parent.mkdir(parents=True, exist_ok=True)
        with open(record, "a", encoding="utf-8") as file:
            file.write(f"{sha256}\n")
    except OSError as error:
        raise not_written(record, error) from error


def check_allowed(model: Model) -> None:
    """Refuse TorchScript that the user has not allowed, in an ensemble too; anything else passes.

    Raises
    ------
    ModelError
        Saying why, and how to allow it.
    """
    if os.environ.get("CLEANSAT_ALLOW_TORCHSCRIPT") == "1":
        return
    for each in networks_of(model):
        if each.format != "torchscript":
            continue
        if sha256_of(each) not in _ON_TRIAL.get() | _hashes(_allowed()):
            raise ModelError(
                f"model {each.name}: its weights are TorchScript, a program that can do what it likes with "
                "your rights when it is run. If you trust its makers, set CLEANSAT_ALLOW_TORCHSCRIPT=1, or "
                f"allow this file alone: cleansat models fetch --allow-torchscript {each.name} (or import, "
                "if it is not listed yet)."
            )


def _allowed() -> Path:
    return models_folder() / "torchscript-allowed.txt"


def _hashes(record: Path) -> set[str]:
    return set(record.read_text("utf-8").split()) if record.is_file() else set()
