"""TorchScript runs only where it is allowed."""

from __future__ import annotations

import dataclasses
import shutil
import warnings
from pathlib import Path

import pytest

from odc_cleansat.errors import ModelError
from odc_cleansat.models.model import Architecture
from odc_cleansat.models.networks import build_network, torch_network
from odc_cleansat.models.registry import read_model
from odc_cleansat.models.torchscript import allow_torchscript, check_allowed, torchscript_on_trial
from odc_cleansat.models.weights import sha256_of
from unit.models.helpers import (
    small_network,
    write,
)


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A TorchScript file of a network."""
    import torch

    path = tmp_path_factory.mktemp("traced") / "small.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.trace(small_network(), torch.zeros(1, 4, 64, 64)), path)
    return path


@pytest.fixture
def script(traced: Path, tmp_path: Path) -> Path:
    """A copy of it in the folder of the test."""
    return Path(shutil.copy(traced, tmp_path))


def test_torchscript_runs_only_where_it_is_allowed(
    script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    as_weights = read_model(write(tmp_path, weights="file:small.pt"))
    with pytest.raises(ModelError, match="more than tensors"):
        torch_network(as_weights)
    model = read_model(write(tmp_path, weights="file:small.pt", torchscript=True, architecture=None))  # fmt: skip
    with pytest.raises(ModelError, match=r"a program.*CLEANSAT_ALLOW_TORCHSCRIPT=1"):
        torch_network(model)
    allow_torchscript("0" * 64)  # another file
    with pytest.raises(ModelError, match="a program"):
        torch_network(model)
    allow_torchscript(sha256_of(model))
    image = torch.rand(1, 4, 96, 64)
    with torch.inference_mode():
        torch.testing.assert_close(torch_network(model)(image), small_network()(image))
    monkeypatch.setenv("CLEANSAT_MODELS", str(tmp_path / "others"))
    with pytest.raises(ModelError, match="a program"):
        torch_network(model)
    monkeypatch.setenv("CLEANSAT_ALLOW_TORCHSCRIPT", "1")
    torch_network(model)


def test_torchscript_on_trial_is_trusted_only_if_nothing_fails(
    script: Path, tmp_path: Path
) -> None:
    model = read_model(write(tmp_path, weights="file:small.pt", torchscript=True, architecture=None))  # fmt: skip
    with pytest.raises(ModelError, match="no network"), torchscript_on_trial(model):
        build_network(dataclasses.replace(model, architecture=Architecture("none")))
    with pytest.raises(ModelError, match="fetch --allow-torchscript small"):
        check_allowed(model)
    for _ in range(2):
        with torchscript_on_trial(model):
            check_allowed(model)
    check_allowed(model)
    (record,) = (tmp_path / "models").glob("*.txt")
    assert record.read_text() == f"{sha256_of(model)}\n"


def test_what_is_no_torchscript(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLEANSAT_ALLOW_TORCHSCRIPT", "1")
    (tmp_path / "small.torchscript").write_bytes(b"something else")
    model = read_model(write(tmp_path, weights="file:small.torchscript", torchscript=True, architecture=None))  # fmt: skip
    with pytest.raises(ModelError, match="no TorchScript"):
        torch_network(model)
