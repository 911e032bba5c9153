"""The templates for EC2 and Kubernetes: linted, closed where they should be, and true to commands and settings."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import pytest
import yaml
from dask.utils import parse_bytes

from odc_cleansat import __version__
from odc_cleansat.cli.defaults import option_defaults, option_keys
from odc_cleansat.cli.main import main
from odc_cleansat.settings import _read, read_settings

ROOT = Path(__file__).parents[2]
AWS = ROOT / "deploy" / "aws"
KUBERNETES = ROOT / "deploy" / "kubernetes"
CHART = {
    "": {"nameOverride", "fullnameOverride", "scheduler", "webUI", "worker", "jupyter"},
    "scheduler": {"image", "readinessProbe", "resources", "securityContext", "env", "extraArgs", "serviceAccountName"},
    "webUI": {"servicePort"},
    "worker": {
        "image", "replicas", "threads_per_worker", "env", "extraArgs", "resources", "securityContext",
        "serviceAccountName", "mounts", "readinessProbe",
    },
    "jupyter": {"enabled", "rbac"},
}  # fmt: skip
"""Keys of the chart dask/dask, as of June 2026, by where they stand; those that are of use here."""
VALUES = {
    "AWS::Region": "eu-central-1", "Bucket": "ours", "Prefix": "masks/of/us", "Host": "masks.example.org",
    "Server.PrivateIp": "10.0.0.5",
}  # fmt: skip


def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("user_data", AWS / "user_data.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


TEMPLATE: dict[str, Any] = script().read_template()
RESOURCES: dict[str, dict[str, Any]] = TEMPLATE["Resources"]
MACHINES = ("ServerTemplate", "WorkerTemplate")


def test_the_template_is_linted() -> None:
    lint = pytest.importorskip("cfnlint.api").lint
    assert lint((AWS / "cleansat.yaml").read_text("utf-8"), regions=["eu-central-1"]) == []


def test_scripts_are_linted(tmp_path: Path) -> None:
    shellcheck = shutil.which("shellcheck") or shutil.which("shellcheck", path=Path(sys.executable).parent)  # fmt: skip
    if shellcheck is None:
        pytest.skip("shellcheck is not here; the extra test has it")
    for machine in MACHINES:
        (tmp_path / machine).write_text(script().user_data(machine, VALUES))
    found = [
        *AWS.glob("*.sh"),
        *tmp_path.iterdir(),
        *(ROOT / "tests").glob("*.sh"),
        ROOT / ".ci" / "run",
    ]
    found += [ROOT / "docker" / "entrypoint", ROOT / "docker" / "test.sh"]
    assert len(found) == 9
    subprocess.run([shellcheck, "--exclude", "SC2016", *found], check=True)


@pytest.mark.parametrize("machine", MACHINES)
def test_machines_are_closed(machine: str) -> None:
    data = RESOURCES[machine]["Properties"]["LaunchTemplateData"]
    assert data["MetadataOptions"]["HttpTokens"] == "required"
    assert data["MetadataOptions"]["HttpPutResponseHopLimit"] == 2
    assert all(each["Ebs"]["Encrypted"] for each in data["BlockDeviceMappings"])
    assert [each["AssociatePublicIpAddress"] for each in data["NetworkInterfaces"]] == [False]
    assert "KeyName" not in data
    text = script().user_data(machine, VALUES)
    assert len(text.encode()) < 16_384
    assert "s3://ours/masks/of/us/release.tar.gz" in text
    assert "${" not in text


def test_nobody_comes_in_but_through_the_balancer() -> None:
    rules = [
        (name, rule)
        for name, each in RESOURCES.items()
        if each["Type"] == "AWS::EC2::SecurityGroup"
        for rule in each["Properties"].get("SecurityGroupIngress", ())
    ] + [(n, e["Properties"]) for n, e in RESOURCES.items() if e["Type"] == "AWS::EC2::SecurityGroupIngress"]  # fmt: skip
    assert not any(rule["FromPort"] <= 22 <= rule["ToPort"] for _, rule in rules)
    assert [name for name, rule in rules if "CidrIp" in rule] == ["BalancerGroup"]
    actions = RESOURCES["Listener"]["Properties"]["DefaultActions"]
    assert [each["Type"] for each in actions] == ["authenticate-oidc", "forward"]
    assert RESOURCES["Listener"]["Properties"]["Protocol"] == "HTTPS"


def test_the_role_is_limited_to_the_prefix() -> None:
    policies = RESOURCES["Role"]["Properties"]["Policies"]
    allowed = [each for each in policies[0]["PolicyDocument"]["Statement"] if each["Effect"] == "Allow"]  # fmt: skip
    on_bucket, on_objects = allowed
    assert on_objects["Resource"] == {"Fn::Sub": "arn:${AWS::Partition}:s3:::${Bucket}/${Prefix}/*"}
    assert "StringLikeIfExists" in on_bucket["Condition"]
    # What the doctor asks for, and the page says.
    page = (ROOT / "docs" / "how-to" / "doctor.md").read_text("utf-8")
    for action in on_bucket["Action"] + on_objects["Action"]:
        assert f"`{action}`" in page or action == "s3:ListMultipartUploadParts"


def test_services_are_called_with_options_that_there_are() -> None:
    services = yaml.safe_load((AWS / "compose.aws.yaml").read_text("utf-8"))["services"]
    known = set(yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))["services"])
    assert set(services) <= known
    app = main.get_command(click.Context(main), "app")
    assert app is not None
    options = [word for word in services["app"]["command"] if word.startswith("--")]
    assert {word[2:] for word in options} <= set(option_keys(app))
    written = (AWS / "machine.sh").read_text("utf-8")
    for name in ("HOST", "ADDRESS", "STORE", "WORKERS"):
        assert f"${{CLEANSAT_{name}}}" in (AWS / "compose.aws.yaml").read_text("utf-8")
        assert f"CLEANSAT_{name}=" in written


def test_steps_of_machines_are_there() -> None:
    done = subprocess.run(
        [AWS / "machine.sh", "neither"], capture_output=True, text=True, check=False,
        env={"REGION": "x", "STORE": "s3://x/y", "WORKERS": "1", "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert done.returncode != 0  # where there is no /opt/cleansat, or with its usage


# --- Kubernetes -----------------------------------------------------------------------


def test_resources_of_kubernetes_are_valid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    schemas = pytest.importorskip("kubernetes_validate")
    found = [
        each
        for name in ("cleansat.yaml", "cluster.yaml")
        for each in yaml.safe_load_all((KUBERNETES / name).read_text("utf-8"))
    ]
    for each in found:
        for release in ("1.30", schemas.latest_version()):
            schemas.validate(each, release, strict=True)
    kinds = {each["kind"]: each for each in found}
    pods = [each["spec"]["template"]["spec"] for each in found if each["kind"] == "Deployment"]
    pods.append(kinds["CronJob"]["spec"]["jobTemplate"]["spec"]["template"]["spec"])
    for pod in pods:
        assert pod["securityContext"]["runAsNonRoot"]
        (container,) = pod["containers"]
        assert container["securityContext"]["readOnlyRootFilesystem"]
        mounted = {each["name"] for each in container["volumeMounts"]}
        assert mounted == {each["name"] for each in pod["volumes"]}
    # The file of settings is one, and the call has all that it needs.
    file = tmp_path / "cleansat.toml"
    file.write_text(kinds["ConfigMap"]["data"]["cleansat.toml"])
    assert read_settings(file).buckets["sentinel-cogs"]["unsigned"]
    monkeypatch.setenv("CLEANSAT_SETTINGS", str(file))
    _read.cache_clear()
    given = option_defaults(main)["run"]
    assert given["scheduler"] == "tcp://cleansat-scheduler:8786"
    form, _, name, *rest = pods[-1]["containers"][0]["args"]
    assert (form, name) == ("--log-format", "run")
    run = main.get_command(click.Context(main), "run")
    assert run is not None
    context = run.make_context("run", rest, default_map=given)
    assert context.params["out"] == "s3://our-masks/ucl"
    _read.cache_clear()


def test_values_of_the_chart_give_the_cluster_of_the_manifest() -> None:
    from distributed.cli import dask_scheduler, dask_worker

    values = yaml.safe_load((KUBERNETES / "dask-values.yaml").read_text("utf-8"))
    unknown = {
        where: set(values[where] if where else values) - keys for where, keys in CHART.items()
    }
    assert not any(unknown.values()), unknown
    found = list(yaml.safe_load_all((KUBERNETES / "cluster.yaml").read_text("utf-8")))
    deployments = {each["metadata"]["name"]: each for each in found if each["kind"] == "Deployment"}
    full = values["fullnameOverride"]
    for part in ("scheduler", "worker"):
        pod = deployments[f"{full}-{part}"]["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        given = values[part]
        assert "{repository}:{tag}".format(**given["image"]) == container["image"]
        assert given["resources"] == container["resources"]
        assert given.get("env") == container.get("env")
        assert given["securityContext"] == pod["securityContext"]
    worker = values["worker"]
    assert worker["mounts"]["volumes"] == pod["volumes"]
    assert worker["mounts"]["volumeMounts"] == container["volumeMounts"]
    assert worker["serviceAccountName"] == pod["serviceAccountName"]
    assert worker["replicas"] == deployments[f"{full}-worker"]["spec"]["replicas"]
    # Each release has images of its own.
    texts = [each.read_text("utf-8") for each in KUBERNETES.iterdir()]
    texts.append((ROOT / "docs" / "how-to" / "kubernetes.md").read_text("utf-8"))
    tags = re.findall(r"registry\.example\.org/cleansat[\w-]*:([\d.]+)", "".join(texts))
    assert {*tags, given["image"]["tag"]} == {__version__}
    # Other manifests know the cluster by these names.
    (service,) = [each for each in found if each["kind"] == "Service"]
    assert service["metadata"]["name"] == f"{full}-scheduler"
    assert values["webUI"]["servicePort"] in [each["port"] for each in service["spec"]["ports"]]
    text = (KUBERNETES / "cleansat.yaml").read_text("utf-8")
    assert f"{{matchLabels: {{app: {values['nameOverride']}}}}}" in text
    # What the chart makes of them is what dask's commands take.
    memory = worker["resources"]["limits"]["memory"]
    line = [
        f"{full}-scheduler:8786", "--nthreads", str(worker["threads_per_worker"]), "--memory-limit", memory,
        "--no-dashboard", "--dashboard-address", "8790", *worker["extraArgs"],
    ]  # fmt: skip
    params = dask_worker.main.make_context("worker", line).params
    assert (params["nthreads"], params["local_directory"], params["dashboard"]) == (
        1,
        "/tmp",
        False,
    )
    assert parse_bytes(params["memory_limit"]) == 4 * 2**30
    dask_scheduler.main.make_context("scheduler", ["--port=8786", "--dashboard-address=:8787"])
