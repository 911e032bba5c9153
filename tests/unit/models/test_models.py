"""Model documents, the registry, networks from files that may be anything, and ensembles."""

from __future__ import annotations

import dataclasses
import os
import pickle
import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest
import yaml

from odc_cleansat import CloudClass, get_model, list_models
from odc_cleansat.errors import ModelError, ModelWarning, SceneError
from odc_cleansat.grids.windows import Tiling
from odc_cleansat.models.documents import write_model
from odc_cleansat.models.ensembles import ensemble
from odc_cleansat.models.model import BUILTIN, Architecture, Model
from odc_cleansat.models.networks import build_network, torch_network
from odc_cleansat.models.onnx_graph import read_onnx
from odc_cleansat.models.places import package_folder
from odc_cleansat.models.registry import find_models, read_model
from odc_cleansat.models.stac import model_assets, model_properties
from odc_cleansat.models.torchscript import allow_torchscript, check_allowed, torchscript_on_trial
from odc_cleansat.models.weights import sha256_of, weights_path
from odc_cleansat.products.identity import mask_id
from odc_cleansat.scenes.offset import processing_level

SIX = ["B02", "B03", "B04", "B08", "B11", "B12"]
CSMASK = [f"unet-efficientnetb4-{level}-{n}b" for level in ("l2a", "l1c") for n in (6, 4)]

SMALL: dict[str, object] = {
    "name": "small",
    "version": "1",
    "title": "A small network for tests",
    "level": "L2A",
    "resolution": 20,
    "bands": ["blue", "green", "red", "nir"],
    "mean": [0.1, 0.1, 0.1, 0.3],
    "std": [0.1, 0.1, 0.1, 0.2],
    "classes": ["clear", "cloud", "shadow"],
    "architecture": {"name": "Unet", "encoder": "mobilenet_v2", "decoder_channels": [16, 8, 8, 8, 8]},
    "weights": "file:small.safetensors",
    "licence": "CC0-1.0",
}  # fmt: skip


@pytest.fixture(autouse=True)
def models_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "models"
    folder.mkdir()
    monkeypatch.setenv("CLEANSAT_MODELS", str(folder))
    return folder


def write(folder: Path, **changes: object) -> Path:
    """A document in a folder; None leaves a key out."""
    found = {key: value for key, value in {**SMALL, **changes}.items() if value is not None}
    path = folder / f"{found['name']}.yaml"
    path.write_text(yaml.safe_dump(found), encoding="utf-8")
    return path


def small_network(channels: int = 4, classes: int = 3):
    import segmentation_models_pytorch as smp
    import torch

    torch.manual_seed(0)
    return smp.Unet(
        "mobilenet_v2",
        encoder_weights=None,
        in_channels=channels,
        classes=classes,
        decoder_channels=(16, 8, 8, 8, 8),
    ).eval()


@pytest.fixture(scope="module")
def state() -> dict:
    return dict(small_network().state_dict())


def save_safetensors(tensors: dict, path: Path) -> Path:
    from safetensors.torch import save_file

    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
    return path


# --- the registry ---------------------------------------------------------------------


def test_six_bands_where_there_are_six_and_four_otherwise() -> None:
    assert len(get_model(bands=SIX).bands) == 6
    assert len(get_model(bands=SIX[:4]).bands) == 4
    assert get_model() == get_model(bands=SIX)


def test_too_few_bands() -> None:
    with pytest.raises(SceneError, match=r"nir \(B08\)"):
        get_model(bands=SIX[:3])


def test_unknown_model_lists_the_known() -> None:
    with pytest.raises(ModelError, match=list_models()[0]):
        get_model("something-of-tomorrow")


@pytest.mark.parametrize("name", ["unet-efficientnetb4-l2a-6", "unet_efficientnetb4_l2a_6b"])
def test_a_slip_of_the_keyboard(name: str) -> None:
    with pytest.raises(ModelError, match="perhaps unet-efficientnetb4-l2a-6b is meant"):
        get_model(name)


def test_a_name_is_no_path(tmp_path: Path) -> None:
    write(tmp_path)
    with pytest.raises(ModelError, match="no model"):
        get_model(str(tmp_path / "small"))


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


def test_a_network_of_one_channel_is_refused(models_of_the_user: Path) -> None:
    with pytest.raises(ModelError, match=r"classes: \[clear, cloud\]"):
        read_model(write(models_of_the_user, classes=["cloud"]))


def test_packages_of_a_namespace_are_found_wherever_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place, package in (("first", "a"), ("second", "b")):
        (tmp_path / place / "some_namespace" / package).mkdir(parents=True)
        monkeypatch.syspath_prepend(tmp_path / place)
    for place, package in (("first", "a"), ("second", "b")):
        found = package_folder(f"some_namespace.{package}")
        assert found == tmp_path / place / "some_namespace" / package


def test_the_users_own_model(models_of_the_user: Path) -> None:
    path = write(models_of_the_user)
    assert list_models()[-1] == "small"
    assert get_model("small") == read_model(path)
    write(models_of_the_user, title="Another title")
    assert get_model("small").title == "Another title"


def test_one_broken_document_hurts_no_other(models_of_the_user: Path) -> None:
    write(models_of_the_user)
    write(models_of_the_user, name="broken", resolution="ten")
    (models_of_the_user / "torn.yaml").write_text("name: [torn")
    with pytest.warns(ModelWarning) as told:
        names = list_models()
    assert "small" in names
    assert not {"broken", "torn"} & set(names)
    assert sorted(str(each.message).split()[2] for each in told) == ["broken", "torn"]
    with pytest.raises(ModelError, match=r"broken\.yaml: resolution should be a number"):
        get_model("broken")
    assert get_model("small").name == "small"


def test_a_broken_document_hides_no_good_one_of_its_name(models_of_the_user: Path) -> None:
    good = write(models_of_the_user).rename(models_of_the_user / "small_2.yaml")
    (models_of_the_user / "small.yaml").write_text("name: [torn")
    with pytest.warns(ModelWarning):
        assert "small" in list_models()
    assert get_model("small") == read_model(good)


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


def test_the_first_of_two_models_of_one_name_is_taken_and_said(models_of_the_user: Path) -> None:
    """A plugin that is installed later would otherwise take the place of the user's model unseen."""
    first = write(models_of_the_user, name="ours").rename(models_of_the_user / "a.yaml")
    second = write(models_of_the_user, name="ours", title="other").rename(
        models_of_the_user / "b.yaml"
    )
    with pytest.warns(ModelWarning, match=f"several models called ours.*not {second}") as said:
        assert get_model("ours") == read_model(first)
    assert said[0].filename == __file__


def test_a_name_that_is_taken(models_of_the_user: Path) -> None:
    path = write(models_of_the_user, name=get_model().name)
    (entry,) = [each for each in find_models() if each.problem]
    assert entry.path == path
    assert "there already (built-in)" in entry.problem
    assert get_model(get_model().name).resolution == 30


PLUGIN = "raise AssertionError('a plugin must be located and not imported')\n"


def make_plugin(site: Path, name: str, documents: bool = True) -> None:
    """A package as pip installs it, with an entry point."""
    package = site / name
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(PLUGIN)
    if documents:
        write(package, name=name.replace("_", "-"))
        (package / f"{name.replace('_', '-')}.md").write_text("# Card")
    info = site / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[odc_cleansat.models]\n{name} = {name}\n")


def test_plugins_bring_models_and_run_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site"
    make_plugin(site, "good_models")
    make_plugin(site, "empty_models", documents=False)
    info = site / "gone-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: gone\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[odc_cleansat.models]\ngone = no_such_package\n")
    monkeypatch.syspath_prepend(str(site))
    problems = {each.name: each.problem for each in find_models() if each.origin != "built-in"}
    assert problems["good-models"] == ""
    assert "no model documents" in problems["empty_models"]
    assert "no_such_package is not installed" in problems["gone"]
    model = get_model("good-models")
    assert model.weights == f"file:{site / 'good_models' / 'small.safetensors'}"
    assert Path(model.card).read_text() == "# Card"
    assert "good_models" not in sys.modules


# --- documents ------------------------------------------------------------------------


def test_a_document_says_all(tmp_path: Path) -> None:
    (tmp_path / "small.md").write_text("# Card")
    tiling = {"stride": [448, 448], "overlap": 64, "whole": 1_000_000}
    model = read_model(write(tmp_path, channels=["swir16", "nir", "red", "green", "blue"], tiling=tiling))  # fmt: skip
    assert model.bands == ("blue", "green", "red", "nir")
    assert model.classes == (CloudClass.CLEAR, CloudClass.CLOUD, CloudClass.SHADOW)
    assert model.architecture == Architecture("Unet", "mobilenet_v2", (("decoder_channels", (16, 8, 8, 8, 8)),))  # fmt: skip
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
    copy = read_model(tmp_path / "copy.yaml")
    assert copy == get_model(name)
    assert copy.card == get_model(name).card


def test_files_beside_a_document_stay_relative(tmp_path: Path) -> None:
    first = tmp_path / "first"
    first.mkdir()
    (first / "small.md").write_text("# Card")
    write_model(read_model(write(first)), first / "again.yaml")
    found = yaml.safe_load((first / "again.yaml").read_text())
    assert (found["weights"], found["card"]) == ("file:small.safetensors", "small.md")
    first.rename(tmp_path / "moved")
    assert str(tmp_path / "moved") in read_model(tmp_path / "moved" / "again.yaml").weights


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
        ({"licenze": "MIT"}, "perhaps 'licence' is meant"),
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
        ({"output": "classes"}, "logits or probabilities"),
        ({"torchscript": "yes please"}, "true or false"),
        ({"tiling": {"stride": [100, 100]}}, "multiple of 32"),
        ({"tiling": {"stride": 448}}, "two whole numbers"),
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


# --- networks from files --------------------------------------------------------------


def test_the_graph_is_single_precision_throughout() -> None:
    from onnx import TensorProto

    graph = read_onnx(get_model()).graph
    assert {t.data_type for t in graph.initializer} == {TensorProto.FLOAT}
    casts = [a.i for n in graph.node if n.op_type == "Cast" for a in n.attribute]
    assert TensorProto.FLOAT16 not in casts


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
        (dict, {"architecture": {"name": "Unet", "encoder": "mobilenet_v2"}}, "has the shape"),
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


# --- TorchScript ----------------------------------------------------------------------


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """A TorchScript file of a network."""
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.trace(small_network(), torch.zeros(1, 4, 64, 64)), tmp_path / "small.pt")  # fmt: skip
    return tmp_path / "small.pt"


def test_torchscript_runs_only_where_it_is_allowed(
    script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    as_weights = read_model(write(tmp_path, weights="file:small.pt"))
    with pytest.raises(ModelError, match="more than tensors"):
        torch_network(as_weights)
    model = read_model(write(tmp_path, weights="file:small.pt", torchscript=True, architecture=None))  # fmt: skip
    with pytest.raises(ModelError, match=r"a program.*CLEANSAT_ALLOW_TORCHSCRIPT=1"):
        torch_network(model)
    allow_torchscript("0" * 64)  # another file
    with pytest.raises(ModelError, match="a program"):
        torch_network(model)
    allow_torchscript(sha256_of(model))
    image = torch.rand(1, 4, 96, 64)
    with torch.inference_mode():
        torch.testing.assert_close(torch_network(model)(image), small_network()(image))
    monkeypatch.setenv("CLEANSAT_MODELS", str(tmp_path / "others"))
    with pytest.raises(ModelError, match="a program"):
        torch_network(model)
    monkeypatch.setenv("CLEANSAT_ALLOW_TORCHSCRIPT", "1")
    torch_network(model)


def test_torchscript_on_trial_is_trusted_only_if_nothing_fails(
    script: Path, tmp_path: Path
) -> None:
    model = read_model(write(tmp_path, weights="file:small.pt", torchscript=True, architecture=None))  # fmt: skip
    with pytest.raises(ModelError, match="no network"), torchscript_on_trial(model):
        build_network(dataclasses.replace(model, architecture=Architecture("none")))
    with pytest.raises(ModelError, match="fetch --allow-torchscript small"):
        check_allowed(model)
    for _ in range(2):
        with torchscript_on_trial(model):
            check_allowed(model)
    check_allowed(model)
    (record,) = (tmp_path / "models").glob("*.txt")
    assert record.read_text() == f"{sha256_of(model)}\n"


def test_what_is_no_torchscript(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLEANSAT_ALLOW_TORCHSCRIPT", "1")
    (tmp_path / "small.torchscript").write_bytes(b"something else")
    model = read_model(write(tmp_path, weights="file:small.torchscript", torchscript=True, architecture=None))  # fmt: skip
    with pytest.raises(ModelError, match="no TorchScript"):
        torch_network(model)


# --- ensembles ------------------------------------------------------------------------


def test_an_ensemble_takes_what_its_members_share() -> None:
    four, six = get_model(CSMASK[1]), get_model(CSMASK[0])
    both = get_model(f"{four.name}+{six.name}")
    assert both.members == (four, six)
    assert both.bands == six.bands
    assert (both.resolution, both.level, both.classes) == (30, "L2A", six.classes)
    assert both.licence == "Apache-2.0"
    assert len(sha256_of(both)) == 64
    assert sha256_of(both) not in (sha256_of(four), sha256_of(six), sha256_of(get_model(f"{six.name}+{four.name}")))  # fmt: skip
    assert get_model(both) is both


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"resolution": 10.0}, "the resolution of the first is 30 m, of the second 10 m"),
        ({"level": "L1C"}, "level of the data of the first is L2A"),
        ({"classes": (CloudClass.CLEAR, CloudClass.CLOUD)}, "of the second clear, cloud"),
    ],
)
def test_models_that_do_not_go_together(changes: dict[str, object], message: str) -> None:
    other = dataclasses.replace(get_model(), name="other", **changes)
    with pytest.raises(ModelError, match=message):
        ensemble([get_model(), other])


def test_one_model_is_no_ensemble() -> None:
    with pytest.raises(ModelError, match="two models or more"):
        get_model(f"{CSMASK[0]}+{CSMASK[0]}")


def test_an_ensemble_of_a_document(models_of_the_user: Path) -> None:
    found = {"name": "both", "version": "1", "title": "Both", "members": CSMASK[:2]}
    path = models_of_the_user / "both.yaml"
    path.write_text(yaml.safe_dump(found))
    model = get_model("both")
    assert (model.name, model.title) == ("both", "Both")
    assert [member.name for member in model.members] == CSMASK[:2]
    write_model(model, models_of_the_user / "again.yaml")
    assert yaml.safe_load((models_of_the_user / "again.yaml").read_text()) == found


def test_an_ensemble_that_is_its_own_member(models_of_the_user: Path) -> None:
    for name, other in (("a", "b"), ("b", "a")):
        found = {"name": name, "version": "1", "title": "x", "members": [other, CSMASK[0]]}
        (models_of_the_user / f"{name}.yaml").write_text(yaml.safe_dump(found))
    with pytest.raises(ModelError, match="member of itself"):
        get_model("a")
    assert {each.name for each in find_models() if each.problem} == {"a", "b"}


# --- records --------------------------------------------------------------------------


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


def test_importing_the_package_is_quick_and_loads_nothing_heavy() -> None:
    code = (
        "import sys, odc_cleansat; from odc_cleansat import CloudClass, get_model, list_models;"
        "get_model(); list_models();"
        "heavy = {'torch', 'openvino', 'datacube', 'matplotlib', 'xarray', 'onnx', 'requests'};"
        "sys.exit(','.join(heavy & set(sys.modules)) or 0)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
