"""Stopping: the first signal asks, the second interrupts, and handlers are put back."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from odc_cleansat.batch.stop import Stop


def test_the_first_asks_and_the_second_interrupts() -> None:
    before = [signal.getsignal(each) for each in Stop.SIGNALS]
    said: list[str] = []
    with Stop(said.append) as stop:
        assert not stop()
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert stop()
    assert said == ["Stopping: scenes under way are being finished; Ctrl-C again stops at once."]
    assert [signal.getsignal(each) for each in Stop.SIGNALS] == before


def test_in_another_thread_signals_are_left_alone() -> None:
    asked: list[bool] = []

    def work() -> None:
        with Stop(print) as stop:
            asked.append(stop())

    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert asked == [False]
    assert signal.getsignal(signal.SIGINT) is before
