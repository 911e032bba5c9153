"""Fixtures: real scenes where they are at hand, simulated ones always, and one demo for all."""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import rasterio
import xarray as xr
from calling import Run
from checkouts import checkout, wheels  # noqa: F401
from click.testing import CliRunner
from environments import logging_kept
from fakes import brightness_engine
from filelock import FileLock
from odc.geo.geobox import GeoBox
from odc.geo.xr import wrap_xr
from pages import Block, blocks_of
from s3_server import bucket, forgotten, moto, proxy  # noqa: F401

from odc_cleansat import settings
from odc_cleansat.cli.main import main
from odc_cleansat.errors import LOG
from odc_cleansat.progress import Count
from odc_cleansat.synthetic.scene import SimulatedScene

if TYPE_CHECKING:
    from datacube import Datacube
    from datacube.model import Dataset as DatacubeDataset

# Two processes share the processors, so threads of a network that wait must not spin. Read when torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

SHARED = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real scenes, which are not part of the project."""
    if not SHARED.is_dir():
        pytest.skip("real scenes are not here (../shared/data); they are not part of the project")
    return SHARED


def read_folder(folder: Path, bands: str, nodata: int | None = 0) -> xr.Dataset:
    """Band files on the grid of the first, others repeated to it; read with rasterio alone."""
    arrays = {}
    for name in bands.split():
        with rasterio.open(folder / f"{name}.tif") as file:
            arrays[name] = (file.read(1), GeoBox.from_rio(file))
    grid = next(iter(arrays.values()))[1]
    attrs = {} if nodata is None else {"nodata": nodata}
    scene = {}
    for name, (values, own) in arrays.items():
        factor = round(own.resolution.x / grid.resolution.x)
        scene[name] = wrap_xr(
            np.kron(values, np.ones((factor, factor), values.dtype)), grid, **attrs
        )
    return xr.Dataset(scene)


@pytest.fixture(scope="session")
def manila(shared: Path) -> xr.Dataset:
    """Cumulus over a city and a harbour, six bands on the 10 m grid."""
    return read_folder(shared / "manila" / "2024-a", "B02 B03 B04 B08 B11 B12")


@pytest.fixture(scope="session")
def simulated() -> xr.Dataset:
    """A simulated scene at 20 m, not square, with truth and SCL."""
    return SimulatedScene(shape=(720, 900), seed=1).to_xarray(20).isel(time=0)


class Recorder:
    """A reporter that keeps what it was told."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.counted: dict[str, tuple[int, int]] = {}
        """The last count of each step."""
        self.history: dict[str, list[tuple[int, int]]] = {}
        """All counts of each step."""

    def say(self, text: str, level: str = "info") -> None:
        self.lines.append(text)

    @contextlib.contextmanager
    def step(self, text: str, unit: str = "", together: int = 1) -> Iterator[Count]:
        self.lines.append(text)

        def count(done: int, total: int, note: str = "") -> None:
            self.counted[text] = (done, total)
            self.history.setdefault(text, []).append((done, total))

        yield count


@pytest.fixture
def recorder() -> Recorder:
    """A fresh recorder."""
    return Recorder()


@dataclass(frozen=True)
class Cube:
    """A datacube with indexed scenes, some of them masked."""

    dc: Datacube
    """Connected."""

    folder: Path
    """Where everything lies; ``datacube.conf`` is there."""

    scenes: dict[str, DatacubeDataset]
    """``june`` and ``july`` at one place in zone 33, and ``west``, the day of ``june``, which overlaps
    them from zone 32."""

    masks: dict[str, DatacubeDataset]
    """The masks of ``june`` and ``july``; ``west`` has none."""


Copy = Callable[[Path], Path]
"""Copies something into a folder, which is made if it is missing, and returns the folder."""


def copy_of(
    name: str, make: Callable[[Path], object], tmp_path_factory: pytest.TempPathFactory
) -> Copy:
    """Make a folder once for all processes that share the tests, to be copied by each test that needs it."""
    base = tmp_path_factory.getbasetemp()
    template = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    with FileLock(template.with_suffix(".lock")):
        if not (template / "complete").exists():
            make(template)
            (template / "complete").touch()

    def copy(folder: Path) -> Path:
        folder.mkdir(exist_ok=True)
        for path in template.iterdir():
            if path.name not in ("complete", ".lock", "datacube.conf"):
                # As root, Postgres's files belong to another user, which Python's own copies forget.
                subprocess.run(["cp", "-a", path, folder], check=True)
        (folder / "postgres" / "log").unlink()
        return folder

    return copy


@pytest.fixture(scope="session")
def initialised(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    """Put a stopped datacube without products into a folder: starting it takes one second and not ten."""
    from odc_cleansat.cube.embedded import embedded_cube

    def make(folder: Path) -> None:
        with embedded_cube(folder):
            pass

    return copy_of("initialised", make, tmp_path_factory)


@pytest.fixture(scope="session")
def example(tmp_path_factory: pytest.TempPathFactory, initialised: Copy) -> Copy:
    """Put the stopped datacube of `example_cube` into a folder, where it has to be called once more.

    Its scenes are made here, smaller than its own; it takes those that it finds.
    """
    from odc_cleansat.cube.embedded import stop_cube
    from odc_cleansat.demo import EXAMPLE_DATES, example_cube

    def make(folder: Path) -> None:
        initialised(folder)
        for day in EXAMPLE_DATES:
            scene = SimulatedScene(shape=(480, 480), seed=5, datetime=f"{day}T10:10:31Z")
            scene.write(folder / "simulated" / day)
        example_cube(folder).close()
        stop_cube(folder)

    return copy_of("example", make, tmp_path_factory)


SIMULATED = {
    "june": SimulatedScene(shape=(600, 720), seed=1),
    "july": SimulatedScene(shape=(600, 720), seed=1, datetime="2024-07-05T10:10:31Z", offset=0),
    "west": SimulatedScene(
        shape=(600, 600), seed=3, epsg=32632, origin=(845160.0, 5308440.0), swath_edge=True
    ),
}


@pytest.fixture(scope="session")
def cube(tmp_path_factory: pytest.TempPathFactory, initialised: Copy) -> Iterator[Cube]:
    """A real Postgres with three simulated scenes and two masks, for tests that only read it."""
    from odc_cleansat.cube.embedded import embedded_cube
    from odc_cleansat.cube.index import add_dataset, add_product
    from odc_cleansat.products.job import MaskJob
    from odc_cleansat.scenes.band_folder import open_scene, write_scene_document
    from odc_cleansat.storage.eo3 import MASK_PRODUCT, product_definition

    folder = initialised(tmp_path_factory.mktemp("cube"))
    scenes, masks = {}, {}
    with embedded_cube(folder) as dc:
        for product in ("s2_l2a", MASK_PRODUCT):
            add_product(dc, product_definition(product))
        for name, scene in SIMULATED.items():
            opened = open_scene(scene.write(folder / name))
            scenes[name] = add_dataset(dc, write_scene_document(opened, folder / "scenes"))
            if name != "west":
                masks[name] = add_dataset(dc, MaskJob(scenes[name], folder / "products").run())
        yield Cube(dc, folder, scenes, masks)


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """Take away what a test adds to the root logger: datacube's commands write there for all tests that follow."""
    with logging_kept():
        yield


@pytest.fixture
def fast_network() -> Iterator[None]:
    """Let all models answer by brightness, for tests of what is around the network."""
    with brightness_engine():
        yield


@pytest.fixture(autouse=True)
def settings_as_before() -> Iterator[None]:
    """A process reads its file of settings once, and a worker in it keeps what a run has told; both end with the test."""
    yield
    settings._read.cache_clear()
    settings._RECEIVED.clear()


@pytest.fixture(autouse=True)
def log_as_before() -> Iterator[None]:
    """Commands send our log to standard error only; that ends with the test."""
    handlers, propagate = LOG.handlers, LOG.propagate
    yield
    LOG.handlers, LOG.propagate = handlers, propagate


@pytest.fixture
def run() -> Iterator[Run]:
    """Call a command; what it changes about warnings and logs is put back at the end."""
    levels = {name: logging.getLogger(name).level for name in ("datacube", "odc", "rasterio")}
    with warnings.catch_warnings():
        yield lambda *arguments: CliRunner().invoke(main, [str(each) for each in arguments])
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


@pytest.fixture
def marked(request: pytest.FixtureRequest) -> list[Block]:
    """The shell blocks and files of pages that a comment gives to the test."""
    found = blocks_of(request.function.__name__)
    assert found, "no page names the test"
    return found


Fresh = Callable[[str], str]
"""Runs Python code in a process of its own and returns what it prints."""


@pytest.fixture
def fresh(tmp_path: Path) -> Fresh:
    """A process in which nothing is imported yet; its code must succeed."""

    def call(code: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return call
