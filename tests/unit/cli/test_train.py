"""The command ``cleansat train``."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from odc_cleansat.cli.main import main
from odc_cleansat.training.summary import SUMMARY
from unit.training.helpers import plan, write


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """These networks are so small that threads would only wait for each other."""
    monkeypatch.setenv("CLEANSAT_THREADS", "1")


@pytest.fixture
def no_curves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Learning curves are not drawn, which takes longer than training."""
    for module in ("loop", "export"):
        monkeypatch.setattr(f"odc_cleansat.training.{module}.draw_curves", lambda _: None)


@pytest.mark.usefixtures("no_curves")
def test_the_command_trains_and_goes_on(tmp_path: Path) -> None:
    options = ["--out", str(tmp_path / "run"), "--device", "cpu", "--precision", "f32"]
    arguments = ["train", str(write(tmp_path, plan=plan(steps=4))), *options]
    done = CliRunner().invoke(main, [*arguments, "--steps", "3"])
    assert done.exit_code == 0, done.output
    assert "agreement, %: sim-6" in done.output
    assert "cleansat models import" in done.output
    first = (tmp_path / "run" / "tiny.safetensors").read_bytes()
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    assert "Going on after step 3" in done.output
    assert (tmp_path / "run" / "tiny.safetensors").read_bytes() != first
    (tmp_path / "run" / "tiny.safetensors").unlink()
    done = CliRunner().invoke(main, [*arguments, "--export-only"])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "run" / "tiny.safetensors").exists()
    assert (tmp_path / "run" / SUMMARY).exists()


@pytest.fixture
def endless(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """The command, with far too many steps to do."""
    path = write(tmp_path, plan=plan(steps=100_000, check=50_000, size=32))
    program = "import sys; from odc_cleansat.cli.main import main; main(sys.argv[1:])"
    arguments = ["train", path, "--out", tmp_path / "a run", "--precision", "f32"]
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", program, *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"CLEANSAT_THREADS": "1"},
    )
    yield process
    process.kill()
    process.wait()


def test_ctrl_c_saves_a_checkpoint_and_says_how_to_go_on(
    tmp_path: Path, endless: subprocess.Popen[str]
) -> None:
    assert endless.stdout is not None
    for line in endless.stdout:
        if "s a step: about" in line:
            break
    began = time.monotonic()
    endless.send_signal(signal.SIGINT)
    rest, _ = endless.communicate(timeout=40)
    assert time.monotonic() - began < 30
    assert endless.returncode == 130
    (again,) = [line for line in rest.splitlines() if line.startswith("Stopped.")]
    assert shlex.split(again.partition(": ")[2]) == [
        "cleansat", "train", str(tmp_path / "tiny.yaml"), "--out", str(tmp_path / "a run"), "--precision", "f32",
    ]  # fmt: skip
    assert "--export-only" in rest
    assert (tmp_path / "a run" / "checkpoint.pt").exists()


def test_commands_that_cannot_be_done(tmp_path: Path) -> None:
    path = str(write(tmp_path))
    out = str(tmp_path / "none")
    for arguments, code, message in (
        (["--export-only"], 1, "there is no run in"),
        (["--hours", "0"], 2, "not in the range"),
    ):
        done = CliRunner().invoke(main, ["train", path, "--out", out, *arguments])
        assert done.exit_code == code, done.output
        assert message in done.output
