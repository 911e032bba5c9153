"""A real shell that types the blocks of pages, in a folder and a home of its own."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from pages import ROOT, Block

OTHERS = ("AWS", "CLEANSAT", "DATACUBE", "GIT", "HF", "ODC", "PIP", "PYTEST", "PYTHON", "VIRTUAL")
"""Beginnings of variables that are those of the machine, and not of who reads the page."""
SERVES = re.compile(r"(?:make app|cleansat app|jupyter lab)\b(?!.*&$)")
"""Lines that serve until Ctrl-C."""
NOBODY = "http://127.0.0.1:9"
"""A proxy that is not there: what asks the internet fails."""
PROGRAMS = Path(sys.executable).parent


class Shell:
    """Types blocks as a reader would: one after the other, in one shell, which stops at the first error."""

    def __init__(self, folder: Path, *programs: Path, **variables: str) -> None:
        self.folder = folder
        home = folder / "home"
        home.mkdir(parents=True, exist_ok=True)
        kept = {k: v for k, v in os.environ.items() if not k.startswith(OTHERS)}
        proxies = {f"{kind}_proxy": NOBODY for kind in ("http", "https")}
        self.environment = {
            **kept, **proxies, **{name.upper(): value for name, value in proxies.items()},
            "no_proxy": "127.0.0.1,localhost", "NO_PROXY": "127.0.0.1,localhost",
            "HOME": str(home), "USER": kept.get("USER", "root"), "BROWSER": "true", "MPLBACKEND": "Agg",
            "PYTHONPATH": str(ROOT), "CLEANSAT_CACHE": str(home / "cache"),
            "PATH": ":".join([*map(str, programs), str(PROGRAMS), os.environ["PATH"]]),
            **variables,
        }  # fmt: skip

    def type(
        self,
        blocks: Iterable[Block],
        stands_for: Mapping[str, str] | None = None,
        where: str = ".",
        within: Sequence[str] = (),
        limit_s: float = 300,
    ) -> str:
        """What is said. All lines must succeed, also those before a pipe. Return is pressed at each question.

        `stands_for` has what is typed in place of names that cannot be here, such as ports. `within` is a command
        that runs the script, whose path it has as ``SCRIPT``.
        """
        lines = ["set -euo pipefail"]
        for block in blocks:
            if block.file:
                lines.append(f"cat >{block.file} <<'END'\n{block.text}END")
                continue
            for line in block.text.rstrip().splitlines():
                serves = SERVES.match(line) and not line.endswith("\\")
                ready = [sys.executable, str(ROOT / "tests" / "until_ready.py"), line]
                lines.append(shlex.join(ready) if serves else line)
        text = "\n".join(lines) + "\n"
        for name, instead in (stands_for or {}).items():
            assert name in text, name
            text = text.replace(name, instead)
        script = self.folder / "typed.sh"
        script.write_text(text, "utf-8")
        (self.folder / "returns").write_text("\n" * 100)
        said = self.folder / "said.txt"
        # A file and no pipe, which programs in the background would keep open.
        with (self.folder / "returns").open() as returns, said.open("w") as out:
            process = subprocess.Popen(
                [str(script) if word == "SCRIPT" else word for word in within or ("bash", "SCRIPT")], cwd=self.folder / where, env=self.environment,
                stdin=returns, stdout=out, stderr=out, start_new_session=True,
            )  # fmt: skip
            try:
                code = process.wait(limit_s)
            finally:
                stop(process.pid)  # what was started with & too
        assert code == 0, f"{text}\n{said.read_text('utf-8', 'replace')}"
        return said.read_text("utf-8", "replace")


def stop(group: int) -> None:
    """End all processes of a shell."""
    try:
        os.killpg(group, signal.SIGTERM)
    except ProcessLookupError:
        return
