"""Capacity and cost: the page shows what the script computes, and the script computes what it says."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "deploy" / "capacity.py"
PAGE = (ROOT / "docs" / "capacity.md").read_text("utf-8")


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("capacity", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def known() -> dict[str, Any]:
    return tomllib.loads(SCRIPT.with_suffix(".toml").read_text("utf-8"))


def test_the_page_shows_what_the_script_prints() -> None:
    (call,) = re.findall(r"^python deploy/(capacity\.py .+)$", PAGE, re.MULTILINE)
    done = subprocess.run(
        [sys.executable, *call.split()], cwd=SCRIPT.parent, capture_output=True, text=True, check=True
    )  # fmt: skip
    shown = re.findall(r"<!-- (?:capacity|assumptions) -->\n(.+?)\n<!-- end -->", PAGE, re.DOTALL)
    assert done.stdout == "\n\n".join(shown) + "\n", (
        "python deploy/capacity.py, and copy its tables"
    )


def test_the_sums_by_hand(script: ModuleType, known: dict[str, Any]) -> None:
    known["tile"]["pixels"] = 20_000_000
    known["speed"] = {"bf16": 2.0, "f32": 1.0, "other": 4.0, "store": 6.0, "together": 0.5}
    machine = {"processors": 8, "memory": 64, "dollars": 1.8, "speed": "bf16"}
    assert script.workers(machine) == 4
    assert script.tiles_an_hour(machine, known) == 3600 / 20 * 4 * 0.5
    assert script.tiles_an_hour({**machine, "speed": "f32"}, known) == 3600 / 30 * 4 * 0.5
    assert script.workers({**machine, "memory": 8}) == 2
    assert script.tiles_an_hour({**machine, "processors": 2}, known) == 180, "one is alone"
    # A device computes 20 million in 4 s, and its workers need 10 s / 2 beside it.
    assert script.tiles_an_hour({**machine, "pixels": 5.0}, known) == 3600 / 5
    assert script.tiles_an_hour({**machine, "pixels": 2.0}, known) == 3600 / 10
    known["machines"] = {"mine": machine}
    row = script.machine_table(known, scenes=3600, hours=2).splitlines()[-1]
    assert row == "| `mine` | 360 | 45 | 5.00 | 2.00 | 0.50 | 5 |"


def test_prices_of_ones_own(known: dict[str, Any], tmp_path: Path) -> None:
    text = SCRIPT.with_suffix(".toml").read_text("utf-8")
    (tmp_path / "mine.toml").write_text(text.replace("dollars = 0.714", "dollars = 7.14"))

    def dollars(*arguments: object) -> float:
        done = subprocess.run(
            [sys.executable, SCRIPT, *map(str, arguments)], capture_output=True, text=True, check=True
        )  # fmt: skip
        return float(done.stdout.splitlines()[2].split(" | ")[3])

    assert dollars("--file", tmp_path / "mine.toml") == pytest.approx(10 * dollars(), rel=0.01)


def test_speeds_are_those_that_were_measured(known: dict[str, Any]) -> None:
    page = (ROOT / "docs" / "performance.md").read_text("utf-8")
    ((bf16, f32),) = re.findall(r"^\| the default network \| ([\d.]+) \| ([\d.]+) \|$", page, re.MULTILINE)  # fmt: skip
    for precision, seconds in (("bf16", bf16), ("f32", f32)):
        assert known["speed"][precision] == pytest.approx(2 * 2.048**2 / float(seconds), abs=0.01)
    (whole,) = re.findall(r"^\| bf16 \| [\d.]+ \| ([\d.]+) \| [\d.]+ GB ", page, re.MULTILINE)
    network = known["tile"]["pixels"] / 1e6 / known["speed"]["bf16"]
    assert known["speed"]["other"] == pytest.approx(float(whole) / 2 - network, abs=0.1)
