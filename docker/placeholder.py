"""Write an index of empty packages that stand for torch and torchvision: ``placeholder.py FOLDER``.

For machines that cannot reach the index of torch. Masks are made with OpenVINO and never import it.
"""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

PINNED = Path(__file__).with_name("torch.txt")


def write(folder: Path, name: str, version: str) -> None:
    """Write a wheel without modules, and the page of the index that lists it."""
    info = f"{name}-{version}.dist-info"
    file = f"{name}-{version}-py3-none-any.whl"
    (folder / name).mkdir(parents=True)
    with zipfile.ZipFile(folder / name / file, "w") as wheel:
        wheel.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        )
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(
            f"{info}/RECORD",
            "".join(f"{info}/{each},,\n" for each in ("METADATA", "WHEEL", "RECORD")),
        )
    (folder / name / "index.html").write_text(f'<a href="{file}">{file}</a>')


if __name__ == "__main__":
    for line in PINNED.read_text("utf-8").split():
        name, _, version = line.partition("==")
        write(Path(sys.argv[1]), name, f"{version}+cpu")
