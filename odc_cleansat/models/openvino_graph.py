"""Builds one OpenVINO graph of a model, from reflectance to probabilities."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

from ..errors import ModelError, first_line
from .inference import PROBE, noise_for
from .model import Model
from .networks import torch_network
from .onnx_graph import read_onnx

if TYPE_CHECKING:
    import openvino
    import torch


def openvino_graph(model: Model, core: openvino.Core) -> tuple[openvino.Model, np.ndarray | None]:
    """Return a graph of ``(x - mean) / std``, the network and softmax, for any batch, height and width.

    Returns
    -------
    graph : openvino.Model
        It takes reflectance, ``(N, C, H, W)`` float32, unit 1, and gives probabilities, ``(N, K, H, W)``.
    expected : numpy.ndarray or None
        What torch answers to :func:`~odc_cleansat.models.inference.noise_for`, ``(1, K, 128, 192)`` float32; None
        for networks that torch does not read.

    Raises
    ------
    ModelError
        If the weights cannot be read, the network cannot take such input, or it does not return one
        channel for each class.
    """
    import openvino as ov
    from openvino import opset13 as ops

    network, expected = _network(model, core)
    channels = _channels(model)
    doubling = _doubling_nodes(_network_of_fixed_size(model, network, channels))
    network.reshape([-1, len(channels), -1, -1])
    _fuse_upsampling(network, doubling)
    reflectance = ops.parameter([-1, len(model.bands), -1, -1], np.float32, name="reflectance")
    mean, std = (
        np.asarray(values, dtype="float32").reshape(1, -1, 1, 1)
        for values in (model.mean, model.std)
    )
    normalised = ops.divide(ops.subtract(reflectance, mean), std)
    if channels != model.bands:
        normalised = _fill_channels(normalised, model)
    for target in network.inputs[0].get_target_inputs():
        target.replace_source_output(normalised.output(0))
    answer = network.outputs[0].get_node().input_value(0)
    if model.output == "logits":
        if _uncast(answer).get_node().get_type_name() == "Softmax":
            raise ModelError(
                f"model {model.name}: the network ends in a softmax; say output: probabilities in its document."
            )
        answer = ops.softmax(answer, axis=1).output(0)
    return ov.Model([ops.result(answer)], [reflectance], model.name), expected


def _network(model: Model, core: openvino.Core) -> tuple[openvino.Model, np.ndarray | None]:
    """Return the network alone, as its file has it, and what torch answers to noise."""
    try:
        if model.format == "onnx":
            return core.read_model(read_onnx(model).SerializeToString(), b""), None
        network = torch_network(model)
        return _from_torch(network, len(_channels(model))), _answer_of_torch(network, model)
    except ModelError:
        raise
    except Exception as error:  # OpenVINO's readers raise their own errors and those of Python
        raise ModelError(
            f"model {model.name}: OpenVINO cannot read the network: {first_line(error.__cause__ or error)}."
        ) from error


def _from_torch(network: torch.nn.Module, channels: int) -> openvino.Model:
    # `openvino.convert_model` does the same, but it traces twice and reports to its makers over the network.
    import torch
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # OpenVINO needs TorchScript, which torch advises against
        if not isinstance(network, torch.jit.ScriptModule):
            example = torch.zeros(1, channels, *PROBE[1:])
            network = torch.jit.trace(network, example, check_trace=False)
        decoder = TorchScriptPythonDecoder(network)
        frontend = FrontEndManager().load_by_framework("pytorch")
        return frontend.convert(frontend.load(decoder))


def _answer_of_torch(network: torch.nn.Module, model: Model) -> np.ndarray:
    """Return the probabilities that torch gives for noise, ``(1, K, 128, 192)`` float32."""
    import torch

    noise = torch.from_numpy(noise_for(model))
    mean, std = (torch.tensor(v).reshape(1, -1, 1, 1) for v in (model.mean, model.std))
    with torch.inference_mode():
        answer = network((noise - mean) / std)
        found: np.ndarray = (answer.softmax(1) if model.output == "logits" else answer).numpy()
    return found


def _channels(model: Model) -> tuple[str, ...]:
    """Return the channels that the network takes. Networks of torch take the model's bands already."""
    return model.channels if model.format == "onnx" and model.channels else model.bands


def _network_of_fixed_size(
    model: Model, network: openvino.Model, channels: tuple[str, ...]
) -> openvino.Model:
    """Return a copy for images of one size, and raise if the network cannot take images of any size."""
    import openvino as ov

    if len(network.inputs) != 1 or len(network.outputs) != 1:
        raise ModelError(
            f"model {model.name}: the network has {len(network.inputs)} inputs and {len(network.outputs)} "
            "outputs; it must have one of each."
        )
    declared = network.inputs[0].get_partial_shape()
    if declared.rank.is_static and (
        len(declared) != 4 or not declared[1].compatible(ov.Dimension(len(channels)))
    ):
        raise ModelError(
            f"model {model.name}: the network takes {declared}, not (batch, {len(channels)} channels, height, "
            "width). Correct bands or channels in its document, or export it with the channels second."
        )
    batch, height, width = PROBE
    wanted = [batch, len(model.classes), height, width]
    tried = network.clone()
    try:
        tried.reshape([batch, len(channels), height, width])
        found = tried.outputs[0].get_partial_shape()
    except RuntimeError as error:
        raise ModelError(
            f"model {model.name}: the network takes only images of {declared}; export it with a batch, "
            "height and width that may vary."
        ) from error
    if found != ov.PartialShape(wanted):
        raise ModelError(
            f"model {model.name}: from images of {ov.PartialShape([batch, len(channels), height, width])} the network "
            f"makes {found}, not {ov.PartialShape(wanted)}: one channel for each of its classes "
            f"({', '.join(c.label for c in model.classes)}), in the size of the image."
        )
    return tried


def _fill_channels(normalised: openvino.Node, model: Model) -> openvino.Node:
    """Return the channels of the network. Those without a band are 0, the mean after normalisation."""
    from openvino import opset13 as ops

    padded = ops.pad(normalised, [0, 0, 0, 0], [0, 1, 0, 0], "constant", np.float32(0))
    return ops.gather(padded, np.array(model.band_of_channel(), dtype="int64"), np.int64(1))


def _doubling_nodes(fixed: openvino.Model) -> set[str]:
    """Return the names of the interpolations that repeat each pixel twice in both directions."""
    found = set()
    for node in fixed.get_ordered_ops():
        if node.get_type_name() != "Interpolate":
            continue
        attributes = node.get_attributes()
        kind = (
            attributes["mode"],
            attributes["coordinate_transformation_mode"],
            attributes["nearest_mode"],
        )
        before, after = (p.get_partial_shape() for p in (node.input(0), node.output(0)))
        if before.is_dynamic or after.is_dynamic or kind != ("nearest", "asymmetric", "floor"):
            continue
        n, c, h, w = before.to_shape()
        if [*after.to_shape()] == [n, c, 2 * h, 2 * w] and not any(
            (*attributes["pads_begin"], *attributes["pads_end"])
        ):
            found.add(node.get_friendly_name())
    return found


def _fuse_upsampling(network: openvino.Model, doubling: set[str]) -> None:
    """Replace "double the size, append the skip, convolve" by one transposed and one plain convolution.

    The result is the same but for rounding. Under a 3 x 3 kernel over repeated pixels, several weights meet the
    same pixel. Their sums, 4 x 4 weights at half the resolution, need 4/9 of the multiplications. The doubled
    and the joined tensor are never written. In all, this saves a tenth of the time.
    """
    from openvino import opset13 as ops

    # Row k of the 4 x 4 kernel is the sum of these rows of the 3 x 3 kernel.
    rows = np.array([[0, 0, 1], [0, 1, 1], [1, 1, 0], [1, 0, 0]], dtype="float32")
    for node in network.get_ordered_ops():
        weights = _plain_kernel(node)
        if weights is None:
            continue
        source, skip = _uncast(node.input_value(0)), None
        if _joins_two(source.get_node()):
            source, skip = (source.get_node().input_value(i) for i in (0, 1))
            source = _uncast(source)
        if source.get_node().get_friendly_name() not in doubling:
            continue
        small = _uncast(source.get_node().input_value(0))
        channels = small.get_partial_shape()[1].get_length()
        transposed = np.einsum("ak,oikl,bl->ioab", rows, weights[:, :channels], rows)
        result = ops.convolution_backprop_data(
            small,
            ops.constant(np.ascontiguousarray(transposed)),
            strides=[2, 2], pads_begin=[1, 1], pads_end=[1, 1], dilations=[1, 1],
        )  # fmt: skip
        # Encoders of timm may have no features at this size, and give a skip of no channels.
        if skip is not None and weights.shape[1] > channels:
            own = ops.constant(np.ascontiguousarray(weights[:, channels:]))
            result = ops.add(result, ops.convolution(skip, own, [1, 1], [1, 1], [1, 1], [1, 1]))
        for target in node.output(0).get_target_inputs():
            target.replace_source_output(result.output(0))
    network.validate_nodes_and_infer_types()


def _plain_kernel(node: openvino.Node) -> np.ndarray | None:
    """Return the weights of a 3 x 3 convolution that keeps the size, ``(O, I, 3, 3)`` float32, else None."""
    if node.get_type_name() != "Convolution":
        return None
    attributes = node.get_attributes()
    kernel = _uncast(node.input_value(1)).get_node()
    if kernel.get_type_name() != "Constant" or attributes["auto_pad"] != "explicit":
        return None
    ones = [
        *attributes["strides"],
        *attributes["dilations"],
        *attributes["pads_begin"],
        *attributes["pads_end"],
    ]
    weights = np.asarray(kernel.data, dtype="float32")
    return weights if weights.shape[2:] == (3, 3) and set(ones) == {1} else None


def _joins_two(node: openvino.Node) -> bool:
    return (
        node.get_type_name() == "Concat"
        and node.get_input_size() == 2
        and node.get_attributes()["axis"] in (1, -3)
    )


def _uncast(value: openvino.Output) -> openvino.Output:
    """Return the tensor before casts between precisions, which do not matter here."""
    while value.get_node().get_type_name() == "Convert":
        value = value.get_node().input_value(0)
    return value
