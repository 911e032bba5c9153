"""Model documents, read and written."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from odc_cleansat import CloudClass, get_model
from odc_cleansat.errors import ModelError
from odc_cleansat.grids.windows import Tiling
from odc_cleansat.models.documents import document_of, read_document, write_model
from odc_cleansat.models.model import Architecture
from odc_cleansat.models.registry import read_model
from unit.models.helpers import (
    CSMASK,
    SMALL,
    write,
)


def test_a_document_says_all(tmp_path: Path) -> None:
    (tmp_path / "small.md").write_text("# Card")
    tiling = {"stride": [448, 448], "overlap": 64, "whole": 1_000_000}
    model = read_model(write(tmp_path, channels=["swir16", "nir", "red", "green", "blue"], tiling=tiling))  # fmt: skip
    assert model.bands == ("blue", "green", "red", "nir")
    assert model.classes == (CloudClass.CLEAR, CloudClass.CLOUD, CloudClass.SHADOW)
    assert model.architecture == Architecture("Unet", "mobilenet_v2", (("decoder_channels", (16, 8, 8)), ("encoder_depth", 3)))  # fmt: skip
    assert model.weights == f"file:{tmp_path / 'small.safetensors'}"
    assert model.card == str(tmp_path / "small.md")
    assert model.tiling == Tiling((448, 448), 64, 1_000_000)
    assert (model.output, model.format, model.sha256) == ("logits", "safetensors", "")
    hash(model)


def test_without_normalisation_reflectance_goes_in_as_it_is(tmp_path: Path) -> None:
    model = read_model(write(tmp_path, mean=None, std=None))
    assert (model.mean, model.std) == ((0.0,) * 4, (1.0,) * 4)


@pytest.mark.parametrize("name", CSMASK)
def test_a_document_written_is_the_model_read(name: str, tmp_path: Path) -> None:
    write_model(get_model(name), tmp_path / "copy.yaml")
    again = read_model(tmp_path / "copy.yaml")
    assert (again.speed, again.accuracy) == (get_model(name).speed, get_model(name).accuracy)
    copy = read_model(tmp_path / "copy.yaml")
    assert copy == get_model(name)
    assert copy.card == get_model(name).card


def test_curves_are_read_and_written_and_decide_what_a_mask_is(tmp_path: Path) -> None:
    curves = {"clear": [[0, 0.8], [0.5, 0.9], [1, 1]], "cloud": [[0.0, 0.0], [1.0, 1.0]]}
    plain = read_model(write(tmp_path))
    model = read_model(write(tmp_path, calibration=curves))
    assert dict(model.calibration)["clear"] == ((0, 0.8), (0.5, 0.9), (1, 1))
    write_model(model, tmp_path / "copy.yaml")
    assert read_model(tmp_path / "copy.yaml") == model
    assert model != plain
    assert model.parameters() != plain.parameters()
    hash(model)


def test_files_beside_a_document_stay_relative(tmp_path: Path) -> None:
    first = tmp_path / "first"
    first.mkdir()
    (first / "small.md").write_text("# Card")
    write_model(read_model(write(first)), first / "again.yaml")
    found = yaml.safe_load((first / "again.yaml").read_text())
    assert (found["weights"], found["card"]) == ("file:small.safetensors", "small.md")
    first.rename(tmp_path / "moved")
    assert str(tmp_path / "moved") in read_model(tmp_path / "moved" / "again.yaml").weights


def test_a_network_of_one_channel_is_refused(models_of_the_user: Path) -> None:
    with pytest.raises(ModelError, match=r"classes: \[clear, cloud\]"):
        read_model(write(models_of_the_user, classes=["cloud"]))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bands": ["blue", "B42"]}, "bands should be of coastal, blue.*not 'B42'"),
        ({"bands": ["blue", "blue", "red", "nir"]}, "but once"),
        ({"classes": ["clear", "cloud", "fog"]}, "not 'fog'"),
        ({"classes": ["nodata", "cloud"]}, "not 'nodata'"),
        ({"mean": [0.1]}, "mean has 1 numbers for 4 bands"),
        ({"std": [0.1, 0.1, 0.1, 0]}, "std should be above 0"),
        ({"mean": [0.1, 0.1, 0.1, float("nan")]}, "mean should be a number"),
        ({"resolution": -10}, "above 0"),
        ({"version": 1.0}, "number in quotes"),
        ({"level": "L2"}, "L2A or L1C"),
        ({"name": "../../etc/passwd"}, "letters, digits"),
        ({"name": "a+b"}, "letters, digits"),
        ({"licence": None}, "lacks licence"),
        ({"licenze": "MIT"}, "Did you mean 'licence'"),
        ({"sha256": 12}, "64 hexadecimal digits"),
        ({"weights": "ftp://somewhere/x.onnx"}, "should be package:NAME/FILE"),
        ({"weights": "http://example.com/x.onnx"}, "cannot read weights from 'http:"),
        ({"weights": "https://[1/x.onnx"}, "Invalid IPv6"),
        ({"weights": "https://example.com/x.onnx@v1"}, "none of the suffixes"),
        ({"weights": "file:x.pkl"}, "none of the suffixes"),
        ({"weights": "file:x.torchscript"}, "TorchScript is a program"),
        ({"architecture": None}, "say its architecture"),
        ({"architecture": {"name": "Unet"}}, "a name and an encoder"),
        ({"architecture": {"name": "Unet", "encoder": "x", "encoder_weights": "imagenet"}}, "should not set encoder_weights"),
        ({"architecture": {"name": "Unet", "encoder": "tu-resnet18", "checkpoint_path": "x.pth"}}, "should not set checkpoint_path"),
        ({"architecture": {"name": "Unet", "encoder": "tu-resnet18", "pretrained_cfg": "x", "cache_dir": "x"}}, "should not set cache_dir, pretrained_cfg"),
        ({"architecture": {"name": "Unet", "encoder": "tu-hf-hub:owner/net"}}, "an encoder that is a name"),
        ({"architecture": {"name": "Unet", "encoder": "tu-local-dir:x"}}, "an encoder that is a name"),
        ({"architecture": {"name": "Unet", "encoder": "tu-a\\b"}}, "an encoder that is a name"),
        ({"channels": ["blue", "green"]}, "lacks nir, red"),
        ({"normalisation": "patch"}, "fixed or window"),
        ({"normalisation": "window"}, "leave mean and std out"),
        ({"output": "classes"}, "logits or probabilities"),
        ({"torchscript": "yes please"}, "true or false"),
        ({"tiling": {"stride": [100, 100]}}, "multiple of 32"),
        ({"tiling": {"stride": 448}}, "two whole numbers"),
        ({"speed": 0}, "speed should be above 0"),
        ({"accuracy": {"cloud": 95}}, "accuracy should be a mapping of classes to their F1"),
        ({"accuracy": {"fog": 0.9}}, "accuracy should be of clear, cloud"),
        ({"accuracy": 0.9}, "accuracy should be a mapping"),
        ({"calibration": [[0, 0], [1, 1]]}, "calibration should be a mapping"),
        ({"calibration": {"fog": [[0, 0], [1, 1]]}}, "calibration should be of clear, cloud"),
        ({"calibration": {"snow": [[0, 0], [1, 1]]}}, "calibration names snow; give curves for clear, cloud, shadow alone"),
        ({"classes": ["clear", "cloud", "thin_cloud"], "calibration": {"thin_cloud": [[0, 0], [1, 1]]}}, "names thin_cloud; give curves for clear, cloud alone"),
        ({"calibration": {"clear": [[0, 0]]}}, "curves of two points or more"),
        ({"calibration": {"clear": [[0, 0], [50, 90]]}}, "both from 0 to 1"),
        ({"calibration": {"clear": [[0, 0], [0, 1]]}}, "the probabilities rise"),
        ({"calibration": {"clear": [[0, 0.5], [1, 0.4]]}}, "the shares do not fall"),
        ({"calibration": {"clear": [0, 1]}}, "curves of two points or more"),
        ({"members": ["a", "b"]}, "takes architecture, bands"),
    ],
)  # fmt: skip
def test_a_document_at_fault(changes: dict[str, object], message: str, tmp_path: Path) -> None:
    path = tmp_path / "document.yaml"
    found = {key: value for key, value in {**SMALL, **changes}.items() if value is not None}
    path.write_text(yaml.safe_dump(found))
    with pytest.raises(ModelError, match=message) as told:
        read_model(path)
    assert str(path) in str(told.value)
    assert len(str(told.value).splitlines()) == 1


@pytest.mark.parametrize(
    "text",
    ["", "just text", "- a\n- b", "name: [x", "name: !!python/object/apply:os.getcwd []", "\x00", "["*2000],
)  # fmt: skip
def test_what_is_no_document(text: str, tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(ModelError, match=r"x\.yaml"):
        read_model(tmp_path / "x.yaml")
    with pytest.raises(ModelError, match="cannot read"):
        read_model(tmp_path / "none.yaml")


def test_no_secret_is_read_from_a_document_or_written_to_one(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    document = document_of(
        replace(get_model(), weights="https://u:s3cr3t@host/x.onnx?token=s3cr3t"), tmp_path
    )
    assert "s3cr3t" not in document
    kept = "https://host/x.onnx?download=1&id=7"
    assert kept in document_of(replace(get_model(), weights=kept), tmp_path)
    for address in ("https://u:s3cr3t@host/x.onnx", "https://host/x.onnx?sig=s3cr3t"):
        path.write_text(re.sub(r"weights: .*", f"weights: {address}", document))
        with pytest.raises(ModelError, match="should hold no login and no key") as caught:
            read_document(path)
        assert "s3cr3t" not in str(caught.value)
