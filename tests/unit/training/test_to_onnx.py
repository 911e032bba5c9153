"""The script that writes the weights of a trained network as an ONNX graph."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import yaml

from odc_cleansat import get_model
from odc_cleansat.models.documents import write_model
from odc_cleansat.models.engines import get_engine
from odc_cleansat.models.networks import read_state_dict
from odc_cleansat.models.registry import read_model
from unit.models.helpers import save_safetensors, small_network, write

SCRIPT = Path(__file__).parents[3] / "training" / "to_onnx.py"


def export(document: Path, out: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), str(document), str(out)], capture_output=True, text=True
    )


def test_the_graph_is_the_network(tmp_path: Path) -> None:
    document = tmp_path / "trained.yaml"
    write_model(get_model("unet-mobilenetv2-l2a"), document)
    done = export(document, tmp_path / "small.onnx")
    assert done.returncode == 0, done.stderr
    written = yaml.safe_load(document.read_text())
    written |= {"weights": "file:small.onnx", "sha256": done.stdout.split()[0]}
    (tmp_path / "graph.yaml").write_text(yaml.safe_dump(written))
    network, graph = (read_model(path) for path in (document, tmp_path / "graph.yaml"))
    tensors = read_state_dict(graph)
    assert all(
        np.array_equal(tensor, tensors[name])
        for name, tensor in read_state_dict(network).items()
        if not name.endswith("num_batches_tracked")
    )
    pixels = np.random.default_rng(0).uniform(0, 0.5, (1, 6, 96, 128)).astype("float32")
    for engine in ("openvino", "torch"):
        one, other = (get_engine(model, engine, "f32")(pixels) for model in (network, graph))
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_a_network_that_was_never_trained_loses_tensors(tmp_path: Path) -> None:
    save_safetensors(small_network().state_dict(), tmp_path / "small.safetensors")
    done = export(write(tmp_path), tmp_path / "small.onnx")
    assert done.returncode == 2
    assert "the graph lacks decoder.blocks.0" in done.stderr
    assert not (tmp_path / "small.onnx").exists()
