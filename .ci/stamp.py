"""Write the version of a release, and the address of the repository, wherever they stand.

``make version VERSION=0.2.0`` does it before a release is tagged. The workflow does it once more from the tag itself, so what
is published has the version of its tag. Nothing outside the standard library is needed.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
VERSION = re.compile(r"v?(\d+\.\d+\.\d+(?:rc\d+)?)")
"""What is taken: the other forms that Python knows are written in several ways."""

VERSIONS = {
    "odc_cleansat/_version.py": r'^(__version__ = ")[^"]+(")$',
    "CITATION.cff": r"^(version: )\S+()$",
    "conda/recipe.yaml": r'^(  version: ")[^"]+(")$',
    "deploy/kubernetes/cleansat.yaml": r"(registry\.example\.org/cleansat[a-z-]*:)[\w.]+()",
    "deploy/kubernetes/cluster.yaml": r"(registry\.example\.org/cleansat[a-z-]*:)[\w.]+()",
    "deploy/kubernetes/dask-values.yaml": r'(registry\.example\.org/cleansat[a-z-]*, tag: ")[^"]+(")',
    "docs/how-to/kubernetes.md": r"(registry\.example\.org/cleansat[a-z-]*:)[\w.]+()",
}
"""Files with the version, and what stands before and behind it."""

ADDRESSES = {
    "setup.cfg": (r"^project_urls =.*(?:\n .*)*", "project_urls =\n    Source = {}"),
    "CITATION.cff": (r"^(?:repository-code: .*\n)?license: ", 'repository-code: "{}"\nlicense: '),
    "conda/recipe.yaml": (r"^(?:  repository: .*\n)?  license: ", "  repository: {}\n  license: "),
}  # fmt: skip
"""Files that name the address of the repository, once it is known: what is replaced, and by what."""


def stamp(root: Path, version: str, repository: str = "") -> None:
    """Write a version, and an address unless it is empty; fail where a file has no place for them."""
    for name, pattern in VERSIONS.items():
        _write(root / name, pattern, lambda found: f"{found[1]}{version}{found[2]}")
    if repository:
        for name, (pattern, text) in ADDRESSES.items():
            _write(root / name, pattern, lambda _, text=text: text.format(repository))


def _write(path: Path, pattern: str, by: object) -> None:
    text, count = re.subn(pattern, by, path.read_text("utf-8"), flags=re.MULTILINE)  # type: ignore[call-overload]
    if not count:
        raise SystemExit(f"{path} has no place for it: {pattern}")
    path.write_text(text, "utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("version", help="the version, or the tag: 0.2.0, v0.2.0 or v0.2.0rc1")
    parser.add_argument(
        "--repository", default="", help="address of the repository, without .git at its end"
    )
    given = parser.parse_args()
    if (wanted := VERSION.fullmatch(given.version)) is None:
        parser.error(f"{given.version} is no version such as 0.2.0 or 0.2.0rc1")
    if given.repository and not re.fullmatch(r"https://[^\s\"{}]+", given.repository):
        parser.error(
            f"{given.repository} is no address such as https://git.example.org/us/odc-cleansat"
        )
    stamp(ROOT, wanted[1], given.repository.rstrip("/"))
