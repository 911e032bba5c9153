"""Checkpoints, from which a run goes on."""

from __future__ import annotations

import io
import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ModelError, first_line
from ..storage.reader import parse_json
from .history import History
from .run_folder import replacing
from .schedule import Schedule

if TYPE_CHECKING:
    import torch


CHECKPOINT = "checkpoint.pt"
"""File name of the checkpoint in the folder of a run."""

_CHANGEABLE = {"steps", "cooldown", "check"}
"""Fields of the schedule that may change between two sessions of a run."""

_AVERAGE_PREFIX = "module."
"""Begins the names of the parameters of a running average."""


def save_checkpoint(folder: Path, schedule: Schedule, history: History, **parts: Any) -> None:
    """Write a checkpoint in place of the last.

    Parameters
    ----------
    folder
        Folder of the run.
    schedule, history
        Those of the run.
    parts
        ``network``, ``averaged`` and ``optimiser``, whose states are kept.

    Raises
    ------
    ModelError
        If it cannot be written. The last checkpoint then stays.
    """
    import torch

    content = {
        "plan": json.dumps(asdict(schedule)),
        **{name: part.state_dict() for name, part in parts.items()},
        "step": history.step,
        "seconds": history.seconds,
        "losses": history.losses,
    }
    with replacing(folder / CHECKPOINT) as file:
        torch.save(content, file)


def resume(folder: Path, schedule: Schedule, **parts: Any) -> History:
    """Load the parts from the last checkpoint, if there is one.

    Parameters
    ----------
    folder
        Folder of the run.
    schedule
        That of the run, which may have been lengthened.
    parts
        Some or all of ``network``, ``averaged`` and ``optimiser``; they are changed.

    Returns
    -------
    History
        That of the run, without agreement; an empty one if there is no checkpoint.

    Raises
    ------
    ModelError
        If the checkpoint belongs to another schedule or network, or cannot be read.
    """
    path = folder / CHECKPOINT
    if not path.exists():
        return History()
    content = _read_checkpoint(path)
    defaults = {each.name: each.default for each in fields(Schedule)}
    now, then = asdict(schedule), defaults | parse_json(content["plan"], str(path))
    if changed := [key for key in now if key not in _CHANGEABLE and now[key] != then[key]]:
        raise ModelError(
            f"{path} belongs to a run with another {', '.join(changed)}; use another folder."
        )
    try:
        for name, part in parts.items():
            part.load_state_dict(content[name])
    except (RuntimeError, ValueError, KeyError) as error:
        raise ModelError(
            f"{path} belongs to a run with another architecture; use another folder."
        ) from error
    return History(content["step"], content["seconds"], content["losses"])


def read_average(folder: Path) -> dict[str, torch.Tensor]:
    """Return the running average of the weights, by the names of the network's parameters.

    Raises
    ------
    ModelError
        If there is no checkpoint yet, or it cannot be read.
    """
    path = folder / CHECKPOINT
    if not path.exists():
        raise ModelError(f"there is no checkpoint in {folder}; train first.")
    weights = _read_checkpoint(path)["averaged"]
    return {
        name.removeprefix(_AVERAGE_PREFIX): value
        for name, value in weights.items()
        if name.startswith(_AVERAGE_PREFIX)
    }


def _read_checkpoint(path: Path) -> dict[str, Any]:
    import torch

    try:
        file = io.BytesIO(path.read_bytes())
    except (OSError, MemoryError) as error:
        raise ModelError(f"cannot read {path}: {first_line(error)}.") from error
    try:
        content: dict[str, Any] = torch.load(file, weights_only=True, map_location="cpu")
    except Exception as error:  # a spoilt file raises errors of many types
        if isinstance(error, MemoryError) or "memory" in str(error):
            raise ModelError(f"cannot read {path}: {first_line(error)}.") from error
        raise ModelError(
            f"{path} cannot be read as a checkpoint; delete it to begin anew."
        ) from error
    return content
