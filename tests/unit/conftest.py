"""What the tests of batch runs share with those of their commands: one archive of scenes and one cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from odc_cleansat.batch.cluster import dask_client
from odc_cleansat.cube.embedded import embedded_cube
from odc_cleansat.cube.index import add_product
from odc_cleansat.storage.eo3 import MASK_PRODUCT, product_definition

from .archive import Archive

if TYPE_CHECKING:
    from distributed import Client


@pytest.fixture(scope="session")
def archive(
    tmp_path_factory: pytest.TempPathFactory, initialised: Callable[[Path], Path]
) -> Iterator[Archive]:
    """A datacube in which each test makes scenes of its own."""
    folder = initialised(tmp_path_factory.mktemp("archive"))
    with embedded_cube(folder) as dc:
        for product in ("s2_l2a", MASK_PRODUCT):
            add_product(dc, product_definition(product))
        yield Archive(dc, folder)


@pytest.fixture(scope="session")
def client() -> Iterator[Client]:
    """A cluster of two workers."""
    with dask_client(workers=2) as client:
        yield client


@pytest.fixture
def scheduler(client: Client) -> str:
    """The address of the cluster."""
    address: str = client.scheduler.address
    return address
