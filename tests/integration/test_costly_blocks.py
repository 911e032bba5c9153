"""Blocks of the pages that take minutes, or packages from the index. `make test-blocks` runs them, `make test` does not."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from checkouts import OFFLINE, libraries
from pages import ROOT, Block
from ports import free_port
from shell import NOBODY, Shell
from unit.training.helpers import DOCUMENT

from odc_cleansat.cube.embedded import stop_cube
from odc_cleansat.synthetic.scene import SimulatedScene

pytestmark = pytest.mark.costly
INDEX = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
"""Where pip finds packages on this machine."""


def test_make(marked: list[Block], checkout: Path, tmp_path: Path) -> None:
    """The demo, the application until Ctrl-C, and parts of the tests, in a checkout with one environment."""
    (tmp_path / "inner").mkdir()
    shell = Shell(
        tmp_path, PYTHONPATH=str(checkout), PORT=str(free_port()),
        # Where pytest starts it closes its folder to others, and the database is another user.
        PYTEST_DEBUG_TEMPROOT=str(tmp_path / "inner"),
    )  # fmt: skip
    try:
        said = shell.type(marked, where="checkout", limit_s=900)
    finally:
        for name in ("cleansat-demo", "cleansat-example"):
            stop_cube(checkout / name)
    assert (checkout / "cleansat-demo/compare.png").exists()
    assert said.count(" passed") >= 3
    assert "make test-programs" in said
    assert (checkout / ".git/hooks/pre-commit").exists()


def small(recipe: Path, target: Path) -> None:
    """Write a recipe anew with one simulated scene to learn from, one to be held out, and few steps."""
    document = yaml.safe_load(recipe.read_text("utf-8"))
    document["data"] = [{"simulated": [100], "size": 64, "truth": False}]
    document["held_out"] = {"data": [{"name": "simulated", "simulated": [110], "size": 64}]}
    document["plan"] |= {**DOCUMENT["plan"], "teacher": 1, "truth": 0.1}
    target.write_text(yaml.safe_dump(document))


def test_training(marked: list[Block], checkout: Path, tmp_path: Path) -> None:
    """The recipes of the pages, which take hours, on one simulated scene and with six steps."""
    shipped, mine = sorted(marked, key=lambda block: "my-model" in block.text)
    recipe = "training/unet-mobilenetv2-l2a.yaml"
    small(ROOT / recipe, checkout / recipe)
    (tmp_path / "shared/data").mkdir(parents=True)
    Shell(tmp_path, PYTHONPATH=str(checkout)).type([shipped], where="checkout", limit_s=900)
    assert (checkout / "run/unet-mobilenetv2-l2a.safetensors").exists()
    (tmp_path / "DATA").mkdir()
    (tmp_path / "my-model.yaml").write_text(yaml.safe_dump({**DOCUMENT, "name": "my-model"}))
    SimulatedScene(shape=(240, 360)).write(tmp_path / "SCENE")
    Shell(tmp_path, CLEANSAT_MODELS=str(tmp_path / "models")).type([mine], limit_s=600)
    assert [*tmp_path.glob("masks/**/*_ucl.tif")]


def test_a_bundle(marked: list[Block], checkout: Path, tmp_path: Path) -> None:
    """A recipe of the pages, on one simulated scene, with the teachers that it names."""
    recipe = "training/unet-mobilenetv2-l2a-thin.yaml"
    small(ROOT / recipe, checkout / recipe)
    (tmp_path / "shared/data").mkdir(parents=True)
    Shell(tmp_path, PYTHONPATH=str(checkout)).type(marked, where="checkout", limit_s=900)
    files = [path for path in (checkout / "bundle").rglob("*") if path.is_file()]
    assert checkout / "bundle/train.py" in files
    assert 10 << 20 < sum(path.stat().st_size for path in files) < 64 << 20


def test_notebooks(marked: list[Block], checkout: Path, tmp_path: Path) -> None:
    """Jupyter is installed from the index, all else is there; its server is asked, and ended by Ctrl-C."""
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "own"], check=True)
    shell = Shell(
        tmp_path, tmp_path / "own/bin", PYTHONPATH=libraries(tmp_path / "libraries"),
        **{**INDEX, "PIP_NO_BUILD_ISOLATION": "0"},
    )  # fmt: skip
    for name, value in list(shell.environment.items()):
        if value == NOBODY:
            del shell.environment[name]
    # As root Jupyter starts only if it is told to.
    settings = tmp_path / "home/.jupyter/jupyter_server_config.json"
    settings.parent.mkdir(parents=True)
    settings.write_text(json.dumps({"ServerApp": {"allow_root": True, "port": free_port()}}))
    said = shell.type(marked, where="checkout", limit_s=900)
    assert "Successfully installed" in said
    assert "jupyterlab" in said


def test_figures(marked: list[Block], checkout: Path, shared: Path, tmp_path: Path) -> None:
    """The tables of real scenes by date, and those of simulated scenes, are written into the pages anew."""
    accuracy, time = sorted(marked, key=lambda block: "--time" in block.text)
    shell = Shell(tmp_path, PYTHONPATH=str(checkout))
    pages = [checkout / "docs/accuracy" / name for name in ("index.md", "presets.md")]
    before = [page.read_text("utf-8").count("|") for page in pages]
    said = shell.type([accuracy], where="checkout", limit_s=900)
    assert "simulated" in said
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared/data").symlink_to(shared)
    shell.type([time], where="checkout", limit_s=900)
    assert before == [page.read_text("utf-8").count("|") for page in pages]


def test_the_template(marked: list[Block], wheels: str, tmp_path: Path) -> None:
    """With the answers that are proposed, in an environment that is the reader's own."""
    path = libraries(tmp_path / "libraries")
    (tmp_path / "path/to").mkdir(parents=True)
    (tmp_path / "path/to/odc-cleansat").symlink_to(ROOT)
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "own"], check=True)
    shell = Shell(tmp_path, tmp_path / "own/bin", PYTHONPATH=path, PIP_FIND_LINKS=wheels, **OFFLINE)
    install = [tmp_path / "own/bin/pip", "install", "--quiet", "odc-cleansat"]
    subprocess.run(install, env=shell.environment, check=True)
    for name in ("cookiecutter", "pytest"):  # for what is there already pip writes no programs
        (tmp_path / "own/bin" / name).write_text(f'#!/bin/sh\nexec python -m {name} "$@"\n')
        (tmp_path / "own/bin" / name).chmod(0o755)
    said = shell.type(marked)
    assert "Successfully installed my-cloud-model" in said
    assert re.search(r"\d passed", said)
