"""The engine of torch, on CUDA where there is a device."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from odc_cleansat.errors import ModelError
from odc_cleansat.models.model import Architecture, Model
from odc_cleansat.models.openvino_engine import OpenVINOEngine
from odc_cleansat.models.torch_engine import TorchEngine
from unit.models.helpers import (
    a_model,
)

FORK = """
import os
import signal

import numpy as np

from odc_cleansat import get_model
from odc_cleansat.models.engines import get_engine


def ask():
    engine = get_engine(get_model("unet-efficientnetb4-l2a-4b"), "torch", "f32")
    return engine(np.full((1, 4, 128, 128), 0.2, "float32"))


here = ask()
child = os.fork()
if child == 0:
    signal.alarm(60)
    os._exit(0 if np.allclose(ask(), here, atol=1e-4) else 1)
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_process_computes_after_its_parent_did() -> None:
    """OpenMP's threads are not in the child, and whatever waits for them waits for ever."""
    done = subprocess.run(
        [sys.executable, "-c", FORK],
        env={**os.environ, "CLEANSAT_THREADS": "2", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True, text=True, check=False, timeout=180,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_a_softmax_that_nobody_mentioned_is_refused_by_torch_too(
    tmp_path: Path, small: np.ndarray
) -> None:
    """A second one would make the network unsure of everything."""
    from safetensors.torch import save_file
    from segmentation_models_pytorch import Unet

    network = Unet(
        "mobilenet_v2",
        encoder_depth=3,
        encoder_weights=None,
        decoder_channels=(16, 8, 8),
        in_channels=4,
        classes=3,
    )
    weights = tmp_path / "soft.safetensors"
    save_file(network.state_dict(), weights)
    kind = Architecture(
        "Unet",
        "mobilenet_v2",
        (("encoder_depth", 3), ("decoder_channels", (16, 8, 8)), ("activation", "softmax2d")),
    )
    model = a_model(weights, architecture=kind)
    for engine in (TorchEngine, OpenVINOEngine):
        with pytest.raises(ModelError, match="ends in a softmax; say output: probabilities"):
            engine(model, "f32")
    found = TorchEngine(dataclasses.replace(model, output="probabilities"), "f32")(small[:, :4])
    assert found.max() > 1 / 3


def test_torch_splits_a_batch_that_will_not_fit(
    mobile: Model, small: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = TorchEngine(mobile, "f32")
    batch = np.concatenate([small[..., :64, :64]] * 3)[:5]
    expected = engine(batch)
    sizes = []
    run = engine._run
    monkeypatch.setattr(engine, "_run", lambda part: sizes.append(len(part)) or run(part))
    monkeypatch.setattr(engine, "_windows_that_fit", lambda _: 2)
    np.testing.assert_allclose(engine(batch), expected, atol=1e-4)
    assert sizes == [2, 2, 1]


def test_torch_halves_a_batch_when_memory_runs_out(
    mobile: Model, small: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    engine = TorchEngine(mobile, "f32")
    batch = np.concatenate([small[..., :64, :64]] * 2)
    expected = engine(batch)
    network, sizes = engine._network, []

    def small_device(images: torch.Tensor) -> torch.Tensor:
        sizes.append(len(images))
        if len(images) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return network(images)

    monkeypatch.setattr(engine, "_network", small_device)
    np.testing.assert_allclose(engine(batch), expected, atol=1e-4)
    assert sizes == [4, 2, 1, 1, 2, 1, 1]


def test_torch_in_half_precision_keeps_the_classes(mobile: Model, small: np.ndarray) -> None:
    small = small[:1, :, :64, :64]
    exact = TorchEngine(mobile, "f32")(small).argmax(axis=1)
    half = TorchEngine(mobile, "bf16")(small).argmax(axis=1)
    assert np.mean(half == exact) > 0.97
