"""A datacube whose index is a catalogue, opened by hand and by datacube's configuration."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote

import pytest
from datacube import Datacube
from s3_server import Proxy

from odc_cleansat.catalog.index import DRIVER, CatalogIndexDriver, index_driver_init, open_index
from odc_cleansat.storage.eo3 import MASK_PRODUCT

from .made import mask, with_masks


def test_datacube_finds_the_driver_by_its_name(tmp_path: Path) -> None:
    dc = with_masks(open_index(tmp_path / "store"))
    dc.index.datasets.add_all([mask(dc, tmp_path / "store", "m")])
    config = tmp_path / "datacube.conf"
    config.write_text(f"[masks]\nindex_driver: {DRIVER}\ncatalog: {tmp_path / 'store'}\n")
    with Datacube(config=str(config), env="masks") as found:
        assert len(found.find_datasets(product=MASK_PRODUCT)) == 1
        assert found.index.name == DRIVER
        assert found.index.url == str(tmp_path / "store")


def test_the_driver_makes_metadata_types() -> None:
    driver = index_driver_init()
    assert isinstance(driver, CatalogIndexDriver)
    known = open_index("/nowhere").index.metadata_types.get_by_name("eo3")
    assert driver.metadata_type_from_doc(known.definition).name == "eo3"


def test_nothing_is_written_by_opening(tmp_path: Path) -> None:
    assert list(open_index(tmp_path / "new").index.products.get_all()) == []
    assert not (tmp_path / "new").exists()


def test_a_bucket(bucket: str, proxy: Proxy) -> None:
    root = f"s3://{bucket}/masks"
    dc = with_masks(open_index(root))
    dc.index.datasets.add_all([mask(dc, root, f"m{i}") for i in range(3)])
    for i in range(17):
        dc.index.datasets.add_all([mask(dc, root, f"n{i}")])
    other = open_index(root)
    found = other.find_datasets(product=MASK_PRODUCT, time="2024-06")
    assert len(found) == 20
    assert {each.uri.startswith(f"{root}/") for each in found} == {True}
    seen = len(proxy.seen)
    assert len(other.find_datasets(product=MASK_PRODUCT)) == 20
    reads = [
        unquote(path)
        for method, path in proxy.seen[seen:]
        if ".parquet" in path and method == "GET"
    ]
    assert reads == []  # parts never change, so they are read once


def test_a_bucket_that_refuses(bucket: str, proxy: Proxy) -> None:
    from odc_cleansat.errors import OutputError

    root = f"s3://{bucket}"
    dc = with_masks(open_index(root))
    proxy.fault = lambda method, path: "deny" if method == "PUT" else None
    with pytest.raises(OutputError):
        dc.index.datasets.add_all([mask(dc, root, "m")])
    proxy.fault = lambda method, path: None
    assert open_index(root).find_datasets(product=MASK_PRODUCT) == []
    assert dc.index.url == root
