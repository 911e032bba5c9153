"""Datacube's own commands and odc-apps-dc-tools index what is written here, without our help."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from conftest import Cube
from environments import DEFINITIONS, database, datacube, program, run

PRODUCTS = sorted(DEFINITIONS.glob("*.odc-product.yaml"))
DOCUMENTS = "**/*.odc-metadata.yaml"


@pytest.fixture(scope="module")
def products(cube: Cube, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A datacube without datasets, with the products that `datacube product add` gave it."""
    config = database(cube, "products", tmp_path_factory.mktemp("products"))
    datacube(config, "system", "init")
    said = datacube(config, "product", "add", *PRODUCTS)
    assert said.count("DONE") == len(PRODUCTS) >= 3
    return config


@pytest.fixture
def config(cube: Cube, products: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A copy of that for each test."""
    return database(cube, request.node.name, tmp_path, template="products")


def masks(config: Path) -> set[str]:
    """The ids of the masks that a datacube has."""
    found = datacube(config, "dataset", "search", "product=s2_l2a_ucl")
    return set(re.findall(r"^id: (\S+)", found, re.MULTILINE))


def ids(cube: Cube) -> set[str]:
    return {str(dataset.id) for dataset in cube.masks.values()}


def test_dataset_add_with_lineage(cube: Cube, config: Path) -> None:
    scenes = sorted((cube.folder / "scenes").glob(DOCUMENTS))
    documents = sorted((cube.folder / "products").glob(DOCUMENTS))
    # A mask names its scene, so that one has to be there.
    refused = datacube(config, "dataset", "add", documents[0])
    assert f"No matching Product found for dataset {cube.scenes['june'].id}" in refused
    datacube(config, "dataset", "add", *scenes, *documents)
    mask = cube.masks["june"].id
    sources = datacube(config, "dataset", "info", "--show-sources", mask)
    assert str(cube.scenes["june"].id) in sources.partition("sources:")[2]


def test_dataset_add_without_scenes(cube: Cube, config: Path) -> None:
    """By the program, as users start it."""
    documents = sorted((cube.folder / "products").glob(DOCUMENTS))
    run(program("datacube"), "dataset", "add", "--ignore-lineage", *documents, config=config)
    assert masks(config) == ids(cube)


def test_fs_to_dc(cube: Cube, config: Path) -> None:
    folder = cube.folder / "products"
    run(program("fs-to-dc"), "--glob", DOCUMENTS, "--skip-lineage", folder, config=config)
    assert masks(config) == ids(cube)
