"""Blocks of the pages that want a shell, an environment, a checkout, or other programs: typed as they stand.

Nothing of it asks the internet: its proxy is not there. `test_shell_blocks.py` calls the blocks that are commands of ours.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from checkouts import OFFLINE, libraries, needs
from conftest import Copy
from environments import DEFINITIONS, datacube, postgis_programs, program
from pages import ROOT, Block, every_block
from ports import free_port
from scratch_root import NAMESPACES
from shell import Shell
from stac_server import StacServer, serving, write_item

from odc_cleansat.cube.embedded import CONFIG_NAME, stop_cube
from odc_cleansat.demo import example_cube
from odc_cleansat.scenes.search import EARTH_SEARCH
from odc_cleansat.synthetic.scene import SimulatedScene


@pytest.fixture
def cube(example: Copy, tmp_path: Path) -> Iterator[Path]:
    """The folder of a datacube with seven scenes and two masks."""
    folder = example(tmp_path / "cube")
    example_cube(folder).close()
    yield folder
    stop_cube(folder)


# --- environments ---------------------------------------------------------------------


def test_an_environment(marked: list[Block], checkout: Path, wheels: str, tmp_path: Path) -> None:
    """Our package and its extras are installed by pip, which finds that all they need is there."""
    path = libraries(tmp_path / "libraries")
    shell = Shell(tmp_path, PYTHONPATH=path, PIP_FIND_LINKS=wheels, **OFFLINE)
    (checkout / ".venv").unlink()
    assert "Commands:" in shell.type(marked, where="checkout")
    remove = [
        checkout / ".venv/bin/python",
        "-m",
        "pip",
        "uninstall",
        "--quiet",
        "--yes",
        "odc-cleansat",
    ]
    subprocess.run(remove, env=shell.environment, check=True)
    called = [block for block in every_block() if block.called]
    lines = [line for b in called for line in b.lines if line.strip().startswith("pip ")]
    assert len(lines) >= 3
    activate = ". .venv/bin/activate"
    typed = Block(checkout, "\n".join([activate, *lines]), False, None, None)
    said = shell.type([typed], where="checkout")
    assert said.count("Successfully installed odc-cleansat") == 1
    assert "WARNING" not in said  # as of an extra that there is not


# --- a checkout -----------------------------------------------------------------------


def test_tools_of_a_checkout(marked: list[Block], checkout: Path, tmp_path: Path) -> None:
    said = Shell(tmp_path, PYTHONPATH=str(checkout)).type(marked, where="checkout")
    assert "|" in said


@pytest.mark.usefixtures("proxy")
def test_on_aws(
    marked: list[Block], checkout: Path, moto: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command line of AWS, and a server that stands for its services as far as that goes.

    A set of changes is made and not executed, because that server knows no machine of a launch template.
    """
    import boto3

    needs("sudo")
    address = f"http://127.0.0.1:{moto}"
    account = {
        "AWS_ENDPOINT_URL": address, "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "eu-central-1",
    }  # fmt: skip
    for name, value in account.items():
        monkeypatch.setenv(name, value)
    region = {"LocationConstraint": "eu-central-1"}
    boto3.client("s3").create_bucket(Bucket="our-bucket", CreateBucketConfiguration=region)
    ec2 = boto3.client("ec2")
    image = ec2.describe_images()["Images"][0]["ImageId"]
    machine = ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1)["Instances"][0]["InstanceId"]
    Path(tmp_path / "cleansat").mkdir()
    said = Shell(tmp_path, aws_program().parent, **account).type(
        marked, {"i-...": machine, "/opt/cleansat": str(tmp_path / "cleansat")}, where="checkout"
    )
    assert "Changeset created successfully" in said
    (changes,) = boto3.client("cloudformation").list_change_sets(StackName="cleansat")["Summaries"]
    assert changes["Status"] == "CREATE_COMPLETE"
    assert (tmp_path / "cleansat/compose.yaml").read_text() == (ROOT / "compose.yaml").read_text()
    options = ec2.describe_instances(InstanceIds=[machine])["Reservations"][0]["Instances"][0]
    assert options["MetadataOptions"]["HttpTokens"] == "required"


def aws_program() -> Path:
    """The command line of AWS, from the environment that make_aws_env.sh makes or from the path."""
    own = ROOT / ".venv-aws/bin/aws"
    found = str(own) if own.is_file() else shutil.which("aws")
    if found is None:
        pytest.skip("the AWS CLI is not here; `make test-programs` installs it")
    return Path(found)


# --- as a person with sudo ------------------------------------------------------------


def scratch(folder: Path, preparation: str, *shown: Path) -> list[str]:
    """A command for `Shell.type`: a root file system in which all that is written is lost, for a person with sudo.

    Packages that are installed here are the newest that it knows, so that `apt-get install` fetches nothing.
    """
    needs("ip", "runuser", "sudo", "unshare")
    if subprocess.run([*NAMESPACES, "true"], capture_output=True, check=False).returncode:
        pytest.skip("namespaces need root, and a machine that allows them")
    for each in (folder, *shown):
        each.chmod(each.stat().st_mode | 0o055)  # pytest's are closed to others
    preparation = f"rm -rf /var/lib/apt/lists/* /etc/apt/sources.list*\n{preparation}"
    program = str(ROOT / "tests/scratch_root.py")
    return [
        *NAMESPACES,
        sys.executable,
        program,
        str(folder),
        preparation,
        "SCRIPT",
        *map(str, shown),
    ]


def test_postgis_from_nothing(marked: list[Block], tmp_path: Path) -> None:
    """As Debian sets up Postgres; that its service is started stands for what systemd does. apt-get asks nobody."""
    if postgis_programs() is None:
        pytest.skip("PostGIS is not here; `make test-programs` installs it")
    version = postgis_programs().parent.name
    prepare = f"""
        pg_dropcluster --stop {version} main 2>/dev/null || true
        pg_createcluster {version} main -- --no-sync >/dev/null
        pg_ctlcluster {version} main start
    """
    ask = Block(marked[0].page, "datacube product list\n", False, None, None)
    *postgis, postgres = marked
    typed = [
        *postgis,
        ask,
        postgres,
        Block(ask.page, "datacube product list || true\n", False, None, None),
    ]
    said = Shell(tmp_path, **OFFLINE).type(typed, within=scratch(tmp_path, prepare))
    assert "already the newest version" in said
    assert re.search(r"s2_l2a_ucl\b", said)


def test_an_environment_of_odc_stats(marked: list[Block], wheels: str, tmp_path: Path) -> None:
    """What pip would fetch and compile is that of the environment in which odc-stats is tested."""
    needs("gdal-config")
    stats = program("odc-stats").parents[1]
    path = libraries(tmp_path / "libraries", *stats.glob("lib/python*/site-packages"))
    shell = Shell(tmp_path, PYTHONPATH=path, PIP_FIND_LINKS=wheels, **OFFLINE)
    said = shell.type(marked, within=scratch(tmp_path, "", stats, Path(wheels)))
    assert "already the newest version" in said
    assert "Requirement already satisfied: gdal" in said
    assert "Successfully installed odc-cleansat" in said


# --- a datacube -----------------------------------------------------------------------


def test_the_demo(marked: list[Block], initialised: Copy, tmp_path: Path) -> None:
    """Of a scene of one's own, whose date is told; the datacube is there and stands still."""
    SimulatedScene(shape=(240, 360)).write(tmp_path / "path/to/scene")
    initialised(tmp_path / "my-demo")
    try:
        said = Shell(tmp_path).type(marked)
    finally:
        stop_cube(tmp_path / "my-demo")
    assert (tmp_path / "my-demo/compare.png").exists()
    assert "s2_l2a_ucl" in said


def test_programs_beside(marked: list[Block], cube: Path, tmp_path: Path) -> None:
    """A run whose summary goes to jq, and curl that asks for the figures of the application."""
    needs("curl", "jq")
    shell = Shell(tmp_path, DATACUBE_CONFIG_PATH=str(cube / CONFIG_NAME))
    piped, curl = marked
    lines = shell.type([piped]).splitlines()
    assert re.fullmatch(r"[0-9a-f-]{8,}", lines[-1])
    assert (tmp_path / "run.log").read_text().startswith("{")
    port = free_port()
    serve = (
        f"cleansat app --store masks --port {free_port()} --metrics-port {port} >app.log 2>&1 &\n"
    )
    wait = (
        f"until curl --silent --output none http://127.0.0.1:{port}/metrics; do sleep 0.5; done\n"
    )
    app = Block(curl.page, serve + wait, False, None, None)
    said = shell.type(
        [app, curl], {"http://127.0.0.1:9464": f"http://127.0.0.1:{port}"}, limit_s=180
    )
    assert "cleansat_queue_jobs" in said


def test_tools_of_the_datacube(marked: list[Block], cube: Path, tmp_path: Path) -> None:
    """odc-apps-dc-tools, datacube-ows and odc-stats, with our masks and with a STAC API on this machine."""
    tools = program("odc-stats").parent
    config = cube / CONFIG_NAME
    datacube(config, "product", "add", DEFINITIONS / "s2_l2a_ucl_summary.odc-product.yaml")
    for name in ("products", "product_definitions"):
        shutil.copytree((cube if name == "products" else ROOT) / name, tmp_path / name)
    (layer,) = (block for block in marked if block.file)
    web_mercator = {"geographic": False, "horizontal_coord": "x", "vertical_coord": "y"}
    about = {
        "title": "Masks", "allowed_urls": ["http://localhost:8000"], "info_url": "http://localhost",
        "published_CRSs": {"EPSG:3857": web_mercator}, "services": {"wms": True},
    }  # fmt: skip
    ows = {"global": about, "layers": [json.loads(layer.text)]}
    (tmp_path / "ows.json").write_text(json.dumps(ows))
    scene = SimulatedScene(shape=(240, 360)).write(tmp_path / "scene")
    with serving(StacServer()) as api:
        api.folders["bands"] = scene
        api.add(write_item(tmp_path / "S2A_33UVP_20240615_0_L2A.json", scene), "bands")
        instead = {EARTH_SEARCH: api.url, "/data/": f"{tmp_path}/data/"}
        shell = Shell(
            tmp_path,
            tools,
            DATACUBE_CONFIG_PATH=str(config),
            AWS_DEFAULT_REGION="us-west-2",
            AWS_EC2_METADATA_DISABLED="true",
            **OFFLINE,
        )
        said = shell.type(marked, instead)
    (tmp_path / "said").write_text(said)
    assert "Added 1 Datasets" in said
    assert "Could not parse" not in said
    assert [*tmp_path.glob("data/summary/**/*_clear_share.tif")]
    assert "s2_l2a_ucl_summary" in datacube(
        config, "dataset", "search", "product=s2_l2a_ucl_summary"
    )
