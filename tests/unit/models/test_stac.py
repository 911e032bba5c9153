"""What a STAC item says about the model."""

from __future__ import annotations

import dataclasses

import pytest

from odc_cleansat import get_model
from odc_cleansat.models.model import Model
from odc_cleansat.models.stac import model_assets, model_properties
from unit.models.helpers import (
    CSMASK,
)


def fields_of(model: Model) -> tuple[dict, dict]:
    return model_properties(model, []), {k: a.to_dict() for k, a in model_assets(model).items()}


def test_a_stac_item_names_the_weights_of_each_member() -> None:
    properties, assets = fields_of(get_model("+".join(CSMASK[:2])))
    assert properties["mlm:architecture"] == "UNet, efficientnet-b4 encoder"
    assert properties["mlm:framework"] == "ONNX"
    assert set(assets) == {f"model_{name}" for name in CSMASK[:2]}
    assert all(each["href"] == "https://pypi.org/project/ukis-csmask/" for each in assets.values())


@pytest.mark.parametrize(
    ("weights", "href"),
    [
        ("https://example.com/a/x.safetensors?token=secret", "https://example.com/a/x.safetensors"),
        ("https://user:secret@example.com:8443/a/x.safetensors", "https://example.com:8443/a/x.safetensors"),
        ("http://user:secret@localhost/a/x.safetensors", f"urn:sha256:{'a' * 64}"),
        ("hf:owner/repo/sub/x.safetensors@v1", "https://huggingface.co/owner/repo/resolve/v1/sub/x.safetensors"),
        ("hf:owner/repo/x.safetensors@refs/pr/1", "https://huggingface.co/owner/repo/resolve/refs%2Fpr%2F1/x.safetensors"),
        ("file:/home/someone/x.safetensors", f"urn:sha256:{'a' * 64}"),
    ],
)  # fmt: skip
def test_records_hold_no_secrets_and_no_local_paths(weights: str, href: str) -> None:
    model = dataclasses.replace(get_model(), weights=weights, sha256="a" * 64)
    properties, assets = fields_of(model)
    assert assets["model"]["href"] == href
    assert assets["model"]["title"] == f"x.safetensors, sha256 {'a' * 64}"
    assert properties["mlm:framework"] == "PyTorch"
    assert "someone" not in str(assets)
    assert "secret" not in str(assets)
