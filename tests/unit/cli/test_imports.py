"""Commands that run no network load none of what only networks and pictures need."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from odc_cleansat.cube.embedded import CONFIG_NAME
from odc_cleansat.synthetic.scene import SimulatedScene
from unit.archive import PATIENCE, Archive

HEAVY = ("torch", "openvino", "matplotlib", "distributed", "onnx", "segmentation_models_pytorch")

PROGRAM = f"""
import json, sys, odc_cleansat
from odc_cleansat.cli.main import main
for name in ["", *sys.argv[1:]]:
    try:
        main(name.split("|") if name else ["--version"])
    except SystemExit as stop:
        print(json.dumps([name, stop.code, [each for each in {HEAVY} if each in sys.modules]]))
"""


def test_commands_without_a_network_load_none(archive: Archive, tmp_path: Path) -> None:
    month, _ = archive.scenes(1)
    root = tmp_path / "masks"
    made = archive.call("run", "--time", month, "-o", root, "--workers", 1)
    _, said = made.communicate(timeout=PATIENCE)
    assert made.returncode == 0, said
    (mask,) = (path.parent for path in root.rglob("*.odc-metadata.yaml"))
    here = f"|-C|{archive.folder / CONFIG_NAME}"
    time = f"|--time|{month}{here}"
    commands = [
        "models|list",
        f"product|add{here}",
        f"status{time}",
        f"run|--dry-run|-o|{root}{time}",
        f"review|list{time}",
        f"review|accept|{mask}",
        f"review|show|{mask}",
        f"verify|--no-pixels|{root}",
        f"recall|-o|{tmp_path / 'recalled'}{time}",
    ]
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, *commands], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    lines = [json.loads(line) for line in result.stdout.splitlines() if line.startswith('["')]
    assert [name for name, _, _ in lines] == ["", *commands]
    for name, code, loaded in lines:
        assert (code, loaded) == (0, []), (name, result.stderr)


def test_a_mask_is_made_without_torch(tmp_path: Path) -> None:
    """Also where the network has to be compiled."""
    SimulatedScene(shape=(60, 60)).write(tmp_path / "scene")
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, f"mask|{tmp_path / 'scene'}|-o|{tmp_path / 'masks'}"],
        env={**os.environ, "CLEANSAT_CACHE": str(tmp_path / "cache")}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    _, line = [json.loads(line) for line in result.stdout.splitlines() if line.startswith('["')]
    assert line[1] == 0, result.stderr
    assert "openvino" in line[2]
    assert not {"torch", "segmentation_models_pytorch"} & set(line[2])
    assert list((tmp_path / "masks").rglob("*.odc-metadata.yaml"))


MEASURE = """
import os, sys
child = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ)
_, state, used = os.wait4(child, 0)
print(state, used.ru_maxrss // 1024)
"""


def test_start_and_mask_take_little_memory(tmp_path: Path) -> None:
    """Measured 30 and 470 MB. Torch alone takes 300 more, and numpy with xarray 100."""
    SimulatedScene(shape=(60, 60)).write(tmp_path / "scene")
    program = Path(sys.executable).parent / "cleansat"
    for arguments, most in (
        (["mask", "--help"], 60),
        (["mask", tmp_path / "scene", "-o", tmp_path / "masks"], 700),
    ):
        said = subprocess.run(
            [sys.executable, "-c", MEASURE, program, *arguments], capture_output=True, text=True, check=True
        ).stdout  # fmt: skip
        state, megabytes = map(int, said.splitlines()[-1].split())
        assert state == 0, said
        assert megabytes < most, arguments
