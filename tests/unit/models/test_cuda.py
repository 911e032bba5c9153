"""Networks on CUDA. A bundle of training/bundle.py carries this file to a machine that has pytest and little else."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch
from scipy import ndimage

from odc_cleansat import get_model
from odc_cleansat.models.model import Model
from odc_cleansat.models.registry import read_model
from odc_cleansat.models.torch_engine import TorchEngine

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(
        not torch.cuda.is_available(), reason="this machine has no NVIDIA device that torch can use"
    ),
]


@pytest.fixture(scope="module")
def model() -> Model:
    """The default model, or that of a document."""
    document = os.environ.get("CLEANSAT_TESTED")
    return read_model(document) if document else get_model()


@pytest.fixture(scope="module")
def pixels(model: Model) -> np.ndarray:
    """Smooth random reflectance from dark to saturated, ``(2, C, 256, 256)`` float32."""
    noise = np.random.default_rng(0).normal(size=(2, len(model.bands), 256, 256)).astype("float32")
    return np.clip(ndimage.gaussian_filter(noise, (0, 0, 4, 4)) * 5 + 0.3, 0, 1.2)


@pytest.fixture(scope="module")
def exact(model: Model, pixels: np.ndarray) -> np.ndarray:
    """What a processor answers in f32."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(torch.cuda, "is_available", lambda: False)
        return TorchEngine(model, "f32")(pixels)


def test_cuda_gives_the_logits_of_a_processor(
    model: Model, pixels: np.ndarray, exact: np.ndarray
) -> None:
    logits = [np.log(np.clip(each, 1e-6, 1)) for each in (TorchEngine(model, "f32")(pixels), exact)]
    np.testing.assert_allclose(*logits, atol=5e-2, rtol=0)  # TF32 may be allowed


def test_cuda_in_its_own_precision_keeps_the_classes(
    model: Model, pixels: np.ndarray, exact: np.ndarray
) -> None:
    assert np.mean(TorchEngine(model)(pixels).argmax(axis=1) == exact.argmax(axis=1)) > 0.99


def test_cuda_sizes_batches_to_its_memory(model: Model, pixels: np.ndarray) -> None:
    engine = TorchEngine(model)
    engine(np.tile(pixels[:1], (1, 1, 2, 2)))
    _, total = torch.cuda.mem_get_info()
    assert 10 < engine._bytes_per_pixel < 20_000
    large = np.broadcast_to(pixels[:1], (100_000, *pixels.shape[1:]))
    fitting = engine._windows_that_fit(large)
    assert 1 <= fitting < 100_000
    assert fitting * engine._bytes_per_pixel * 256 * 256 <= total
