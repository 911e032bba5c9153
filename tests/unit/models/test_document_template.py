"""Templates of model documents, with what the weights tell."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from odc_cleansat.errors import ModelError
from odc_cleansat.models.document_template import document_template
from odc_cleansat.models.documents import VALIDATORS
from unit.models.helpers import onnx_file, save_safetensors


def test_an_onnx_graph_tells_its_channels(tmp_path: Path) -> None:
    found = yaml.safe_load(document_template(onnx_file(tmp_path / "My_Net.onnx")))
    assert found["name"] == "my-net"
    assert found["bands"] == ["blue", "green", "red", "nir"]
    assert found["classes"] == ["clear", "cloud", "shadow"]
    assert found["weights"] == "file:My_Net.onnx"
    assert "architecture" not in found


def test_a_state_dict_tells_its_channels_whatever_its_prefix(state: dict, tmp_path: Path) -> None:
    tensors = {f"model.{name}": tensor for name, tensor in state.items()}
    found = yaml.safe_load(document_template(save_safetensors(tensors, tmp_path / "x.safetensors")))
    assert len(found["bands"]) == 4
    assert len(found["classes"]) == 3
    assert found["architecture"]["name"] == "Unet"


def test_what_tells_nothing_gets_likely_values(tmp_path: Path) -> None:
    (tmp_path / "x.pt").write_bytes(b"nonsense")
    found = yaml.safe_load(document_template(tmp_path / "x.pt"))
    assert (len(found["bands"]), len(found["classes"])) == (6, 3)
    with pytest.raises(ModelError, match="neither a model document"):
        document_template(tmp_path / "x.txt")


def test_the_curves_that_it_shows_are_right(tmp_path: Path) -> None:
    lines = document_template(onnx_file(tmp_path / "x.onnx")).splitlines()
    (line,) = (each[2:] for each in lines if each.startswith("# calibration:"))
    curves = dict(VALIDATORS["calibration"](yaml.safe_load(line)["calibration"]))
    assert curves["shadow"] == ((0, 0.2), (0.8, 0.7), (1, 1))
