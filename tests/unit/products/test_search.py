"""Which mask a path, a dataset, an id or a label means."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from odc_cleansat.errors import CubeError, OutputError
from odc_cleansat.products.search import find_indexed_mask
from odc_cleansat.products.verdict_files import (
    SUFFIX,
    accept,
    flag,
    verdicts,
)
from unit.reviewed import Place


def test_every_name_of_a_mask(place: Place) -> None:
    (mask,) = place.index(0)
    label = mask.metadata_doc["label"]
    document = str(place.jobs[0].document)
    for name in (mask, mask.uri, document, Path(document), place.folders[0], str(place.folders[0])):
        assert flag(name, by="me").mask == mask.id
    for known in (mask.id, str(mask.id), str(mask.id)[:8], str(mask.id)[:4].upper(), label):
        assert flag(known, by="me", dc=place.dc).mask == mask.id
    assert len(verdicts(mask)) == 11


def test_what_is_no_mask(place: Place, tmp_path: Path) -> None:
    masks = place.index(0, 1, 2)
    with pytest.raises(OutputError, match="no mask product"):
        accept(place.root)
    with pytest.raises(OutputError, match=r"nothing.odc-metadata.yaml is missing"):
        accept("nothing.odc-metadata.yaml")
    with pytest.raises(CubeError, match="give one, or the datacube"):
        accept(masks[0].id)
    with pytest.raises(CubeError, match="no mask 'ffffffffffff'"):
        accept("ffffffffffff", dc=place.dc)
    with pytest.raises(CubeError, match="no mask 'zebra'"):
        accept("zebra", dc=place.dc)
    with pytest.raises(CubeError, match="has no dataset"):
        accept(uuid.uuid4(), dc=place.dc)
    with pytest.raises(CubeError, match="is no mask"):
        accept(place.scenes[0])
    with pytest.raises(OutputError, match="is no mask"):
        accept(place.scenes[0].uri)
    (tmp_path / "broken.odc-metadata.yaml").write_text("{")
    with pytest.raises(OutputError, match="no EO3 document"):
        accept(tmp_path)
    assert not list(place.folder.rglob(f"*{SUFFIX}"))


def test_digits_that_several_masks_share(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    masks = place.index(0, 1)
    monkeypatch.setattr("odc_cleansat.products.search.FEWEST_DIGITS", 0)
    with pytest.raises(CubeError, match=r"masks: .*give more digits"):
        find_indexed_mask(place.dc, "")
    assert find_indexed_mask(place.dc, str(masks[1].id)[:8]).id == masks[1].id


def test_a_mask_whose_files_are_gone(place: Place) -> None:
    (mask,) = place.index(0)
    moved = place.folders[0].rename(place.folder / "moved")
    try:
        with pytest.raises(OutputError, match="is not there"):
            accept(mask)
        assert not place.folders[0].exists()
    finally:
        moved.rename(place.folders[0])
