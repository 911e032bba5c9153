"""The schedule of a training run."""

from __future__ import annotations

import pytest

from odc_cleansat.training.schedule import Schedule


def test_the_learning_rate_rises_stays_and_falls_to_nothing() -> None:
    schedule = Schedule(steps=100, warmup=4, cooldown=20, rate=0.2)
    rates = [schedule.rate_at(step) for step in (0, 3, 50, 80, 90, 99, 100)]
    assert rates == pytest.approx([0.05, 0.2, 0.2, 0.2, 0.1, 0.01, 0])


def test_the_rate_of_a_schedule_without_rise_and_fall_is_level() -> None:
    schedule = Schedule(steps=3, warmup=0, cooldown=0, rate=0.2)
    assert [schedule.rate_at(step) for step in range(3)] == [0.2] * 3


def test_the_network_is_evaluated_now_and_then_and_at_the_end() -> None:
    schedule = Schedule(steps=10, check=4)
    assert [steps for steps in range(1, 11) if schedule.evaluates_after(steps)] == [4, 8, 10]
