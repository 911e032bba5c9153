"""What the pages say to type: the commands of each page are called, one after the other, on the files that they name.

A block is left out if a comment above it says so and why: ``<!-- not run: needs root -->``. Of such a block, and of all others,
`test_docs.py` checks that commands and options exist. A folder stands for buckets, and a server on this machine for the internet.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import socket
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
import rasterio
import uvicorn
import yaml
from click.testing import CliRunner
from conftest import Copy
from dask.distributed import LocalCluster
from stac_server import StacServer, serving, write_item

from odc_cleansat.cli.main import main
from odc_cleansat.cube.embedded import CONFIG_NAME, stop_cube
from odc_cleansat.demo import example_cube
from odc_cleansat.products import MaskJob
from odc_cleansat.scenes import read_scene
from odc_cleansat.scenes.search import EARTH_SEARCH
from odc_cleansat.synthetic.scene import SimulatedScene

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(
    r"(?:<!-- not run: (?P<why>[^\n]+) -->\n\s*)?```console\n(?P<lines>.*?)```", re.DOTALL
)
SCENE_NAMES = ("folder-of-bands", "FOLDER_OF_BANDS", "SCENE", "my-scene")
"""What pages call a folder of bands."""


def blocks(page: Path) -> list[tuple[str | None, list[str]]]:
    """The shell blocks of a page: why one is not run, and its lines, joined where they are continued."""
    text = page.read_text("utf-8")
    return [
        (found["why"], found["lines"].replace("\\\n", " ").strip().splitlines())
        for found in BLOCK.finditer(text)
    ]


RUN = [page for page in PAGES if any(why is None for why, _ in blocks(page))]


@dataclass(frozen=True)
class Place:
    """What all pages share."""

    folder: Path
    """The datacube, with seven scenes and two masks, a scene of its own, and its files by the names of the pages."""

    api: StacServer
    """Stands for Earth Search."""

    mask: Path
    """The mask of that scene, near it."""

    scheduler: str
    """Address of a dask scheduler, with a worker in this process."""


@pytest.fixture(scope="module")
def place(example: Copy, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("typed")
    cube = example(folder / "cube")
    example_cube(cube).close()
    scene = SimulatedScene(shape=(240, 360)).write(folder / "scene")
    workers = LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, protocol="tcp", host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
    )  # fmt: skip
    with workers, serving(StacServer()) as api:
        api.folders["bands"] = scene
        api.add(write_item(folder / "S2A_39QTA_20230628_0_L2A.json", scene), "bands")
        document = MaskJob(read_scene(str(scene)).dataset, folder / "masks").run()
        yield Place(folder, api, Path(document).parent, workers.scheduler_address)
    stop_cube(cube)


def furnish(here: Path, place: Place) -> dict[str, str]:
    """Put the files that pages name into a folder, and return what stands for names that cannot be files."""
    cube, scene = place.folder / "cube", place.folder / "scene"
    for name in SCENE_NAMES:
        shutil.copytree(scene, here / name)
    for source, names in {"B04": ["scene"], "SCL": ["SCL"], "truth": ["label", "ucl"]}.items():
        for name in names:
            shutil.copy(scene / f"{source}.tif", here / f"{name}.tif")
    with rasterio.open(scene / "truth.tif") as file:
        profile, shadow = file.profile, (file.read(1) == 3).astype("uint8")
    for name in ("shadow.tif", "scenes/A/shadow.tif"):
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        with rasterio.open(here / name, "w", **profile) as file:
            file.write(shadow, 1)
    labels = here / "CLOUDSEN12/high/ROI_1/S2_A/labels"
    labels.mkdir(parents=True)
    shutil.copy(scene / "truth.tif", labels / "manual_hq.tif")
    shutil.copy(scene / "SCL.tif", labels / "sen2cor.tif")
    shutil.copytree(cube / "products", here / "products")
    shutil.copytree(cube / "products", here / "masks")
    shutil.copytree(cube / "products", here / "bucket/masks")
    for name in ("A_ucl", "ROI_1_S2_A"):
        (here / "masks" / name).mkdir()
        shutil.copy(scene / "truth.tif", here / "masks" / name / f"{name}.tif")
    for path in (cube / "scenes").glob("*.yaml"):
        shutil.copy(path, here / "scenes")
    document = read_scene(str(scene)).dataset.metadata_doc
    (here / "scene.odc-metadata.yaml").write_text(yaml.safe_dump(dict(document)))
    (here / "item.json").write_text(json.dumps(place.api.items[0]))
    (here / "pixels.csv").write_text("class,row,column\n1,3,3\n2,40,70\n")
    (here / "auth.toml").write_text("[auth]\n")
    shutil.copytree(ROOT / "product_definitions", here / "product_definitions")
    (here / "cleansat.toml").write_text(
        "".join(f'[commands.{name}]\nstac-api = "{place.api.url}"\n' for name in ("mask", "doctor"))
        + f'[commands.run]\nscheduler = "{place.scheduler}"\n'
    )
    (settings,) = (cube / CONFIG_NAME).read_text().split("[default]")[1:]
    (here / "datacube.conf").write_text(f"[default]{settings}\n[production]{settings}")
    june, *_ = sorted((here / "masks/s2_l2a_ucl").glob("*/2024/06/*/*"))
    return {
        f"{EARTH_SEARCH}/collections/sentinel-2-l2a/items": f"{place.api.url}/items",
        "s3://bucket/masks/s2_l2a_ucl/33UVP": "bucket/masks",
        "s3://bucket": "bucket",
        "/data/": "data/",
        "masks/.../SCENE": str(june),
        "masks/s2_l2a_ucl/33UVP/2024/06/15/s2_l2a_ucl_33UVP_2024-06-15_0d52f7c9": str(june),
        "masks/s2_l2a_ucl/33UVP": f"masks/s2_l2a_ucl/{june.parents[3].name}",
        "0d52f7c9": june.name.rpartition("_")[2],
        "products/s2_l2a_ucl/33UVP/2024/06/15/NAME": str(place.mask),
    }


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing serves until Ctrl-C or opens a browser, and any port is free."""

    def stop(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    create = socket.create_server
    monkeypatch.setattr(uvicorn.Server, "run", stop)
    monkeypatch.setattr("odc_cleansat.app.server.serve", lambda settings: None)
    monkeypatch.setattr(click, "launch", lambda address: None)
    monkeypatch.setattr(socket, "create_server", lambda at, **more: create((at[0], 0), **more))


def words_of(line: str) -> list[str]:
    """The words of a line as a shell gives them to a program: names that match a pattern instead of it."""
    found: list[str] = []
    for word in shlex.split(line, comments=True):
        quoted = f"'{word}'" in line or f'"{word}"' in line
        names = sorted(map(str, Path().glob(word))) if "*" in word and not quoted else []
        found += names or [word]
    return found


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("page", RUN, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_commands_of_a_page(
    page: Path, place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from datacube.scripts.cli_app import cli as datacube

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATACUBE_CONFIG_PATH", str(place.folder / "cube" / CONFIG_NAME))
    stands_for = furnish(tmp_path, place)
    monkeypatch.setenv("CLEANSAT_SETTINGS", str(tmp_path / "cleansat.toml"))
    extras = (ROOT / "setup.cfg").read_text().partition("[options.extras_require]")[2]
    programs = {"cleansat": main, "datacube": datacube}
    called = 0
    for why, lines in blocks(page):
        for line in lines if why is None else ():
            typed = line
            for name, instead in stands_for.items():
                typed = typed.replace(name, instead)
            program, *arguments = words_of(typed)
            if program == "pip":
                named = re.findall(r"odc-cleansat\[(\w+)\]", line)
                assert "odc-cleansat" in line, line
                assert all(f"\n{name} =" in extras for name in named), line
                continue
            assert program in programs, f"{line}: say above the block why it is not run"
            command = programs[program]
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # of datacube
                done = CliRunner().invoke(command, arguments)
            assert done.exit_code == 0, f"{line}\n{done.output}"
            called += 1
    assert called > 0


def test_few_blocks_are_left_out() -> None:
    every = [block for page in PAGES for block in blocks(page)]
    left_out = [why for why, _ in every if why]
    assert len(every) > 50
    assert len(left_out) < len(every) * 0.7
    assert np.mean([len(why) > 6 for why in left_out]) == 1
