"""Ids, folders and labels of masks."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID, uuid5

import pytest
from datacube.model import Dataset

from odc_cleansat.models.registry import get_model
from odc_cleansat.products.identity import derived_id, mask_folder, mask_id, mask_label
from odc_cleansat.products.job import MaskJob
from odc_cleansat.products.product import MaskProduct
from odc_cleansat.storage.eo3 import read_document

MADE_OF = {
    "source_id": UUID(int=1), "model": "unet-x", "sha256": "ab" * 32,
    "parameters": {"stride": 448, "resolution": 10.0}, "resolution": 20.0, "offset": -1000,
}  # fmt: skip


def test_ids_stay_what_they_are() -> None:
    """Masks of this version are found by their id, and those of an earlier one are still what their ids say."""
    assert str(derived_id(**MADE_OF)) == "1d5765d9-0a28-53c2-9676-2b8bd883e15d"
    assert str(derived_id(**MADE_OF, version="1")) == "e7c7aa3d-9659-52f0-b92f-8886f0668f87"


@pytest.mark.parametrize(
    "other",
    [
        {"source_id": UUID(int=2)}, {"model": "unet-y"}, {"sha256": "cd" * 32}, {"parameters": {"stride": 224}},
        {"resolution": 10.0}, {"offset": 0}, {"version": "1"},
    ],
    ids=lambda other: next(iter(other)),
)  # fmt: skip
def test_all_that_decides_a_mask_decides_its_id(other: dict[str, object]) -> None:
    assert derived_id(**{**MADE_OF, **other}) != derived_id(**MADE_OF)


def test_what_an_id_is_made_of() -> None:
    """One line for each part, the parameters in the order of the alphabet, in small letters."""
    lines = (
        "odc-cleansat", "2", "", "grid=20", "model=unet-x", "offset=-1000", "resolution=10.0", "stride=448",
        f"weights={'ab' * 32}", "00000000-0000-0000-0000-000000000001",
    )  # fmt: skip
    namespace = UUID("6f34c6f4-13d6-43c0-8e4e-42b6c13203af")
    shouted = {**MADE_OF, "model": "UNET-X", "sha256": "AB" * 32}
    assert derived_id(**shouted) == derived_id(**MADE_OF) == uuid5(namespace, "\n".join(lines))


def test_the_id_of_a_mask_by_a_model() -> None:
    model = get_model("unet-efficientnetb4-l2a-6b")
    windows = {"resolution": 30.0, "stride": [896, 1920], "overlap": 128, "whole": 4_194_304}
    plain, refined = (
        mask_id(UUID(int=1), model, 20.0, -1000.0, refine=refine) for refine in (False, True)
    )
    made_of = (UUID(int=1), model.name, model.sha256)
    assert plain == derived_id(*made_of, windows, 20, -1000), "as before there was light"
    assert refined == derived_id(*made_of, windows | {"light": "2"}, 20, -1000)
    assert refined == mask_id(UUID(int=1), model, 20.0, -1000.0)


@pytest.mark.parametrize(
    ("region", "there"),
    [("33TWN", "33TWN"), ("../51 P\u00fc#S", "-51-P-S"), ("a_b-c", "a_b-c"), ("", "no-region"), (None, "no-region"),
     ("x" * 60 + "y", "x" * 60)],
)  # fmt: skip
def test_folder_and_label(region: str | None, there: str) -> None:
    """They tell region, date and the first digits of the id."""
    properties = {"datetime": "2024-06-01T10:10:31Z", "odc:region_code": region}
    source = read_document(
        {"id": str(UUID(int=1)), "product": {"name": "s2_l2a"}, "crs": "EPSG:32633", "properties": properties}
    )  # fmt: skip
    mask = UUID("01234567-89ab-cdef-0123-456789abcdef")
    label = f"s2_l2a_ucl_{there}_2024-06-01_01234567"
    assert mask_label(mask, source) == label
    assert mask_folder(mask, source) == Path("s2_l2a_ucl", there, "2024", "06", "01", label)


def test_regions_of_any_name(scene: Dataset, tmp_path: Path) -> None:
    properties = {**scene.metadata_doc["properties"], "odc:region_code": "../51 P\u00fc#S"}
    document = {**scene.metadata_doc, "properties": properties}
    made = Path(MaskJob(Dataset(scene.product, document, uri=scene.uri), tmp_path).run())
    assert made.relative_to(tmp_path).parts[1] == "-51-P-S"
    assert MaskProduct(made.parent).is_intact()
