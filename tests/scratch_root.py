"""A root file system in which everything that is written is lost, and a shell in it.

    unshare --mount --net --pid --fork --kill-child python tests/scratch_root.py FOLDER PREPARATION SCRIPT [SHOWN ...]

FOLDER is seen there too, and what is SHOWN. PREPARATION is run by root, then SCRIPT by the user anna, who may use sudo.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).parents[1]
NAMESPACES = ("unshare", "--mount", "--net", "--pid", "--fork", "--kill-child")
PERSON = "anna"


class Root:
    """A root file system over that of this machine, in which everything that is written is lost."""

    def __init__(self, folder: Path, *shown: Path) -> None:
        scratch = folder / "scratch"
        scratch.mkdir()
        self.mount("--types", "tmpfs", "none", scratch)
        for name in ("upper", "work", "root"):
            (scratch / name).mkdir()
        self.path = scratch / "root"
        layers = f"lowerdir=/,upperdir={scratch / 'upper'},workdir={scratch / 'work'}"
        self.mount("--types", "overlay", "none", "-o", layers, self.path)
        self.mount("--types", "proc", "none", self.inside("/proc"))
        self.mount("--rbind", "/dev", self.inside("/dev"))
        # The source, and Python, may be on other disks, and under folders that are closed to others.
        for needed in {PROJECT, Path(sys.prefix), Path(sys.base_prefix), *shown}:
            self.bind(needed, str(needed))
            for above in self.inside(str(needed)).parents:
                if above.is_relative_to(self.path):
                    above.chmod(above.stat().st_mode | 0o111)
        self.inside("/tmp").chmod(0o1777)

    @staticmethod
    def mount(*arguments: object) -> None:
        subprocess.run(["mount", *map(str, arguments)], check=True)

    def inside(self, path: str) -> Path:
        """Return where a path of the services is, seen from here."""
        return self.path / path.lstrip("/")

    def bind(self, source: Path, target: str) -> None:
        """Show a file or folder at a path of the services."""
        there = self.inside(target)
        if source.is_dir():
            there.mkdir(parents=True, exist_ok=True)
        else:
            there.parent.mkdir(parents=True, exist_ok=True)
            there.touch()
        self.mount("--rbind", source, there)


def main(folder: Path, preparation: str, script: str, *shown: str) -> None:
    """Make the file system, and run both scripts in it; the process becomes the second one."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    root = Root(folder, folder, *map(Path, shown))
    os.chroot(root.path)
    os.chdir("/")
    home = f"/home/{PERSON}"
    subprocess.run(["useradd", "--create-home", PERSON], check=True)
    rights = Path("/etc/sudoers.d", PERSON)
    rights.write_text(f"{PERSON} ALL=(ALL) NOPASSWD: ALL\n")
    rights.chmod(0o440)
    subprocess.run(["bash", "-euo", "pipefail", "-c", preparation], check=True)
    os.chdir(home)
    own = ["env", f"HOME={home}", f"USER={PERSON}", f"CLEANSAT_CACHE={home}/cache"]
    os.execvp("runuser", ["runuser", "-u", PERSON, "--", *own, "bash", script])


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
