"""Ids, folders and labels of masks."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import pytest
from datacube.model import Dataset

from odc_cleansat.products.identity import derived_id
from odc_cleansat.products.job import MaskJob
from odc_cleansat.products.product import MaskProduct


def test_regions_of_any_name(scene: Dataset, tmp_path: Path) -> None:
    properties = {**scene.metadata_doc["properties"], "odc:region_code": "../51 P\u00fc#S"}
    document = {**scene.metadata_doc, "properties": properties}
    made = Path(MaskJob(Dataset(scene.product, document, uri=scene.uri), tmp_path).run())
    assert made.relative_to(tmp_path).parts[1] == "-51-P-S"
    assert MaskProduct(made.parent).is_intact()


MADE_OF = {
    "source_id": UUID(int=1), "model": "unet-x", "sha256": "ab" * 32,
    "parameters": {"stride": 448, "resolution": 10.0}, "resolution": 20.0, "offset": -1000,
}  # fmt: skip


def test_ids_stay_what_they_are() -> None:
    """Masks that were made by earlier versions are found by their id."""
    assert str(derived_id(**MADE_OF)) == "e7c7aa3d-9659-52f0-b92f-8886f0668f87"


@pytest.mark.parametrize(
    "other",
    [
        {"source_id": UUID(int=2)}, {"model": "unet-y"}, {"sha256": "cd" * 32}, {"parameters": {"stride": 224}},
        {"resolution": 10.0}, {"offset": 0}, {"version": "2"},
    ],
    ids=lambda other: next(iter(other)),
)  # fmt: skip
def test_all_that_decides_a_mask_decides_its_id(other: dict[str, object]) -> None:
    assert derived_id(**{**MADE_OF, **other}) != derived_id(**MADE_OF)
