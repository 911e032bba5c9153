"""Write the list of versions that `cleansat doctor` knows as tested: those of this environment.

Run it when all tests have passed with them.
"""

from __future__ import annotations

import configparser
from importlib.metadata import version
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
LIST = ROOT / "odc_cleansat" / "doctor" / "tested.txt"
PAIRED = ("torchvision",)
"""What others need, and whose release has to fit that of torch."""
HEAD = "# The release of each package with which all tests passed last. tests/tested.py writes this file.\n"


def needed() -> dict[str, Requirement]:
    """The requirements of the package without its extras, by name."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    lines = config["options"]["install_requires"].split("\n")
    return {each.name: each for each in map(Requirement, filter(None, lines))}


if __name__ == "__main__":
    LIST.write_text(
        HEAD + "".join(f"{name}=={version(name)}\n" for name in sorted([*needed(), *PAIRED]))
    )
