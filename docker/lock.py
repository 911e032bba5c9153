"""Write the packages of the images with their hashes: ``make lock``, or ``make lock ARGS=--upgrade`` for newer ones.

Torch stands apart in ``torch.txt``, without hashes: its build for processors comes from an index of its own, where the
files have other hashes than on the package index. Packages of CUDA are left out; they come with torch where it is asked for.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
LOCKS = {
    "docker/requirements.txt": ("demo", "s3", "safe", "metrics"),
    "docker/requirements-app.txt": ("demo", "s3", "safe", "metrics", "app"),
}
TORCH = re.compile(r"torch|torchvision")
CUDA = re.compile(r"triton|nvidia-.*|cuda-.*")


def compile_lock(path: Path, extras: tuple[str, ...], options: list[str]) -> list[str]:
    """Write what goes together on Python 3.13 under Linux, and return the lines of torch."""
    program = Path(sys.executable).parent / "uv"
    wanted = [part for name in extras for part in ("--extra", name)]
    environ = {**os.environ, "UV_CUSTOM_COMPILE_COMMAND": "make lock"}
    subprocess.run(
        [program, "pip", "compile", "setup.cfg", *wanted, "--constraint", "odc_cleansat/doctor/tested.txt",
         "--python-version", "3.13", "--python-platform", "linux", "--generate-hashes",
         "--no-emit-index-url", "--no-emit-find-links", "--quiet", "--output-file", path, *options],
        cwd=ROOT, env=environ, check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    head, *blocks = re.split(r"^(?=\w)", path.read_text("utf-8"), flags=re.MULTILINE)
    names = [block.partition("==")[0] for block in blocks]
    apart = [bool(TORCH.fullmatch(name) or CUDA.fullmatch(name)) for name in names]
    kept = [block for block, away in zip(blocks, apart, strict=True) if not away]
    path.write_text(head + "".join(kept), "utf-8")
    return [
        block.split()[0] for name, block in zip(names, blocks, strict=True) if TORCH.fullmatch(name)
    ]


if __name__ == "__main__":
    torch = [compile_lock(ROOT / name, extras, sys.argv[1:]) for name, extras in LOCKS.items()]
    assert torch[0] == torch[1], torch
    (ROOT / "docker" / "torch.txt").write_text("".join(f"{line}\n" for line in torch[0]))
