"""What a run keeps in its folder: the checkpoint from which it goes on, and the table of its progress."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, fields
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from ..errors import ModelError, first_line
from .plans import Plan, Progress

if TYPE_CHECKING:
    import torch


CHECKPOINT = "checkpoint.pt"
TABLE = "progress.csv"

_LENGTHS = {"steps", "cooldown", "check"}
"""What may change between the sessions of a run."""

RECENT = 500
"""Steps whose mean loss the table has."""


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """A run's folder, for one command at a time.

    Raises
    ------
    ModelError
        If another is at it, or nothing can be written there.
    """
    from filelock import FileLock, Timeout

    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock", timeout=0)
        lock.acquire()
    except Timeout as error:
        raise ModelError(
            f"another command is training in {folder}; wait for it or stop it, or use another folder."
        ) from error
    except OSError as error:
        raise ModelError(f"cannot write to {folder}: {error.strerror or error}.") from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def written(path: Path) -> Iterator[IO[bytes]]:
    """A file to be: what was there stays until the new one is whole, and on the disk.

    Raises
    ------
    ModelError
        If it cannot be written.
    """
    draft = path.with_name(f"{path.name}.part")
    try:
        with draft.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except BaseException as error:
        draft.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise ModelError(
                f"cannot write {path}: {error.strerror or error}. What was there is kept."
            ) from error
        raise


def save(folder: Path, plan: Plan, progress: Progress, **parts: Any) -> None:
    """Write the checkpoint; what was there stays until the new one is whole.

    Parameters
    ----------
    parts
        ``network``, ``averaged`` and ``optimiser``.
    """
    import torch

    state = {
        "plan": json.dumps(asdict(plan)),
        **{name: part.state_dict() for name, part in parts.items()},
        "step": progress.step,
        "seconds": progress.seconds,
        "losses": progress.losses,
    }
    with written(folder / CHECKPOINT) as draft:
        torch.save(state, draft)


def resume(folder: Path, plan: Plan, **parts: Any) -> Progress:
    """Take up where the last checkpoint stands, or begin.

    Raises
    ------
    ModelError
        If the checkpoint belongs to another plan or network, or cannot be read.
    """
    path = folder / CHECKPOINT
    if not path.exists():
        return Progress(steps=plan.steps)
    state = _read(path)
    defaults = {each.name: each.default for each in fields(Plan)}
    now, then = asdict(plan), defaults | json.loads(state["plan"])
    if changed := [key for key in now if key not in _LENGTHS and now[key] != then[key]]:
        raise ModelError(
            f"{path} belongs to a run with another {', '.join(changed)}; use another folder."
        )
    try:
        for name, part in parts.items():
            part.load_state_dict(state[name])
    except (RuntimeError, ValueError, KeyError) as error:
        raise ModelError(
            f"{path} belongs to a run with another architecture; use another folder."
        ) from error
    return Progress(state["step"], state["seconds"], state["losses"], {}, plan.steps)


def read_average(folder: Path) -> dict[str, torch.Tensor]:
    """The running average of the weights, by the names of the network's parameters.

    Raises
    ------
    ModelError
        If there is no checkpoint yet.
    """
    path = folder / CHECKPOINT
    if not path.exists():
        raise ModelError(f"there is no checkpoint in {folder}; train first.")
    weights = _read(path)["averaged"]
    prefix = "module."
    return {
        name.removeprefix(prefix): value
        for name, value in weights.items()
        if name.startswith(prefix)
    }


def _read(path: Path) -> dict[str, Any]:
    import torch

    try:
        content = io.BytesIO(path.read_bytes())
    except (OSError, MemoryError) as error:
        raise ModelError(f"cannot read {path}: {first_line(error)}.") from error
    try:
        state: dict[str, Any] = torch.load(content, weights_only=True, map_location="cpu")
    except Exception as error:  # as various as the ways to spoil a file
        if isinstance(error, MemoryError) or "memory" in str(error):
            raise ModelError(f"cannot read {path}: {first_line(error)}.") from error
        raise ModelError(
            f"{path} cannot be read as a checkpoint; delete it to begin anew."
        ) from error
    return state


# --- the table ------------------------------------------------------------------------


def record(folder: Path, progress: Progress, agreement: Mapping[str, float]) -> None:
    """Add a row, in place of what a session wrote that was killed later than its last checkpoint."""
    rows = [row for row in read_table(folder) if row["step"] < progress.step]
    rows.append(
        {
            "step": progress.step,
            "seconds": round(progress.seconds),
            "loss": round(float(np.mean(progress.losses[-RECENT:])), 5),
            **{name: round(value, 5) for name, value in agreement.items()},
        }
    )
    columns = list(dict.fromkeys(name for row in reversed(rows) for name in row))
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, restval="")
    writer.writeheader()
    writer.writerows(rows)
    with written(folder / TABLE) as draft:
        draft.write(text.getvalue().encode())


def read_table(folder: Path) -> list[dict[str, float]]:
    """The rows of the table: ``step``, ``seconds``, ``loss``, and the agreement on each group."""
    path = folder / TABLE
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [
            {
                name: int(float(value)) if name in ("step", "seconds") else float(value)
                for name, value in row.items()
                if value not in ("", None)
            }
            for row in csv.DictReader(file)
        ]
