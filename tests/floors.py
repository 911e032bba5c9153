"""Whether an environment has the oldest releases that setup.cfg allows: `python tests/floors.py`.

Each requirement of ours has a floor. `make test-oldest` installs the lowest releases that go together and runs this first:
a requirement that is newer than its floor has one that can never be met.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable, Iterator
from configparser import ConfigParser
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

SETUP = Path(__file__).parents[1] / "setup.cfg"


def requirements() -> list[str]:
    """What setup.cfg requires, with all extras."""
    config = ConfigParser()
    config.read(SETUP)
    texts = [config["options"]["install_requires"], *config["options.extras_require"].values()]
    return [line for text in texts for line in text.splitlines() if line.strip()]


def floors(lines: Iterable[str]) -> Iterator[tuple[str, Version | None]]:
    """Each requirement that applies here, with its floor; None if it has none."""
    for requirement in map(Requirement, lines):
        if requirement.marker is None or requirement.marker.evaluate():
            least = [
                each.version for each in requirement.specifier if each.operator in (">=", "==")
            ]
            yield requirement.name, Version(least[0]) if least else None


def faults() -> Iterator[str]:
    """What is not at its floor. Extras need not be installed."""
    for name, floor in dict(floors(requirements())).items():
        with contextlib.suppress(PackageNotFoundError):
            if Version(version(name)) != floor:
                yield f"{name} {version(name)} is installed, and {floor} is the floor in setup.cfg"


if __name__ == "__main__":
    said = list(faults())
    print("\n".join(said) or "All requirements are at their floors.")
    sys.exit(bool(said))
