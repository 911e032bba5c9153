"""A mask product is complete or absent, and its layers are as they were given."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import xarray as xr
from datacube.model import Dataset
from fakes import brightness_engine
from odc.geo.geobox import GeoBox
from odc.geo.xr import wrap_xr
from rasterio.features import geometry_mask
from rio_cogeo import cog_validate
from shapely.geometry import shape

from odc_cleansat.errors import SceneError
from odc_cleansat.products.job import MaskJob
from odc_cleansat.products.write import write_layer
from odc_cleansat.storage.folder import Folder
from unit.products.helpers import content, grid, one, read_yaml, stored


def test_a_damaged_product_stays_until_the_new_one_is_there(
    scene: Dataset, product: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever moment it is killed in, no more is lost than was."""
    one(product, "*_ucl.tif").write_bytes(b"damaged")
    damaged = content(product)
    new = tmp_path / "new"
    shutil.copytree(product, new)
    for path in new.iterdir():
        path.write_bytes(b"new " + path.name.encode())
    wanted = content(new)
    replaced: list[str] = []
    real = os.replace

    def watched(source: Path, target: Path) -> None:
        real(source, target)
        replaced.append(target.name)
        left = {n: wanted[n] if n in replaced else damaged[n] for n in damaged}
        assert content(product) == left

    monkeypatch.setattr("odc_cleansat.storage.atomic.os.replace", watched)
    last = [one(product, "*.sha1").name, one(product, "*.odc-metadata.yaml").name]
    Folder(product).deliver(new, last)
    assert replaced[-2:] == last
    assert content(product) == wanted


FULL = """
import resource, sys, warnings
from pathlib import Path
import pickle
source, mask, model, offset, dataset_id = pickle.load(open(sys.argv[1], "rb"))
from odc_cleansat.storage.eo3 import read_document
from odc_cleansat.products.provenance import Provenance
from odc_cleansat.products.write import write_mask
provenance = Provenance(read_document(source), model, offset, "x", "f32")
for limit in sys.argv[3:]:
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), resource.RLIM_INFINITY))
    try:
        print("written", write_mask(mask, provenance, dataset_id, sys.argv[2]))
    except Exception as error:
        print(type(error).__name__, error)
"""


def test_a_full_disk(scene: Dataset, written: Path, tmp_path: Path) -> None:
    """Files that cannot grow beyond a limit stand for a disk without space."""
    import pickle

    job = MaskJob(scene, tmp_path)
    rng = np.random.default_rng(0)
    mask = stored(written)
    mask["ucl_confidence"] = mask.ucl_confidence.copy(
        data=rng.integers(34, 100, mask.ucl.shape, dtype="uint8")
    )
    parts = (scene.metadata_doc, mask, job.model, job.offset, job.id)
    (tmp_path / "mask.pickle").write_bytes(pickle.dumps(parts))
    out = tmp_path / "out"
    said = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FULL, tmp_path / "mask.pickle", out, "1000", "20000", "70000"],
        capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    assert len(said) == 3
    for line in said:
        assert line.startswith("OutputError cannot write the mask to")
        assert "Check the space" in line
    assert [p for p in out.rglob("*") if p.is_file()] == []
    assert not list(out.glob(".cleansat-*"))


def test_a_layer_that_the_disk_did_not_take_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = wrap_xr(np.ones((70, 90), "uint8"), GeoBox((70, 90), grid().affine, "EPSG:32633"), nodata=0)  # fmt: skip
    import rasterio.shutil

    real = rasterio.shutil.copy

    def other(source: str, target: Path, **how: object) -> None:
        real(source, target, **how)
        with rasterio.open(target, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as file:
            file.write(np.zeros((1, 1), "uint8"), 1, window=((3, 4), (5, 6)))

    monkeypatch.setattr("rasterio.shutil.copy", other)
    with pytest.raises(OSError, match="not written whole"):
        write_layer(layer, tmp_path / "x.tif")


def test_layers_are_written_side_by_side(
    scene: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLEANSAT_THREADS", "2")
    together = threading.Barrier(2, timeout=60)

    def write(layer: xr.DataArray, path: Path) -> None:
        together.wait()
        write_layer(layer, path)

    monkeypatch.setattr("odc_cleansat.products.write.write_layer", write)
    document = MaskJob(scene, tmp_path).run()
    written = read_yaml(Path(document))["measurements"]
    assert list(written) == ["ucl", "ucl_confidence"]
    assert not together.broken


def test_overviews_are_by_mode(tmp_path: Path) -> None:
    """They hold no class that is not there, and a class on a third of the pixels in specks is lost."""
    rng = np.random.default_rng(0)
    cloud = np.zeros((1600, 1600), dtype=bool)
    for y, x in rng.integers(0, 1597, (90_000, 2)):
        cloud[y : y + 3, x : x + 3] = True
    codes = np.where(cloud, 3, 1).astype("uint8")
    gbox = GeoBox((1600, 1600), grid().affine, "EPSG:32633")
    write_layer(wrap_xr(codes, gbox, nodata=0), tmp_path / "x.tif")
    valid, _, warned = cog_validate(tmp_path / "x.tif", strict=True)
    assert valid
    assert not warned
    with rasterio.open(tmp_path / "x.tif") as file:
        assert file.overviews(1) == [2, 4, 8]
        assert file.compression.name == "deflate"
        assert file.block_shapes == [(512, 512)]
    with rasterio.open(tmp_path / "x.tif", overview_level=0) as file:
        small = file.read(1)
    assert set(np.unique(small)) == {1, 3}
    blocks = codes.reshape(800, 2, 800, 2).transpose(0, 2, 1, 3).reshape(800, 800, 4) == 3
    majority = blocks.sum(-1)
    assert (small[majority > 2] == 3).all()
    assert (small[majority < 2] == 1).all()


@pytest.mark.parametrize("code", ["epsg:32633", "EPSG:32633"])
def test_the_footprint_is_that_of_the_pixels(scene: Dataset, tmp_path: Path, code: str) -> None:
    """However the scene's document writes the coordinate system, and whatever footprint it tells."""
    elsewhere = {"type": "Polygon", "coordinates": [[[0, 0], [9, 0], [9, 9], [0, 0]]]}
    document = {**scene.metadata_doc, "crs": code, "geometry": elsewhere}
    with brightness_engine():
        made = MaskJob(Dataset(scene.product, document, uri=scene.uri), tmp_path).run()
    mask = stored(Path(made).parent).ucl
    found = shape(read_yaml(made)["geometry"])
    with rasterio.open(one(Path(made).parent, "*_ucl.tif")) as file:
        inside = geometry_mask([found], file.shape, file.transform, invert=True)
    assert inside[mask.values > 0].all()
    assert inside[mask.values == 0].mean() < 0.1  # the edge of the swath is straight
    assert found.area < mask.odc.geobox.extent.area


def test_a_scene_never_speaks_for_its_mask(scene: Dataset, tmp_path: Path) -> None:
    of_the_mask = {
        "cleansat:model": "another", "cleansat:offset": 5, "cleansat:cloud_percent": 99, "cleansat:engine": "none",
        "cleansat:data_percent": 1, "cleansat:scene": "another", "cleansat:new": 1, "eo:cloud_cover": 99,
        "eo:gsd": 1, "odc:producer": "another", "fmask:cloud": 99, "odc:dataset_version": "9",
        "odc:product_family": "level2", "s2cloudless:cloud": 99,
    }  # fmt: skip
    of_the_scene = {
        "cleansat:simulated": True, "cleansat:source": "https://x.org/item", "eo:sun_elevation": 40.0,
        "s2:product_uri": "S2A.SAFE", "s2:processing_baseline": "05.10", "odc:region_code": "33UWP",
    }  # fmt: skip

    def properties(folder: Path, more: dict[str, Any]) -> dict[str, Any]:
        document = {**scene.metadata_doc}
        document["properties"] = {**document["properties"], **of_the_scene, **more}
        with brightness_engine():
            made = MaskJob(
                Dataset(scene.product, document, uri=scene.uri), folder, offset=-1000
            ).run()
        found = read_yaml(made)["properties"]
        del found["odc:processing_datetime"]
        return found

    plain = properties(tmp_path / "plain", {})
    assert of_the_scene.items() <= plain.items()
    assert properties(tmp_path / "more", of_the_mask) == plain


def test_a_scene_whose_angles_are_text_is_refused_in_words(scene: Dataset, tmp_path: Path) -> None:
    document = {**scene.metadata_doc}
    document["properties"] = {**document["properties"], "eo:sun_azimuth": "Bearer x"}
    job = MaskJob(Dataset(scene.product, document, uri=scene.uri), tmp_path, offset=-1000)
    with brightness_engine(), pytest.raises(SceneError, match="the metadata of the scene is not"):
        job.run()
    assert not list(tmp_path.rglob("*.tif"))
