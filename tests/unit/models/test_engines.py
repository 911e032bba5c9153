"""Both engines give ONNX Runtime's answer."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from scipy import ndimage
from scipy.special import softmax

from odc_cleansat import CloudClass, get_model
from odc_cleansat.errors import EngineError, ModelError
from odc_cleansat.models.documents import write_model
from odc_cleansat.models.engines import get_engine
from odc_cleansat.models.ensembles import ensemble
from odc_cleansat.models.inference import available_cpus, run_in_parts
from odc_cleansat.models.model import Architecture, Model
from odc_cleansat.models.networks import torch_network
from odc_cleansat.models.onnx_graph import read_onnx
from odc_cleansat.models.openvino_engine import OpenVINOEngine, cache_folder
from odc_cleansat.models.openvino_graph import openvino_graph
from odc_cleansat.models.torch_engine import TorchEngine
from odc_cleansat.models.weights import weights_path

onnxruntime.set_default_logger_severity(3)

CSMASK = [f"unet-efficientnetb4-{level}-{n}b" for level in ("l2a", "l1c") for n in (6, 4)]
BANDS = ("blue", "green", "red", "nir", "swir16", "swir22")
CLASSES = (CloudClass.CLEAR, CloudClass.CLOUD, CloudClass.SHADOW)


@pytest.fixture(scope="module")
def reflectance() -> np.ndarray:
    """Smooth random reflectance from dark to saturated, ``(2, 6, 256, 256)`` float32."""
    noise = np.random.default_rng(0).normal(size=(2, 6, 256, 256)).astype("float32")
    return np.clip(ndimage.gaussian_filter(noise, (0, 0, 4, 4)) * 5 + 0.3, 0, 1.2)


@pytest.fixture(scope="module")
def small(reflectance: np.ndarray) -> np.ndarray:
    """A part of it, for networks that take any size, ``(2, 6, 128, 160)`` float32."""
    return reflectance[..., :128, :160]


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


@pytest.mark.parametrize("name", CSMASK)
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


def test_the_environment_may_choose_the_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLEANSAT_PRECISION", "f32")
    assert get_engine(get_model()).precision == "f32"
    monkeypatch.setenv("CLEANSAT_PRECISION", "f64")
    with pytest.raises(ModelError, match="no precision 'f64'; choose from bf16, f32"):
        get_engine(get_model())
    assert get_engine(get_model(), precision="f32").precision == "f32"


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

    monkeypatch.setattr("odc_cleansat.models.openvino_engine.openvino_graph", forbidden)
    np.testing.assert_array_equal(OpenVINOEngine(get_model())(reflectance), first)
    assert [blob] == list(cache.iterdir())


def test_other_weights_are_another_entry(cache: Path) -> None:
    OpenVINOEngine(get_model(), "f32")
    OpenVINOEngine(get_model("unet-efficientnetb4-l2a-4b"), "f32")
    OpenVINOEngine(dataclasses.replace(get_model(), mean=(0.0,) * 6), "f32")
    assert len(list(cache.iterdir())) == 3


def test_what_has_long_not_been_used_is_deleted(cache: Path) -> None:
    model, month = get_model(), 30 * 86400
    OpenVINOEngine(model, "f32")
    (old,) = cache.iterdir()
    OpenVINOEngine(dataclasses.replace(model, mean=(0.1,) * 6), "f32")
    (used,) = set(cache.iterdir()) - {old}
    ours = cache / "notes.txt"
    ours.write_text("no network")
    for path in (old, used, ours):
        os.utime(path, (time.time() - 4 * month,) * 2)
    OpenVINOEngine(dataclasses.replace(model, mean=(0.1,) * 6), "f32")
    OpenVINOEngine(dataclasses.replace(model, mean=(0.2,) * 6), "f32")
    assert not old.exists()
    assert used.exists()
    assert ours.exists()


def test_a_cut_off_entry_is_as_good_as_none(cache: Path, reflectance: np.ndarray) -> None:
    first = OpenVINOEngine(get_model())(reflectance)
    (blob,) = cache.iterdir()
    whole = blob.read_bytes()
    blob.write_bytes(whole[: len(whole) // 3])
    np.testing.assert_array_equal(OpenVINOEngine(get_model())(reflectance), first)
    # Two exports of one network differ by some bytes.
    assert len(blob.read_bytes()) > 0.9 * len(whole)


def test_an_entry_with_a_hole_is_as_good_as_none(cache: Path, reflectance: np.ndarray) -> None:
    """OpenVINO would take it, and answer something else."""
    first = OpenVINOEngine(get_model())(reflectance)
    (blob,) = cache.iterdir()
    whole = blob.read_bytes()
    middle = len(whole) // 2
    blob.write_bytes(whole[:middle] + bytes(1 << 20) + whole[middle + (1 << 20) :])
    np.testing.assert_array_equal(OpenVINOEngine(get_model())(reflectance), first)
    assert blob.read_bytes()[middle : middle + (1 << 20)] != bytes(1 << 20)


def test_a_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("CLEANSAT_CACHE", str(tmp_path / "file" / "cache"))
    assert OpenVINOEngine(get_model()).name == "openvino"


def code_that_loads(model_code: str) -> str:
    return (
        "import sys, time\n"
        "from odc_cleansat.models.engines import get_engine\n"
        f"{model_code}\n"
        "engine = get_engine(model, 'openvino', 'f32')\n"
        "print(time.process_time(), 'torch' in sys.modules)"
    )


def test_a_cached_network_loads_at_once_and_without_torch(cache: Path, mobile: Model) -> None:
    """In seconds of the processor, since others may share the machine."""
    document = cache.parent / "mobile.yaml"
    write_model(mobile, document)
    OpenVINOEngine(mobile, "f32")
    code = code_that_loads(
        f"from odc_cleansat.models import read_model; model = read_model({str(document)!r})"
    )
    found = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True
    )
    seconds, torch = found.stdout.split()
    assert torch == "False"
    assert float(seconds) < 2


# --- networks of any architecture -----------------------------------------------------


def a_model(weights: Path, **changes: object) -> Model:
    """A model of four bands and three classes, unless said otherwise."""
    values: dict = {
        "name": "a-model",
        "version": "1",
        "title": "For tests",
        "bands": BANDS[:4],
        "mean": (0.1, 0.1, 0.1, 0.3),
        "std": (0.1, 0.1, 0.1, 0.2),
        "resolution": 30.0,
        "classes": CLASSES,
        "level": "L2A",
        "weights": f"file:{weights}",
        "licence": "CC0-1.0",
        **changes,
    }
    return Model(**values)


def random_weights(architecture: Architecture, channels: int, path: Path) -> Path:
    """Random weights whose answers differ from pixel to pixel."""
    import segmentation_models_pytorch as smp
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(0)
    network = getattr(smp, architecture.name)(
        architecture.encoder,
        encoder_weights=None,
        in_channels=channels,
        classes=3,
        **dict(architecture.options),
    )
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.running_mean.normal_(0, 0.1)
            layer.running_var.uniform_(0.5, 1.5)
    with torch.inference_mode():
        spread = float(network.eval()(torch.rand(1, channels, 128, 128)).std())
    network.segmentation_head[0].weight.data /= spread
    save_file({name: t.contiguous() for name, t in network.state_dict().items()}, path)
    return path


MOBILE = Architecture("Unet", "mobilenet_v2", (("decoder_channels", (128, 64, 32, 16, 8)),))


@pytest.fixture(scope="module")
def mobile(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A UNet with a MobileNetV2 encoder, of random weights and six channels."""
    path = random_weights(MOBILE, 6, tmp_path_factory.mktemp("mobile") / "mobile.safetensors")
    mean, std = (0.1, 0.1, 0.1, 0.3, 0.2, 0.1), (0.1, 0.1, 0.1, 0.2, 0.2, 0.2)
    return a_model(path, bands=BANDS, mean=mean, std=std, architecture=MOBILE, name="mobile")


def four_bands(model: Model) -> Model:
    return dataclasses.replace(
        model, bands=model.bands[:4], mean=model.mean[:4], std=model.std[:4], channels=model.bands
    )


@pytest.fixture
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of compiled networks that is not the user's."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("CLEANSAT_CACHE", str(folder))
    return folder


@pytest.mark.usefixtures("own_cache")
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


def test_upsampling_is_fused_in_state_dicts_too(mobile: Model) -> None:
    import openvino

    graph = openvino_graph(mobile, openvino.Core())
    kinds = [node.get_type_name() for node in graph.get_ordered_ops()]
    assert kinds.count("ConvolutionBackpropData") == 5
    assert "Interpolate" not in kinds


@pytest.mark.usefixtures("own_cache")
@pytest.mark.parametrize(
    "architecture",
    [
        Architecture("Unet", "mobilenet_v2", (("decoder_interpolation", "bilinear"), ("decoder_channels", (32, 16, 16, 8, 8)))),
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


@pytest.mark.usefixtures("own_cache")
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


# --- ONNX graphs as people export them ------------------------------------------------

KERNEL = np.random.default_rng(1).normal(size=(3, 4, 3, 3)).astype("float32")


def onnx_file(
    path: Path,
    tail: list | None = None,
    shape: tuple = ("n", 4, "h", "w"),
    result: tuple = ("n", 3, "h", "w"),
    kernel: np.ndarray = KERNEL,
    more_inputs: int = 0,
    more_outputs: int = 0,
    constants: dict[str, np.ndarray] | None = None,
    dtype: int = 1,
) -> Path:
    """A convolution, and `tail` after it, from ``image`` by ``features`` to ``answer``."""
    import onnx
    from onnx import helper, numpy_helper

    end = "features" if tail else "answer"
    conv = helper.make_node("Conv", ["image", "kernel"], [end], pads=[1, 1, 1, 1])
    info = helper.make_tensor_value_info
    kernel = kernel.astype(helper.tensor_dtype_to_np_dtype(dtype))
    stored = {"kernel": kernel, **(constants or {})}
    graph = helper.make_graph(
        [conv, *(tail or [])],
        "network",
        [info("image", dtype, shape), *(info(f"other{i}", 1, [1]) for i in range(more_inputs))],
        [info("answer", dtype, result), *(info("features", 1, shape) for _ in range(more_outputs))],
        [numpy_helper.from_array(value, name) for name, value in stored.items()],
    )
    opset = [helper.make_opsetid("", 17), helper.make_opsetid("odd", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)
    return path


def node(*arguments: object, **attributes: object):
    from onnx import helper

    return helper.make_node(*arguments, **attributes)


SOFTMAX = node("Softmax", ["features"], ["answer"], axis=1)


def test_a_softmax_that_nobody_mentioned_is_refused_by_torch_too(
    tmp_path: Path, small: np.ndarray
) -> None:
    """A second one would make the network unsure of everything."""
    from safetensors.torch import save_file
    from segmentation_models_pytorch import Unet

    network = Unet("mobilenet_v2", encoder_weights=None, in_channels=4, classes=3)
    weights = tmp_path / "soft.safetensors"
    save_file(network.state_dict(), weights)
    kind = Architecture("Unet", "mobilenet_v2", (("activation", "softmax2d"),))
    model = a_model(weights, architecture=kind)
    for engine in (TorchEngine, OpenVINOEngine):
        with pytest.raises(ModelError, match="ends in a softmax; say output: probabilities"):
            engine(model, "f32")
    found = TorchEngine(dataclasses.replace(model, output="probabilities"), "f32")(small[:, :4])
    assert found.max() > 1 / 3


@pytest.mark.usefixtures("own_cache")
@pytest.mark.parametrize(
    ("options", "changes"),
    [
        ({}, {}),
        ({"shape": (1, 4, 64, 64), "result": (1, 3, 64, 64)}, {}),
        ({"tail": [SOFTMAX]}, {"output": "probabilities"}),
        ({"dtype": 10}, {}),
    ],
    ids=["dynamic", "declared fixed", "own softmax", "half precision"],
)
def test_onnx_of_others(options: dict, changes: dict, tmp_path: Path, small: np.ndarray) -> None:
    model = a_model(onnx_file(tmp_path / "x.onnx", **options), **changes)
    plain = a_model(onnx_file(tmp_path / "plain.onnx"))
    expected = onnx_logits((tmp_path / "plain.onnx").read_bytes(), plain, small)
    found = OpenVINOEngine(model, "f32")(small[:, :4])
    tolerance = 1e-2 if "dtype" in options else 1e-4
    np.testing.assert_allclose(found, softmax(expected, axis=1), atol=tolerance, rtol=0)


@pytest.mark.usefixtures("own_cache")
def test_channels_of_an_onnx_graph_that_no_band_fills(tmp_path: Path, small: np.ndarray) -> None:
    path = onnx_file(tmp_path / "x.onnx")
    whole = a_model(path, bands=("swir16", "blue", "red", "nir"), mean=(0.0,) * 4, std=(1.0,) * 4)
    less = a_model(
        path, bands=("blue", "nir"), mean=(0.0,) * 2, std=(1.0,) * 2, channels=whole.bands
    )
    images = np.zeros_like(small[:, :4])
    images[:, [1, 3]] = small[:, :2]
    expected = OpenVINOEngine(whole, "f32")(images)
    found = OpenVINOEngine(less, "f32")(small[:, :2])
    np.testing.assert_allclose(found, expected, atol=1e-6, rtol=0)


FIXED = [
    node("Reshape", ["features", "to"], ["flat"]),
    node("Reshape", ["flat", "back"], ["answer"]),
]
BAKED = {"to": np.array([1, 3, 4096]), "back": np.array([1, 3, 64, 64])}
NHWC = [node("Transpose", ["features"], ["answer"], perm=[0, 2, 3, 1])]


@pytest.mark.usefixtures("own_cache")
@pytest.mark.parametrize(
    ("options", "changes", "message"),
    [
        ({"tail": FIXED, "constants": BAKED, "shape": (1, 4, 64, 64), "result": (1, 3, 64, 64)}, {}, "takes only images of .1,4,64,64.*may vary"),
        ({"tail": NHWC, "result": ("n", "h", "w", 3)}, {}, "one channel for each of its classes"),
        ({"tail": [SOFTMAX]}, {}, "say output: probabilities"),
        ({}, {"output": "probabilities"}, "say output: logits"),
        ({"tail": [node("Sigmoid", ["features"], ["answer"])]}, {"output": "probabilities"}, "no probabilities"),
        ({}, {"classes": (*CLASSES, CloudClass.THIN_CLOUD)}, "one channel for each.*clear, cloud, shadow, thin_cloud"),
        ({}, {"bands": BANDS, "mean": (0.0,) * 6, "std": (1.0,) * 6}, "not .batch, 6 channels"),
        ({"tail": [node("Add", ["features", "other0"], ["answer"])], "more_inputs": 1}, {}, "2 inputs and 1 outputs"),
        ({"tail": [SOFTMAX], "more_outputs": 1}, {}, "1 inputs and 2 outputs"),
        ({"kernel": KERNEL * np.nan}, {}, "kernel holds values that are not finite"),
        ({"kernel": KERNEL * 1e38}, {}, "gives values that are not finite"),
        ({"tail": [node("Mystery", ["features"], ["answer"], domain="odd")]}, {}, "OpenVINO cannot read"),
    ],
)  # fmt: skip
def test_onnx_that_will_not_do(options: dict, changes: dict, message: str, tmp_path: Path) -> None:
    model = a_model(onnx_file(tmp_path / "x.onnx", **options), **changes)
    with pytest.raises(ModelError, match=message) as told:
        OpenVINOEngine(model, "f32")
    assert len(str(told.value).splitlines()) == 1
    assert not list(cache_folder().glob("*"))


def test_what_is_no_onnx(tmp_path: Path) -> None:
    path = onnx_file(tmp_path / "x.onnx")
    for content in (b"", b"garbage", path.read_bytes()[:200]):
        (tmp_path / "y.onnx").write_bytes(content)
        with pytest.raises(ModelError, match="no valid ONNX graph"):
            OpenVINOEngine(a_model(tmp_path / "y.onnx"))


def test_weights_beside_an_onnx_graph_are_not_read(tmp_path: Path) -> None:
    import onnx

    onnx.save_model(
        onnx.load(onnx_file(tmp_path / "x.onnx")),
        tmp_path / "y.onnx",
        save_as_external_data=True,
        location="weights.bin",
        size_threshold=0,
    )
    with pytest.raises(ModelError, match="keeps weights in another file"):
        OpenVINOEngine(a_model(tmp_path / "y.onnx"))


def test_weights_elsewhere_are_found_within_nodes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import onnx
    from onnx import helper

    def elsewhere(branch: bool) -> onnx.NodeProto:
        tensor = onnx.TensorProto(name="t", data_type=1, dims=[1], data_location=1)
        tensor.external_data.add(key="location", value="weights.bin")
        constant = helper.make_node("Constant", [], ["t"], value=tensor)
        if not branch:
            return constant
        graph = helper.make_graph([constant], "b", [], [helper.make_tensor_value_info("t", 1, [1])])
        return helper.make_node("If", ["which"], ["t"], then_branch=graph, else_branch=graph)

    monkeypatch.chdir(tmp_path)
    Path("weights.bin").write_bytes(np.float32(1).tobytes())
    end = node("Add", ["features", "t"], ["answer"])
    for branch in (False, True):
        path = onnx_file(
            tmp_path / "x.onnx", tail=[elsewhere(branch), end], constants={"which": np.array(True)}
        )
        with pytest.raises(ModelError, match="keeps weights in another file"):
            read_onnx(a_model(path))


def test_torch_cannot_run_a_bare_graph(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="use the engine openvino"):
        get_engine(a_model(onnx_file(tmp_path / "x.onnx")), "torch")


# --- ensembles ------------------------------------------------------------------------


def test_an_ensemble_may_be_a_member(small: np.ndarray) -> None:
    first, second, other = map(get_model, CSMASK[:2] + CSMASK[2:3])
    both = ensemble([first, second])
    other = dataclasses.replace(other, level=first.level)
    engine = get_engine(ensemble([both, other]))
    expected = (get_engine(both)(small) + get_engine(other)(small)) / 2
    np.testing.assert_allclose(engine(small), expected, atol=1e-6)


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


@pytest.mark.usefixtures("own_cache")
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


# --- memory, processes ----------------------------------------------------------------


def test_a_batch_that_is_too_large_is_runrun_in_parts() -> None:
    sizes = []

    def run(batch: np.ndarray) -> np.ndarray:
        sizes.append(len(batch))
        if len(batch) > 2:
            raise RuntimeError("Failed to allocate 123 bytes of memory")
        return batch * 2

    batch = np.arange(7.0).reshape(7, 1, 1, 1)
    np.testing.assert_array_equal(run_in_parts(run, batch), batch * 2)
    assert max(sizes[1:]) < 7


def test_no_memory_at_all_is_an_error_that_says_so() -> None:
    def run(batch: np.ndarray) -> np.ndarray:
        raise MemoryError

    with pytest.raises(EngineError, match="window of 64 x 96"):
        run_in_parts(run, np.zeros((3, 6, 64, 96)))


def test_other_errors_pass() -> None:
    def run(batch: np.ndarray) -> np.ndarray:
        raise RuntimeError("something else")

    with pytest.raises(RuntimeError, match="something else"):
        run_in_parts(run, np.zeros((2, 6, 32, 32)))


CODE = """
import multiprocessing, sys
import numpy as np
from odc_cleansat import get_model
from odc_cleansat.models.engines import get_engine

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


FORK = """
import multiprocessing, threading, time
from odc_cleansat.models import engines
from odc_cleansat import get_model

loading, load = threading.Event(), engines._load

def slow(*how):
    loading.set()
    time.sleep(3)
    return load(*how)

engines._load = slow
threading.Thread(target=engines.get_engine, args=[get_model()]).start()
loading.wait()
engines._load = load
child = multiprocessing.get_context("fork").Process(target=engines.get_engine, args=[get_model()])
child.start()
child.join(60)
assert child.exitcode == 0, child.exitcode
"""


def test_a_fork_while_a_network_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "fork.py").write_text(FORK)
    subprocess.run(
        [sys.executable, "-W", "ignore", "fork.py"], cwd=tmp_path, check=True, timeout=120
    )


def test_threads_give_the_same(reflectance: np.ndarray) -> None:
    engine = get_engine(get_model())
    expected = [engine(reflectance[:1]), engine(reflectance[1:])]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(engine, [reflectance[:1], reflectance[1:]] * 6))
    for i, each in enumerate(found):
        np.testing.assert_array_equal(each, expected[i % 2])


# --- torch, on CUDA where there is a device -------------------------------------------


def has_cuda() -> bool:
    import torch

    return torch.cuda.is_available()


@pytest.fixture
def device() -> None:
    if not has_cuda():
        pytest.skip("this machine has no NVIDIA device that torch can use")


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


@pytest.mark.gpu
@pytest.mark.usefixtures("device")
def test_cuda_gives_the_logits_of_openvino(reflectance: np.ndarray) -> None:
    model = get_model()
    expected = logits_of(get_engine(model, "openvino", "f32")(reflectance))
    found = logits_of(TorchEngine(model, "f32")(reflectance))
    np.testing.assert_allclose(found, expected, atol=5e-2, rtol=0)  # TF32 may be allowed
    assert get_engine(model).name == "torch"


@pytest.mark.gpu
@pytest.mark.usefixtures("device")
def test_cuda_in_its_own_precision_keeps_the_classes(reflectance: np.ndarray) -> None:
    engine = TorchEngine(get_model())
    exact = get_engine(get_model(), "openvino", "f32")(reflectance).argmax(axis=1)
    assert np.mean(engine(reflectance).argmax(axis=1) == exact) > 0.99


@pytest.mark.gpu
@pytest.mark.usefixtures("device")
def test_cuda_sizes_batches_to_its_memory(reflectance: np.ndarray) -> None:
    import torch

    engine = TorchEngine(get_model())
    engine(np.tile(reflectance[:1], (1, 1, 2, 2)))
    _, total = torch.cuda.mem_get_info()
    assert 10 < engine._bytes_per_pixel < 20_000
    large = np.broadcast_to(reflectance[:1], (100_000, *reflectance.shape[1:]))
    fitting = engine._windows_that_fit(large)
    assert 1 <= fitting < 100_000
    assert fitting * engine._bytes_per_pixel * 256 * 256 <= total
