"""How fast a session was."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from odc_cleansat.training import speed
from odc_cleansat.training.speed import Stopwatch, write_speed


def test_the_shares_of_the_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 1.0, 1.0, 4.0, 4.0, 5.0])
    monkeypatch.setattr(speed.time, "perf_counter", lambda: next(clock))
    watch = Stopwatch()
    for part in ("teachers", "network", "teachers"):
        with watch.measure(part):
            pass
    watch.steps = 10
    said = write_speed(tmp_path, watch, 30, "cpu", 1)
    assert json.loads((tmp_path / "speed.json").read_text()) == {
        "device": "cpu", "workers": 1, "step": 30, "steps": 10, "seconds": 5.0, "steps a second": 2.0,
        "share of teachers": 0.4, "share of network": 0.6,
    }  # fmt: skip
    assert "steps a second 2.0, share of teachers 0.4" in said


def test_a_session_without_a_step(tmp_path: Path) -> None:
    write_speed(tmp_path, Stopwatch(), 0, "cpu", 1)
    assert json.loads((tmp_path / "speed.json").read_text())["steps a second"] == 0


def test_of_cuda_the_name_and_the_memory_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.get_device_name", lambda: "Some GPU")
    monkeypatch.setattr("torch.cuda.memory_reserved", lambda: 3_210_000_000)
    assert "device Some GPU" in write_speed(tmp_path, Stopwatch(), 0, "cuda", 15)
    assert json.loads((tmp_path / "speed.json").read_text())["GPU memory, GB"] == 3.21
