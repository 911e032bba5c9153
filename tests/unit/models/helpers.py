"""Models, networks and files that the tests of models share."""

from __future__ import annotations

import dataclasses
from functools import lru_cache
from pathlib import Path

import numpy as np
import onnxruntime
import yaml

from odc_cleansat import CloudClass
from odc_cleansat.models.model import Architecture, Model

onnxruntime.set_default_logger_severity(3)

CSMASK = [f"unet-efficientnetb4-{level}-{n}b" for level in ("l2a", "l1c") for n in (6, 4)]
BANDS = ("blue", "green", "red", "nir", "swir16", "swir22")
CLASSES = (CloudClass.CLEAR, CloudClass.CLOUD, CloudClass.SHADOW)

SMALL: dict[str, object] = {
    "name": "small",
    "version": "1",
    "title": "A small network for tests",
    "level": "L2A",
    "resolution": 20,
    "bands": ["blue", "green", "red", "nir"],
    "mean": [0.1, 0.1, 0.1, 0.3],
    "std": [0.1, 0.1, 0.1, 0.2],
    "classes": ["clear", "cloud", "shadow"],
    "architecture": {"name": "Unet", "encoder": "mobilenet_v2", "encoder_depth": 3, "decoder_channels": [16, 8, 8]},
    "weights": "file:small.safetensors",
    "licence": "CC0-1.0",
}  # fmt: skip

MOBILE = Architecture(
    "Unet", "mobilenet_v2", (("encoder_depth", 3), ("decoder_channels", (32, 16, 8)))
)
"""As shallow as its tests allow, so that it is soon compiled."""

KERNEL = np.random.default_rng(1).normal(size=(3, 4, 3, 3)).astype("float32")


def write(folder: Path, **changes: object) -> Path:
    """A document in a folder; None leaves a key out."""
    found = {key: value for key, value in {**SMALL, **changes}.items() if value is not None}
    path = folder / f"{found['name']}.yaml"
    path.write_text(yaml.safe_dump(found), encoding="utf-8")
    return path


@lru_cache
def small_network(channels: int = 4, classes: int = 3):
    """The network of :data:`SMALL`, of random weights; not to be changed."""
    import segmentation_models_pytorch as smp
    import torch

    torch.manual_seed(0)
    return smp.Unet(
        "mobilenet_v2",
        encoder_depth=3,
        encoder_weights=None,
        in_channels=channels,
        classes=classes,
        decoder_channels=(16, 8, 8),
    ).eval()


def save_safetensors(tensors: dict, path: Path) -> Path:
    from safetensors.torch import save_file

    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
    return path


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


def four_bands(model: Model) -> Model:
    return dataclasses.replace(
        model, bands=model.bands[:4], mean=model.mean[:4], std=model.std[:4], channels=model.bands
    )


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


def has_cuda() -> bool:
    import torch

    return torch.cuda.is_available()
