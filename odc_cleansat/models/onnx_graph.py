"""Reads ONNX graphs from files of strangers, and widens them to single precision."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ModelError, first_line
from .model import Model
from .weights import not_finite, weights_path

if TYPE_CHECKING:
    from onnx import ModelProto, TensorProto


_LARGEST = 2**31
"""Bytes that no message of protobuf reaches, and so no graph."""


def read_onnx(model: Model) -> ModelProto:
    """Return the network as an ONNX graph in single precision.

    The graphs of ukis-csmask store weights *and* activations in half precision. Every runtime folds the batch
    normalisations in half precision too, which moves the logits by up to 0.02. If the graph is widened
    before, ONNX Runtime, OpenVINO and torch agree within 1e-4.

    Returns
    -------
    onnx.ModelProto
        Input ``(N, C, H, W)`` float32 normalised reflectance, output ``(N, K, H, W)`` float32.

    Raises
    ------
    ModelError
        If the file is no ONNX graph, keeps weights in another file, or has weights that are not finite.
    """
    proto = _load(model)
    _widen(model, proto)
    return proto


def _load(model: Model) -> ModelProto:
    """Return the graph as the file has it, checked."""
    import onnx

    path = weights_path(model)
    if path.stat().st_size >= _LARGEST:
        raise ModelError(f"model {model.name}: {path} has 2 GiB or more, and no ONNX graph has.")
    try:
        proto = onnx.load(path, load_external_data=False)
        if any(map(_is_elsewhere, _tensors(proto))):
            raise ModelError(
                f"model {model.name}: {path} keeps weights in another file, whose sha256 nobody checks. "
                "Save it as one file: onnx.save(onnx.load(...), ..., save_as_external_data=False)."
            )
        onnx.checker.check_model(proto)
    except ModelError:
        raise
    except Exception as error:  # errors of protobuf, of the checker and others
        raise ModelError(
            f"model {model.name}: {path} is no valid ONNX graph: {first_line(error)}."
        ) from error
    return proto


def _tensors(message: Any) -> Iterator[TensorProto]:
    """Yield all tensors of a graph: those of its nodes, its functions and its subgraphs too."""
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


def _widen(model: Model, proto: ModelProto) -> None:
    """Change half precision to single precision in place, and raise if weights are not finite."""
    from onnx import AttributeProto, TensorProto

    graph = proto.graph
    for initializer in graph.initializer:
        _widen_tensor(model, initializer)
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == AttributeProto.TENSOR:
                _widen_tensor(model, attribute.t)
            if node.op_type == "Cast" and attribute.i == TensorProto.FLOAT16:
                attribute.i = TensorProto.FLOAT
    for value in (*graph.input, *graph.output):
        if value.type.tensor_type.elem_type == TensorProto.FLOAT16:
            value.type.tensor_type.elem_type = TensorProto.FLOAT
    # The stored types of intermediate values are now wrong. Runtimes infer them again.
    del graph.value_info[:]


def _widen_tensor(model: Model, tensor: TensorProto) -> None:
    from onnx import TensorProto, numpy_helper

    values = numpy_helper.to_array(tensor)
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise not_finite(model, tensor.name)
    if tensor.data_type == TensorProto.FLOAT16:
        tensor.CopyFrom(numpy_helper.from_array(values.astype("float32"), tensor.name))
