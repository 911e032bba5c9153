"""The history of a run."""

from __future__ import annotations

import pytest

from odc_cleansat.training.history import History


def test_the_mean_loss_is_that_of_the_last_steps() -> None:
    history = History(losses=[9.0, 1.0, 2.0, 3.0])
    assert history.mean_loss(3) == pytest.approx(2)
    assert history.mean_loss(100) == pytest.approx(3.75), "of all, if they are fewer"
