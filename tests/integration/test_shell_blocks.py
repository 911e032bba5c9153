"""What the pages say to type: the commands of each page are called, one after the other, on the files that they name.

The comment above a block may say that it needs the internet, for which servers on this machine stand: ``<!-- internet -->``. Without
it nothing can be asked. Or that a test types it in a shell (``<!-- run by test_make -->``, see `test_typed_blocks.py`). Or that it is
left out, for one of few reasons: ``<!-- not run: needs a Docker engine -->``. Of all blocks `test_docs.py` checks that commands and
options exist. A folder stands for buckets.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import socket
import tempfile
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import click
import pytest
import rasterio
import uvicorn
import yaml
from benchmark_data import SCENES, a_scene, write_pixbox, write_taco
from click.testing import CliRunner
from conftest import Copy
from dask.distributed import LocalCluster
from datacube import Datacube
from eopf_product import write_product
from pages import NOT_RUN, PAGES, ROOT, Block, every_block, read_blocks
from published import write_published
from stac_server import StacServer, serving, write_item
from unit.item_lists import write_list
from unit.models.weights_server import Server
from unit.scenes.safe_folder import SAFES, safe

from odc_cleansat import get_model
from odc_cleansat.cli.main import main
from odc_cleansat.cube.embedded import CONFIG_NAME, stop_cube
from odc_cleansat.demo import example_cube
from odc_cleansat.models.places import remote_of
from odc_cleansat.products import MaskJob
from odc_cleansat.scenes import read_scene
from odc_cleansat.scenes.search import EARTH_SEARCH
from odc_cleansat.storage.eo3 import MASK_PRODUCT, REFINED_PRODUCT
from odc_cleansat.synthetic.scene import SimulatedScene

MOST_NOT_RUN = 11
"""So many blocks may be left out, all of them for machines and accounts that nobody has here."""
SCENE_NAMES = ("folder-of-bands", "FOLDER_OF_BANDS", "SCENE", "my-scene")
"""What pages call a folder of bands."""


RUN = [page for page in PAGES if any(block.called for block in read_blocks(page))]


@dataclass(frozen=True)
class Place:
    """What all pages share."""

    folder: Path
    """The datacube, with seven scenes and two masks, a scene of its own, and its files by the names of the pages."""

    api: StacServer
    """Stands for Earth Search."""

    weights: Server
    """Stands for Hugging Face."""

    mask: Path
    """The mask of that scene, near it."""

    scheduler: str
    """Address of a dask scheduler, with a worker in this process."""


@contextmanager
def published() -> Iterator[Server]:
    """A mirror of weights, with what two of the models that are fetched look like."""
    with tempfile.TemporaryDirectory() as folder:
        write_published(Path(folder))
        files = {path.name: path.read_bytes() for path in Path(folder).iterdir()}
    server = Server()
    for name in ("cloudsen12-l2a", "cloudsen12-unetmobv2-v1"):
        remote = remote_of(get_model(name))
        assert remote is not None
        path = urlsplit(remote.url).path
        server.files[path] = files[path.rpartition("/")[2]]
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


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
    with workers, serving(StacServer()) as api, published() as weights:
        api.folders["bands"] = scene
        api.add(write_item(folder / "S2A_39QTA_20230628_0_L2A.json", scene), "bands")
        document = MaskJob(read_scene(str(scene)).dataset, folder / "masks").run()
        yield Place(folder, api, weights, Path(document).parent, workers.scheduler_address)
    stop_cube(cube)


def furnish(here: Path, place: Place) -> dict[str, str]:
    """Put the files that pages name into a folder, and return what stands for names that cannot be files."""
    cube, scene = place.folder / "cube", place.folder / "scene"
    for name in SCENE_NAMES:
        shutil.copytree(scene, here / name)
    for source, names in {
        "B04": ["scene"],
        "SCL": ["SCL"],
        "truth": ["label", "ucl", "fmask", "cld"],
    }.items():
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
    write_product(here, "v3", "S2B_MSIL2A_20240710T071619_N0510_R006_T37MGP")
    document = read_scene(str(scene)).dataset.metadata_doc
    (here / "scene.odc-metadata.yaml").write_text(yaml.safe_dump(dict(document)))
    (here / "item.json").write_text(json.dumps(place.api.items[0]))
    write_list(here / "scenes.parquet", place.api.items)
    (here / "pixels.csv").write_text("class,row,column\n1,3,3\n2,40,70\n")
    (here / "auth.toml").write_text("[auth]\n")
    shutil.copytree(ROOT / "product_definitions", here / "product_definitions")
    cluster = f'[commands.run]\nscheduler = "{place.scheduler}"\n'
    (here / "cleansat.toml").write_text(cluster)
    apis = [f'[commands.{name}]\nstac-api = "{place.api.url}"\n' for name in ("mask", "doctor")]
    (here / "internet.toml").write_text("".join([cluster, *apis]))
    (network,) = (block for block in read_blocks(ROOT / "docs/how-to/models.md") if block.file)
    (here / "ours.yaml").write_text(network.text.replace("mynet", "ours"))
    options = yaml.safe_load(network.text)["architecture"]
    for name in ("mynet", "ours"):
        save_network(here / f"{name}.safetensors", **options)
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
    monkeypatch.setattr("odc_cleansat.app.server.serve", lambda *_: None)
    monkeypatch.setattr(click, "launch", lambda address: None)
    monkeypatch.setattr(socket, "create_server", lambda at, **more: create((at[0], 0), **more))


def save_network(path: Path, name: str, encoder: str, decoder_channels: list[int]) -> None:
    """Random weights of the network that the page on models describes."""
    import segmentation_models_pytorch as smp
    from safetensors.torch import save_file

    built = getattr(smp, name)(
        encoder, encoder_weights=None, decoder_channels=decoder_channels, in_channels=4, classes=4
    )
    save_file(built.state_dict(), path)


def words_of(line: str) -> list[str]:
    """The words of a line as a shell gives them to a program: names that match a pattern instead of it."""
    found: list[str] = []
    for word in shlex.split(line, comments=True):
        quoted = f"'{word}'" in line or f'"{word}"' in line
        names = sorted(map(str, Path().glob(word))) if "*" in word and not quoted else []
        found += names or [word]
    return found


@pytest.fixture
def masks_go(place: Place) -> Iterator[None]:
    """Take masks that a page puts in the datacube out again: their files go with the folder of the test."""
    config = str(place.folder / "cube" / CONFIG_NAME)

    def indexed(dc: Datacube) -> list[UUID]:
        products = (REFINED_PRODUCT, MASK_PRODUCT)  # first those that are made of the others
        known = [name for name in products if dc.index.products.get_by_name(name)]
        return [mask.id for name in known for mask in dc.find_datasets(product=name)]

    with Datacube(config=config) as dc:
        before = indexed(dc)
    yield
    with Datacube(config=config) as dc:
        for mask in indexed(dc):
            if mask not in before:
                dc.index.datasets.purge([mask], allow_delete_active=True)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("page", RUN, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_commands_of_a_page(
    page: Path, place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, masks_go: None
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATACUBE_CONFIG_PATH", str(place.folder / "cube" / CONFIG_NAME))
    stands_for = furnish(tmp_path, place)
    for name in ("CACHE", "MODELS", "WEIGHTS"):
        monkeypatch.setenv(f"CLEANSAT_{name}", str(tmp_path / f"user/{name.lower()}"))
    called = 0
    for block in read_blocks(page):
        settings = "internet" if block.internet else "cleansat"
        variables = {"CLEANSAT_SETTINGS": str(tmp_path / f"{settings}.toml")}
        if block.internet:
            variables["CLEANSAT_MIRROR"] = place.weights.url
        if block.file and block.by is None:
            (tmp_path / block.file).write_text(block.text)
        for line in block.lines if block.called else ():
            typed = line
            for name, instead in stands_for.items():
                typed = typed.replace(name, instead)
            called += call(typed, variables)
    assert called > 0


def call(line: str, variables: dict[str, str]) -> int:
    """Call the command of a line in this process, and return how many commands that were."""
    from datacube.scripts.cli_app import cli as datacube

    words = words_of(line)
    while re.match(r"[A-Z_]+=", words[0]):
        name, _, value = words.pop(0).partition("=")
        variables = {**variables, name: value}
    program, *arguments = words
    if program == "pip":
        return 0  # test_typed_blocks.py calls it
    programs = {"cleansat": main, "datacube": datacube}
    assert program in programs, f"{line}: say above the block which test types it"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of datacube
        done = CliRunner(env=variables).invoke(programs[program], arguments, input="y\n")
    assert done.exit_code == 0, f"{line}\n{done.output}"
    return 1


@pytest.mark.usefixtures("quick", "fast_network")
def test_a_safe_folder(
    shared: Path, marked: list[Block], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The product of ESA's that the page names, with its real metadata."""
    monkeypatch.chdir(tmp_path)
    name, pixels, *_ = SAFES["05.09"]
    safe(shared / "metadata/stactools-sentinel2" / name, tmp_path, pixels)
    (block,) = marked
    assert [call(line, {}) for line in block.lines] == [1]
    assert [*tmp_path.glob("masks/**/*_ucl.tif")]


@pytest.mark.usefixtures("fast_network")
def test_benchmarks(marked: list[Block], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On small sets of the form of the published ones, and with networks that answer by brightness."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "CLOUDSEN12").mkdir()
    write_taco(tmp_path / "CLOUDSEN12/cloudsen12-l2a.0000.part.taco", [a_scene(7)])
    write_pixbox(tmp_path / "PIXBOX", min(SCENES), a_scene(7), [(100, 100, 1, 0), (200, 200, 0, 1)])
    (block,) = marked
    assert [call(line, {}) for line in block.lines] == [1, 1, 1]


def test_each_block_is_run_or_has_a_reason() -> None:
    every = every_block()
    assert len(every) > 60
    for block in every:
        assert block.why is None or block.why in NOT_RUN, f"{block.page.name}: {block.why}"
    assert {block.why for block in every if block.why} == set(NOT_RUN)
    assert sum(block.why is not None for block in every) <= MOST_NOT_RUN
    files = (ROOT / "tests" / "integration").glob("test_*.py")
    text = "".join(path.read_text("utf-8") for path in files)
    names = {block.by for block in every if block.by}
    assert {name for name in names if name.startswith("make ")} == {"make aws-test"}
    assert 'tests/pages.py "make aws-test"' in (ROOT / "deploy/aws/test.sh").read_text("utf-8")
    for by in names - {"make aws-test"}:
        assert re.search(rf"^def {by}\(\s*[^)]*\bmarked: list\[Block\]", text, re.MULTILINE), by


def test_a_block_that_asks_the_internet_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else its commands find nothing there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CLEANSAT_WEIGHTS", str(tmp_path))
    with pytest.raises(AssertionError, match="cloudsen12-unetmobv2-v2"):
        call("cleansat models fetch cloudsen12-unetmobv2-v2", {})
