"""The service: scenes, tiles and verdicts, and a datacube or a store that is not there."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest
from conftest import Cube

from odc_cleansat.app.service import Service, chosen_mask, get_service, set_service
from odc_cleansat.app.settings import AppSettings
from odc_cleansat.cube.scene_list import MaskRow
from odc_cleansat.errors import CubeError, OutputError
from odc_cleansat.products.verdict_files import reject


def test_scenes_come_with_their_masks_the_latest_first(service: Service, cube: Cube) -> None:
    rows = service.find(None, None)
    assert rows[0].id == cube.scenes["july"].id
    masks = {row.id: mask and mask.id for row in rows for mask in [chosen_mask(row)]}
    assert masks[cube.scenes["june"].id] == cube.masks["june"].id
    assert masks[cube.scenes["west"].id] is None
    assert {row.id for row in service.find(None, "2024-07")} == {cube.scenes["july"].id}


def test_tiles_are_those_of_the_scene_and_are_remembered(service: Service, cube: Cube) -> None:
    scene, mask = cube.scenes["june"].id, cube.masks["june"].id
    found = service.tiles(scene, mask)
    assert "ucl" in found.kinds
    assert service.tiles(scene, mask) is found
    assert "ucl" not in service.tiles(scene, None).kinds


def test_what_is_no_scene(service: Service, cube: Cube) -> None:
    with pytest.raises(CubeError, match="no dataset"):
        service.tiles(uuid4(), None)
    with pytest.raises(CubeError, match="is no scene of s2_l2a"):
        service.tiles(cube.masks["june"].id, None)
    with pytest.raises(CubeError, match="is no mask"):
        service.tiles(cube.scenes["june"].id, cube.scenes["june"].id)


def test_other_products_of_the_datacube_are_not_shown(cube: Cube, tmp_path: Path) -> None:
    """Whoever edits an address sees nothing but scenes of the product, and their masks."""
    config = str(cube.folder / "datacube.conf")
    made = Service(AppSettings(str(tmp_path), product="public_l2a", config=(config,)))
    with pytest.raises(CubeError, match="is no scene of public_l2a"):
        made.tiles(cube.scenes["june"].id, None)
    made.close()


def test_a_datacube_that_is_not_there_and_comes_back(cube: Cube, tmp_path: Path) -> None:
    config = tmp_path / "datacube.conf"
    config.write_text("[default]\ndb_url: postgresql://u@127.0.0.1:1/none\n")
    made = Service(AppSettings(str(tmp_path), config=(str(config),)))
    with pytest.raises(CubeError, match="cannot be reached"):
        made.find(None, None)
    config.write_text((cube.folder / "datacube.conf").read_text())
    assert made.find(None, None)
    made.close()


def test_a_store_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        Service(AppSettings(str(tmp_path / "file" / "store"))).start()


def test_pages_without_an_application() -> None:
    set_service(None)
    with pytest.raises(RuntimeError, match="cleansat app"):
        get_service()


def test_what_cannot_be_recalled_is_told(
    service: Service, cube: Cube, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert service.gaps(None, None) == []
    copies = shutil.copytree(cube.folder / "products", tmp_path / "products")

    def elsewhere(mask: MaskRow) -> MaskRow:
        assert mask.uri is not None
        return replace(mask, uri=mask.uri.replace(str(cube.folder / "products"), str(copies)))

    rows = [
        replace(row, masks=tuple(map(elsewhere, row.masks))) for row in service.find(None, None)
    ]
    monkeypatch.setattr(service, "find", lambda *_: rows)
    by_scene = {row.id: row for row in rows}
    june, july = (by_scene[cube.scenes[name].id] for name in ("june", "july"))
    assert june.masks[0].uri
    assert july.masks[0].uri
    reject(june.masks[0].uri.removeprefix("file://"), "no good", "Ann")
    for file in Path(july.masks[0].uri.removeprefix("file://")).parent.glob("*_ucl.tif"):
        file.write_bytes(b"")
    rejected, broken = service.gaps(None, None)
    assert june.label in rejected
    assert "rejected the mask" in rejected
    assert july.label in broken
    assert "not whole" in broken
