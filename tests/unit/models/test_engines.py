"""Engines: choice, one for a process, and both give ONNX Runtime's answer."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

from odc_cleansat import get_model
from odc_cleansat.errors import ModelError
from odc_cleansat.models import engines
from odc_cleansat.models.documents import write_model
from odc_cleansat.models.engines import get_engine
from odc_cleansat.models.ensembles import ensemble
from odc_cleansat.models.model import Architecture, Model
from odc_cleansat.models.networks import torch_network
from odc_cleansat.models.onnx_graph import read_onnx
from odc_cleansat.models.openvino_engine import OpenVINOEngine
from unit.models.helpers import (
    CLASSES,
    CSMASK,
    KERNEL,
    a_model,
    four_bands,
    logits_of,
    onnx_file,
    onnx_logits,
    random_weights,
)


@pytest.fixture(scope="module")
def expected_logits(image: np.ndarray) -> Callable[[str], np.ndarray]:
    """What ONNX Runtime makes of `image`, by model; computed once for both engines."""

    @lru_cache
    def expected(name: str) -> np.ndarray:
        model = get_model(name)
        logits = onnx_logits(read_onnx(model).SerializeToString(), model, image)
        return logits - logits.mean(axis=1, keepdims=True)

    return expected


@pytest.mark.parametrize("engine", ["openvino", "torch"])
@pytest.mark.parametrize("name", CSMASK)
def test_logits_are_those_of_onnx_runtime(
    name: str, engine: str, image: np.ndarray, expected_logits: Callable[[str], np.ndarray]
) -> None:
    model = get_model(name)
    found = logits_of(get_engine(model, engine, "f32")(image[:, : len(model.bands)]))
    np.testing.assert_allclose(found, expected_logits(name), atol=1e-3, rtol=0)


def test_bf16_keeps_the_classes(image: np.ndarray) -> None:
    model = get_model()
    try:
        half = get_engine(model, "openvino", "bf16")
    except ModelError:
        pytest.skip("this processor does not compute in bf16")
    exact = get_engine(model, "openvino", "f32")(image).argmax(axis=1)
    assert np.mean(half(image).argmax(axis=1) == exact) > 0.99


@pytest.mark.parametrize("shape", [(1, 6, 32, 32), (3, 6, 64, 96), (1, 6, 512, 160)])
def test_any_multiple_of_32_in_any_batch(shape: tuple[int, ...]) -> None:
    model = get_model()
    probabilities = get_engine(model)(np.full(shape, 0.2, dtype="float32"))
    assert probabilities.shape == (shape[0], len(model.classes), *shape[2:])
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


def test_the_environment_may_choose_the_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLEANSAT_PRECISION", "f32")
    assert get_engine(get_model()).precision == "f32"
    monkeypatch.setenv("CLEANSAT_PRECISION", "f64")
    with pytest.raises(ModelError, match="no precision 'f64'; choose from bf16, f32"):
        get_engine(get_model())
    assert get_engine(get_model(), precision="f32").precision == "f32"


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize("bands", [6, 4])
def test_openvino_runs_a_state_dict_as_torch_does(
    mobile: Model, bands: int, small: np.ndarray
) -> None:
    model = mobile if bands == 6 else four_bands(mobile)
    images = small[:, :bands]
    expected = logits_of(get_engine(model, "torch", "f32")(images))
    found = logits_of(get_engine(model, "openvino", "f32")(images))
    assert expected.std() > 0.05
    np.testing.assert_allclose(found, expected, atol=1e-3, rtol=0)


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize(
    "architecture",
    [
        Architecture("Unet", "mobilenet_v2", (("encoder_depth", 3), ("decoder_interpolation", "bilinear"), ("decoder_channels", (16, 8, 8)))),
        Architecture("Linknet", "mobilenet_v2", (("encoder_depth", 3),)),
    ],
    ids=str,
)  # fmt: skip
def test_other_architectures(architecture: Architecture, tmp_path: Path, small: np.ndarray) -> None:
    path = random_weights(architecture, 4, tmp_path / "weights.safetensors")
    model = a_model(path, architecture=architecture)
    expected = get_engine(model, "torch", "f32")(small[:, :4])
    found = get_engine(model, "openvino", "f32")(small[:, :4])
    assert expected.std() > 0.01
    np.testing.assert_allclose(found, expected, atol=1e-3, rtol=0)


@pytest.mark.usefixtures("cache")
def test_torchscript_gives_what_its_network_gives(
    mobile: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small: np.ndarray
) -> None:
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        script = torch.jit.trace(torch_network(mobile), torch.zeros(1, 6, 64, 64))
        torch.jit.save(script, tmp_path / "mobile.pt")
    expected = get_engine(four_bands(mobile), "torch", "f32")(small[:, :4])
    model = dataclasses.replace(
        four_bands(mobile), weights=f"file:{tmp_path / 'mobile.pt'}", torchscript=True, architecture=None
    )  # fmt: skip
    with pytest.raises(ModelError, match="a program"):
        OpenVINOEngine(model)
    monkeypatch.setenv("CLEANSAT_ALLOW_TORCHSCRIPT", "1")
    for engine in ("openvino", "torch"):
        found = get_engine(model, engine, "f32")(small[:, :4])
        np.testing.assert_allclose(found, expected, atol=1e-3, rtol=0)
    monkeypatch.delenv("CLEANSAT_ALLOW_TORCHSCRIPT")
    with pytest.raises(ModelError, match="a program"):
        OpenVINOEngine(model, "f32")  # though its compiled graph is in the cache


def test_torch_cannot_run_a_bare_graph(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="use the engine openvino"):
        get_engine(a_model(onnx_file(tmp_path / "x.onnx")), "torch")


@pytest.mark.usefixtures("cache")
def test_an_ensemble_may_be_a_member(tmp_path: Path, small: np.ndarray) -> None:
    first, second, other = (
        a_model(onnx_file(tmp_path / f"{name}.onnx", kernel=kernel), name=name)
        for name, kernel in (("first", KERNEL), ("second", KERNEL[::-1]), ("other", KERNEL / 2))
    )
    small, both = small[:, :4], ensemble([first, second])
    engine = get_engine(ensemble([both, other]), "openvino")
    parts = [get_engine(each, "openvino")(small) for each in (both, other)]
    assert np.abs(parts[0] - parts[1]).max() > 0.1
    np.testing.assert_allclose(engine(small), (parts[0] + parts[1]) / 2, atol=1e-6)


def test_an_ensemble_answers_with_the_mean(small: np.ndarray) -> None:
    names = CSMASK[:2]
    both = get_model("+".join(names))
    alone = [
        get_engine(get_model(name), "openvino", "f32")(small[:, : len(get_model(name).bands)])
        for name in names
    ]
    engine = get_engine(both, "openvino", "f32")
    found = engine(small)
    np.testing.assert_allclose(found, (alone[0] + alone[1]) / 2, atol=1e-6)
    assert (engine.name, engine.precision) == ("openvino", "f32")
    assert not np.allclose(found, alone[0], atol=1e-3)
    assert get_engine(both, "openvino", "f32") is engine


@pytest.mark.usefixtures("cache")
def test_members_may_have_bands_and_classes_in_another_order(
    tmp_path: Path, small: np.ndarray
) -> None:
    """Two descriptions of one network, so that the mean is the network's own answer."""
    first = a_model(onnx_file(tmp_path / "x.onnx"))
    turned = KERNEL[[2, 0, 1]][:, [3, 1, 0, 2]]
    second = a_model(
        onnx_file(tmp_path / "y.onnx", kernel=turned),
        name="turned",
        bands=tuple(first.bands[i] for i in (3, 1, 0, 2)),
        mean=tuple(first.mean[i] for i in (3, 1, 0, 2)),
        std=tuple(first.std[i] for i in (3, 1, 0, 2)),
        classes=tuple(CLASSES[i] for i in (2, 0, 1)),
    )
    images = small[:, :4]
    found = get_engine(ensemble([first, second]), "openvino", "f32")(images)
    expected = get_engine(first, "openvino", "f32")(images)
    np.testing.assert_allclose(found, expected, atol=1e-5)


CODE = """
import multiprocessing, sys
import numpy as np
from odc_cleansat.models import get_engine, read_model

MODEL = read_model("a-model.yaml")

def total(_):
    return float(get_engine(MODEL)(np.full((1, 4, 64, 64), 0.2, "float32"))[0, 0].sum())

if __name__ == "__main__":
    here = total(0)  # so that a fork inherits a loaded engine
    with multiprocessing.get_context(sys.argv[1]).Pool(2) as pool:
        assert pool.map_async(total, range(4)).get(timeout=120) == [here] * 4
"""


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_pools_of_processes(tmp_path: Path, method: str) -> None:
    write_model(a_model(onnx_file(tmp_path / "x.onnx")), tmp_path / "a-model.yaml")
    (tmp_path / "pool.py").write_text(CODE)
    subprocess.run(
        [sys.executable, "-W", "ignore", "pool.py", method], cwd=tmp_path, check=True, timeout=200
    )


FORK = """
import multiprocessing, threading, time
from odc_cleansat.errors import EngineError
from odc_cleansat.models import engines, read_model

MODEL = read_model("a-model.yaml")
loading, load = threading.Event(), engines._load

def slow(*how):
    loading.set()
    time.sleep(1)
    return load(*how)

engines._load = slow
threading.Thread(target=engines.get_engine, args=[MODEL]).start()
loading.wait()
engines._load = load


def in_child():
    try:
        engines.get_engine(MODEL)
    except EngineError as error:  # now and then OpenVINO waits for its parent's threads; not for ever
        assert "forked" in str(error)


child = multiprocessing.get_context("fork").Process(target=in_child)
child.start()
child.join(60)
assert child.exitcode == 0, child.exitcode
"""


@pytest.mark.usefixtures("cache")
def test_a_fork_while_a_network_is_loaded(tmp_path: Path) -> None:
    write_model(a_model(onnx_file(tmp_path / "x.onnx")), tmp_path / "a-model.yaml")
    (tmp_path / "fork.py").write_text(FORK)
    subprocess.run(
        [sys.executable, "-W", "ignore", "fork.py"], cwd=tmp_path, check=True, timeout=120
    )


@pytest.mark.usefixtures("cache")
def test_threads_give_the_same(tmp_path: Path, small: np.ndarray) -> None:
    small = small[:, :4]
    engine = get_engine(a_model(onnx_file(tmp_path / "x.onnx")), "openvino")
    expected = [engine(small[:1]), engine(small[1:])]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(engine, [small[:1], small[1:]] * 6))
    for i, each in enumerate(found):
        np.testing.assert_array_equal(each, expected[i % 2])


@pytest.mark.parametrize(
    ("there", "cuda", "name"),
    [(True, False, "openvino"), (True, True, "torch"), (False, False, "torch")],
)
def test_torch_is_taken_beside_cuda_and_without_openvino(
    monkeypatch: pytest.MonkeyPatch, there: bool, cuda: bool, name: str
) -> None:
    monkeypatch.setattr(engines, "_has_cuda", lambda: cuda)
    monkeypatch.setattr(engines, "find_spec", lambda _: "found" if there else None)
    assert engines._default_engine(get_model("unet-mobilenetv2-l2a")) == name


@pytest.mark.parametrize("sign", ["proc", "device", "none"])
def test_a_driver_is_seen_in_a_sandbox_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sign: str
) -> None:
    (tmp_path / sign).touch()
    monkeypatch.setattr(engines, "_DRIVERS", (f"{tmp_path}/proc", f"{tmp_path}/device"))
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    engines._has_cuda.cache_clear()
    assert engines._has_cuda() is (sign != "none")
    engines._has_cuda.cache_clear()
