"""Write an index of empty packages that stand for torch and torchvision, and a ``torch.txt`` that names them:
``placeholder.py FOLDER``.

For machines that cannot reach the index of torch. Masks are made with OpenVINO and never import it.
"""

from __future__ import annotations

import re
import sys
import zipfile
from hashlib import sha256
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
    told = sha256((folder / name / file).read_bytes()).hexdigest()
    (folder / name / "index.html").write_text(f'<a href="{file}#sha256={told}">{file}</a>')


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    pins = re.findall(r"^(\w+)==([\d.]+)", PINNED.read_text("utf-8"), re.MULTILINE)
    for name, version in pins:
        write(folder, name, f"{version}+cpu")
    (folder / "torch.txt").write_text("".join(f"{name}=={version}\n" for name, version in pins))
