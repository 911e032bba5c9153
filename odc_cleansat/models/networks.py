"""From a model's files to networks: ONNX graphs, state dicts and torch modules.

Files come from strangers. Tensors are read, programs are not run: pickles are refused, and TorchScript, which
is a program, is run only where the document says what it is and the user has allowed it.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ModelError, first_line
from .model import Model
from .torchscript import check_allowed
from .weights import weights_path

if TYPE_CHECKING:
    import torch
    from onnx import ModelProto, TensorProto


_WRAPPERS = ("state_dict", "model_state_dict", "model")
"""Keys under which training programs keep the weights, beside what else they save."""

_NEVER_CALLED = ("encoder._conv_head.", "encoder._bn1.")
"""Layers of an encoder that no decoder calls, and that exports therefore leave out."""


def torch_network(model: Model) -> torch.nn.Module:
    """The model's network in evaluation mode: normalised reflectance of its bands in, its output out.

    Raises
    ------
    ModelError
        If the weights cannot be read, are not all finite, or are not those of the architecture that the
        model names; or if they are TorchScript that has not been allowed, or an ONNX graph of no known
        architecture.
    """
    if model.format == "torchscript":
        return _torchscript(model)
    if model.architecture is None:
        raise ModelError(
            f"model {model.name}: torch needs to know the architecture of an ONNX graph, and the model "
            "names none; use the engine openvino."
        )
    network = build_network(model)
    _fill(network, read_state_dict(model), model)
    _cut_first_layer(network, model)
    return network.eval()


def read_state_dict(model: Model) -> dict[str, torch.Tensor]:
    """The weights by the names of their parameters, as the file has them.

    Raises
    ------
    ModelError
        If the file cannot be read, or holds anything but tensors.
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


def read_onnx(model: Model) -> ModelProto:
    """The network as an ONNX graph in single precision.

    The graphs of ukis-csmask store weights *and* activations in half precision, and every
    runtime that folds the batch normalisations does so in half precision, which moves the
    logits by up to 0.02. Widened to single precision before anything is folded, ONNX
    Runtime, OpenVINO and torch agree within 1e-4.

    Returns
    -------
    onnx.ModelProto
        Input ``(N, C, H, W)`` float32 normalised reflectance, output ``(N, K, H, W)`` float32.

    Raises
    ------
    ModelError
        If the file is no ONNX graph, keeps its weights elsewhere, or has weights that are not finite.
    """
    import numpy as np
    import onnx
    from onnx import TensorProto, numpy_helper

    path = weights_path(model)
    try:
        graph = onnx.load(path, load_external_data=False)
        if any(map(_is_elsewhere, _tensors(graph))):
            raise ModelError(
                f"model {model.name}: {path} keeps weights in another file, whose sha256 nobody checks. "
                "Save it as one file: onnx.save(onnx.load(...), ..., save_as_external_data=False)."
            )
        onnx.checker.check_model(graph)
    except ModelError:
        raise
    except Exception as error:  # protobuf's, the checker's and others
        raise ModelError(
            f"model {model.name}: {path} is no valid ONNX graph: {first_line(error)}."
        ) from error

    def widen(tensor: TensorProto) -> None:
        values = numpy_helper.to_array(tensor)
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise _not_finite(model, tensor.name)
        if tensor.data_type == TensorProto.FLOAT16:
            tensor.CopyFrom(numpy_helper.from_array(values.astype("float32"), tensor.name))

    for initializer in graph.graph.initializer:
        widen(initializer)
    for node in graph.graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.TENSOR:
                widen(attribute.t)
            if node.op_type == "Cast" and attribute.i == TensorProto.FLOAT16:
                attribute.i = TensorProto.FLOAT
    for value in (*graph.graph.input, *graph.graph.output):
        if value.type.tensor_type.elem_type == TensorProto.FLOAT16:
            value.type.tensor_type.elem_type = TensorProto.FLOAT
    # Recorded types of intermediate values are now wrong; runtimes infer them anew.
    del graph.graph.value_info[:]
    return graph


def _tensors(message: Any) -> Iterator[TensorProto]:
    """All that a graph holds, in its nodes, its functions and the graphs within it too."""
    from onnx import TensorProto

    if isinstance(message, TensorProto):
        yield message
        return
    for field, value in message.ListFields():
        if field.message_type is not None:
            for each in [value] if hasattr(value, "ListFields") else value:
                yield from _tensors(each)


def _is_elsewhere(tensor: TensorProto) -> bool:
    return bool(tensor.external_data) or tensor.data_location == tensor.EXTERNAL


# --- TorchScript ----------------------------------------------------------------------


def _torchscript(model: Model) -> torch.nn.Module:
    import torch

    path = weights_path(model)
    check_allowed(model)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch advises its makers to use something else
            network = torch.jit.load(path, map_location="cpu").eval()
    except (RuntimeError, ValueError, OSError) as error:
        raise ModelError(
            f"model {model.name}: {path} is no TorchScript: {first_line(error)}."
        ) from error
    for name, tensor in network.state_dict().items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise _not_finite(model, name)
    network = network.float()
    return network if model.channels in ((), model.bands) else _spread(network, model)


def _spread(network: torch.nn.Module, model: Model) -> torch.nn.Module:
    """The network fed with 0, the mean, in the channels that the model's bands do not fill."""
    import torch

    count = len(model.bands)
    places = [model.bands.index(c) if c in model.bands else count for c in model.channels]

    class Spread(torch.nn.Module):  # type: ignore[misc]
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            padded = torch.cat([images, torch.zeros_like(images[:, :1])], dim=1)
            return padded[:, places]

    return torch.nn.Sequential(Spread(), network).eval()


# --- state dicts ----------------------------------------------------------------------


def _unpickled(model: Model, path: Path) -> dict[str, torch.Tensor]:
    """A state dict as `torch.save` writes it, read by torch's reader of tensors, which runs nothing."""
    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of TorchScript, which it then refuses
            found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a file of a stranger may bring about
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
    """The network that the architecture describes, of random weights.

    Parameters
    ----------
    encoder_weights
        What the encoder was trained on before, by a name that segmentation_models_pytorch knows for it, such as
        ``imagenet``; it fetches the weights from Hugging Face into that one's cache.

    Raises
    ------
    ModelError
        If there is no such architecture, or no such weights can be had.
    """
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
    # Encoders of timm have one set of weights, and no names for it.
    chosen = bool(encoder_weights) if architecture.encoder.startswith("tu-") else encoder_weights
    try:
        network: torch.nn.Module = kinds[architecture.name](
            encoder_name=architecture.encoder,
            encoder_weights=chosen or None,
            in_channels=len(model.channels or model.bands),
            classes=len(model.classes),
            **dict(architecture.options),
        )
    except Exception as error:  # as various as its arguments
        raise ModelError(
            f"model {model.name}: segmentation_models_pytorch cannot build {architecture}: {first_line(error)}."
        ) from error
    return network


def _fill(network: torch.nn.Module, weights: dict[str, torch.Tensor], model: Model) -> None:
    expected = network.state_dict()
    weights = _without_prefix(weights, next(iter(expected)))
    # Batch normalisations count what they have seen, which only matters in training.
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
            raise _not_finite(model, name)
    network.load_state_dict(weights, strict=False)


def _without_prefix(weights: dict[str, torch.Tensor], first: str) -> dict[str, torch.Tensor]:
    """The parameters of the network itself, whatever it was called in the program that trained it."""
    found = [name.removesuffix(first) for name in weights if name.endswith(first)]
    prefix = min(found, key=len, default="")
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in weights.items()
        if name.startswith(prefix)
    }


def _cut_first_layer(network: torch.nn.Module, model: Model) -> None:
    """Leave out the channels that the model's bands do not fill: they would only ever add 0."""
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


def _not_finite(model: Model, name: str) -> ModelError:
    return ModelError(
        f"model {model.name}: {name} holds values that are not finite; the weights are spoilt."
    )
