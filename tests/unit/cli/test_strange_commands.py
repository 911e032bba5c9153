"""Whatever is written on the command line, the outcome is a result, wrong usage, or an error of ours."""

from __future__ import annotations

import json
import os
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import datacube
import pytest
from click.testing import CliRunner
from datacube import Datacube
from fakes import brightness_engine
from hypothesis import given
from hypothesis import strategies as st
from strategies import tried

from odc_cleansat.cli.main import main
from odc_cleansat.cube.index import add_dataset, add_product
from odc_cleansat.errors import CleansatError
from odc_cleansat.products.job import MaskJob
from odc_cleansat.scenes.band_folder import open_scene, write_scene_document
from odc_cleansat.scenes.read import read_scene
from odc_cleansat.storage.eo3 import MASK_PRODUCT, product_definition
from odc_cleansat.synthetic.scene import SimulatedScene

LEFT_OUT = {
    "app",
    "demo",
    "serve",
    "train",
    "models fetch",
    "models import",
    "models remove",
    "review serve",
}
"""Commands that run for long, wait for people, or change what the user has."""

NUMBERS = [
    "",
    "x",
    "-1",
    "0",
    "0.5",
    "1",
    "nan",
    "inf",
    "-inf",
    "1e400",
    "1e9",
    "1000000000000",
    "1_0",
    "0x10",
    "\u0663",
]
BOXES = [
    "13.6,47.8,13.8,47.9",
    "179,-10,-179,10",
    "200,0,300,5",
    "nan,nan,nan,nan",
    "-inf,0,inf,1",
    "14,48,13,47",
]
BOXES += ["0,91,1,95", "0,0,0,0", "a,b,c,d", "1,2,3", "13.6 47.8 13.8 47.9"]
TIMES = [
    "2024-06",
    "2024/2023",
    "2024-06-15/",
    "/",
    "9999",
    "0000",
    "10000-01-01",
    "2024-13",
    "tomorrow",
]
SYSTEMS = [
    "EPSG:32633",
    "EPSG:4326",
    "EPSG:0",
    "EPSG:4978",
    "EPSG:999999",
    "epsg:",
    "+proj=longlat",
]
OTHERS = [
    "red",
    "red,green",
    "scl",
    "ucl",
    "cloud",
    "median",
    ",",
    "0=clear",
    "0=clear,1=cloud",
    "=",
    "x=y",
]
OTHERS += [
    "--",
    "-",
    "..",
    "/dev/null",
    "http://127.0.0.1:1/x",
    "s3://no bucket/x",
    "zip://x",
    "\n",
    "é\u202e",
    "a" * 3000,
]
TEXTS = [*NUMBERS, *BOXES, *TIMES, *SYSTEMS, *OTHERS]
USUAL = {"--bbox": BOXES, "--time": TIMES, "--crs": SYSTEMS, "--resolution": ["20", "60", *NUMBERS]}


class Shared:
    """A datacube in memory, which commands take for the configured one."""

    def __init__(self, dc: Datacube) -> None:
        self.dc = dc

    def __call__(self, index: Any = None, **_: Any) -> Any:
        return self if index is None else Datacube(index=index)  # that of a catalogue is its own

    def __getattr__(self, name: str) -> Any:
        return getattr(self.dc, name)

    def close(self) -> None:
        pass


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """Paths of a scene, its mask and of what is neither; the commands run beside them, with a datacube of both."""
    folder = tmp_path_factory.mktemp("commands")
    bands = SimulatedScene(shape=(60, 48), seed=1).write(folder / "june")
    scene = write_scene_document(open_scene(bands), folder / "scenes")
    dc = Datacube(raw_config={"default": {"index_driver": "memory"}})
    for product in ("s2_l2a", MASK_PRODUCT):
        add_product(dc, product_definition(product))
    (folder / "text.txt").write_text("hello")
    (folder / "bad.tif").write_bytes(b"II*\0junk")
    (folder / "bad.json").write_text('{"type": "Feature"}')
    (folder / "bad.yaml").write_text("a: [1, 2")
    os.mkfifo(folder / "pipe")
    before = Path.cwd()
    with brightness_engine(), pytest.MonkeyPatch.context() as patch:
        document = Path(MaskJob.of_scene(read_scene(str(scene)), folder / "masks").run())
        mask = add_dataset(dc, document)
        add_dataset(dc, scene)
        patch.setattr(datacube, "Datacube", Shared(dc))
        patch.chdir(folder)
        good = [document.parent, document, bands, scene, mask.id, folder / "masks"]
        bad = [
            "text.txt",
            "bad.tif",
            "bad.json",
            "bad.yaml",
            "pipe",
            "nope",
            bands / "truth.tif",
            bands / "SCL.tif",
        ]
        yield [str(each) for each in (*good, *good, *bad)]
    assert Path.cwd() == before


def commands(group: click.Group, above: str = "") -> Iterator[tuple[str, click.Command]]:
    """All commands but for those that are left out."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        whole = f"{above} {name}".strip()
        if isinstance(command, click.Group):
            yield from commands(command, whole)
        elif command is not None and whole not in LEFT_OUT:
            yield whole, command


def words(command: click.Command, paths: list[str], random: Any) -> Iterator[str]:
    """Arguments and options for a command, some of them odd."""
    for each in command.params:
        if isinstance(each, click.Argument):
            for _ in range(random.choice([0, 1, 1, 2]) if each.nargs == -1 else 1):
                yield random.choice(paths if random.random() < 0.9 else TEXTS)
        elif each.opts[0] in ("--help", "--stac-api", "--scheduler"):
            continue
        elif each.required or random.random() < 0.15:
            option = random.choice([*each.opts, *each.secondary_opts])
            yield option
            if isinstance(each, click.Option) and each.is_flag and each.flag_value is not None:
                continue
            choices = list(each.type.choices) if isinstance(each.type, click.Choice) else []
            usual = USUAL.get(option, choices or ["out.tif", "out", "out.html", "out.png"])
            yield str(random.choice([*usual, random.choice(TEXTS), random.choice(paths)]))


COMMANDS = dict(commands(main))


@pytest.mark.parametrize("name", COMMANDS)
@tried(10)
@given(random=st.randoms(use_true_random=False))
def test_commands(there: list[str], name: str, random: Any) -> None:
    line = ["--debug", *name.split(), *words(COMMANDS[name], there, random)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = CliRunner().invoke(main, line)
    allowed = (SystemExit, CleansatError, OSError)
    if found.exception is not None and not isinstance(found.exception, allowed):
        raise AssertionError(json.dumps(line)) from found.exception
    for path in Path().glob("out*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
