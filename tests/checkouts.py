"""What the blocks of pages are typed in: checkouts of the project, and environments without the internet."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from pages import ROOT

OFFLINE = {"PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
"""pip finds what is needed in :func:`libraries`, and builds with the setuptools of the tests."""


def needs(*names: str) -> None:
    """Skip the test where a program is missing."""
    missing = [name for name in names if shutil.which(name) is None]
    if missing:
        pytest.skip(f"not here: {', '.join(missing)}; `make test-programs` installs them")


def libraries(folder: Path, *others: Path) -> str:
    """A folder with all that is installed here, and in other environments first, without pip and odc-cleansat."""
    folder.mkdir()
    mine = Path(sysconfig.get_path("purelib"))
    there: set[str] = set()
    for place in [*others, mine]:
        left_out = ("odc_cleansat", "__editable__", "__pycache__", "pip")
        left_out += () if place == mine else ("setuptools", "pkg_resources")
        shown = [
            path for path in place.iterdir()
            if not path.name.startswith(left_out) and path.suffix != ".pth" and _of(path) not in there
        ]  # fmt: skip
        for path in shown:
            (folder / path.name).symlink_to(path)
        there |= set(map(_of, shown))
    return str(folder)


def _of(path: Path) -> str:
    """What a folder of metadata is of, whatever the release; the name of anything else."""
    meta = path.suffix in (".dist-info", ".egg-info")
    return path.name.partition("-")[0].lower() + ".meta" if meta else path.name


def copy_checkout(folder: Path) -> Path:
    """A checkout of what stands here, with one commit, and the environment of the tests as ``.venv``."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = (
        subprocess.run(listed, cwd=ROOT, capture_output=True, check=True)
        .stdout.decode()
        .split("\0")
    )
    for name in filter(None, names):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    (folder / ".venv").symlink_to(sys.prefix)
    os.utime(folder / "setup.cfg", (0, 0))  # the environment is newer
    git = ["git", "-C", str(folder), "-c", "user.name=Test", "-c", "user.email=test@localhost"]
    for command in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "-m", "All"]):
        subprocess.run([*git, *command], check=True)
    return folder


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("this is no checkout of git")
    return copy_checkout(tmp_path / "checkout")


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder with our package, as the index of packages has it."""
    folder, source = tmp_path_factory.mktemp("wheels"), tmp_path_factory.mktemp("source")
    copied = ("odc_cleansat", "product_definitions", "setup.cfg", "pyproject.toml", "README.md", "LICENSE", "MANIFEST.in")  # fmt: skip
    for name in copied:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
        copy(ROOT / name, source / name)
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", folder]
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options, source], check=True)
    return str(folder)
