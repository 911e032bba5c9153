"""Products and datasets added to a datacube, again and again."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import pytest
import yaml
from conftest import Cube

from odc_cleansat.cube.index import add_dataset, add_product, find_dataset, resolve_dataset
from odc_cleansat.errors import CubeError
from odc_cleansat.storage.eo3 import MASK_PRODUCT, product_definition


def test_a_product_is_added_once(cube: Cube) -> None:
    document = product_definition(MASK_PRODUCT)
    assert not add_product(cube.dc, document)
    document["measurements"].append({**document["measurements"][0], "name": "haze"})
    with pytest.raises(CubeError, match=f"another product {MASK_PRODUCT}, without haze"):
        add_product(cube.dc, document)


def test_a_dataset_is_added_once(cube: Cube) -> None:
    mask = cube.masks["june"]
    again = add_dataset(cube.dc, mask.local_path)
    assert (again.id, again.uri) == (mask.id, mask.uri)
    assert again.measurements == mask.measurements
    assert len(cube.dc.find_datasets(product=MASK_PRODUCT)) == len(cube.masks)


def test_an_archived_dataset_is_not_found_and_comes_back(cube: Cube) -> None:
    mask = cube.masks["july"]
    assert find_dataset(cube.dc, UUID(int=0)) is None
    cube.dc.index.datasets.archive([mask.id])
    try:
        assert find_dataset(cube.dc, mask.id) is None
    finally:
        add_dataset(cube.dc, mask.local_path)
    found = find_dataset(cube.dc, mask.id)
    assert found is not None
    assert found.id == mask.id


def test_a_dataset_has_the_lineage_that_the_index_knows(cube: Cube, tmp_path: Path) -> None:
    found = resolve_dataset(cube.dc, cube.masks["june"].local_path)
    assert [each.id for each in found.sources.values()] == [cube.scenes["june"].id]
    document = yaml.safe_load(cube.masks["june"].local_path.read_text())
    document["lineage"] = {name: [str(UUID(int=1))] for name in document["lineage"]}
    (tmp_path / "alone.yaml").write_text(yaml.safe_dump(document))
    assert not resolve_dataset(cube.dc, tmp_path / "alone.yaml").sources


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "it is not there"),
        ("just: a document", "no EO3 document"),
        ("[", "cannot index"),
        ("product: {name: nobody_knows}", "no product nobody_knows; add its definition first"),
        ("product: {name: s2_l2a}", "cannot index"),
    ],
)
def test_what_cannot_be_indexed(cube: Cube, tmp_path: Path, text: str | None, message: str) -> None:
    path = tmp_path / "some.odc-metadata.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(CubeError, match=message):
        add_dataset(cube.dc, path)
