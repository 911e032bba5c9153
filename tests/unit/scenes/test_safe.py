"""SAFE folders as scenes."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import read_folder

from odc_cleansat import classify
from odc_cleansat.errors import SceneError
from odc_cleansat.scenes.read import read_scene

from .helpers import SIX, masked
from .safe_folder import SAFES, safe

pytestmark = pytest.mark.usefixtures("fast_network")


@pytest.mark.parametrize("baseline", SAFES)
def test_a_safe_folder(baseline: str, metadata: Path, tmp_path: Path) -> None:
    """One in JPEG 2000 across the antimeridian, one in GeoTIFF; with and without an offset."""
    name, pixels, tile, offset = SAFES[baseline]
    folder = safe(metadata / "stactools-sentinel2" / name, tmp_path, pixels)
    scene = read_scene(str(folder))
    codes, document = masked(scene, tmp_path / "out")
    properties = document["properties"]
    assert properties["odc:region_code"] == tile
    assert (properties["cleansat:offset"], properties["s2:processing_baseline"]) == (
        offset,
        baseline,
    )
    assert properties["cleansat:source"] == scene.label == name.removesuffix(".SAFE")
    assert properties["s2:product_uri"] == name
    assert document["crs"] == f"epsg:{pixels.epsg}"
    six = read_folder(tmp_path / "pixels", SIX)
    expected = classify(six, geobox=pixels.geobox(20), offset=offset).ucl.values
    np.testing.assert_array_equal(codes, expected)
    # The same product elsewhere is the same scene.
    moved = folder.rename(tmp_path / "out" / name)
    assert read_scene(str(moved)).dataset.id == scene.dataset.id


def test_numbers_of_another_scale(metadata: Path, tmp_path: Path) -> None:
    name, pixels, *_ = SAFES["05.09"]
    folder = safe(metadata / "stactools-sentinel2" / name, tmp_path, pixels)
    document = folder / "MTD_MSIL2A.xml"
    text = document.read_text(encoding="utf-8")
    document.write_text(
        re.sub(r"(<BOA_QUANTIFICATION_VALUE[^>]*>)10000", r"\g<1>1000", text), encoding="utf-8"
    )
    with pytest.raises(SceneError, match=r"says that 1000 is a reflectance of 1.*it is 10000"):
        read_scene(str(folder))


def test_a_zip_file_is_read_without_unpacking(metadata: Path, tmp_path: Path) -> None:
    """As it is downloaded; with a footprint around the Earth, as some at the antimeridian have."""
    name, pixels, *_ = SAFES["05.09"]
    folder = safe(metadata / "stactools-sentinel2" / name, tmp_path / "a", pixels)
    document = folder / "MTD_MSIL2A.xml"
    around = "<EXT_POS_LIST>67.6 180.0 66.7 -180.0 66.7 180.0 67.6 180.0 "
    text = re.sub("<EXT_POS_LIST>[^<]*", around, document.read_text(encoding="utf-8"))
    document.write_text(text, encoding="utf-8")
    path = Path(shutil.make_archive(str(tmp_path / name), "zip", tmp_path / "a", name))
    zipped, unpacked = read_scene(str(path)), read_scene(str(folder))
    assert zipped.dataset.id == unpacked.dataset.id
    np.testing.assert_array_equal(
        masked(zipped, tmp_path / "zipped")[0], masked(unpacked, tmp_path / "unpacked")[0]
    )


def test_zip_files_that_are_no_products(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("nothing")
    path = Path(shutil.make_archive(str(tmp_path / "bands"), "zip", tmp_path, "x.txt"))
    with pytest.raises(SceneError, match="holds no SAFE products; unpack it"):
        read_scene(str(path))
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(SceneError, match="cannot be unpacked"):
        read_scene(str(path))


def test_a_safe_folder_that_is_none(metadata: Path, tmp_path: Path) -> None:
    source = metadata / "stactools-sentinel2" / SAFES["02.12"][0]
    with pytest.raises(SceneError, match=r"manifest\.safe"):
        read_scene(str(source))  # its metadata only, in one folder
    renamed = shutil.copytree(source, tmp_path / "renamed")
    with pytest.raises(SceneError, match=r"NAME\.SAFE"):
        read_scene(str(renamed))
    level1 = tmp_path / SAFES["02.12"][0].replace("MSIL2A", "MSIL1C")
    level1.mkdir()
    with pytest.raises(SceneError, match="level 1C"):
        read_scene(str(level1))


def test_a_safe_folder_without_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "stactools.sentinel2.stac", None)
    (tmp_path / "S2A_MSIL2A_x.SAFE").mkdir()
    with pytest.raises(SceneError, match=r"odc-cleansat\[safe\]"):
        read_scene(str(tmp_path / "S2A_MSIL2A_x.SAFE"))
