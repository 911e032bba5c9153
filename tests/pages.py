"""The shell blocks of the pages, and what the comment above each says of how tests run it.

Called with the name of a test, such as ``make aws-test``, it prints the lines that are given to it.
"""

from __future__ import annotations

import re
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]

NOT_RUN = {
    "needs a Docker engine": "images are built and tried by make image-test, services by test_compose.py",
    "needs a Kubernetes cluster": "manifests and values are checked by test_aws.py",
    "needs an AWS account": "no server on this machine stands for this service",
    "needs conda-forge": "packages of another installer, from another index",
    "runs all tests": "this is one of them",
}
"""The only reasons for which a block may be left out, each with what is tested in its place."""

_BLOCK = re.compile(
    r"(?:<!-- (?P<mark>(?:internet|run by|not run|file)\b[^\n]*) -->\n\s*)?```(?P<kind>\w+)\n(?P<text>.*?)```",
    re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """Lines that a page says to type."""

    page: Path
    """The page."""

    text: str
    """The lines, as they stand."""

    internet: bool
    """Whether they need the internet, for which servers on this machine stand."""

    by: str | None
    """The test that types them in a shell; without it test_shell_blocks.py calls the commands."""

    why: str | None
    """Why they are not run."""

    file: str | None = None
    """The file that it is, for the blocks after it; then it has no lines to type."""

    @property
    def lines(self) -> list[str]:
        """The lines, joined where they are continued."""
        return self.text.replace("\\\n", " ").strip().splitlines()

    @property
    def called(self) -> bool:
        """Whether test_shell_blocks.py calls the commands in its own process."""
        return self.by is None and self.why is None and self.file is None


def read_blocks(page: Path) -> list[Block]:
    """Read the shell blocks of a page, and the files that it says to write."""
    found = []
    for each in _BLOCK.finditer(page.read_text("utf-8")):
        parts = (each["mark"] or "").split("; ")
        told = {
            word: part.removeprefix(begin)
            for part in parts
            for word, begin in (("run", "run by "), ("not run", "not run: "), ("file", "file: "))
            if part.startswith(begin)
        }
        assert len(told) + ("internet" in parts) == len(list(filter(None, parts))), each["mark"]
        assert not {"run", "not run"} <= set(told), each["mark"]
        if each["kind"] == "console" or "file" in told:
            text = textwrap.dedent(each["text"])
            how = (told.get("run"), told.get("not run"), told.get("file"))
            found.append(Block(page, text, "internet" in parts, *how))
    return found


def every_block() -> list[Block]:
    """Read the shell blocks of all pages, without files."""
    return [block for page in PAGES for block in read_blocks(page) if block.file is None]


def blocks_of(test: str) -> list[Block]:
    """Read the blocks and files of all pages that a comment gives to a test."""
    return [block for page in PAGES for block in read_blocks(page) if block.by == test]


if __name__ == "__main__":
    given = blocks_of(sys.argv[1])
    assert given, "no page names the test"
    print(*(block.text for block in given), sep="")
