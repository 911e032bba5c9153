"""The packages of the images: that `make lock` was run after a change of setup.cfg."""

from __future__ import annotations

import configparser
import importlib.util
import re
import subprocess
import sys
from functools import partial
from hashlib import sha256
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import ModuleType

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from ports import free_port

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
    """The versions of torch for processors, with the name of their build or without."""
    text = (ROOT / "docker" / "torch.txt").read_text("utf-8")
    return dict(re.findall(r"^(\w+)==([\d.]+)", text, re.MULTILINE))


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


@pytest.mark.parametrize("name", [*LOCKS, "torch-cuda.txt"])
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


def test_torch_with_cuda_is_the_same_release_and_locked_with_all_that_is_of_cuda() -> None:
    locked = blocks("torch-cuda.txt")
    assert {name: version(locked[name]) for name in TORCH} == torch()
    others = locked.keys() - TORCH
    assert {"triton", "cuda-toolkit", "nvidia-cublas"} <= others
    assert all(re.match(r"nvidia-|cuda-|triton", each) for each in others)


@pytest.fixture
def lock() -> ModuleType:
    spec = importlib.util.spec_from_file_location("lock", ROOT / "docker" / "lock.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


CUDA = (
    "# head\ntorch==2.14.1 \\\n    --hash=sha256:0a\ntorchvision==0.29.1 \\\n    --hash=sha256:0b\n"
)


def test_torch_for_processors_has_the_hashes_that_its_index_tells(
    lock: ModuleType, tmp_path: Path
) -> None:
    subprocess.run([sys.executable, ROOT / "docker" / "placeholder.py", tmp_path], check=True)
    handler = type("Quiet", (SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=tmp_path)) as index:
        thread = Thread(target=index.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        text = lock.pin_for_processors(f"http://127.0.0.1:{index.server_port}", CUDA)
        index.shutdown()
        thread.join()
    for name, pinned in torch().items():
        (wheel,) = (tmp_path / name).glob("*.whl")
        told = sha256(wheel.read_bytes()).hexdigest()
        assert f"{name}=={pinned}+cpu \\\n    --hash=sha256:{told}\n" in text
    assert "//" not in text


def test_without_its_index_torch_for_processors_is_pinned_by_its_version(
    lock: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    found = lock.pin_for_processors(f"http://127.0.0.1:{free_port()}", CUDA)
    assert found == "torch==2.14.1\ntorchvision==0.29.1\n"
    assert "torch.txt has no hashes" in capsys.readouterr().out


def test_the_locks_of_command_and_application_agree() -> None:
    command, app = (blocks(name) for name in LOCKS)
    assert {each: version(block) for each, block in command.items()}.items() <= {
        each: version(block) for each, block in app.items()
    }.items()


def test_the_images_take_only_what_is_locked() -> None:
    dockerfile = (ROOT / "docker" / "Dockerfile").read_text("utf-8").replace("\\\n", "")
    installs = re.findall(r"pip install ([^;&]*)", dockerfile)
    hashed = [each for each in installs if "--require-hashes" in each]
    named = {re.findall(r"--requirement ([\w.-]+)", each)[0] for each in hashed}
    assert named == {*LOCKS, "torch-cuda.txt"}
    others = [each for each in installs if each not in hashed]
    assert all("torch.txt" in each or "--no-deps --no-build-isolation ." in each for each in others)
