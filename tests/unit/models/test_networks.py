"""Networks from files that may be anything."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from odc_cleansat import get_model
from odc_cleansat.errors import ModelError
from odc_cleansat.models.networks import torch_network
from odc_cleansat.models.onnx_graph import read_onnx
from odc_cleansat.models.registry import read_model
from unit.models.helpers import (
    onnx_logits,
    save_safetensors,
    small_network,
    write,
)


def test_smp_unet_gives_the_logits_themselves(image: np.ndarray) -> None:
    import torch

    model = get_model()
    expected = onnx_logits(read_onnx(model).SerializeToString(), model, image)
    mean, std = (torch.tensor(v).reshape(1, -1, 1, 1) for v in (model.mean, model.std))
    with torch.inference_mode():
        found = torch_network(model)((torch.from_numpy(image) - mean) / std).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-3, rtol=0)


def as_safetensors(state: dict, path: Path) -> Path:
    return save_safetensors(state, path.with_suffix(".safetensors"))


def as_half(state: dict, path: Path) -> Path:
    half = {n: t.half() if t.is_floating_point() else t for n, t in state.items()}
    return save_safetensors(half, path.with_suffix(".safetensors"))


def as_state_dict(state: dict, path: Path) -> Path:
    import torch

    torch.save(state, path.with_suffix(".pt"))
    return path.with_suffix(".pt")


def as_checkpoint(state: dict, path: Path) -> Path:
    """As PyTorch Lightning keeps it: under a key and a prefix, beside the weights of the loss."""
    import torch

    inner = {f"net.model.{name}": tensor for name, tensor in state.items()}
    inner["loss.weight"] = torch.ones(3)
    torch.save({"epoch": 3, "state_dict": inner}, path.with_suffix(".ckpt"))
    return path.with_suffix(".ckpt")


@pytest.mark.parametrize("save", [as_safetensors, as_half, as_state_dict, as_checkpoint])
def test_any_way_to_keep_weights(
    save: Callable[[dict, Path], Path], state: dict, tmp_path: Path
) -> None:
    import torch

    file = save(state, tmp_path / "small")
    network = torch_network(read_model(write(tmp_path, weights=f"file:{file.name}")))
    image = torch.rand(1, 4, 64, 96)
    with torch.inference_mode():
        found, expected = network(image), small_network()(image)
    tolerance = 2e-2 if save is as_half else 0
    torch.testing.assert_close(found, expected, atol=tolerance, rtol=0)


def test_bands_that_are_not_there_stand_at_their_mean(tmp_path: Path) -> None:
    """One file of six channels serves four bands, as if the others were at their mean."""
    import torch

    six = small_network(channels=6)
    save_safetensors(dict(six.state_dict()), tmp_path / "small.safetensors")
    channels = ["swir22", "blue", "green", "red", "swir16", "nir"]
    network = torch_network(read_model(write(tmp_path, channels=channels)))
    image = torch.rand(1, 4, 64, 64)
    whole = torch.zeros(1, 6, 64, 64)
    whole[:, [1, 2, 3, 5]] = image
    with torch.inference_mode():
        torch.testing.assert_close(network(image), six(whole), atol=1e-5, rtol=0)


class Poison:
    """Whose pickle writes a file when it is read."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.target}",)


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".ckpt", ".bin"])
@pytest.mark.parametrize("bare", [True, False])
def test_a_poisoned_pickle_is_not_run(suffix: str, bare: bool, state: dict, tmp_path: Path) -> None:
    import torch

    target = tmp_path / "poisoned"
    file = tmp_path / f"small{suffix}"
    if bare:
        file.write_bytes(pickle.dumps(Poison(target)))
    else:
        torch.save({**state, "more": Poison(target)}, file)
    model = read_model(write(tmp_path, weights=f"file:{file.name}"))
    with pytest.raises(ModelError, match="more than tensors"):
        torch_network(model)
    assert not target.exists()
    pickle.loads(
        pickle.dumps(Poison(target))
    )  # so that the test is one: opened carelessly it bites
    assert target.exists()


def header(text: bytes, length: int | None = None) -> bytes:
    return (len(text) if length is None else length).to_bytes(8, "little") + text


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x80\x04garbage",
        header(b"{}", 2**60),
        header(b'{"a": {"dtype": "F32", "shape": [1000000], "data_offsets": [0, 4000000]}}'),
        header(b'{"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 0]}}') + b"1234",
        header(b"not json"),
    ],
)
def test_a_poisoned_safetensors(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "small.safetensors").write_bytes(content)
    with pytest.raises(ModelError, match="not whole, or no safetensors"):
        torch_network(read_model(write(tmp_path)))


def without_one(state: dict) -> dict:
    return {name: t for name, t in state.items() if name != "decoder.blocks.0.conv1.0.weight"}


def with_one_more(state: dict) -> dict:
    return {**state, "decoder.extra": state["segmentation_head.0.bias"].clone()}


def with_nan(state: dict) -> dict:
    import torch

    return {**state, "segmentation_head.0.bias": torch.tensor([0.0, float("nan"), 0.0])}


def with_integers(state: dict) -> dict:
    return {**state, "segmentation_head.0.bias": state["segmentation_head.0.bias"].int()}


@pytest.mark.parametrize(
    ("spoil", "changes", "message"),
    [
        (dict, {"classes": ["clear", "cloud", "shadow", "thin_cloud"]}, "segmentation_head.* 4 classes"),
        (dict, {"bands": ["blue", "green", "red"], "mean": None, "std": None}, "with 3 channels"),
        (dict, {"architecture": {"name": "Unet", "encoder": "resnet18"}}, "do not fit UNet, resnet18"),
        (dict, {"architecture": {"name": "Unet", "encoder": "mobilenet_v2", "encoder_depth": 3, "decoder_channels": [32, 8, 8]}}, "has the shape"),
        (dict, {"architecture": {"name": "Unet", "encoder": "resnet9000"}}, "cannot build"),
        (dict, {"architecture": {"name": "Unet", "encoder": "mobilenet_v2", "encoder_depth": 9}}, "cannot build"),
        (dict, {"architecture": {"name": "create_model", "encoder": "mobilenet_v2"}}, "no network 'create_model'.*Unet"),
        (without_one, {}, "missing .'decoder.blocks.0"),
        (with_one_more, {}, "unexpected .'decoder.extra"),
        (with_nan, {}, "segmentation_head.0.bias holds values that are not finite"),
        (with_integers, {}, "torch.int32"),
    ],
)  # fmt: skip
def test_weights_that_do_not_fit(
    spoil: Callable[[dict], dict],
    changes: dict[str, object],
    message: str,
    state: dict,
    tmp_path: Path,
) -> None:
    save_safetensors(spoil(state), tmp_path / "small.safetensors")
    with pytest.raises(ModelError, match=message) as told:
        torch_network(read_model(write(tmp_path, **changes)))
    assert len(str(told.value).splitlines()) == 1


def test_a_file_without_tensors(tmp_path: Path) -> None:
    import torch

    torch.save({"epoch": 3}, tmp_path / "small.pt")
    with pytest.raises(ModelError, match="no state dict"):
        torch_network(read_model(write(tmp_path, weights="file:small.pt")))
