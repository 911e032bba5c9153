"""The template of a package that adds a model: bake, install, use and remove such packages."""

from __future__ import annotations

import json
import os
import runpy
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from cookiecutter.exceptions import FailedHookException
from cookiecutter.main import cookiecutter

from odc_cleansat.models.model import Model
from odc_cleansat.models.registry import DEFAULTS, read_model
from odc_cleansat.scenes.bands import S2_BANDS

CLEANSAT = Path(sys.executable).with_name("cleansat")
TEMPLATE = Path(__file__).parents[2] / "templates" / "model-plugin"

FOUR = {
    "package": "fourbands",
    "name": "Four.bands_v2",
    "author": 'J. "Jo" O\'Neil, 50 % café',
    "licence": "CC-BY-NC-4.0",
    "bands": "blue green,red,  nir",
    "classes": "clear, cloud, thin_cloud, shadow",
    "resolution": "10",
    "architecture": "Linknet",
    "encoder": "resnet18",
}

LARGE = "decoder.blocks.0.conv1.0.weight"
"""A parameter that half precision cannot hold."""


def bake(folder: Path, **answers: str) -> Path:
    """Bake in a folder, where cookiecutter keeps its own files too."""
    folder.mkdir(exist_ok=True)
    config = folder / "cookiecutter.yaml"
    config.write_text(f"replay_dir: {folder / 'replay'}\ncookiecutters_dir: {folder / 'fetched'}\n")
    out = folder / "baked"
    out.mkdir(exist_ok=True)
    with pytest.MonkeyPatch.context() as patched:
        # It leaves a copy of the hook among the temporary files.
        patched.setattr(tempfile, "tempdir", str(folder))
        result = cookiecutter(
            str(TEMPLATE),
            no_input=True,
            extra_context=answers,
            output_dir=str(out),
            config_file=str(config),
        )
    return Path(result)


def document(project: Path) -> Path:
    (found,) = project.glob("*/*.yaml")
    return found


def model_of(project: Path) -> Model:
    return read_model(document(project))


def make_small(project: Path) -> None:
    """Give the network fewer layers, so that it is soon compiled."""
    text = document(project).read_text("utf-8")
    options = "encoder_depth: 3"
    if "name: Unet" in text:
        options += "\n  decoder_channels: [16, 8, 8]"
    document(project).write_text(
        text.replace("# decoder_channels: [256, 128, 64, 32, 16]", options), "utf-8"
    )


def make_weights(project: Path, *arguments: object) -> None:
    """Run the package's program, in this process because torch is slow to import."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["make_weights.py", *map(str, arguments)])
        runpy.run_path(str(project / "make_weights.py"), run_name="__main__")


def hashed(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()


def contents(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashed(path) for path in folder.rglob("*") if path.is_file()
    }


def network(channels: int) -> Any:
    """What somebody trained for `my-cloud-model`."""
    import segmentation_models_pytorch as smp
    import torch

    torch.manual_seed(7)
    return smp.Unet(
        "mobilenet_v2", encoder_depth=3, encoder_weights=None, decoder_channels=(16, 8, 8),
        in_channels=channels, classes=3,
    )  # fmt: skip


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Empty folders of the user's, for this process and those that it starts."""
    import torch

    folder = tmp_path_factory.mktemp("user")
    found = {name: str(folder / name.lower()) for name in ("CLEANSAT_MODELS", "CLEANSAT_CACHE")}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # networks are only traced, where threads cost more than they bring
    with pytest.MonkeyPatch.context() as patch:
        for name, value in found.items():
            patch.setenv(name, value)
        yield found
    torch.set_num_threads(threads)


@dataclass(frozen=True)
class Installed:
    """Two baked packages, installed into a folder of their own."""

    six: Path
    """The project of `my-cloud-model`, baked with the answers that are proposed."""

    four: Path
    """The project of `Four.bands_v2`."""

    site: Path
    """Where both are installed."""

    environment: dict[str, str]
    """Of a process that finds them."""

    def run(self, *command: object, code: int = 0) -> str:
        result = subprocess.run(
            [sys.executable, *map(str, command)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            env=self.environment,
            cwd=self.site.parent,
            timeout=120,
        )
        assert result.returncode == code, result.stdout
        return result.stdout

    def models(self) -> dict[str, dict[str, Any]]:
        lines = self.run(CLEANSAT, "models", "list", "--json").splitlines()
        listed = {each["name"]: each for each in map(json.loads, lines)}
        assert not [each for each in listed.values() if "problem" in each]
        return listed


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory, folders: dict[str, str]) -> Installed:
    """Both packages, one with weights of :func:`network`, one with random ones."""
    import torch

    folder = tmp_path_factory.mktemp("plugins")
    six, four, site = bake(folder), bake(folder, **FOUR), folder / "site"
    for project in (six, four):
        make_small(project)
    trained = network(6).state_dict()
    trained[LARGE][0, 0, 0, 0] = 1e6
    weights = {"state_dict": {f"net.{name}": value for name, value in trained.items()}}
    torch.save(weights, folder / "own.pt")
    make_weights(six, folder / "own.pt")
    make_weights(four)
    # Whoever imported it would be told.
    (four / "fourbands" / "__init__.py").write_text("raise RuntimeError('imported')\n")
    others = ("CLEANSAT_", "HF_", "PYTHON", "PYTEST")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(others)}
    environment |= {**folders, "CLEANSAT_OFFLINE": "1", "PYTHONPATH": str(site)}
    result = Installed(six, four, site, environment)
    quietly = ("--quiet", "--disable-pip-version-check", "--no-compile")
    offline = ("--no-deps", "--no-build-isolation", "--no-index")
    result.run("-m", "pip", "install", *quietly, *offline, "--target", site, six, four)
    return result


# --- installed ------------------------------------------------------------------------


def test_its_own_tests_pass(installed: Installed) -> None:
    folders = [project / "tests" for project in (installed.six, installed.four)]
    said = installed.run(
        "-m", "pytest", "--quiet", "--import-mode=importlib", "-p", "no:cacheprovider", *folders
    )
    assert "10 passed" in said


USE = """
import json
import numpy as np
from click.testing import CliRunner
from odc_cleansat import classify
from odc_cleansat.cli.main import main
from odc_cleansat.synthetic.scene import SimulatedScene

NAMES = ("my-cloud-model", "Four.bands_v2")
listed = CliRunner().invoke(main, ["models", "list", "--json"]).stdout
verified = CliRunner().invoke(main, ["models", "verify", *NAMES]).stdout
scene = SimulatedScene(shape=(180, 240), seed=1).to_xarray(10).isel(time=0)
masks = [classify(scene, model=name, offset=-1000).ucl for name in NAMES]
found = [(ucl.shape, ucl.attrs["flag_meanings"], bool((ucl.values != 0).all())) for ucl in masks]
print(json.dumps([[*map(json.loads, listed.splitlines())], verified, found]))
"""


def test_a_fresh_process_uses_it(installed: Installed) -> None:
    listed, verified, found = json.loads(installed.run("-c", USE).splitlines()[-1])
    assert not [each for each in listed if "problem" in each]
    models = {each["name"]: each for each in listed}
    six, four = models["my-cloud-model"], models["Four.bands_v2"]
    assert [each["origin"] for each in (six, four)] == ["plugin my-cloud-model", "plugin fourbands"]
    assert six["state"] == four["state"] == "packaged"
    assert six["sha256"] == hashed(installed.site / "my_cloud_model" / "my-cloud-model.safetensors")
    assert four["bands"] == ["blue", "green", "red", "nir"]
    assert four["citation"] == FOUR["author"]
    assert four["noncommercial"] is True
    assert "2 right, 0 wrong" in verified
    assert found == [
        [[180, 240], "nodata clear cloud shadow", True],
        [[180, 240], "nodata clear cloud shadow thin_cloud", True],
    ]


def test_other_weights_than_the_documents_are_refused(installed: Installed, tmp_path: Path) -> None:
    weights = installed.site / "my_cloud_model" / "my-cloud-model.safetensors"
    kept = shutil.copy2(weights, tmp_path)
    values = bytearray(weights.read_bytes())
    values[-1] ^= 1
    weights.write_bytes(values)
    said = installed.run(CLEANSAT, "models", "verify", "my-cloud-model", code=1)
    assert "WRONG" in said
    assert "Install my_cloud_model again" in said
    shutil.copy2(kept, weights)


def test_what_is_removed_is_gone(installed: Installed, tmp_path: Path) -> None:
    rest = tmp_path / "site"
    shutil.copytree(installed.site, rest, ignore=shutil.ignore_patterns("fourbands*"))
    environment = {**installed.environment, "PYTHONPATH": str(rest)}
    models = Installed(installed.six, installed.four, rest, environment).models()
    assert "Four.bands_v2" not in models
    assert "my-cloud-model" in models
    assert DEFAULTS[0] in models


# --- weights --------------------------------------------------------------------------


def test_a_state_dict_becomes_half_precision(installed: Installed) -> None:
    import torch
    from safetensors.torch import load_file

    project = installed.six
    stored = project / "my_cloud_model" / "my-cloud-model.safetensors"
    found = {k.removeprefix("net."): v for k, v in load_file(stored).items()}
    assert found["encoder.features.0.0.weight"].dtype == torch.float16
    assert found["encoder.features.0.1.running_var"].dtype == torch.float32
    assert found[LARGE].dtype == torch.float32
    trained = network(6).state_dict()
    trained[LARGE][0, 0, 0, 0] = 1e6
    assert found.keys() == trained.keys()
    for name, value in trained.items():
        torch.testing.assert_close(found[name].to(value.dtype), value, rtol=5e-4, atol=1e-7)
    assert model_of(project).sha256 == hashed(stored)
    assert hashed(stored) in document(project).with_suffix(".md").read_text("utf-8")
    before = contents(project)
    make_weights(project, stored)  # from what it wrote itself
    assert contents(project) == before


@pytest.mark.usefixtures("folders")
def test_weights_that_do_not_fit_change_nothing(tmp_path: Path) -> None:
    import torch

    project = bake(tmp_path)
    make_small(project)
    torch.save(network(channels=4).state_dict(), tmp_path / "four.pt")
    (tmp_path / "text.safetensors").write_text("no weights")
    before = contents(project)
    for file, says in (
        ("four.pt", r"4, 3, 3\), and UNet, mobilenet_v2 encoder with 6 channels"),
        ("text.safetensors", "no safetensors file"),
        ("absent.pt", "absent.pt, and are not"),
    ):
        with pytest.raises(SystemExit, match=f"Error: .*{says}"):
            make_weights(project, tmp_path / file)
        assert contents(project) == before
    wrong = document(project).read_text("utf-8").replace("encoder: mobilenet_v2", "encoder: nonet")
    document(project).write_text(wrong, "utf-8")
    with pytest.raises(SystemExit, match="cannot build UNet, nonet encoder"):
        make_weights(project)


# --- answers --------------------------------------------------------------------------


def test_what_was_answered_is_in_the_document(tmp_path: Path) -> None:
    bands = [band for band in S2_BANDS if band != "scl"]
    model = model_of(bake(tmp_path, level="L1C", bands=", ".join(bands), classes="clear, cloud"))
    assert (model.bands, model.level) == (tuple(bands), "L1C")
    assert [c.label for c in model.classes] == ["clear", "cloud"]
    assert "13 bands" in model.title
    assert model.weights == "package:my_cloud_model/my-cloud-model.safetensors"
    assert Path(model.card).name == "my-cloud-model.md"


def test_it_is_as_tidy_as_the_project(tmp_path: Path) -> None:
    project = bake(tmp_path)
    text = "".join(p.read_text("utf-8") for p in project.rglob("*") if p.is_file())
    # The cache would lie in the template, and be baked.
    for command in (["check"], ["format", "--check"]):
        ruff = [sys.executable, "-m", "ruff", *command, "--no-cache", project, TEMPLATE]
        subprocess.run(ruff, check=True)
    assert "cookiecutter" not in text
    assert "{{" not in text


@pytest.mark.parametrize(
    ("answers", "says"),
    [
        ({"package": "My-Model"}, "package cannot be called 'My-Model': use lower-case letters"),
        ({"package": ""}, "package cannot be called ''"),
        ({"package": "../up"}, "package cannot be called '../up'"),
        ({"package": "class"}, "package cannot be called 'class'"),
        ({"package": "json"}, "'json', which is the name of another one"),
        ({"package": "odc_cleansat"}, "'odc_cleansat', which is the name of another one"),
        ({"name": "a+b"}, "model cannot be called 'a+b'"),
        ({"name": 'a"""b'}, "model cannot be called 'a\"\"\"b'"),
        ({"author": " "}, "author ' ' should be one line"),
        ({"licence": "do what you like!"}, "as SPDX writes it"),
        ({"bands": "blue, infrared"}, "no band 'infrared'; use coastal, blue"),
        ({"bands": ""}, "no band ''"),
        ({"bands": "scl"}, "no band 'scl'"),
        ({"bands": "blue, blue"}, "name each but once"),
        ({"bands": "blue, cirrus"}, "L2A has no cirrus"),
        ({"resolution": "30 m"}, "resolution '30 m' should be a number"),
        ({"resolution": "nan"}, "resolution 'nan' should be a number"),
        ({"architecture": "smp.Unet"}, "network 'smp.Unet' should be"),
        ({"encoder": "a b"}, "encoder 'a b' should be"),
    ],
)  # fmt: skip
def test_bad_answers_are_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], answers: dict[str, str], says: str
) -> None:
    with pytest.raises(FailedHookException):
        bake(tmp_path / "work", **answers)
    said = capfd.readouterr().err
    assert says in said
    assert "Traceback" not in said
    assert [path.name for path in tmp_path.iterdir()] == ["work"]
    assert not list((tmp_path / "work" / "baked").iterdir())
