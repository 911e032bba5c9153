"""`cleansat models`, on weights in the formats and shapes of those that people publish."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from click.testing import CliRunner, Result
from published import SMALL, network, write_published

from odc_cleansat import get_model, list_models
from odc_cleansat.cli.main import main
from odc_cleansat.errors import ModelError
from odc_cleansat.models.install import try_model
from odc_cleansat.models.places import remote_of
from odc_cleansat.models.registry import DEFAULTS, read_model

BUILTIN = ["cloudsen12-l2a", "cloudsen12-unetmobv2-v1", "cloudsen12-unetmobv2-v2"]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Networks that are compiled once for all tests."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folders, empty; and no network."""
    for name in list(os.environ):
        if name.startswith(("CLEANSAT_", "HF_")):
            monkeypatch.delenv(name)
    for name in ("WEIGHTS", "MODELS"):
        monkeypatch.setenv(f"CLEANSAT_{name}", str(tmp_path / name.lower()))
    monkeypatch.setenv("CLEANSAT_CACHE", str(cache))
    monkeypatch.setenv("CLEANSAT_OFFLINE", "1")
    return tmp_path


def json_lines(*arguments: object, code: int = 0) -> list[dict[str, Any]]:
    return [json.loads(line) for line in run(*arguments, "--json", code=code).stdout.splitlines()]


def run(*arguments: object, code: int = 0) -> Result:
    result = CliRunner().invoke(main, ["models", *map(str, arguments)])
    assert result.exit_code == code, result.output
    if code == 1:
        assert "Traceback" not in result.output
    return result


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights as people save them, with a document for each."""
    import segmentation_models_pytorch as smp
    import torch
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp("files")
    small = smp.Unet(**SMALL, encoder_weights=None, in_channels=4, classes=3)
    save_file(small.state_dict(), folder / "mine.safetensors")
    checkpoint = {f"model.{name}": each for name, each in small.state_dict().items()}
    torch.save({"state_dict": checkpoint, "epoch": 3}, folder / "wrapped.ckpt")
    write_published(folder)
    return folder


DOCUMENT = {
    "name": "mine",
    "version": "1",
    "title": "A network of my own",
    "level": "L2A",
    "resolution": 20,
    "bands": ["blue", "green", "red", "nir"],
    "classes": ["clear", "cloud", "shadow"],
    "architecture": {
        "name": "Unet",
        "encoder": "resnet18",
        "encoder_depth": 3,
        "decoder_channels": [16, 8, 8],
    },
    "weights": "file:mine.safetensors",
    "licence": "CC0-1.0",
}


def document(path: Path, **changes: Any) -> Path:
    found = {key: value for key, value in (DOCUMENT | changes).items() if value is not None}
    path.write_text(yaml.safe_dump(found, sort_keys=False))
    return path


@pytest.fixture
def mine(files: Path, tmp_path: Path) -> Path:
    """A folder with `mine.safetensors`, its document and its card."""
    folder = tmp_path / "my nets"
    folder.mkdir()
    shutil.copy(files / "mine.safetensors", folder)
    (folder / "mine.md").write_text("# Mine\n\nTrained in a week of rain.\n")
    document(folder / "mine.yaml")
    return folder


def place(name: str, weights: Path) -> None:
    """Put a file where the weights of a model belong."""
    model = get_model(name)
    target = remote_of(model).target
    target.parent.mkdir(parents=True)
    shutil.copy(weights, target)


# --- the models of CloudSEN12


@pytest.mark.parametrize("name", BUILTIN)
def test_cloudsen12_is_described(name: str) -> None:
    model = get_model(name)
    assert model.resolution == 10
    assert [c.label for c in model.classes] == ["clear", "cloud", "thin_cloud", "shadow"]
    assert set(model.mean) == {0.0}
    assert set(model.std) == {1.0}
    assert ("cirrus" in model.bands) == (model.level == "L1C")
    assert model.bands[:2] == ("coastal", "blue")
    assert model.bands[-2:] == ("swir16", "swir22")
    assert Path(model.card).read_text().startswith(f"# {name}")


def test_cloudsen12_from_a_state_dict(files: Path) -> None:
    """The exact format and shape of UNetMobV2_V1.pt, and the network's own answer."""
    import torch

    from odc_cleansat.models.engines import get_engine

    place("cloudsen12-unetmobv2-v1", files / "UNetMobV2_V1.pt")
    model = get_model("cloudsen12-unetmobv2-v1")
    scene = np.random.default_rng(1).uniform(0, 1, (1, 13, 64, 64)).astype("float32")
    with torch.inference_mode():
        expected = network(13, 4)(torch.from_numpy(scene)).softmax(1).numpy()
    np.testing.assert_allclose(get_engine(model, "torch", "f32")(scene), expected, atol=1e-5)
    np.testing.assert_allclose(get_engine(model, "openvino")(scene), expected, atol=0.02)
    assert "right" in run("verify", model.name).output


@pytest.mark.parametrize(
    ("name", "encoder"), [("regnety", "tu-regnety_004"), ("edgenext", "tu-edgenext_small")]
)
def test_omnicloudmask_from_safetensors(name: str, encoder: str) -> None:
    """The exact form of its files, and the answer of its network to a window that is normalised by itself."""
    import segmentation_models_pytorch as smp
    import torch
    from safetensors.torch import save_file

    from odc_cleansat.models.engines import get_engine

    torch.manual_seed(0)
    net = smp.Unet(encoder, encoder_weights=None, in_channels=3, classes=4)
    net.train()(torch.randn(2, 3, 64, 64))  # random weights with the statistics of their input
    net.eval()
    model = get_model(f"omnicloudmask-v4-{name}")
    target = remote_of(model).target
    target.parent.mkdir(parents=True)
    save_file(net.state_dict(), target)
    scene = np.random.default_rng(1).uniform(0, 1, (2, 3, 64, 96)).astype("float32")
    scene *= np.array([1, 0.2], dtype="float32").reshape(2, 1, 1, 1)  # another window may be darker
    mean, std = scene.mean((2, 3), keepdims=True), scene.std((2, 3), keepdims=True)
    with torch.inference_mode():
        expected = net(torch.from_numpy((scene - mean) / std)).softmax(1).numpy()
    np.testing.assert_allclose(get_engine(model, "torch", "f32")(scene), expected, atol=1e-4)
    np.testing.assert_allclose(get_engine(model, "openvino", "f32")(scene), expected, atol=1e-4)
    assert "right" in run("verify", model.name).output


def test_omnicloudmask_is_two_networks() -> None:
    both = get_model("omnicloudmask-v4")
    assert [m.name.rpartition("-")[2] for m in both.members] == ["regnety", "edgenext"]
    assert both.bands == ("red", "green", "nir08")
    assert both.licence == "MIT"
    for member in both.members:
        assert member.normalisation == "window"
        assert Path(member.card).read_text().startswith("# omnicloudmask-v4")
    assert "MIT" in run("show", both.name).output


def test_cloudsen12_of_a_published_hash_is_held_to_it(files: Path) -> None:
    place("cloudsen12-unetmobv2-v2", files / "UNetMobV2_V1.pt")
    result = run("verify", "cloudsen12-unetmobv2-v2", code=1)
    assert "218fa69aa3c7212d4e690b48af88ac6f3c976fc50d07f275b8fd623909183d7a" in result.output


def test_cloudsen12_from_torchscript_only_where_it_is_allowed(
    files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place("cloudsen12-l2a", files / "cloudsen12l2a.pt")
    output = run("verify", "cloudsen12-l2a").output
    assert "cloudsen12-l2a: not allowed to run: " in output
    assert "0 right, 0 wrong, 1 not allowed to run" in output
    assert "CLEANSAT_ALLOW_TORCHSCRIPT" in output
    assert [each["right"] for each in json_lines("verify", "cloudsen12-l2a")] == [None]
    monkeypatch.setenv("CLEANSAT_ALLOW_TORCHSCRIPT", "1")
    assert "1 right" in run("verify", "cloudsen12-l2a").output


def test_cloudsen12_from_torchscript_is_allowed_by_itself(files: Path, folders: Path) -> None:
    place("cloudsen12-l2a", files / "cloudsen12l2a.pt")
    run("fetch", "cloudsen12-l2a")
    assert "not allowed" in run("verify", "cloudsen12-l2a").output
    run("fetch", "--allow-torchscript", "cloudsen12-l2a")
    assert "1 right" in run("verify", "cloudsen12-l2a").output
    sha256 = hashlib.sha256((files / "cloudsen12l2a.pt").read_bytes()).hexdigest()
    assert (folders / "models" / "torchscript-allowed.txt").read_text().split() == [sha256]


def test_torchscript_that_will_not_do_is_not_allowed(folders: Path) -> None:
    own = folders / "models"
    own.mkdir()
    (own / "bad.torchscript").write_bytes(b"nonsense")
    document(own / "bad.yaml", name="bad", torchscript=True, weights="file:bad.torchscript")
    assert "is no TorchScript" in run("fetch", "--allow-torchscript", "bad", code=1).output
    assert "bad: not allowed" in run("verify", "bad").output
    assert "is no TorchScript" in run("import", "--force", "--allow-torchscript", own / "bad.yaml", code=1).output  # fmt: skip
    assert sorted(p.name for p in own.iterdir()) == ["bad.torchscript", "bad.yaml"]


def test_torchscript_of_all_is_not_allowed_at_once() -> None:
    assert "that you name" in run("fetch", "--all", "--allow-torchscript", code=2).output


# --- list and show


def test_list() -> None:
    output = run("list").output
    lines = {line.split()[0]: line for line in output.splitlines() if line}
    assert set(list_models()) <= set(lines)
    assert lines["unet-efficientnetb4-l2a-6b"].endswith("packaged")
    defaults = [name for name, line in lines.items() if f"{name} * " in line]
    assert defaults == list(DEFAULTS)
    assert lines["unet-mobilenetv2-l2a"].split()[1:] == [
        "L2A", "6", "30", "m", "2.8", "x", "0.946", "0.818", "Apache-2.0", "packaged",
    ]  # fmt: skip
    assert lines["cloudsen12-l2a"].split()[5:9] == ["-", "-", "-", "yes"]
    assert lines["cloudsen12-l2a"].endswith("to fetch")
    assert "CC-BY-NC-4.0 forbids commercial use." in output


def test_list_for_programs(mine: Path) -> None:
    run("import", mine / "mine.yaml")
    models = {model["name"]: model for model in json_lines("list")}
    assert set(models) == set(list_models())
    assert [name for name, model in models.items() if model["default"]] == list(DEFAULTS)
    assert models["unet-mobilenetv2-l2a"]["speed"] == 2.77
    assert models["unet-mobilenetv2-l2a"]["accuracy"] == {"cloud": 0.946, "shadow": 0.818}
    assert models["mine"]["speed"] is None
    assert models["mine"]["origin"] == "user"
    assert models["mine"]["state"] == "here"
    assert models["cloudsen12-l2a"]["noncommercial"] is True
    assert not [model for model in models.values() if "problem" in model]


def test_list_reports_a_broken_document_and_goes_on(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "bad.yaml").write_text("name: [")
    output = run("list").output
    assert "unet-efficientnetb4-l2a-6b" in output
    assert "bad (user) cannot be used" in output
    assert [each["name"] for each in json_lines("list") if "problem" in each] == ["bad"]


def test_a_broken_document_hides_no_good_one_of_its_name(mine: Path, folders: Path) -> None:
    run("import", mine / "mine.yaml")
    (folders / "models" / "mine.yaml").rename(folders / "models" / "mine_2.yaml")
    (folders / "models" / "mine.yaml").write_text("name: [")
    assert "mine (user) cannot be used" in run("list").output
    assert json.loads(run("show", "--json", "mine").output)["document"].endswith("mine_2.yaml")


def test_an_address_that_is_not_encrypted_hurts_no_other_model(folders: Path) -> None:
    (folders / "models").mkdir()
    document(folders / "models" / "mine.yaml", weights="http://example.com/mine.safetensors")
    (problem,) = [each for each in json_lines("list") if "problem" in each]
    assert "http://example.com" in problem["problem"]
    run("show", "unet-efficientnetb4-l2a-6b")
    assert "model_6b_l2a.onnx" in run("fetch", "--all", code=1).output


def test_weights_that_cannot_be_read_hurt_no_list(mine: Path, folders: Path) -> None:
    run("import", mine / "mine.yaml")
    found = yaml.safe_load((folders / "models" / "mine.yaml").read_text())
    del found["sha256"]
    (folders / "models" / "mine.yaml").write_text(yaml.safe_dump(found))
    weights = folders / "models" / "mine.safetensors"
    weights.unlink()
    weights.symlink_to("/proc/self/mem")  # not to be read, even by root
    models = {m["name"]: m for m in json_lines("list")}
    assert (models["mine"]["state"], models["mine"]["sha256"]) == ("here", None)
    assert "mine: WRONG" in run("verify", "mine", code=1).output


@pytest.mark.parametrize("name", BUILTIN)
def test_show_says_what_it_is_and_what_is_forbidden(name: str) -> None:
    output = run("show", name).output
    assert "10 m" in output
    assert "thin_cloud" in output
    assert "forbids commercial use" in output
    assert "Known failures" in output


def test_show_for_programs() -> None:
    found = json.loads(run("show", "--json", "cloudsen12-unetmobv2-v2").output)
    assert found["sha256"].startswith("218fa69a")
    assert len(found["bands"]) == 13
    both = "unet-efficientnetb4-l2a-6b+unet-efficientnetb4-l2a-4b"
    assert json.loads(run("show", "--json", both).output)["members"] == both.split("+")


def test_show_and_list_fetch_nothing(folders: Path) -> None:
    run("list")
    run("show", "cloudsen12-unetmobv2-v1")
    assert not (folders / "weights").exists()


def test_unknown_names_are_one_line() -> None:
    assert "unet-efficientnetb4-l2a-6b" in run("show", "unet-efficientnetb4-l2a-6", code=1).output


# --- fetch and verify


def test_fetch_says_where_from_and_under_which_licence() -> None:
    output = run("fetch", "cloudsen12-unetmobv2-v1", code=1).output
    assert "huggingface.co/isp-uv-es/cloudsen12_models" in output
    assert "forbids commercial use" in output
    assert "CLEANSAT_OFFLINE" in output


def test_fetch_goes_on_with_the_others() -> None:
    output = run("fetch", "cloudsen12-l2a", "unet-efficientnetb4-l2a-6b", code=1).output
    assert "model_6b_l2a.onnx" in output


def test_fetch_all(files: Path) -> None:
    place("cloudsen12-unetmobv2-v1", files / "UNetMobV2_V1.pt")
    output = run("fetch", "--all", code=1).output
    assert "cloudsen12-unetmobv2-v1: /" in output
    # Two of CloudSEN12, two of OmniCloudMask, and the ensemble of those.
    assert output.count("Error:") == 5


@pytest.mark.parametrize("arguments", [[], ["--all", "cloudsen12-l2a"]])
def test_fetch_wants_names_or_all(arguments: list[str]) -> None:
    assert "--all" in run("fetch", *arguments, code=2).output


def test_verify_of_one_that_is_not_here() -> None:
    output = run("verify", "cloudsen12-unetmobv2-v1", code=1).output
    assert "cleansat models fetch cloudsen12-unetmobv2-v1" in output


def test_verify_leaves_out_what_is_not_here(mine: Path, tmp_path: Path) -> None:
    run("import", mine / "mine.yaml")
    assert json_lines("verify", "mine") == [{"name": "mine", "right": True, "problem": ""}]
    with open(tmp_path / "models" / "mine.safetensors", "r+b") as file:
        file.seek(-1, 2)
        file.write(b"\xff")
    (found,) = json_lines("verify", "mine", code=1)
    assert "sha256" in found["problem"]


# --- import


def test_import_a_model_and_use_it(mine: Path, tmp_path: Path) -> None:
    output = run("import", mine / "mine.yaml").output
    assert "--model mine" in output
    shutil.rmtree(mine)
    model = get_model("mine")
    kept = tmp_path / "models" / "mine.safetensors"
    assert model.weights == f"file:{kept}"
    assert model.sha256 == hashlib.sha256(kept.read_bytes()).hexdigest()
    try_model(model)
    assert "week of rain" in run("show", "mine").output
    assert "CC0-1.0" in run("list").output
    names = sorted(p.name for p in (tmp_path / "models").iterdir())
    assert names == ["mine.md", "mine.safetensors", "mine.yaml"]


def test_import_finds_the_document_beside_the_weights(mine: Path) -> None:
    run("import", mine / "mine.safetensors")
    assert "mine" in list_models()


def test_import_of_a_training_checkpoint(files: Path, tmp_path: Path) -> None:
    own = document(tmp_path / "own.yaml", name="own", weights=f"file:{files / 'wrapped.ckpt'}")
    run("import", own)
    assert get_model("own").weights.endswith("own.ckpt")


def test_import_of_onnx_needs_no_architecture(tmp_path: Path) -> None:
    from odc_cleansat.models.weights import weights_path

    shutil.copy(weights_path(get_model("unet-efficientnetb4-l2a-4b")), tmp_path / "own.onnx")
    run(
        "import",
        document(tmp_path / "own.yaml", name="own", weights="file:own.onnx", architecture=None),
    )
    assert get_model("own").architecture is None


def test_import_replaces_only_by_force(mine: Path) -> None:
    run("import", mine / "mine.yaml")
    assert "--force" in run("import", mine / "mine.yaml", code=1).output
    document(mine / "mine.yaml", title="Another title")
    run("import", "--force", mine / "mine.yaml")
    assert get_model("mine").title == "Another title"


def test_what_is_replaced_leaves_neither_card_nor_weights(mine: Path, folders: Path) -> None:
    import torch
    from safetensors.torch import load_file

    run("import", mine / "mine.yaml")
    (folders / "models" / "mine.ckpt").write_text("not the model's")
    torch.save(load_file(mine / "mine.safetensors"), mine / "other.pt")
    (mine / "mine.md").unlink()
    run("import", "--force", document(mine / "mine.yaml", weights="file:other.pt"))
    assert get_model("mine").card == ""
    names = sorted(p.name for p in (folders / "models").iterdir())
    assert names == ["mine.ckpt", "mine.pt", "mine.yaml"]


def test_import_of_weights_that_the_document_beside_them_does_not_name(mine: Path) -> None:
    shutil.copy(mine / "mine.safetensors", mine / "other.safetensors")
    document(mine / "other.yaml")
    output = run("import", mine / "other.safetensors", code=1).output
    assert "names other weights" in output
    assert "mine" not in list_models()


def test_import_never_replaces_what_ships(mine: Path) -> None:
    document(mine / "mine.yaml", name="unet-efficientnetb4-l2a-6b")
    output = run("import", "--force", mine / "mine.yaml", code=1).output
    assert "give yours another name" in output


def test_import_again_what_is_there(mine: Path, tmp_path: Path) -> None:
    run("import", mine / "mine.yaml")
    run("import", "--force", tmp_path / "models" / "mine.yaml")
    assert "right" in run("verify", "mine").output


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"bands": ["blue", "green", "red"]}, "shape|answers"),
        ({"classes": ["clear", "cloud"]}, "shape|answers"),
        ({"architecture": {"name": "Unet", "encoder": "resnet34"}}, "do not fit"),
        ({"weights": "file:none.safetensors"}, "should be at"),
        ({"sha256": "0" * 64}, "sha256"),
        ({"resolution": "ten"}, "resolution"),
        ({"licence": None}, "lacks licence"),
    ],
)
def test_import_refuses_what_does_not_work(
    mine: Path, changes: dict[str, Any], words: str, tmp_path: Path
) -> None:
    import re

    document(mine / "mine.yaml", **changes)
    result = run("import", mine / "mine.yaml", code=1)
    assert re.search(words, result.output)
    assert len(result.output.strip().splitlines()) == 1
    assert "mine" not in list_models()
    assert not (tmp_path / "models").exists()


def test_import_of_weights_that_are_not_finite(mine: Path) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(mine / "mine.safetensors")
    tensors["segmentation_head.0.bias"][:] = float("nan")
    save_file(tensors, mine / "mine.safetensors")
    run("import", mine / "mine.yaml", code=1)


def test_import_of_a_poisoned_pickle_runs_nothing(tmp_path: Path) -> None:
    import pickle

    class Poison:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "poisoned"),)

    (tmp_path / "own.pt").write_bytes(pickle.dumps({"state_dict": Poison()}))
    output = run("import", document(tmp_path / "own.yaml", weights="file:own.pt"), code=1).output
    assert "runs nothing" in output or "tensors" in output
    assert not (tmp_path / "poisoned").exists()


def test_import_of_torchscript_only_where_it_is_allowed(files: Path, tmp_path: Path) -> None:
    bands = list(get_model("cloudsen12-l2a").bands)
    own = document(
        tmp_path / "own.yaml",
        name="own",
        bands=bands,
        classes=["clear", "cloud", "thin_cloud", "shadow"],
        architecture=None,
        torchscript=True,
        weights=f"file:{files / 'cloudsen12l2a.pt'}",
    )
    assert "--allow-torchscript" in run("import", own, code=1).output
    assert "own" not in list_models()
    run("import", "--allow-torchscript", own)
    assert "right" in run("verify", "own").output


def test_import_of_weights_alone_says_what_is_missing(mine: Path) -> None:
    (mine / "mine.yaml").unlink()
    output = run("import", mine / "mine.safetensors", code=1).output
    assert "cleansat models import --template" in output


def test_import_of_what_is_no_model_says_what_one_is(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("# A model")
    for options in ((), ("--template",)):
        output = run("import", *options, tmp_path / "README.md", code=1).output
        assert ".yaml" in output
        assert ".safetensors" in output
        assert "--template" not in output
    assert [each.name for each in tmp_path.iterdir()] == ["README.md"]


def test_import_where_nothing_can_be_written(mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLEANSAT_MODELS", "/proc/nothing/can/be/made/here")
    assert "CLEANSAT_MODELS" in run("import", mine / "mine.yaml", code=1).output


def test_a_template_knows_what_the_weights_tell(mine: Path) -> None:
    (mine / "mine.yaml").unlink()
    output = run("import", "--template", mine / "mine.safetensors").output
    assert "mine.yaml" in output
    text = (mine / "mine.yaml").read_text()
    found = yaml.safe_load(text)
    assert found["bands"] == DOCUMENT["bands"]
    assert found["classes"] == DOCUMENT["classes"]
    assert found["weights"] == "file:mine.safetensors"
    assert (
        "mean should be a list, and is empty; fill it in"
        in run("import", mine / "mine.yaml", code=1).output
    )
    text = text.replace("mean: []\nstd: []", "")
    (mine / "mine.yaml").write_text(text)
    assert "licence should be" in (said := run("import", mine / "mine.yaml", code=1).output)
    assert "empty; fill it in" in said
    (mine / "mine.yaml").write_text(
        text.replace('licence: ""', "licence: CC0-1.0")
        .replace("encoder: mobilenet_v2", "encoder: resnet18\n  encoder_depth: 3")
        .replace("# decoder_channels: [256, 128, 64, 32, 16]", "decoder_channels: [16, 8, 8]")
    )
    run("import", mine / "mine.yaml")
    assert read_model(mine / "mine.yaml").name == "mine"


def test_a_template_replaces_only_by_force(mine: Path) -> None:
    before = (mine / "mine.yaml").read_text()
    assert "--force" in run("import", "--template", mine / "mine.safetensors", code=1).output
    assert (mine / "mine.yaml").read_text() == before
    run("import", "--template", "--force", mine / "mine.safetensors")
    assert (mine / "mine.yaml").read_text() != before


@pytest.mark.parametrize(("channels", "classes"), [(13, 4), (12, 4), (6, 3), (4, 2)])
def test_a_template_for_onnx(tmp_path: Path, channels: int, classes: int) -> None:
    from onnx import TensorProto, helper, save

    value = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", count, "h", "w"])
        for name, count in (("in", channels), ("out", classes))
    ]
    node = helper.make_node("Identity", ["in"], ["out"])
    save(
        helper.make_model(helper.make_graph([node], "g", value[:1], value[1:])), tmp_path / "n.onnx"
    )
    run("import", "--template", tmp_path / "n.onnx")
    found = yaml.safe_load((tmp_path / "n.yaml").read_text())
    assert (len(found["bands"]), len(found["classes"])) == (channels, classes)
    assert "architecture" not in found


@pytest.mark.parametrize("name", ["n.onnx", "n.safetensors", "n.pt"])
def test_a_template_for_anything(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"nonsense")
    run("import", "--template", tmp_path / name)
    assert yaml.safe_load((tmp_path / "n.yaml").read_text())["weights"] == f"file:{name}"


def test_a_network_that_gives_no_probabilities_is_found_out(mine: Path) -> None:
    with pytest.raises(ModelError):
        try_model(read_model(document(mine / "mine.yaml", classes=["clear", "cloud"])))


# --- remove


def test_remove_asks_and_takes_what_was_copied(mine: Path, folders: Path) -> None:
    run("import", mine / "mine.yaml")
    (folders / "models" / "notes.md").write_text("of another")
    asked = CliRunner().invoke(main, ["models", "remove", "mine"], input="n\n")
    assert asked.exit_code == 1
    assert "mine" in list_models()
    kept = [folders / "models" / f"mine.{suffix}" for suffix in ("yaml", "md", "safetensors")]
    assert all(str(each) in asked.output and each.is_file() for each in kept)
    run("remove", "--yes", "mine")
    assert [p.name for p in (folders / "models").iterdir()] == ["notes.md"]
    assert len(list(mine.iterdir())) == 3
    assert "no model 'mine'" in run("remove", "--yes", "mine", code=1).output


def test_remove_leaves_weights_that_lie_elsewhere(mine: Path, folders: Path) -> None:
    (folders / "models").mkdir()
    weights = mine / "mine.safetensors"
    document(folders / "models" / "mine.yaml", weights=f"file:{weights}")
    run("remove", "--yes", "mine")
    assert weights.is_file()
    assert not list((folders / "models").iterdir())


def test_remove_of_a_broken_document(folders: Path) -> None:
    (folders / "models").mkdir()
    (folders / "models" / "bad.yaml").write_text("name: [")
    run("remove", "--yes", "bad")
    assert not list((folders / "models").iterdir())


def test_remove_never_takes_what_ships() -> None:
    output = run("remove", "--yes", "cloudsen12-l2a", code=1).output
    assert "not one of your own (built-in)" in output
    assert get_model("cloudsen12-l2a")
