"""One scene and its mask, for all tests of products that only read them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from datacube import Datacube
from datacube.model import Dataset

from odc_cleansat.cube.index import add_dataset, add_product
from odc_cleansat.products.job import MaskJob
from odc_cleansat.scenes.band_folder import open_scene, write_scene_document
from odc_cleansat.storage.eo3 import MASK_PRODUCT, product_definition
from odc_cleansat.synthetic.scene import SimulatedScene


@pytest.fixture(scope="session")
def dc() -> Iterator[Datacube]:
    with Datacube(raw_config={"default": {"index_driver": "memory"}}) as dc:
        for product in ("s2_l2a", MASK_PRODUCT):
            add_product(dc, product_definition(product))
        yield dc


@pytest.fixture(scope="session")
def scene(dc: Datacube, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("scene")
    simulated = SimulatedScene(shape=(1200, 420), seed=1, swath_edge=True)
    return add_dataset(
        dc, write_scene_document(open_scene(simulated.write(folder / "june")), folder)
    )


@pytest.fixture(scope="session")
def written(scene: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished product, only to be read."""
    document = MaskJob(scene, tmp_path_factory.mktemp("products")).run(run_id="0123456789ab")
    assert isinstance(document, Path)
    return document.parent


@pytest.fixture
def product(written: Path, tmp_path: Path) -> Path:
    """A copy that may be harmed. Its scene lies beside the folder of masks, which is `tmp_path`."""
    return Path(shutil.copytree(written, tmp_path / MASK_PRODUCT / written.name))
