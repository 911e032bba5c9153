"""Write the weights of a model as an ONNX graph: `python training/to_onnx.py run/NAME.yaml NAME.onnx`.

OpenVINO reads such a graph itself, so that masks are made without torch. The parameters keep their names, so torch reads
them too. Prints the sha256 for the model's document, whose `weights` then name the new file.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import warnings
from pathlib import Path

import onnx
import torch

from odc_cleansat.models.networks import torch_network
from odc_cleansat.models.registry import read_model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("document", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    model = read_model(options.document)
    network = torch_network(model)
    found = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter, that another one is to follow
        torch.onnx.export(
            network,
            (torch.zeros(1, len(model.bands), 128, 192),),
            found,
            dynamo=False,
            opset_version=17,
            # Else the exporter folds the batch normalisations, and no parameter keeps its name.
            training=torch.onnx.TrainingMode.PRESERVE,
            do_constant_folding=False,
            input_names=["reflectance"],
            output_names=["logits"],
            dynamic_axes={
                "reflectance": {0: "n", 2: "y", 3: "x"},
                "logits": {0: "n", 2: "y", 3: "x"},
            },
        )
    graph = onnx.load_from_string(found.getvalue())
    keep_half(graph.graph)
    missing = {name for name, _ in network.named_parameters()} - {
        each.name for each in graph.graph.initializer
    }
    if missing:  # the exporter drops tensors that are not used, and all but one of equal ones
        parser.error(
            f"the graph lacks {', '.join(sorted(missing)[:3])}, so torch could not read it."
        )
    onnx.checker.check_model(graph)
    options.out.write_bytes(graph.SerializeToString())
    print(hashlib.sha256(options.out.read_bytes()).hexdigest(), options.out.stat().st_size, "bytes")


def keep_half(graph: onnx.GraphProto) -> None:
    """Store kernels in half precision, as trainings write them, where that loses nothing."""
    casts = {}
    for tensor in graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        half = values.astype("float16")
        if values.ndim == 4 and (half == values).all():
            tensor.CopyFrom(onnx.numpy_helper.from_array(half, tensor.name))
            casts[tensor.name] = f"{tensor.name}.single"
    for node in graph.node:
        node.input[:] = [casts.get(name, name) for name in node.input]
    nodes = [
        onnx.helper.make_node("Cast", [name], [single], to=onnx.TensorProto.FLOAT)
        for name, single in casts.items()
    ]
    nodes += graph.node
    del graph.node[:]
    graph.node.extend(nodes)


if __name__ == "__main__":
    main()
