"""Devices and their precision."""

from __future__ import annotations

import sys

import pytest

from odc_cleansat.errors import ModelError
from odc_cleansat.training.devices import best_precision, find_device


@pytest.mark.parametrize("there", [True, False])
def test_cuda_is_taken_where_it_is(monkeypatch: pytest.MonkeyPatch, there: bool) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: there)
    assert find_device(None).type == ("cuda" if there else "cpu")
    assert find_device("cpu").type == "cpu"
    if there:
        assert find_device("cuda").type == "cuda"
    else:
        with pytest.raises(ModelError, match="no CUDA device that torch can use; train on the cpu"):
            find_device("cuda")


@pytest.mark.parametrize(
    ("capabilities", "precision"), [(["FP32", "BF16"], "bf16"), (["FP32"], "f32")]
)
def test_a_processor_takes_bf16_if_it_computes_in_it(
    monkeypatch: pytest.MonkeyPatch, capabilities: list[str], precision: str
) -> None:
    monkeypatch.setattr("openvino.Core.get_property", lambda *_: capabilities)
    assert best_precision("cpu") == precision


def test_a_machine_without_openvino_takes_f32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    assert best_precision("cpu") == "f32"


@pytest.mark.parametrize("supported", [True, False])
def test_cuda_takes_bf16_if_it_computes_in_it(
    monkeypatch: pytest.MonkeyPatch, supported: bool
) -> None:
    monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda including_emulation: supported)
    assert best_precision("cuda") == ("bf16" if supported else "f32")
