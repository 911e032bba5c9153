"""The package as others get it: what is in its files, that it runs when installed, and what is told about it."""

from __future__ import annotations

import configparser
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from odc_cleansat import __version__

ROOT = Path(__file__).parents[2]
DATA = (
    "odc_cleansat/py.typed",
    "odc_cleansat/app/map.js",
    "odc_cleansat/app/map.css",
    "odc_cleansat/app/icon.png",
    "odc_cleansat/doctor/tested.txt",
    "odc_cleansat/models/builtin/unet-mobilenetv2-l2a.safetensors",
    "odc_cleansat/models/builtin/unet-mobilenetv2-l2a-thin.onnx",
    "odc_cleansat/models/builtin/unet-efficientnetb4-l2a-6b.yaml",
    "odc_cleansat/models/builtin/unet-efficientnetb4-l2a-6b.md",
    "odc_cleansat/review/page.html",
    "odc_cleansat/review/swipe.html",
)
PRODUCTS = ("s2_l2a", "s2_l2a_ucl", "s2_l2a_ucl_summary", "s2_l2a_ucl_time")

BUILD = "from setuptools import build_meta; import sys; print(build_meta.build_{}(sys.argv[1]))"


def build(kind: str, source: Path, target: Path) -> Path:
    """Build as pip and `build` do it, with the setuptools of this environment and without the network."""
    done = subprocess.run(
        [sys.executable, "-c", BUILD.format(kind), target],
        cwd=source, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return target / done.stdout.split()[-1]


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution, of a copy without what else lies in the folder of the project."""
    folder = tmp_path_factory.mktemp("sdist")
    beside = {each.name for each in ROOT.iterdir() if each.name.startswith(".")}
    beside |= {"build", "dist", "shared", "site", "cleansat-demo", "cleansat-example"}
    ignore = shutil.ignore_patterns(*beside, "__pycache__", "*.egg-info")
    shutil.copytree(ROOT, folder / "copy", ignore=ignore)
    return build("sdist", folder / "copy", folder)


@pytest.fixture(scope="module")
def unpacked(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the source distribution."""
    folder = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    (found,) = folder.iterdir()
    return found


@pytest.fixture(scope="module")
def wheel(unpacked: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built of the source distribution as for a release."""
    return build("wheel", unpacked, tmp_path_factory.mktemp("wheel"))


def test_the_wheel_holds_all_that_is_needed_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    definitions = {f"odc_cleansat/product_definitions/{n}.odc-product.yaml" for n in PRODUCTS}
    assert {*DATA, *definitions} - names == set()
    written = {path.relative_to(ROOT).as_posix() for path in (ROOT / "odc_cleansat").rglob("*.py")}
    assert written - names == set()
    info = f"odc_cleansat-{__version__}.dist-info/"
    assert {name.split("/")[0] for name in names} == {"odc_cleansat", info.strip("/")}
    assert not [name for name in names if "test_" in name or name.endswith((".pyc", ".tif"))]
    assert wheel.stat().st_size < 20e6
    assert f"{info}licenses/LICENSE" in names


def test_the_metadata(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        info = f"odc_cleansat-{__version__}.dist-info"
        metadata = Parser().parsestr(archive.read(f"{info}/METADATA").decode())
        points = archive.read(f"{info}/entry_points.txt").decode()
    assert metadata["Version"] == __version__
    assert "Typing :: Typed" in metadata.get_all("Classifier", [])
    assert {"app", "demo", "s3", "safe"} <= set(metadata.get_all("Provides-Extra", []))
    assert "cleansat = odc_cleansat.cli:main" in points


def test_the_source_distribution(unpacked: Path) -> None:
    names = {each.name for each in unpacked.iterdir()}
    assert {"README.md", "LICENSE", "CHANGELOG.md", "CITATION.cff", "SECURITY.md"} <= names
    assert {"setup.cfg", "pyproject.toml", "odc_cleansat", "product_definitions"} <= names
    assert not names & {"tests", "docs", "benchmarks", "shared", "training", "templates"}
    assert {each for each in DATA if not (unpacked / each).is_file()} == set()


def test_the_installed_wheel_runs(wheel: Path, tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--disable-pip-version-check",
         "--target", tmp_path / "site", wheel],
        check=True, capture_output=True,
    )  # fmt: skip

    def run(*command: object) -> str:
        done = subprocess.run(
            [*map(str, command)], cwd=tmp_path, env={"PYTHONPATH": str(tmp_path / "site")},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    place = run(sys.executable, "-c", "import odc_cleansat; print(odc_cleansat.__file__)")
    assert Path(place.strip()).is_relative_to(tmp_path)
    program = tmp_path / "site" / "bin" / "cleansat"
    assert "Cloud and cloud-shadow masks" in run(program, "--help")
    listed = run(program, "models", "list", "--json")
    assert '"name": "unet-mobilenetv2-l2a"' in listed


def test_the_citation() -> None:
    found = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert found["cff-version"] == "1.2.0"
    assert found["version"] == __version__, "write both by make version"
    assert {"message", "title", "authors", "license"} <= found.keys()
    (paper,) = found["references"]
    model = (ROOT / "odc_cleansat/models/builtin/unet-efficientnetb4-l2a-6b.yaml").read_text()
    assert f"doi:{paper['doi']}" in model


CONDA = {
    "torch": ["pytorch"],
    "matplotlib": ["matplotlib-base"],
    "dask": ["dask-core", "distributed"],
}
"""Packages of other names, or of several, in conda-forge."""


def test_the_recipe_of_conda_asks_for_what_setup_cfg_asks_for() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    needed = [
        Requirement(line) for line in config["options"]["install_requires"].split("\n") if line
    ]
    wanted = {name: each.specifier for each in needed for name in CONDA.get(each.name, [each.name])}
    recipe = yaml.safe_load((ROOT / "conda" / "recipe.yaml").read_text("utf-8"))
    lines = [line.split(" ") for line in recipe["requirements"]["run"]]
    found = {name: SpecifierSet(specifier) for name, specifier in lines}
    python = SpecifierSet(config["options"]["python_requires"])
    assert found == {"python": python, **wanted}, (
        "change conda/recipe.yaml as setup.cfg was changed"
    )
    assert SpecifierSet(recipe["requirements"]["host"][0].split(" ")[1]) == python
    assert recipe["context"]["version"] == __version__
    (point,) = recipe["build"]["python"]["entry_points"]
    assert point == config["options.entry_points"]["console_scripts"].strip()


def test_the_recipe_of_the_weights_is_that_of_the_release_that_is_needed() -> None:
    config = (ROOT / "setup.cfg").read_text("utf-8")
    recipe = yaml.safe_load((ROOT / "conda" / "ukis-csmask" / "recipe.yaml").read_text("utf-8"))
    assert f"ukis-csmask =={recipe['context']['version']}" in config
    (model,) = recipe["tests"][0]["package_contents"]["site_packages"]
    document = ROOT / "odc_cleansat" / "models" / "builtin" / "unet-efficientnetb4-l2a-6b.yaml"
    assert f"weights: package:{model}" in document.read_text("utf-8")


def test_the_list_of_what_is_in_the_images(tmp_path: Path) -> None:
    """`make sbom`, with the program of this environment."""
    (tmp_path / "release").mkdir()
    (tmp_path / "release" / "bin").symlink_to(Path(sys.executable).parent)
    (tmp_path / "release" / "stamp").touch()
    written = tmp_path / "sbom.json"
    subprocess.run(
        ["make", "sbom", f"RELEASE={tmp_path / 'release'}", f"SBOM={written}"],
        cwd=ROOT, check=True, capture_output=True,
    )  # fmt: skip
    found = json.loads(written.read_text("utf-8"))
    root = found["metadata"]["component"]
    assert (found["bomFormat"], root["name"], root["version"]) == ("CycloneDX", "odc-cleansat", __version__)  # fmt: skip
    locked = [*(ROOT / "docker").glob("requirements-app.txt"), ROOT / "docker" / "torch.txt"]
    lines = re.findall(r"^(\w\S*)==(\S+)", "".join(each.read_text() for each in locked), re.M)
    assert {(each["name"], each["version"]) for each in found["components"]} == set(lines)
    (datacube,) = [each for each in found["components"] if each["name"] == "datacube"]
    assert datacube["purl"] == f"pkg:pypi/datacube@{datacube['version']}"
    assert datacube["externalReferences"][0]["hashes"]


@pytest.mark.parametrize(
    ("schema", "path"),
    [
        ("compose-spec", "compose.yaml"),
        ("github-workflows", ".github/workflows/test-and-publish.yml"),
        ("citation-file-format", "CITATION.cff"),
    ],
)
def test_files_for_others_are_valid_by_their_schema(schema: str, path: str) -> None:
    program = Path(sys.executable).parent / "check-jsonschema"
    done = subprocess.run(
        [program, "--builtin-schema", f"vendor.{schema}", ROOT / path], capture_output=True, text=True, check=False
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


@pytest.fixture
def workflow() -> dict[Any, Any]:
    """The workflow of GitHub; YAML takes its key `on` for true."""
    path = ROOT / ".github" / "workflows" / "test-and-publish.yml"
    found: dict[Any, Any] = yaml.safe_load(path.read_text("utf-8"))
    return found


def test_what_is_published_was_tested(workflow: dict[Any, Any]) -> None:
    jobs = workflow["jobs"]
    assert ".ci/run" in [step.get("run") for step in jobs["test"]["steps"]]
    assert set(jobs["publish"]["needs"]) == {"test", "newest", "blocks", "build", "images"}
    assert jobs["publish"]["if"] == "startsWith(github.ref, 'refs/tags/v')"
    assert set(workflow[True]) == {"push", "pull_request"}


def test_the_images_are_built_as_the_page_says(workflow: dict[Any, Any]) -> None:
    page = (ROOT / "docs" / "how-to" / "deploy.md").read_text("utf-8")
    (block,) = re.findall(r"^docker build .*?^docker run [^\n]*", page, re.MULTILINE | re.DOTALL)
    commands = [str(step.get("run")) for step in workflow["jobs"]["images"]["steps"]]
    assert set(block.splitlines()) <= set(commands)
    named = re.findall(r"for name in (.*); do", "".join(commands))[0].split()
    built = [re.findall(r"-t (\S+)", each)[0] for each in commands if each.startswith("docker build")]  # fmt: skip
    assert named == built


def test_each_build_has_its_list_of_what_is_in_the_images(workflow: dict[Any, Any]) -> None:
    steps = workflow["jobs"]["build"]["steps"]
    assert "make sbom" in [step.get("run") for step in steps]
    # What is published is dist alone.
    kept = {
        step["with"]["name"]: step["with"]["path"]
        for step in steps
        if "upload" in str(step.get("uses"))
    }
    assert kept == {"dist": "dist/", "sbom": "sbom.cdx.json"}


def test_only_the_last_step_can_publish_and_it_has_no_password(workflow: dict[Any, Any]) -> None:
    assert workflow["permissions"] == {"contents": "read"}
    allowed = {name: job.get("permissions") for name, job in workflow["jobs"].items()}
    assert allowed == {
        "test": None,
        "newest": None,
        "blocks": None,
        "build": None,
        "images": None,
        "publish": {"id-token": "write"},
    }
    assert "secrets." not in yaml.safe_dump(workflow)
    (step,) = [s for s in workflow["jobs"]["publish"]["steps"] if "publish" in s["uses"]]
    assert "with" not in step


ADDRESS = "https://git.example.org/us/odc-cleansat"
GITHUB = {"GITHUB_SERVER_URL": "https://git.example.org", "GITHUB_REPOSITORY": "us/odc-cleansat"}


def release(workflow: dict[Any, Any], tag: str, checkout: Path) -> list[str]:
    """What the steps for tags say when they are run on a checkout, with the build between them."""
    steps = [each for each in workflow["jobs"]["build"]["steps"] if "refs/tags/v" in each.get("if", "")]  # fmt: skip
    (checkout / "dist").mkdir()
    said = []
    for step in steps:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", step["run"]], cwd=checkout, capture_output=True, text=True, check=False,
            env={**os.environ, **GITHUB, "GITHUB_REF_NAME": tag},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        said.append(done.stdout)
        if step is steps[0]:
            for kind in ("sdist", "wheel"):
                build(kind, checkout, checkout / "dist")
    return said


def test_a_release_has_the_version_of_its_tag(
    workflow: dict[Any, Any], checkout: Path, tmp_path: Path
) -> None:
    written, _ = release(workflow, "v9.8.7rc1", checkout)
    assert "::warning::v9.8.7rc1 was tagged without make version" in written
    with zipfile.ZipFile(checkout / "dist" / "odc_cleansat-9.8.7rc1-py3-none-any.whl") as archive:
        metadata = Parser().parsestr(archive.read("odc_cleansat-9.8.7rc1.dist-info/METADATA").decode())  # fmt: skip
        archive.extractall(tmp_path / "site")
    assert metadata["Version"] == "9.8.7rc1"
    assert metadata.get_all("Project-URL") == [f"Source, {ADDRESS}"]
    shown = subprocess.run(
        [sys.executable, "-c", "import odc_cleansat; print(odc_cleansat.__version__)"], cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path / "site")}, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert shown == "9.8.7rc1\n"
    # A checkout and an installation that can be edited have it too.
    assert build("editable", checkout, tmp_path).name.startswith("odc_cleansat-9.8.7rc1-")
    assert yaml.safe_load((checkout / "CITATION.cff").read_text())["repository-code"] == ADDRESS
    assert yaml.safe_load((checkout / "conda/recipe.yaml").read_text())["about"]["repository"] == ADDRESS  # fmt: skip


def test_a_tag_of_the_version_that_is_written_changes_no_version(
    workflow: dict[Any, Any], checkout: Path
) -> None:
    written, _ = release(workflow, f"v{__version__}", checkout)
    assert "::warning" not in written


def test_the_version_is_written_wherever_it_stands(checkout: Path) -> None:
    command = ["make", "version", f"PYTHON={sys.executable}"]
    subprocess.run([*command, "VERSION=9.8.7"], cwd=checkout, check=True, capture_output=True)
    changed = subprocess.run(
        ["git", "diff", "--name-only"], cwd=checkout, capture_output=True, text=True, check=True
    ).stdout.split()
    for name in changed:
        text = (checkout / name).read_text("utf-8")
        assert "9.8.7" in text
        assert f"cleansat:{__version__}" not in text
    assert {"odc_cleansat/_version.py", "CITATION.cff", "conda/recipe.yaml"} <= set(changed)
    assert len(changed) == 7
    for wrong in ("9.8", "v9.8.7+local", "latest", ""):
        done = subprocess.run([*command, f"VERSION={wrong}"], cwd=checkout, check=False, capture_output=True)  # fmt: skip
        assert done.returncode != 0


def test_no_address_is_made_up(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        metadata = archive.read(f"odc_cleansat-{__version__}.dist-info/METADATA").decode()
    named = Parser().parsestr(metadata).get_all("Project-URL", [])
    written = re.findall(r"^    Source = (\S+)$", (ROOT / "setup.cfg").read_text("utf-8"), re.MULTILINE)  # fmt: skip
    assert named == [f"Source, {each}" for each in written]
