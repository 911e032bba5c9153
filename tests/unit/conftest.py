"""What the tests of rooms share with those of their commands: scenes in datacubes, and a cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

import dask
import pytest
from conftest import Copy

from odc_cleansat.batch.cluster import dask_client
from odc_cleansat.cube.embedded import embedded_cube
from odc_cleansat.cube.index import add_dataset, add_product
from odc_cleansat.products.job import MaskJob
from odc_cleansat.scenes.band_folder import open_scene, write_scene_document
from odc_cleansat.storage.eo3 import MASK_PRODUCT, product_definition
from odc_cleansat.synthetic.scene import SimulatedScene

from .archive import Archive
from .reviewed import DAYS, Place

if TYPE_CHECKING:
    from distributed import Client


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    """Compute lazy arrays in threads of this process, also while the cluster of another room runs."""
    with dask.config.set(scheduler="threads"):
        yield


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory, initialised: Copy) -> Iterator[Archive]:
    """A datacube in which each test makes scenes of its own."""
    folder = initialised(tmp_path_factory.mktemp("archive"))
    with embedded_cube(folder) as dc:
        for product in ("s2_l2a", MASK_PRODUCT):
            add_product(dc, product_definition(product))
        yield Archive(dc, folder)


class Clusters(ExitStack):
    """The cluster of all tests, or a new one where tests have killed a worker just as it started: dask gives it up."""

    client: Client | None = None

    def whole(self) -> Client:
        """Return a client of a cluster that has its two workers."""
        if self.client is not None:
            try:
                self.client.wait_for_workers(2, timeout=20)
            except TimeoutError:
                self.close()
                self.client = None
        if self.client is None:
            self.client = self.enter_context(dask_client(workers=2))
        return self.client


@pytest.fixture(scope="session")
def clusters() -> Iterator[Clusters]:
    """What the fixture `client` asks for its cluster."""
    with Clusters() as clusters:
        yield clusters


@pytest.fixture
def client(clusters: Clusters) -> Client:
    """A cluster of two workers, on which nothing is computed but what a test gives it."""
    return clusters.whole()


@pytest.fixture
def scheduler(client: Client) -> str:
    """The address of the cluster."""
    address: str = client.scheduler.address
    return address


@pytest.fixture(scope="session")
def reviewed(tmp_path_factory: pytest.TempPathFactory, initialised: Copy) -> Iterator[Place]:
    """Three scenes and their masks, of which only the verdicts change."""
    folder = initialised(tmp_path_factory.mktemp("verdicts"))
    with embedded_cube(folder) as dc:
        for product in ("s2_l2a", MASK_PRODUCT):
            add_product(dc, product_definition(product))
        place = Place(dc, folder)
        for seed, day in enumerate(DAYS):
            scene = SimulatedScene(shape=(240, 300), seed=seed, datetime=f"{day}T10:10:31Z")
            document = write_scene_document(
                open_scene(scene.write(folder / day)), folder / "scenes"
            )
            place.scenes.append(add_dataset(dc, document))
            place.jobs.append(MaskJob(place.scenes[-1], place.root))
            place.jobs[-1].run()
        yield place


@pytest.fixture
def place(reviewed: Place) -> Iterator[Place]:
    """Three scenes and their masks, without verdicts and not indexed."""
    yield reviewed
    reviewed.clean()
