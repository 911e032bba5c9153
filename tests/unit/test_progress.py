"""The protocol of progress: its silent default, and the callable that it gives."""

from __future__ import annotations

import pytest

from odc_cleansat.progress import SILENT, Reporter


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
