"""The images and the services of production, as far as they can be checked without a container engine."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from time import monotonic, sleep
from typing import Any

import click
import pytest
import requests
import yaml
from ports import free_port

from odc_cleansat.app.routes import make_routes
from odc_cleansat.cli.main import main

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "docker" / "Dockerfile").read_text("utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = ("init", "scheduler", "worker", "app", "cleansat")


def targets() -> dict[str, str]:
    """Instructions of each stage of the Dockerfile, by its name."""
    parts = re.split(r"^FROM \S+ AS (\S+)\n", DOCKERFILE, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


# --- images ---------------------------------------------------------------------------


def test_the_command_is_the_default() -> None:
    assert list(targets())[-1] == "cli"
    assert 'ENTRYPOINT ["entrypoint", "cleansat"]' in targets()["cli"]


def test_images_have_no_rights_and_no_secrets() -> None:
    assert "USER cleansat" in targets()["command"]
    assert "USER cleansat" in targets()["app"]
    assert "USER root" not in DOCKERFILE
    assert not re.search(r"(PASSWORD|SECRET|TOKEN|KEY)\w*=", DOCKERFILE)


def test_all_that_is_copied_is_there_and_not_ignored() -> None:
    first, *let_through = [
        line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines()[1:]
        if not line.startswith("**")
    ]  # fmt: skip
    assert first == "*"
    assert {each for each in let_through if not (ROOT / each).exists()} == set()
    copies = re.findall(r"^COPY (?!--from)(?:--\S+ )?(.+) \S+$", DOCKERFILE, re.MULTILINE)
    named = {source for each in copies for source in each.split()}
    assert "." in named
    assert named - {"."} <= set(let_through)
    assert {"setup.cfg", "odc_cleansat", "product_definitions", "README.md", "LICENSE"} <= set(
        let_through
    )


def test_the_health_check_asks_a_route_of_the_application() -> None:
    (path,) = re.findall(r"http://127\.0\.0\.1:8501(/\w+)", DOCKERFILE)

    class Service:
        class desks:
            @staticmethod
            def mount() -> Any:
                from starlette.routing import Route

                return Route("/desks", lambda request: None)

    assert path in [getattr(each, "path", "") for each in make_routes(Service())]  # type: ignore[arg-type]


def test_torch_is_that_for_processors_unless_asked_otherwise() -> None:
    (index,) = re.findall(r"^ARG TORCH_INDEX=(\S+)$", DOCKERFILE, re.MULTILINE)
    assert index.endswith("/cpu")


@pytest.mark.parametrize("name", ["ODC_DEFAULT_DB_PASSWORD", "AWS_SECRET_ACCESS_KEY"])
def test_secrets_come_out_of_files(name: str, tmp_path: Path) -> None:
    secret = tmp_path / "a secret"
    secret.write_text("it's $HOME `x`\n")
    program = [
        ROOT / "docker" / "entrypoint",
        sys.executable,
        "-c",
        "import os; print(dict(os.environ))",
    ]
    shown = subprocess.run(
        program, env={f"{name}_FILE": str(secret), "PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=True
    ).stdout  # fmt: skip
    found = yaml.safe_load(shown)
    assert found[name] == "it's $HOME `x`"
    assert f"{name}_FILE" not in found


@pytest.mark.parametrize(
    ("given", "called"),
    [
        (["dask-worker", "a b:1"], "dask|worker|a b:1"),
        (["dask", "scheduler"], "dask|scheduler"),
        (["dask-scheduler", "--port=1", ""], "dask|scheduler|--port=1|"),
    ],
)
def test_dask_is_called_by_its_old_names_too(given: list[str], called: str, tmp_path: Path) -> None:
    (tmp_path / "dask").write_text('#!/bin/sh\nIFS="|"\necho "dask|$*"\n')
    (tmp_path / "dask").chmod(0o755)
    shown = subprocess.run(
        [ROOT / "docker" / "entrypoint", *given], env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert shown == f"{called}\n"


def test_a_secret_that_is_not_there_ends_the_start(tmp_path: Path) -> None:
    done = subprocess.run(
        [ROOT / "docker" / "entrypoint", "true"],
        env={"HF_TOKEN_FILE": str(tmp_path / "none"), "PATH": "/usr/bin:/bin"}, capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode != 0


def test_the_placeholder_of_torch_can_be_installed(tmp_path: Path) -> None:
    subprocess.run([sys.executable, ROOT / "docker" / "placeholder.py", tmp_path / "index"], check=True)  # fmt: skip
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--disable-pip-version-check",
         "--index-url", (tmp_path / "index").as_uri(), "--requirement", tmp_path / "index" / "torch.txt",
         "--target", tmp_path / "site"],
        check=True, capture_output=True, env={"PATH": "/usr/bin:/bin", "PIP_CONFIG_FILE": os.devnull},
    )  # fmt: skip
    names = {each.name.partition("-")[0] for each in (tmp_path / "site").iterdir()}
    assert names == {"torch", "torchvision"}


def test_the_images_are_tried_target_by_target() -> None:
    script = ROOT / "docker" / "test.sh"
    subprocess.run(["bash", "-n", script], check=True)
    built = re.findall(r"^build (\w+)$", script.read_text("utf-8"), re.MULTILINE)
    assert set(built) == {"cli", "worker", "app"} <= set(targets())


# --- services -------------------------------------------------------------------------


def test_what_services_name_is_there() -> None:
    for name, service in SERVICES.items():
        assert set(service.get("depends_on", ())) <= set(SERVICES), name
        assert set(service.get("secrets", ())) <= set(COMPOSE["secrets"]), name
        assert set(service["networks"]) <= set(COMPOSE["networks"]), name
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            assert source in COMPOSE["volumes"] or (ROOT / source).is_file(), name
        for needed, how in service.get("depends_on", {}).items():
            if how["condition"] == "service_healthy":
                own = "HEALTHCHECK" in targets().get(
                    SERVICES[needed].get("build", {}).get("target", ""), ""
                )
                assert "healthcheck" in SERVICES[needed] or own, needed
        if build := service.get("build"):
            assert build["target"] in targets(), name


def test_only_the_proxy_is_reached_from_outside() -> None:
    assert [name for name, each in SERVICES.items() if "ports" in each] == ["proxy"]
    assert "database" not in SERVICES["proxy"]["secrets"]
    assert SERVICES["proxy"]["networks"] == ["front"]


@pytest.mark.parametrize("name", OURS)
def test_our_services_have_no_rights(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["tmpfs"] == ["/tmp"]
    assert "no-new-privileges:true" in service["security_opt"]


def test_secrets_stand_in_files_that_are_not_committed() -> None:
    assert {each["file"].split("/")[1] for each in COMPOSE["secrets"].values()} == {"secrets"}
    ignored = (ROOT / ".gitignore").read_text("utf-8").splitlines()
    assert {"/secrets/", "/.env"} <= set(ignored)
    plain = yaml.safe_dump({name: each.get("environment") for name, each in SERVICES.items()})
    assert not re.search(r"(PASSWORD|SECRET_ACCESS_KEY): [^n/]", plain)


def test_the_commands_have_these_options() -> None:
    context = click.Context(main)
    app = main.get_command(context, "app")
    assert app is not None
    arguments = [re.sub(r"\$\{.*\}", "x", each) for each in SERVICES["app"]["command"]]
    entry = re.search(r'ENTRYPOINT \["entrypoint", "cleansat", "app", (.*)\]', targets()["app"])
    assert entry is not None
    given = app.make_context("app", [*re.findall(r'"(.*?)"', entry[1]), *arguments]).params
    assert (given["host"], given["user_header"]) == ("0.0.0.0", "X-Forwarded-User")
    (said,) = SERVICES["init"]["command"]
    product = main.get_command(context, "product")
    assert isinstance(product, click.Group)
    names = said.partition("cleansat product add ")[2].split()
    assert product.commands["add"].make_context("add", names).params["names"] == (
        "s2_l2a",
        "s2_l2a_ucl",
    )


@pytest.mark.parametrize("name", ["scheduler", "worker"])
def test_the_commands_of_dask_have_these_options(name: str) -> None:
    dask, command, *arguments = SERVICES[name]["command"]
    assert (dask, command) == ("dask", name)
    shown = subprocess.run(
        [Path(sys.executable).parent / "dask", command, "--help"], capture_output=True, text=True, check=True
    ).stdout  # fmt: skip
    for option in [each for each in arguments if each.startswith("--")]:
        assert option in shown


def test_the_page_names_each_setting() -> None:
    page = (ROOT / "docs" / "how-to" / "deploy.md").read_text("utf-8")
    settings = set(re.findall(r"\$\{(\w+)", (ROOT / "compose.yaml").read_text("utf-8")))
    settings |= {name for name, value in COMPOSE["x-store"].items() if value is None}
    assert {each for each in settings if f"`{each}`" not in page} == set()
    assert {each for each in SERVICES if f"`{each}`" not in page} == set()


# --- the proxy, where Caddy is installed ----------------------------------------------


@pytest.fixture
def app() -> Iterator[int]:
    """The port of something that answers with the name that the proxy gives."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            content = (self.headers.get("X-Forwarded-User") or "nobody").encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=httpd.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield httpd.server_port
    httpd.shutdown()
    httpd.server_close()
    thread.join()


@pytest.fixture
def address(app: int, tmp_path: Path) -> Iterator[str]:
    """The address of Caddy with our configuration, but for ports, paths and the certificate."""
    if (caddy := shutil.which("caddy")) is None:
        pytest.skip("Caddy is not here")
    port = free_port()
    hashed = subprocess.run(
        [caddy, "hash-password", "--plaintext", "open"], capture_output=True, text=True, check=True
    ).stdout
    (tmp_path / "people").write_text(f"anna {hashed}")
    text = (ROOT / "docker" / "Caddyfile").read_text("utf-8")
    text = text.replace("/run/secrets/people", str(tmp_path / "people"))
    text = text.replace("app:8501", f"127.0.0.1:{app}")
    version = subprocess.run([caddy, "version"], capture_output=True, text=True, check=True).stdout
    if [int(each) for each in re.findall(r"\d+", version)[:2]] < [2, 8]:
        text = text.replace("basic_auth", "basicauth")
    (tmp_path / "Caddyfile").write_text("{\n\tadmin off\n\tauto_https off\n}\n" + text)
    process = subprocess.Popen(
        [caddy, "run", "--config", tmp_path / "Caddyfile"], stderr=subprocess.DEVNULL,
        env={**os.environ, "CLEANSAT_HOST": f"http://127.0.0.1:{port}", "HOME": str(tmp_path)},
    )  # fmt: skip
    until = monotonic() + 60
    while monotonic() < until and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        sleep(0.05)
    yield f"http://127.0.0.1:{port}"
    process.terminate()
    process.wait()


def test_the_proxy_lets_people_in_and_names_them(address: str) -> None:
    assert requests.get(address, timeout=30).status_code == 401
    assert requests.get(address, auth=("anna", "wrong"), timeout=30).status_code == 401
    forged = {"X-Forwarded-User": "boss"}
    assert requests.get(address, headers=forged, timeout=30).status_code == 401
    answer = requests.get(address, auth=("anna", "open"), headers=forged, timeout=30)
    assert answer.text == "anna"
