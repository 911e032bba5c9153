"""The loss of teachers and labels."""

from __future__ import annotations

import numpy as np
import pytest

from odc_cleansat.training.learner import loss_of
from odc_cleansat.training.schedule import Schedule
from odc_cleansat.training.truths import class_bits, possible_channels
from unit.training.helpers import CLEAR, CLOUD, SHADOW


def test_the_loss_of_a_label_that_does_not_know_shadow() -> None:
    import torch

    logs = torch.tensor([0.2, 0.5, 0.3]).log().view(1, 3, 1, 1)
    possible = torch.from_numpy(possible_channels((CLEAR, CLOUD, SHADOW)))
    for truth, wanted in (({CLEAR, SHADOW}, -np.log(0.5)), ({SHADOW}, -np.log(0.3)), ((), 0.0)):
        each = possible[class_bits(truth)].view(1, 3, 1, 1)
        loss = loss_of(logs, None, each, Schedule(truth=1.0))
        assert float(loss.detach()) == pytest.approx(wanted, abs=1e-6)


def test_the_loss_has_the_weights_of_the_plan() -> None:
    import torch

    logs = torch.tensor([0.2, 0.5, 0.3]).log().view(1, 3, 1, 1)
    taught = torch.tensor([0.0, 1.0, 0.0]).view(1, 3, 1, 1)
    cloud = torch.tensor([False, True, False]).view(1, 3, 1, 1)
    found = float(loss_of(logs, taught, cloud, Schedule(teacher=2.0, truth=0.5)).detach())
    assert found == pytest.approx(2.5 * np.log(2), abs=1e-6)
