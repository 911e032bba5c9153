"""Fixtures of the tests of training."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from odc_cleansat.training import sources
from odc_cleansat.training.recipe import Recipe
from odc_cleansat.training.recipe_file import read_recipe
from unit.training.helpers import run, write


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """These networks are so small that threads would only wait for each other."""
    monkeypatch.setenv("CLEANSAT_THREADS", "1")


@pytest.fixture(autouse=True, scope="session")
def simulated_once() -> Iterator[None]:
    """Each simulated scene is made once, for all recipes are of the same."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sources, "simulate_patch", cache(sources.simulate_patch))
        yield


@pytest.fixture
def no_curves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Learning curves are not drawn, which takes longer than training."""
    for module in ("loop", "export"):
        monkeypatch.setattr(f"odc_cleansat.training.{module}.draw_curves", lambda _: None)


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    """A recipe of simulated scenes alone."""
    return read_recipe(write(tmp_path))


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[float]]:
    """The folder and the losses of a run from the first to the last step."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("CLEANSAT_THREADS", "1")
        return folder / "run", run(read_recipe(write(folder)), folder / "run")


@pytest.fixture
def begun(tmp_path: Path, whole: tuple[Path, list[float]]) -> Path:
    """A copy of a run."""
    return Path(shutil.copytree(whole[0], tmp_path / "begun"))


@pytest.fixture
def imagenet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Weights for MobileNetV2 as segmentation_models_pytorch publishes them, in Hugging Face's cache."""
    import torch
    import torchvision
    from huggingface_hub import constants
    from safetensors.torch import save_file
    from segmentation_models_pytorch.encoders import encoders

    torch.manual_seed(5)
    weights = torchvision.models.mobilenet_v2(weights=None).state_dict()
    source = encoders["mobilenet_v2"]["pretrained_settings"]["imagenet"]
    name = f"models--{source['repo_id'].replace('/', '--')}"
    folder = tmp_path / "hub" / name / "snapshots" / source["revision"]
    folder.mkdir(parents=True)
    save_file(weights, folder / "model.safetensors")
    (folder / "config.json").write_text("{}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return dict(weights)
