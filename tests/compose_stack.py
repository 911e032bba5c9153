"""Start the services of compose.yaml as processes: commands, environment, volumes and order as they stand there.

Run by tests/integration/test_compose.py as ``unshare --mount --net --pid --fork python compose_stack.py FOLDER``. So
each service has the ports and paths of production, and nothing of it is left. The image of each service gives what the
Dockerfile says of it; Debian's Postgres and Caddy stand for the images of others.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from scratch_root import Root

PROJECT = Path(__file__).parents[1]
USER = 10001
START_S = 180
"""Longest wait for a service to be healthy or to end, in seconds."""


def interpolate(text: str, variables: dict[str, str]) -> str:
    """Put variables in, as compose does: ``${A}``, ``${A:-otherwise}``, ``${A:?why}``."""

    def value(found: re.Match[str]) -> str:
        name, how, rest = found.groups()
        if variables.get(name):
            return variables[name]
        assert how != ":?", f"{name}: {rest}"
        return rest if how == ":-" else ""

    return re.sub(r"\$\{(\w+)(?:(:-|:\?)([^}]*))?\}", value, text)


def read_compose(variables: dict[str, str]) -> dict[str, Any]:
    """Return compose.yaml with its variables put in."""
    text = (PROJECT / "compose.yaml").read_text("utf-8")
    found: dict[str, Any] = yaml.safe_load(interpolate(text, variables))
    return found


@dataclass
class Image:
    """What the Dockerfile says of a target, with what it inherits."""

    environment: dict[str, str] = field(default_factory=dict)
    entrypoint: list[str] = field(default_factory=list)
    healthcheck: list[str] | None = None
    workdir: str = "/"


def read_image(target: str) -> Image:
    """Read a target of the Dockerfile."""
    text = (PROJECT / "docker" / "Dockerfile").read_text("utf-8").replace("\\\n", " ")
    stages = re.split(r"^FROM (\S+) AS (\S+)\n", text, flags=re.MULTILINE)[1:]
    named = {stages[i + 1]: (stages[i], stages[i + 2]) for i in range(0, len(stages), 3)}
    below, instructions = named[target]
    image = read_image(below) if below in named else Image()
    for line in instructions.splitlines():
        word, _, rest = line.partition(" ")
        if word == "ENV":
            image.environment |= dict(re.findall(r"(\w+)=(\S+)", rest))
        elif word == "ENTRYPOINT":
            image.entrypoint = json.loads(rest)
        elif word == "WORKDIR":
            image.workdir = rest.strip()
        elif word == "HEALTHCHECK":
            image.healthcheck = json.loads(rest.partition("CMD ")[2])
    return image


class Stack:
    """The services, which are started in the order of their `depends_on`."""

    def __init__(self, folder: Path, root: Root, variables: dict[str, str]) -> None:
        self.folder, self.root = folder, root
        self.compose = read_compose(variables)
        self.services: dict[str, dict[str, Any]] = self.compose["services"]
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        hosts = "".join(f"127.0.0.1 {name}\n" for name in ["localhost", *self.services])
        root.inside("/etc/hosts").write_text(hosts)
        for name, secret in self.compose["secrets"].items():
            there = root.inside(f"/run/secrets/{name}")
            there.write_bytes((folder / secret["file"]).read_bytes())
        for service in self.services.values():
            for volume in service.get("volumes", ()):
                self._show(volume)

    def _show(self, volume: str) -> None:
        source, target, *_ = volume.split(":")
        named = source in self.compose["volumes"]
        there = self.folder / "volumes" / source if named else self.folder / source
        if named:
            there.mkdir(parents=True, exist_ok=True)
        self.root.bind(there, target)

    def environment(self, name: str) -> dict[str, str]:
        """Return the variables of a service: those of its image, then its own."""
        service = self.services[name]
        own = {k: v for k, v in service.get("environment", {}).items() if v is not None}
        base = {"HOME": "/tmp", **self.image(name).environment}
        programs = [PROJECT / "docker", Path(sys.executable).parent, base.get("PATH", ""), os.environ["PATH"]]  # fmt: skip
        base |= {"PATH": ":".join(map(str, programs)), "PYTHONPATH": str(PROJECT)}
        return {**base, **{k: str(v) for k, v in own.items()}}

    def image(self, name: str) -> Image:
        """Return what the image of a service says."""
        build = self.services[name].get("build")
        return read_image(build["target"]) if build else OTHERS.get(name, Image())

    def command(self, name: str) -> list[str]:
        """Return the command line of a service, as a user without rights."""
        service, image = self.services[name], self.image(name)
        line = [*service.get("entrypoint", image.entrypoint), *service.get("command", ())]
        return [*self.rights(name), *map(str, line)]

    def rights(self, name: str) -> list[str]:
        """Return the program that takes the rights away which compose.yaml takes away."""
        if self.services[name].get("cap_drop") != ["ALL"]:
            return []
        return [
            "setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups",
            "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all",
        ]  # fmt: skip

    def start(self, name: str) -> None:
        """Start a service after those that it needs."""
        for needed, how in self.services[name].get("depends_on", {}).items():
            if needed not in self.running:
                self.start(needed)
            self.wait(needed, how["condition"])
        with (self.folder / f"{name}.log").open("wb") as log:
            if name == "database":
                self.make_database(log)
            self.running[name] = subprocess.Popen(
                self.command(name), env=self.environment(name), cwd=self.image(name).workdir,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip

    def wait(self, name: str, condition: str) -> None:
        """Wait until a service is healthy, or has ended well."""
        process, end = self.running[name], time.monotonic() + START_S
        if condition == "service_completed_successfully":
            assert process.wait(START_S) == 0, f"{name} failed"
            return
        check = self.services[name].get("healthcheck", {}).get("test", ["CMD"])[1:]
        check = check or self.image(name).healthcheck
        assert check, f"{name} has no health check"
        while subprocess.run(
            [*self.rights(name), *check], env=self.environment(name), check=False,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        ).returncode:  # fmt: skip
            assert process.poll() is None, f"{name} ended"
            assert time.monotonic() < end, f"{name} is not healthy"
            time.sleep(0.1)

    def make_database(self, log: Any) -> None:
        """Do what the image of Postgres does at its first start."""
        given = {k: str(v) for k, v in self.services["database"]["environment"].items()}
        (target,) = [each.split(":")[1] for each in self.services["database"]["volumes"]]
        subprocess.run(["chown", "-R", "postgres", target], check=True)
        script = f"""
            initdb --pgdata {target} --username {given["POSTGRES_USER"]} --pwfile {given["POSTGRES_PASSWORD_FILE"]} \\
              --auth-local trust --auth-host scram-sha-256 --no-sync
            echo "create database {given["POSTGRES_DB"]}" | postgres --single -D {target} postgres
            echo "create extension postgis" | postgres --single -D {target} {given["POSTGRES_DB"]}
        """
        subprocess.run(
            ["runuser", "-u", "postgres", "--", "bash", "-euc", script], check=True,
            env=self.environment("database"), stdout=log, stderr=log,
        )  # fmt: skip


def wait_for_port(port: int) -> None:
    """Wait until somebody listens."""
    end = time.monotonic() + START_S
    while True:
        with socket.socket() as tried:
            if tried.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert time.monotonic() < end, f"nobody listens at {port}"
        time.sleep(0.05)


OTHERS = {
    "database": Image(
        entrypoint=["runuser", "-u", "postgres", "--", "postgres", "-D", "/var/lib/postgresql/data",
                    "-c", "fsync=off", "-c", "listen_addresses=*", "-c", "unix_socket_directories=/tmp"],
    ),
    "proxy": Image(
        environment={"XDG_CONFIG_HOME": "/config", "XDG_DATA_HOME": "/data"},
        entrypoint=["caddy", "run", "--config", "/etc/caddy/Caddyfile", "--adapter", "caddyfile"],
    ),
}  # fmt: skip
"""What the images of others do, by service."""


def main(folder: Path) -> None:
    """Start all services that have no profile, say so, and hold them until the input ends."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    variables = dict(
        line.split("=", 1) for line in (folder / ".env").read_text("utf-8").splitlines()
    )
    root = Root(folder)
    root.bind(folder, "/stack")
    for name in ("/masks", "/run/secrets"):
        root.inside(name).mkdir(parents=True, exist_ok=True)
    stack = Stack(folder, root, variables)
    os.chroot(root.path)
    os.chdir("/")
    stack.folder = Path("/stack")
    os.environ["PATH"] = f"{variables['POSTGRES']}:{os.environ['PATH']}"
    for name, service in stack.services.items():
        if name not in stack.running and "profiles" not in service:
            stack.start(name)
    for service in stack.services.values():
        for ports in service.get("ports", ()):
            wait_for_port(int(ports.split(":")[1]))
    lines = {
        name: {
            "command": stack.command(name),
            "environment": stack.environment(name),
            "workdir": stack.image(name).workdir,
        }
        for name in stack.services
    }
    print(json.dumps(lines), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
