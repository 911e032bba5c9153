"""Which masks there are to review."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from conftest import Cube

from odc_cleansat.errors import OutputError
from odc_cleansat.review.collection import collect
from unit.review.helpers import product


def test_masks_of_folders_and_of_a_datacube_are_taken_once(cube: Cube) -> None:
    june, july = cube.masks["june"], cube.masks["july"]
    found = collect([cube.folder / "products", cube.folder / "products"], None)
    assert {each.id for each in found.products} == {june.id, july.id}
    assert (len(found), found.unreadable) == (2, ())
    assert not any(each.indexed or each.scene for each in found.products)
    (mask,) = collect([june, june], cube.dc).products
    assert mask.indexed
    assert mask.scene is not None
    assert mask.scene.scl is not None
    both = collect([str(june.local_path), july], cube.dc)
    assert [each.indexed for each in both.products] == [False, True]


def test_what_cannot_be_read_is_told(cube: Cube, masks: Path, tmp_path: Path) -> None:
    broken = Path(shutil.copytree(product(masks, "07"), tmp_path / "broken"))
    next(broken.glob("*.odc-metadata.yaml")).write_text("{")
    found = collect([tmp_path, cube.scenes["june"]], cube.dc)
    assert found.products == ()
    assert [each.place for each in found.unreadable] == [str(broken), str(cube.scenes["june"].id)]
    assert "no EO3 document" in found.unreadable[0].reason
    assert "no measurement ucl" in found.unreadable[1].reason


def test_one_model(cube: Cube) -> None:
    place = cube.folder / "products"
    (mask, _) = collect(place, None).products
    assert len(collect(place, None, mask.model)) == 2
    with pytest.raises(
        OutputError, match=f"no mask by the model 'x'; there are masks by {mask.model}"
    ):
        collect(place, None, "x")
