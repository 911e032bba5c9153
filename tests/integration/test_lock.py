"""The packages of the images: that `make lock` was run after a change of setup.cfg."""

from __future__ import annotations

import configparser
import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LOCKS = {
    "requirements.txt": ("demo", "s3", "safe", "metrics"),
    "requirements-app.txt": ("demo", "s3", "safe", "metrics", "app"),
}
IMAGE = {"python_version": "3.13", "sys_platform": "linux", "platform_system": "Linux", "extra": ""}
TORCH = {"torch", "torchvision"}


def blocks(name: str) -> dict[str, str]:
    """What a lock says of each package, by its name."""
    text = (ROOT / "docker" / name).read_text("utf-8")
    _, *found = re.split(r"^(?=\w)", text, flags=re.MULTILINE)
    return {block.partition("==")[0]: block for block in found}


def version(block: str) -> str:
    return block.split()[0].partition("==")[2]


def torch() -> dict[str, str]:
    lines = (ROOT / "docker" / "torch.txt").read_text("utf-8").split()
    return dict(line.split("==") for line in lines)


def wanted(extras: tuple[str, ...]) -> dict[str, Requirement]:
    """What setup.cfg asks for on the Python of the images."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    sections = [config["options"]["install_requires"]]
    sections += [config["options.extras_require"][extra] for extra in extras]
    lines = [line for text in sections for line in text.splitlines() if line and line[0] != "#"]
    found = [Requirement(line) for line in lines]
    return {
        canonicalize_name(each.name): each
        for each in found
        if each.marker is None or each.marker.evaluate(IMAGE)
    }


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_is_what_setup_cfg_asks_for(name: str) -> None:
    locked, asked = blocks(name), wanted(LOCKS[name])
    ours = {each for each, block in locked.items() if "odc-cleansat (setup.cfg)" in block}
    assert ours | {"torch"} == asked.keys(), "run: make lock"
    versions = {each: version(block) for each, block in locked.items()} | torch()
    unfit = {
        each: versions[each]
        for each, asked_for in asked.items()
        if versions[each] not in asked_for.specifier
    }
    assert not unfit, "run: make lock ARGS=--upgrade"


@pytest.mark.parametrize("name", LOCKS)
def test_locked_are_the_releases_with_which_all_tests_passed(name: str) -> None:
    lines = (ROOT / "odc_cleansat" / "doctor" / "tested.txt").read_text("utf-8").splitlines()
    tested = dict(line.split("==") for line in lines if not line.startswith("#"))
    versions = {each: version(block) for each, block in blocks(name).items()} | torch()
    assert {each: versions.get(each) for each in tested} == tested, "run: make lock"


@pytest.mark.parametrize("name", LOCKS)
def test_each_package_has_hashes_and_no_address(name: str) -> None:
    text = (ROOT / "docker" / name).read_text("utf-8")
    assert "//" not in text
    without = [each for each, block in blocks(name).items() if "--hash=sha256:" not in block]
    assert not without


@pytest.mark.parametrize("name", LOCKS)
def test_torch_comes_from_an_index_of_its_own_and_without_cuda(name: str) -> None:
    assert torch().keys() == TORCH
    cuda = [each for each in blocks(name) if re.match(r"nvidia|cuda|triton|torch", each)]
    assert not cuda
    # What torch needs is installed with the others, because torch itself is installed without it.
    needed = {
        "filelock",
        "typing-extensions",
        "sympy",
        "networkx",
        "jinja2",
        "fsspec",
        "setuptools",
    }
    assert needed <= blocks(name).keys()


def test_the_locks_of_command_and_application_agree() -> None:
    command, app = (blocks(name) for name in LOCKS)
    assert {each: version(block) for each, block in command.items()}.items() <= {
        each: version(block) for each, block in app.items()
    }.items()


def test_the_images_take_only_what_is_locked() -> None:
    dockerfile = (ROOT / "docker" / "Dockerfile").read_text("utf-8").replace("\\\n", "")
    installs = re.findall(r"pip install (.*)", dockerfile)
    hashed = [each for each in installs if "--require-hashes" in each]
    assert {re.findall(r"--requirement (\S+)", each)[0] for each in hashed} == LOCKS.keys()
    others = [each for each in installs if each not in hashed]
    assert all("torch.txt" in each or "--no-deps --no-build-isolation ." in each for each in others)
