"""Both engines give ONNX Runtime's answer."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from scipy import ndimage

from odc_cleansat import get_model, list_models
from odc_cleansat.engines import (
    OpenVINOEngine,
    _in_parts,
    available_cpus,
    get_engine,
    torch_network,
)
from odc_cleansat.errors import EngineError, ModelError
from odc_cleansat.models import Model, read_onnx, weights_path

onnxruntime.set_default_logger_severity(3)


@pytest.fixture(scope="module")
def reflectance() -> np.ndarray:
    """Smooth random reflectance from dark to saturated, ``(2, 6, 256, 256)`` float32."""
    noise = np.random.default_rng(0).normal(size=(2, 6, 256, 256)).astype("float32")
    return np.clip(ndimage.gaussian_filter(noise, (0, 0, 4, 4)) * 5 + 0.3, 0, 1.2)


def onnx_logits(graph: bytes, model: Model, reflectance: np.ndarray) -> np.ndarray:
    """What ONNX Runtime says of a graph, one image at a time."""
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    mean, std = (np.float32(v).reshape(1, -1, 1, 1) for v in (model.mean, model.std))
    images = (reflectance[:, : len(model.bands)] - mean) / std
    name = session.get_inputs()[0].name
    return np.concatenate([session.run(None, {name: image[np.newaxis]})[0] for image in images])


def logits_of(probabilities: np.ndarray) -> np.ndarray:
    """Logits up to a constant per pixel, which probabilities do not determine."""
    logs = np.log(probabilities.astype("float64"))
    return logs - logs.mean(axis=1, keepdims=True)


@pytest.mark.parametrize("name", list_models())
@pytest.mark.parametrize("engine", ["openvino", "torch"])
def test_logits_are_those_of_onnx_runtime(name: str, engine: str, reflectance: np.ndarray) -> None:
    model = get_model(name)
    expected = onnx_logits(read_onnx(model).SerializeToString(), model, reflectance)
    expected -= expected.mean(axis=1, keepdims=True)
    found = logits_of(get_engine(model, engine, "f32")(reflectance[:, : len(model.bands)]))
    np.testing.assert_allclose(found, expected, atol=1e-3, rtol=0)


def test_smp_unet_gives_the_logits_themselves(reflectance: np.ndarray) -> None:
    import torch

    model = get_model()
    expected = onnx_logits(read_onnx(model).SerializeToString(), model, reflectance)
    mean, std = (torch.tensor(v).reshape(1, -1, 1, 1) for v in (model.mean, model.std))
    with torch.inference_mode():
        found = torch_network(model)((torch.from_numpy(reflectance) - mean) / std).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-3, rtol=0)


def test_half_precision_of_the_published_graph_is_what_set_them_apart(
    reflectance: np.ndarray,
) -> None:
    model = get_model()
    published = onnx_logits(weights_path(model).read_bytes(), model, reflectance)
    widened = onnx_logits(read_onnx(model).SerializeToString(), model, reflectance)
    assert np.abs(published - widened).max() > 2e-3


def test_bf16_keeps_the_classes(reflectance: np.ndarray) -> None:
    model = get_model()
    try:
        half = get_engine(model, "openvino", "bf16")
    except ModelError:
        pytest.skip("this processor does not compute in bf16")
    exact = get_engine(model, "openvino", "f32")(reflectance).argmax(axis=1)
    assert np.mean(half(reflectance).argmax(axis=1) == exact) > 0.99


@pytest.mark.parametrize("shape", [(1, 6, 32, 32), (3, 6, 64, 96), (1, 6, 512, 160)])
def test_any_multiple_of_32_in_any_batch(shape: tuple[int, ...]) -> None:
    probabilities = get_engine(get_model())(np.full(shape, 0.2, dtype="float32"))
    assert probabilities.shape == (shape[0], 3, *shape[2:])
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)


def test_one_engine_a_process() -> None:
    assert get_engine(get_model()) is get_engine(get_model())


@pytest.mark.parametrize(
    ("engine", "precision", "message"),
    [("tensorflow", None, "openvino, torch"), (None, "f16", "bf16, f32")],
)
def test_unknown_choices(engine: str | None, precision: str | None, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        get_engine(get_model(), engine, precision)


def test_processors_that_may_be_used() -> None:
    import os

    assert 1 <= available_cpus() <= len(os.sched_getaffinity(0))


# --- the cache of compiled networks ---------------------------------------------------


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CLEANSAT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_compiled_networks_are_kept(
    cache: Path, reflectance: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = OpenVINOEngine(get_model())(reflectance)
    (blob,) = cache.iterdir()

    def forbidden(*_: object) -> None:
        raise AssertionError("the cached network must be used")

    monkeypatch.setattr("odc_cleansat.engines._openvino_graph", forbidden)
    np.testing.assert_array_equal(OpenVINOEngine(get_model())(reflectance), first)
    assert [blob] == list(cache.iterdir())


def test_other_weights_are_another_entry(cache: Path) -> None:
    OpenVINOEngine(get_model(), "f32")
    OpenVINOEngine(get_model("unet-efficientnetb4-l2a-4b"), "f32")
    OpenVINOEngine(dataclasses.replace(get_model(), mean=(0.0,) * 6), "f32")
    assert len(list(cache.iterdir())) == 3


def test_a_cut_off_entry_is_as_good_as_none(cache: Path, reflectance: np.ndarray) -> None:
    first = OpenVINOEngine(get_model())(reflectance)
    (blob,) = cache.iterdir()
    whole = blob.read_bytes()
    blob.write_bytes(whole[: len(whole) // 3])
    np.testing.assert_array_equal(OpenVINOEngine(get_model())(reflectance), first)
    assert len(blob.read_bytes()) == len(whole)


def test_a_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("CLEANSAT_CACHE", str(tmp_path / "file" / "cache"))
    assert OpenVINOEngine(get_model()).name == "openvino"


# --- memory, processes ----------------------------------------------------------------


def test_a_batch_that_is_too_large_is_run_in_parts() -> None:
    sizes = []

    def run(batch: np.ndarray) -> np.ndarray:
        sizes.append(len(batch))
        if len(batch) > 2:
            raise RuntimeError("Failed to allocate 123 bytes of memory")
        return batch * 2

    batch = np.arange(7.0).reshape(7, 1, 1, 1)
    np.testing.assert_array_equal(_in_parts(run, batch), batch * 2)
    assert max(sizes[1:]) < 7


def test_no_memory_at_all_is_an_error_that_says_so() -> None:
    def run(batch: np.ndarray) -> np.ndarray:
        raise MemoryError

    with pytest.raises(EngineError, match="window of 64 x 96"):
        _in_parts(run, np.zeros((3, 6, 64, 96)))


def test_other_errors_pass() -> None:
    def run(batch: np.ndarray) -> np.ndarray:
        raise RuntimeError("something else")

    with pytest.raises(RuntimeError, match="something else"):
        _in_parts(run, np.zeros((2, 6, 32, 32)))


CODE = """
import multiprocessing, sys
import numpy as np
from odc_cleansat import get_model
from odc_cleansat.engines import get_engine

def total(_):
    return float(get_engine(get_model())(np.full((1, 6, 64, 64), 0.2, "float32"))[0, 0].sum())

if __name__ == "__main__":
    here = total(0)  # so that a fork inherits a loaded engine
    with multiprocessing.get_context(sys.argv[1]).Pool(2) as pool:
        assert pool.map_async(total, range(4)).get(timeout=120) == [here] * 4
"""


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_pools_of_processes(tmp_path: Path, method: str) -> None:
    (tmp_path / "pool.py").write_text(CODE)
    subprocess.run(
        [sys.executable, "-W", "ignore", "pool.py", method], cwd=tmp_path, check=True, timeout=200
    )


def test_threads_give_the_same(reflectance: np.ndarray) -> None:
    engine = get_engine(get_model())
    expected = [engine(reflectance[:1]), engine(reflectance[1:])]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(engine, [reflectance[:1], reflectance[1:]] * 6))
    for i, each in enumerate(found):
        np.testing.assert_array_equal(each, expected[i % 2])
