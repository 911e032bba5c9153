"""Write the packages of the images with their hashes: ``make lock``, or ``make lock ARGS=--upgrade`` for newer ones.

Torch stands apart. ``torch-cuda.txt`` has its build of the package index, with CUDA, and the hashes of all its files.
``torch.txt`` has the build for processors, which comes from an index of its own with other hashes. They are written down
where that index answers. Else only the versions are, and pip trusts the hashes that the index tells it.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).parents[1]
LOCKS = {
    "requirements.txt": ("demo", "s3", "safe", "metrics"),
    "requirements-app.txt": ("demo", "s3", "safe", "metrics", "app"),
}
TORCH = re.compile(r"torch|torchvision")
CUDA = re.compile(r"triton|nvidia-.*|cuda-.*")
INDEX = re.compile(r"^ARG TORCH_INDEX=(\S+)$", re.MULTILINE)


def compile_with_uv(source: str, *options: str | Path, text: str = "") -> str:
    """Return what goes together on Python 3.13 under Linux, with hashes."""
    done = subprocess.run(
        [Path(sys.executable).parent / "uv", "pip", "compile", source, "--python-version", "3.13",
         "--python-platform", "linux", "--generate-hashes", "--no-emit-index-url", "--no-emit-find-links",
         "--quiet", *options],
        cwd=ROOT, env={**os.environ, "UV_CUSTOM_COMPILE_COMMAND": "make lock"}, check=True,
        input=text, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    return done.stdout


def compile_lock(path: Path, extras: tuple[str, ...], options: list[str]) -> str:
    """Write a lock without torch and CUDA, and return the part that has these."""
    wanted = [part for name in extras for part in ("--extra", name)]
    compile_with_uv(
        "setup.cfg", *wanted, "--constraint", "odc_cleansat/doctor/tested.txt", "--output-file", path, *options
    )  # fmt: skip
    head, *blocks = re.split(r"^(?=\w)", path.read_text("utf-8"), flags=re.MULTILINE)
    names = [block.partition("==")[0] for block in blocks]
    apart = [bool(TORCH.fullmatch(name) or CUDA.fullmatch(name)) for name in names]
    kept = [block for block, away in zip(blocks, apart, strict=True) if not away]
    path.write_text(head + "".join(kept), "utf-8")
    return head + "".join(block for block, away in zip(blocks, apart, strict=True) if away)


def pin_for_processors(index: str, cuda: str) -> str:
    """Return the lines of torch for processors, with hashes if its index answers."""
    lines = [line.split()[0] for line in cuda.splitlines() if TORCH.match(line)]
    pins = "".join(f"{line}\n" for line in lines)
    try:
        urllib.request.urlopen(f"{index}/torch/", timeout=20).close()
    except (urllib.error.URLError, OSError) as error:
        print(f"The index of torch does not answer ({error}), so torch.txt has no hashes.")
        return pins
    return compile_with_uv("-", "--no-deps", "--no-annotate", "--index-url", index, text=pins)


if __name__ == "__main__":
    docker = ROOT / "docker"
    cuda, with_app = (
        compile_lock(docker / name, extras, sys.argv[1:]) for name, extras in LOCKS.items()
    )
    assert TORCH.findall(cuda) == TORCH.findall(with_app), (cuda, with_app)
    (docker / "torch-cuda.txt").write_text(cuda, "utf-8")
    (index,) = INDEX.findall((docker / "Dockerfile").read_text("utf-8"))
    (docker / "torch.txt").write_text(pin_for_processors(index, cuda), "utf-8")
