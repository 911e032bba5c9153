"""Graphs of OpenVINO, from networks as people export them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.special import softmax

from odc_cleansat import CloudClass
from odc_cleansat.errors import ModelError
from odc_cleansat.models.model import Architecture, Model
from odc_cleansat.models.openvino_engine import OpenVINOEngine, cache_folder
from odc_cleansat.models.openvino_graph import openvino_graph
from unit.models.helpers import (
    BANDS,
    CLASSES,
    KERNEL,
    SOFTMAX,
    a_model,
    node,
    onnx_file,
    onnx_logits,
)


def test_upsampling_is_fused_in_state_dicts_too(mobile: Model) -> None:
    import openvino

    graph, _ = openvino_graph(mobile, openvino.Core())
    kinds = [node.get_type_name() for node in graph.get_ordered_ops()]
    assert kinds.count("ConvolutionBackpropData") == 3
    assert "Interpolate" not in kinds


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize("encoder", ["tu-edgenext_xx_small", "tu-convnext_atto", "resnet18"])
def test_encoders_without_features_of_half_the_size(
    encoder: str, tmp_path: Path, small: np.ndarray
) -> None:
    """Their skip at that size has no channels, and the graph has none that would be convolved."""
    import segmentation_models_pytorch as smp
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(0)
    network = smp.Unet(encoder, encoder_weights=None, in_channels=4, classes=3)
    network.train()(torch.rand(2, 4, 64, 64))  # random weights with the statistics of their input
    network.eval()
    save_file(network.state_dict(), tmp_path / "x.safetensors")
    model = a_model(tmp_path / "x.safetensors", architecture=Architecture("Unet", encoder))
    images = small[:, :4]
    mean, std = (np.array(v, "float32").reshape(1, -1, 1, 1) for v in (model.mean, model.std))
    with torch.inference_mode():
        expected = network(torch.from_numpy((images - mean) / std)).softmax(1).numpy()
    assert expected.std(axis=(0, 2, 3)).min() > 1e-4
    np.testing.assert_allclose(OpenVINOEngine(model, "f32")(images), expected, atol=1e-4, rtol=0)


@pytest.mark.usefixtures("cache")
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


@pytest.mark.usefixtures("cache")
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


@pytest.mark.usefixtures("cache")
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
