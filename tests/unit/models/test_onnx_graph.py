"""ONNX graphs in single precision, all in one file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from odc_cleansat import get_model
from odc_cleansat.errors import ModelError
from odc_cleansat.models.onnx_graph import read_onnx
from odc_cleansat.models.openvino_engine import OpenVINOEngine
from odc_cleansat.models.weights import weights_path
from unit.models.helpers import (
    CSMASK,
    a_model,
    node,
    onnx_file,
    onnx_logits,
)


@pytest.mark.parametrize("name", [get_model().name, *CSMASK])
def test_the_graph_is_single_precision_throughout(name: str) -> None:
    from onnx import TensorProto

    graph = read_onnx(get_model(name)).graph
    assert {t.data_type for t in graph.initializer} == {TensorProto.FLOAT}
    casts = [a.i for n in graph.node if n.op_type == "Cast" for a in n.attribute]
    assert TensorProto.FLOAT16 not in casts


def test_half_precision_of_the_published_graph_is_what_set_them_apart(
    image: np.ndarray,
) -> None:
    model = get_model(CSMASK[0])
    published = onnx_logits(weights_path(model).read_bytes(), model, image)
    widened = onnx_logits(read_onnx(model).SerializeToString(), model, image)
    assert np.abs(published - widened).max() > 2e-3


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
