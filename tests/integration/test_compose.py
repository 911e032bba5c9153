"""The services of compose.yaml, started by what stands there, and used through the proxy.

Each has its own port and paths in namespaces of their own: a real PostGIS, a real Caddy with TLS, dask's scheduler and
a worker, the one-shot that makes tables and products, and the application.
"""

from __future__ import annotations

import json
import os
import re
import select
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from environments import postgis_programs
from pages import Block
from scratch_root import NAMESPACES

from odc_cleansat.scenes.band_folder import open_scene, write_scene_document
from odc_cleansat.synthetic.scene import SimulatedScene

pytest.importorskip("streamlit", reason="the extra app is not installed")

ROOT = Path(__file__).parents[2]
HOST = "masks.localhost"
PERSON = "anna:a long password"

SOCKET = """
import base64, socket, ssl, sys
host, person, origin = sys.argv[1:]
context = ssl.create_default_context(cafile="/data/caddy/pki/authorities/local/root.crt")
lines = [
    "GET /_stcore/stream HTTP/1.1", f"Host: {host}", f"Origin: {origin}",
    "Authorization: Basic " + base64.b64encode(person.encode()).decode(),
    "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
]
with socket.create_connection(("proxy", 443), 60) as plain, context.wrap_socket(plain, server_hostname=host) as safe:
    safe.sendall("\\r\\n".join([*lines, "", ""]).encode())
    print(safe.recv(1000).decode())
"""
"""Ask for the socket on which the page lives, and print the answer."""

PAGE = """
import re, sys
from playwright.sync_api import TimeoutError, sync_playwright
chromium, host, name, word = sys.argv[1:]
with sync_playwright() as started:
    browser = started.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu", "--disable-quic"])
    context = browser.new_context(
        ignore_https_errors=True, http_credentials={"username": name, "password": word}, viewport={"width": 1280, "height": 1000}
    )
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.goto(f"https://{host}/?time=2024-06-15")
    page.wait_for_selector("[data-testid=stDataFrame]")
    for _ in range(5):  # the table may just be drawn anew
        page.wait_for_timeout(1000)
        box = page.locator("[data-testid=stDataFrame]").bounding_box()
        page.mouse.click(box["x"] + 16, box["y"] + 36 + 28)
        try:
            page.get_by_text(re.compile(r"\\b1 chosen")).first.wait_for(timeout=30_000)
            break
        except TimeoutError:
            pass
    page.get_by_role("button", name="Look").first.click()
    page.get_by_role("button", name="Accept").first.click()
    page.get_by_text(f"accept by {name}").first.wait_for()
    browser.close()
"""
"""Find the scene on the page, look at its mask, and accept it."""


def needed() -> Path:
    """The folder of Postgres's programs; skips where something is missing."""
    missing = [each for each in ("caddy", "curl", "ip", "nsenter", "setpriv", "unshare") if not shutil.which(each)]  # fmt: skip
    if missing:
        pytest.skip(f"not here: {', '.join(missing)}; `make test-programs` installs them")
    if (postgres := postgis_programs()) is None:
        pytest.skip("PostGIS is not here; `make test-programs` installs it")
    tried = subprocess.run([*NAMESPACES, "true"], capture_output=True, check=False)
    if tried.returncode:
        pytest.skip("namespaces need root, and a machine that allows them")
    return postgres


@dataclass(frozen=True)
class Stack:
    """The services that run, and the lines by which compose starts each."""

    process: int
    folder: Path
    services: dict[str, dict[str, Any]]

    def inside(self, *command: object, service: str | None = None) -> subprocess.CompletedProcess[str]:  # fmt: skip
        """Run a program where the services are; with a service's rights and variables, as `docker compose run`."""
        line, environment, place = [*map(str, command)], dict(os.environ), "/"
        if service is not None:
            given = self.services[service]
            line, environment, place = [*given["command"], *line], given["environment"], given["workdir"]  # fmt: skip
        return subprocess.run(
            ["nsenter", "--target", str(self.process), "--mount", "--net", "--pid", "--root", f"--wd={self.folder}",
             "env", "--chdir", place, *line],
            env=environment, capture_output=True, text=True, check=False, timeout=300,
        )  # fmt: skip

    def curl(self, address: str, *options: str) -> str:
        """What is answered: head and content. The certificate is checked."""
        done = self.inside(
            "curl", "--silent", "--show-error", "--include", "--max-time", "90",
            "--cacert", "/data/caddy/pki/authorities/local/root.crt", *options, address,
        )  # fmt: skip
        return done.stdout or done.stderr


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    postgres = needed()
    folder = tmp_path_factory.mktemp("stack")
    make_project(folder, postgres)
    errors = folder / "stack.log"
    with errors.open("wb") as log:
        process = subprocess.Popen(
            [*NAMESPACES, sys.executable, ROOT / "tests" / "compose_stack.py", folder],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
        )  # fmt: skip
    assert process.stdout is not None
    try:
        ready, _, _ = select.select([process.stdout], [], [], 400)
        line = process.stdout.readline() if ready else b""
        logs = [f"{each.name}:\n{each.read_text()[-2000:]}" for each in folder.glob("*.log")]
        assert line, "\n".join(logs)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
        yield Stack(int(children.split()[0]), folder, json.loads(line))
    finally:
        process.kill()
        process.communicate()


def make_project(folder: Path, postgres: Path) -> None:
    """Follow docs/how-to/deploy.md until the services start, and put a scene among the masks."""
    page = (ROOT / "docs" / "how-to" / "deploy.md").read_text("utf-8")
    steps = page.partition("```console\n")[2].partition("docker compose up")[0]
    steps = steps.replace("docker run --rm caddy:2.10-alpine ", "").replace(
        "masks.example.org", HOST
    )
    assert "docker" not in steps
    subprocess.run(["bash", "-euc", steps], cwd=folder, check=True)
    with (folder / ".env").open("a") as settings:
        settings.write(f"POSTGRES={postgres}\n")
    text = (ROOT / "docker" / "Caddyfile").read_text("utf-8")
    version = subprocess.run(["caddy", "version"], capture_output=True, text=True, check=True).stdout  # fmt: skip
    if [int(each) for each in re.findall(r"\d+", version)[:2]] < [2, 8]:
        text = text.replace("basic_auth", "basicauth")
    (folder / "docker").mkdir()
    (folder / "docker" / "Caddyfile").write_text(text)
    masks = folder / "volumes" / "masks"
    masks.mkdir(parents=True)
    opened = open_scene(SimulatedScene(shape=(180, 240), seed=1).write(masks / "scene"))
    write_scene_document(opened, masks / "scene")
    for each in [masks, *masks.rglob("*")]:
        os.chown(each, 10001, 10001)


def test_only_people_with_a_password_come_in_and_only_by_tls(stack: Stack) -> None:
    plain = stack.curl(f"http://{HOST}/")
    assert plain.startswith("HTTP/1.1 308")
    assert f"Location: https://{HOST}/" in plain
    assert stack.curl(f"https://{HOST}/").startswith("HTTP/2 401")
    assert stack.curl(f"https://{HOST}/", "--user", "anna:wrong").startswith("HTTP/2 401")
    page = stack.curl(f"https://{HOST}/", "--user", PERSON)
    assert page.startswith("HTTP/2 200")
    assert "<title>" in page
    assert stack.curl(f"https://{HOST}/alive", "--user", PERSON).startswith("HTTP/2 200")


def test_the_page_gets_its_socket_through_the_proxy(stack: Stack) -> None:
    def asked(origin: str) -> str:
        done = stack.inside(sys.executable, "-c", SOCKET, HOST, PERSON, origin)
        return done.stdout or done.stderr

    assert asked(f"https://{HOST}").startswith("HTTP/1.1 101")
    assert asked("https://elsewhere.example").startswith("HTTP/1.1 403")


def test_the_application_itself_refuses_other_names(stack: Stack) -> None:
    assert stack.curl("http://app:8501/", "--header", "Host: elsewhere.example").startswith("HTTP/1.1 4")  # fmt: skip


def test_the_database_wants_the_password(stack: Stack) -> None:
    line = ("psql", "--host", "database", "--username", "cleansat", "--dbname", "datacube", "--tuples-only", "--command")  # fmt: skip
    closed = stack.inside(*line, "select 1")
    assert closed.returncode != 0
    assert "password" in closed.stderr


@pytest.fixture(scope="module")
def masked(stack: Stack) -> Stack:
    """Index the scene by datacube's own command, and mask it through the scheduler, as the page tells."""
    (document,) = (stack.folder / "volumes" / "masks" / "scene").glob("*odc-metadata.yaml")
    shell = {**stack.services["init"], "command": stack.services["init"]["command"][:-1]}
    as_shell = replace(stack, services={**stack.services, "shell": shell})
    added = as_shell.inside(f"datacube dataset add /masks/scene/{document.name}", service="shell")
    assert added.returncode == 0, added.stderr
    scheduler = "tcp://scheduler:8786"
    ran = stack.inside("run", "-o", "/masks", "--scheduler", scheduler, service="cleansat")
    assert ran.returncode == 0, ran.stderr + ran.stdout
    return stack


def test_a_scene_is_masked_by_the_worker(masked: Stack) -> None:
    masks = list((masked.folder / "volumes" / "masks").rglob("*ucl*.tif"))
    assert masks
    assert {each.stat().st_uid for each in masks} == {10001}
    shown = masked.inside("status", "--json", service="cleansat")
    found = json.loads(shown.stdout)
    assert (found["scenes"], found["masked"], found["missing"]) == (1, 1, 0)


def test_commands_of_people(masked: Stack, marked: list[Block]) -> None:
    """What the page says to type, with the rights and variables of the service, and without Docker."""
    lines = [line for block in marked for line in block.lines]
    assert len(lines) == 2
    for line in lines:
        start, arguments = line.split("cleansat ")
        assert start == "docker compose run --rm "
        done = masked.inside(*arguments.split(), service="cleansat")
        assert done.returncode == 0, done.stderr + done.stdout


def test_programs_of_the_machine(stack: Stack, marked: list[Block]) -> None:
    """Typed where the database has its port; that compose opens it to the machine is left to Docker."""
    programs = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    typed = "".join(block.text for block in marked)
    script = f"cd {stack.folder}\n{typed}"
    done = stack.inside("env", f"PATH={programs}", "bash", "-euo", "pipefail", "-c", script)
    assert done.returncode == 0, done.stderr
    assert "s2_l2a_ucl" in done.stdout


def test_a_person_accepts_the_mask_in_a_browser(masked: Stack) -> None:
    if not (chromium := shutil.which("chromium")):
        pytest.skip("Chromium is not here; `make test-programs` installs it")
    pytest.importorskip("playwright", reason="playwright is not installed")
    done = masked.inside(sys.executable, "-c", PAGE, chromium, HOST, *PERSON.split(":"))
    assert done.returncode == 0, done.stderr
    verdicts = (masked.folder / "volumes" / "masks").rglob("*verdict*")
    assert any("anna" in each.read_text() for each in verdicts if each.is_file())


def test_the_doctor_finds_all_of_it_well(stack: Stack) -> None:
    done = stack.inside("doctor", "--store", "/masks", "--json", service="cleansat")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    found = {
        line["what"]: line["state"] for line in lines if line["topic"] in ("datacube", "store")
    }
    assert set(found.values()) == {"ok"}
    assert "the database answers and is initialised: datacube on database" in found
