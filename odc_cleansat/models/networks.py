"""Torch networks from the files of models: state dicts, ONNX weights and TorchScript.

Files come from strangers, so tensors are read and programs are not run. Pickles are refused. TorchScript runs only
if the document says that it is TorchScript, and the user has allowed it.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ModelError, first_line
from .model import Model
from .onnx_graph import read_onnx
from .torchscript import load_torchscript
from .weights import not_finite, weights_path

if TYPE_CHECKING:
    import torch

_WRAPPERS = ("state_dict", "model_state_dict", "model")
"""Keys under which training programs save the weights, beside other things."""

_NEVER_CALLED = ("encoder._conv_head.", "encoder._bn1.")
"""Layers of an encoder that no decoder calls. Exported graphs do not have them."""


def torch_network(model: Model) -> torch.nn.Module:
    """Return the model's network in evaluation mode. Its input is the normalised reflectance of the bands.

    Raises
    ------
    ModelError
        If the weights cannot be read, are not finite, or do not fit the architecture; if they are TorchScript
        that is not allowed, or an ONNX graph without an architecture.
    """
    if model.format == "torchscript":
        return load_torchscript(model)
    if model.architecture is None:
        raise ModelError(
            f"model {model.name}: torch needs to know the architecture of an ONNX graph, and the model "
            "names none; use the engine openvino."
        )
    network = build_network(model)
    _load_weights(network, read_state_dict(model), model)
    _cut_first_layer(network, model)
    return network.eval()


def read_state_dict(model: Model) -> dict[str, torch.Tensor]:
    """Return the tensors of a model's file of weights by the names of their parameters.

    Raises
    ------
    ModelError
        If the file cannot be read, or holds something else than tensors.
    """
    import torch

    path = weights_path(model)
    if model.format == "onnx":
        from onnx import numpy_helper

        return {
            tensor.name: torch.from_numpy(numpy_helper.to_array(tensor).copy())
            for tensor in read_onnx(model).graph.initializer
        }
    if model.format == "safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(path)
        except (SafetensorError, OSError, ValueError) as error:
            raise ModelError(
                f"model {model.name}: {path} is not whole, or no safetensors file: {error}"
            ) from error
    return _unpickled(model, path)


def _unpickled(model: Model, path: Path) -> dict[str, torch.Tensor]:
    """Return a state dict that `torch.save` wrote. Torch's reader of tensors runs no code of a pickle."""
    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns of TorchScript before it refuses it
            found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a file of a stranger may raise anything
        raise ModelError(
            f"model {model.name}: {path} holds more than tensors, or is not whole, and is not opened: to "
            "read it would run whatever program it holds. Ask its makers for safetensors, or save the "
            f"state_dict alone. ({first_line(error)})"
        ) from error
    for key in _WRAPPERS:
        if isinstance(found, Mapping) and isinstance(found.get(key), Mapping):
            found = found[key]
    items = found.items() if isinstance(found, Mapping) else ()
    tensors = {str(name): each for name, each in items if isinstance(each, torch.Tensor)}
    if not tensors:
        raise ModelError(f"model {model.name}: there is no state dict in {path}.")
    return tensors


def build_network(model: Model, encoder_weights: str = "") -> torch.nn.Module:
    """Return a network of the model's architecture with random weights.

    Parameters
    ----------
    encoder_weights
        Name of pretrained weights for the encoder that segmentation_models_pytorch knows, such as ``imagenet``.
        They are fetched from Hugging Face into its own cache. Empty for random weights.

    Raises
    ------
    ModelError
        If there is no such architecture, or the pretrained weights cannot be fetched.
    """
    from tqdm import TqdmWarning

    with warnings.catch_warnings():
        # In a notebook, a progress bar that is never shown asks for a package.
        warnings.simplefilter("ignore", TqdmWarning)
        import segmentation_models_pytorch as smp
        from segmentation_models_pytorch.base import SegmentationModel

    architecture = model.architecture
    assert architecture is not None
    kinds = {
        name: kind
        for name, kind in vars(smp).items()
        if isinstance(kind, type) and issubclass(kind, SegmentationModel)
    }
    if architecture.name not in kinds:
        raise ModelError(
            f"model {model.name}: segmentation_models_pytorch has no network {architecture.name!r}; it has "
            f"{', '.join(sorted(kinds))}."
        )
    # Encoders of timm have one set of weights without a name.
    chosen = bool(encoder_weights) if architecture.encoder.startswith("tu-") else encoder_weights
    try:
        network: torch.nn.Module = kinds[architecture.name](
            encoder_name=architecture.encoder,
            encoder_weights=chosen or None,
            in_channels=len(model.channels or model.bands),
            classes=len(model.classes),
            **dict(architecture.options),
        )
    except Exception as error:  # the kind of error depends on the arguments
        raise ModelError(
            f"model {model.name}: segmentation_models_pytorch cannot build {architecture}: {first_line(error)}."
        ) from error
    return network


def _load_weights(network: torch.nn.Module, weights: dict[str, torch.Tensor], model: Model) -> None:
    """Copy weights into a network, and raise if they do not fit or are not finite."""
    expected = network.state_dict()
    weights = _without_prefix(weights, next(iter(expected)))
    # The number of batches that a normalisation has seen only matters in training.
    missing = [
        name
        for name in expected
        if name not in weights
        and not name.startswith(_NEVER_CALLED)
        and not name.endswith("num_batches_tracked")
    ]
    unexpected = [name for name in weights if name not in expected]
    if missing or unexpected:
        raise ModelError(
            f"model {model.name}: the weights do not fit {model.architecture}; "
            f"missing {missing[:3]}, unexpected {unexpected[:3]}."
        )
    for name, tensor in weights.items():
        if tensor.shape != expected[name].shape:
            raise ModelError(
                f"model {model.name}: {name} has the shape {(*tensor.shape,)}, and {model.architecture} with "
                f"{len(model.channels or model.bands)} channels and {len(model.classes)} classes wants "
                f"{(*expected[name].shape,)}. Correct the bands, classes or architecture in its document."
            )
        if tensor.is_floating_point() != expected[name].is_floating_point():
            raise ModelError(
                f"model {model.name}: {name} is {tensor.dtype}, not {expected[name].dtype}."
            )
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise not_finite(model, name)
    network.load_state_dict(weights, strict=False)


def _without_prefix(weights: dict[str, torch.Tensor], first: str) -> dict[str, torch.Tensor]:
    """Return the parameters of the network, without the prefix that its training program put before their names."""
    found = [name.removesuffix(first) for name in weights if name.endswith(first)]
    prefix = min(found, key=len, default="")
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in weights.items()
        if name.startswith(prefix)
    }


def _cut_first_layer(network: torch.nn.Module, model: Model) -> None:
    """Remove the channels of the first layer that have no band: they would only add 0."""
    import torch

    if model.channels in ((), model.bands):
        return
    kept = [model.channels.index(band) for band in model.bands]
    count = len(model.channels)
    layer = next(
        (m for m in network.modules() if isinstance(m, torch.nn.Conv2d) and m.in_channels == count),
        None,
    )
    if layer is None or layer.groups != 1:
        raise ModelError(
            f"model {model.name}: the first layer of {model.architecture} cannot be cut to {len(kept)} of "
            f"{count} channels; name no channels in its document, and bands for all of them."
        )
    layer.weight = torch.nn.Parameter(layer.weight.detach()[:, kept].contiguous())
    layer.in_channels = len(kept)
