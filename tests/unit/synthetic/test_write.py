"""Simulated scenes on disk."""

from __future__ import annotations

import json

import numpy as np
import pytest
import rasterio

from odc_cleansat.errors import SceneError
from odc_cleansat.synthetic.scene import SimulatedScene

from .helpers import NATIVE, SCENE


@pytest.mark.parametrize("offset", [-1000, 0])
def test_written_files_equal_what_is_in_memory(tmp_path, offset):
    scene = SimulatedScene(
        shape=(996, 126),
        seed=2,
        swath_edge=True,
        epsg=32748,
        origin=(600000, 9300000),
        offset=offset,
    )
    seen = []
    folder = scene.write(tmp_path / "deep" / "scene", progress=lambda *rows: seen.append(rows))
    assert {p.name for p in folder.iterdir()} == {f"{n}.tif" for n in NATIVE} | {"scene.json"}
    assert [p.name for p in folder.parent.iterdir()] == ["scene"]
    for name, values in scene.read().items():
        with rasterio.open(folder / f"{name}.tif") as file:
            assert np.array_equal(file.read(1), values), name
            assert file.crs.to_epsg() == 32748
            assert file.transform == scene.geobox(NATIVE[name]).affine
            assert file.nodata == 0
            assert file.profile["tiled"]
            assert file.compression.name == "deflate"
    assert seen[-1] == (996, 996)
    assert seen == sorted(set(seen))
    document = json.loads((folder / "scene.json").read_text())
    assert document["simulated"] is True
    assert document["offset"] == offset
    assert document["shape"] == [996, 126]
    assert document["datetime"] == scene.datetime
    assert (float(document["processing_baseline"]) >= 4) == (offset == -1000)


def test_an_interrupted_write_leaves_nothing(tmp_path):
    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        SCENE.write(tmp_path / "scene", progress=stop)
    assert list(tmp_path.iterdir()) == []


def test_an_existing_scene_is_not_overwritten(tmp_path):
    (tmp_path / "scene").mkdir()
    (tmp_path / "scene" / "mine.txt").write_text("keep")
    with pytest.raises(SceneError, match="exists already"):
        SCENE.write(tmp_path / "scene")
    assert [p.name for p in (tmp_path / "scene").iterdir()] == ["mine.txt"]
