"""What a model is: its format, its part in the ids of masks, its level."""

from __future__ import annotations

import dataclasses
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from odc_cleansat import get_model
from odc_cleansat.errors import ModelError, ModelWarning
from odc_cleansat.models.ensembles import ensemble
from odc_cleansat.models.model import BUILTIN
from odc_cleansat.models.weights import sha256_of, weights_path
from odc_cleansat.products.identity import mask_id
from odc_cleansat.scenes.baseline import processing_level
from unit.models.helpers import (
    CSMASK,
    save_safetensors,
    write,
)


@pytest.mark.parametrize("path", sorted(BUILTIN.glob("*.yaml")), ids=lambda p: p.stem)
def test_built_in_documents_are_whole(path: Path) -> None:
    model = get_model(path.stem)
    assert model.name == path.stem
    card = Path(model.card).read_text(encoding="utf-8")
    for part in ("| data |", "| resolution |", "| classes |", "## Known failures", "## Accuracy"):
        assert part in card
    assert model.licence in card
    assert not model.sha256 or model.sha256 in card


def test_the_small_network_ships_as_one_file_for_six_bands_and_four() -> None:
    six, four = map(get_model, ("unet-mobilenetv2-l2a", "unet-mobilenetv2-l2a-4b"))
    assert (six.resolution, six.level, six.licence) == (30, "L2A", "Apache-2.0")
    assert four.bands == six.bands[:4]
    assert four.weights == six.weights
    assert weights_path(six).stat().st_size < 15e6
    assert sha256_of(four) == sha256_of(six) == six.sha256


def test_the_defaults_are_what_stored_masks_were_made_with() -> None:
    """Ids of masks derive from these; they must not change unless the network does."""
    model = get_model()
    assert model.name == "unet-mobilenetv2-l2a-thin"
    assert model.version == "1.0.0"
    assert sha256_of(model) == "ce78c8379aa483468fd0e0b25b0d220a3c887226ec2778258680c2312d65f76b"
    assert [each.label for each in model.classes] == ["clear", "cloud", "shadow", "thin_cloud"]
    assert (model.mean[0], model.std[-1]) == (0.26681777834892273, 0.14328984916210175)
    assert model.parameters() == {
        "resolution": 30,
        "stride": [896, 1920],
        "overlap": 128,
        "whole": 4_194_304,
    }
    curves = dict(model.calibration)
    assert curves.keys() == {"clear", "shadow"}
    assert curves["clear"][1:4] == ((0.5, 0.84), (0.6, 0.88), (0.7, 0.92))
    assert curves["shadow"][1:4] == ((0.5, 0.33), (0.6, 0.42), (0.7, 0.53))
    four = get_model(bands=model.bands[:4])
    assert (four.name, sha256_of(four)) == (
        f"{model.name}-4b",
        "ce78c8379aa483468fd0e0b25b0d220a3c887226ec2778258680c2312d65f76b",
    )


def test_the_defaults_of_before_are_what_their_masks_were_made_with() -> None:
    model = get_model("unet-efficientnetb4-l2a-6b")
    assert model.version == "1.0.0-6BL2A"
    assert sha256_of(model) == "d11c530978637ca420eedc40791c62bf78997dd39e1201777e2527e4bd94904e"
    assert model.mean[0] == 0.26681777834892273
    assert model.std[-1] == 0.14328984916210175
    assert model.parameters()["resolution"] == 30


def test_ids_of_masks_follow_what_a_document_says(models_of_the_user: Path, state: dict) -> None:
    """So a document that was corrected makes other masks, and does not find the wrong ones done."""
    save_safetensors(state, models_of_the_user / "small.safetensors")
    scene = UUID(int=1)

    def made(**changes: object) -> UUID:
        write(models_of_the_user, **changes)
        return mask_id(scene, get_model("small"), 20, 0)

    changes: list[dict[str, object]] = [
        {}, {"mean": [0.2, 0.1, 0.1, 0.3]}, {"std": [0.2, 0.1, 0.1, 0.2]}, {"classes": ["shadow", "cloud", "clear"]},
        {"bands": ["red", "green", "blue", "nir"]}, {"output": "probabilities"}, {"level": "L1C"},
    ]  # fmt: skip
    assert len({made(**each) for each in changes}) == len(changes)
    assert made(title="Another title", licence="MIT") == made()
    # What is written of it is what it is made with.
    model = get_model("small")
    assert model.with_parameters(model.parameters()) == model
    write(models_of_the_user, mean=[0.2, 0.1, 0.1, 0.3])
    with pytest.raises(ModelError, match="normalisation"):
        get_model("small").with_parameters(model.parameters())
    # Those that ship keep their ids, alone and together.
    for name in (*CSMASK, "+".join(CSMASK[:2])):
        assert "document" not in get_model(name).parameters()
    both = ensemble([get_model("small"), replace(get_model("small"), name="other")])
    assert "document" in both.parameters()


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ("hf:owner/repo/x.onnx@refs/pr/1", "onnx"),
        ("hf:owner/repo/x.safetensors@v1.0", "safetensors"),
        ("file:/a/net@2.onnx", "onnx"),
        ("file:/a/net#2?.PT", "state dict"),
        ("https://example.com/x.onnx?version=1.0/2#a/b", "onnx"),
    ],
)
def test_the_suffix_tells_the_format(weights: str, expected: str) -> None:
    assert dataclasses.replace(get_model(), weights=weights).format == expected


@pytest.mark.parametrize(
    ("properties", "level"),
    [
        ({"s2:product_type": "S2MSI2A"}, "L2A"),
        ({"processing:level": "L1C"}, "L1C"),
        ({"s2:product_uri": "S2B_MSIL2A_20240710T071619_N0510_R006_T37MGP_20240710T103747.SAFE"}, "L2A"),
        ({"sentinel:product_id": "S2A_MSIL1C_20200101T000000_N0208_R001_T01ABC_x"}, ""),
        ({}, ""),
    ],
)  # fmt: skip
def test_the_level_that_metadata_tell(properties: dict[str, str], level: str) -> None:
    assert processing_level(properties) == level


def test_a_scene_of_another_level_is_met_with_a_warning() -> None:
    from odc_cleansat.scenes.files import SceneFiles

    scene = SceneFiles({}, {"processing:level": "L2A"}, "scene", {})
    scene.warn_of_level(CSMASK[0], get_model(CSMASK[0]).level)
    with pytest.warns(ModelWarning, match="trained on L1C, and this scene is L2A"):
        scene.warn_of_level(CSMASK[2], get_model(CSMASK[2]).level)


@pytest.mark.parametrize(
    "odd",
    [
        [],
        "x",
        {"stride": [448]},
        {"overlap": "64"},
        {"whole": None},
        {"resolution": 0},
        {"resolution": "30"},
    ],
    ids=str,
)
def test_parameters_that_are_none(odd: Any) -> None:
    model = get_model()
    assert model.with_parameters(model.parameters()) == model
    parameters = {**model.parameters(), **odd} if isinstance(odd, dict) else odd
    with pytest.raises(ModelError, match="the parameters"):
        model.with_parameters(parameters)
