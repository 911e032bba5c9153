"""The protocol of progress: its silent default, and the callable that it gives."""

from __future__ import annotations

import heapq
import random

import pytest

from odc_cleansat.progress import SILENT, Pace, Reporter


def test_silence(capfd: pytest.CaptureFixture[str]) -> None:
    SILENT.say("nothing")
    with SILENT.step("Nothing", unit="scene") as count:
        count(1, 2)
        count(2, 2, note="1 failed")
    assert capfd.readouterr() == ("", "")


def test_an_error_passes_through_a_silent_step() -> None:
    with pytest.raises(ZeroDivisionError), SILENT.step("Dividing"):
        _ = 1 / 0


def test_recorders_of_tests_follow_the_protocol(recorder: Reporter) -> None:
    recorder.say("one")
    with recorder.step("two", unit="scene") as count:
        count(1, 2, note="fine")


@pytest.mark.parametrize(("together", "units"), [(1, 30), (4, 40), (7, 25), (4, 3)])
def test_the_end_is_foretold_once_it_can_be_known(together: int, units: int) -> None:
    """Units take about a minute each, and as many as `together` begin at once."""
    chance = random.Random(together)
    free = [0.0] * together
    ends = []
    for _ in range(units):
        begun = heapq.heappop(free)
        heapq.heappush(free, begun + chance.uniform(50, 70))
        ends.append(max(free))
    ends = sorted(ends)
    pace = Pace(together)
    for done, now in enumerate(ends, start=1):
        seconds = pace.add(done, now)
        assert (seconds is None) == (done <= together)
        if seconds is not None:
            assert 0.75 < seconds * together / 60 < 1.25


def test_a_step_that_goes_on_where_it_stopped_has_the_pace_of_now() -> None:
    pace = Pace()
    assert pace.add(500, 100.0) is None
    assert pace.add(510, 120.0) == 2.0
