"""Checkpoints, from which a run goes on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from odc_cleansat.errors import ModelError
from odc_cleansat.training.checkpoints import read_average, resume, save_checkpoint
from odc_cleansat.training.history import History
from odc_cleansat.training.schedule import Schedule

if TYPE_CHECKING:
    import torch

SCHEDULE = Schedule(steps=10)


def network(outputs: int = 3) -> torch.nn.Module:
    import torch

    return torch.nn.Linear(2, outputs)


def test_a_run_without_a_checkpoint_begins(tmp_path: Path) -> None:
    assert resume(tmp_path, SCHEDULE, network=network()) == History()
    with pytest.raises(ModelError, match=r"there is no checkpoint in .*; train first"):
        read_average(tmp_path)


def test_a_checkpoint_gives_back_what_was_saved(tmp_path: Path) -> None:
    from torch.optim.swa_utils import AveragedModel

    learnt, again = network(), network()
    averaged = AveragedModel(learnt)
    history = History(3, 1.5, [3.0, 2.0, 1.0], {"group": 0.5})
    save_checkpoint(tmp_path, SCHEDULE, history, network=learnt, averaged=averaged)
    assert resume(tmp_path, SCHEDULE, network=again) == replace(history, agreement={})
    assert again.weight.tolist() == learnt.weight.tolist()
    assert set(read_average(tmp_path)) == {"weight", "bias"}


def test_a_checkpoint_belongs_to_one_schedule_and_network(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, SCHEDULE, History(), network=network())
    longer = replace(SCHEDULE, steps=99, cooldown=5, check=7)
    assert resume(tmp_path, longer, network=network()) == History()
    with pytest.raises(ModelError, match="with another rate, seed; use another folder"):
        resume(tmp_path, replace(SCHEDULE, rate=1.0, seed=5), network=network())
    with pytest.raises(ModelError, match="with another architecture"):
        resume(tmp_path, SCHEDULE, network=network(4))
