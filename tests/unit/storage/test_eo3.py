"""EO3 documents and product definitions."""

from __future__ import annotations

from conftest import Cube

from odc_cleansat.storage.eo3 import read_document


def test_the_lineage_that_datacube_nests_is_no_hindrance(cube: Cube) -> None:
    mask = cube.dc.index.datasets.get(cube.masks["june"].id, include_sources=True)
    assert "source_datasets" in mask.metadata_doc["lineage"]
    assert read_document(mask.metadata_doc).id == mask.id
