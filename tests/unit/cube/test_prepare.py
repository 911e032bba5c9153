"""Scenes made ready for the driver: the address of each mask, offsets, gaps."""

from __future__ import annotations

import copy
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Cube
from datacube.model import Dataset, Product

from odc_cleansat import CloudClass
from odc_cleansat.cube.index import add_dataset
from odc_cleansat.cube.load import load
from odc_cleansat.errors import (
    GapWarning,
    ReflectanceWarning,
)
from odc_cleansat.products.job import MaskJob
from odc_cleansat.scenes.read import read_scene
from odc_cleansat.synthetic.scene import SimulatedScene

from .helpers import BOTH, HOME, of_home


def test_only_from_the_index(cube: Cube) -> None:
    with pytest.warns(GapWarning, match="1 of 2 scenes have no indexed mask"):
        found = load(
            cube.dc, datasets=[cube.scenes["june"], cube.scenes["west"]], measurements=["ucl", "scl"],
            like=BOTH, ucl="indexed",
        )  # fmt: skip
    assert found.sizes["time"] == 1  # taken at the same second
    west = load(cube.dc, datasets=[cube.scenes["west"]], measurements="ucl", like=BOTH).ucl[0]
    june = load(cube.dc, datasets=[cube.scenes["june"]], measurements="ucl", like=BOTH).ucl[0]
    only_west = (west != CloudClass.NODATA) & (june == CloudClass.NODATA)
    assert (found.ucl[0].values[only_west] == CloudClass.NODATA).all()


def test_a_scene_that_cannot_be_masked_is_a_gap(cube: Cube) -> None:
    scene = cube.scenes["july"]
    document = copy.deepcopy(scene.metadata_doc)
    del document["measurements"]["blue"]
    poor = Dataset(scene.product, document, uri=scene.uri)
    how: dict[str, Any] = {"like": HOME, "measurements": ["scl", "ucl"]}
    with pytest.warns(GapWarning, match="1 of 2 scenes cannot be masked.*lacks blue"):
        found = load(cube.dc, datasets=[cube.scenes["june"], poor], **how)
    assert (found.ucl[1] == CloudClass.NODATA).all()
    assert (found.scl[1] != 0).any()
    with pytest.raises(ValueError, match="lacks blue"):
        load(cube.dc, datasets=[poor], **how)
    load(cube.dc, datasets=[poor], like=HOME, measurements=["scl"])


def test_where_scenes_overlap_no_label_is_another_scene_s(cube: Cube, tmp_path: Path) -> None:
    june, west, index = cube.scenes["june"], cube.scenes["west"], cube.dc.index.datasets
    how: dict[str, Any] = {"like": BOTH, "measurements": ["red", "ucl", "ucl_confidence"]}
    mask = add_dataset(cube.dc, MaskJob(west, tmp_path).run())
    try:
        for own, other, hidden in (
            (june, west, mask),
            (west, june, cube.masks["june"]),
        ):
            mine = load(cube.dc, datasets=[own], ucl="indexed", **how)
            others = load(cube.dc, datasets=[other], ucl="indexed", **how)
            index.archive([hidden.id])
            try:
                with pytest.warns(GapWarning, match="1 of 2 scenes have no indexed mask"):
                    found = load(cube.dc, datasets=[june, west], ucl="indexed", **how)
            finally:
                index.restore([hidden.id])
            from_other = (found.red == others.red) & (found.red != mine.red) & (found.red > 0)
            assert from_other.sum() > 1000
            assert (found.ucl.values[from_other.values] == CloudClass.NODATA).all()
            assert (found.ucl_confidence.values[from_other.values] == 255).all()
            labelled = found.ucl.values > 0
            assert labelled.sum() > 1000
            assert (found.ucl.values == mine.ucl.values)[labelled].all()
            assert found.ucl.dtype == "uint8"
    finally:
        index.purge([mask.id], allow_delete_active=True)


def test_harmonized_bands_are_on_one_scale(cube: Cube) -> None:
    how = {"measurements": ["red", "scl", "ucl"], "like": HOME, "datasets": of_home(cube)}
    with pytest.warns(ReflectanceWarning, match="harmonized=True"):
        raw = load(cube.dc, **how)
    assert raw.offset.values.tolist() == [-1000, 0]
    found = load(cube.dc, harmonized=True, **how)
    assert found.offset.values.tolist() == [0, 0]
    np.testing.assert_array_equal(found.red[1], raw.red[1])
    june = raw.red[0].values.astype(int)
    np.testing.assert_array_equal(found.red[0], np.where(june == 0, 0, np.maximum(june - 1000, 1)))
    assert found.red.dtype == "uint16"
    np.testing.assert_array_equal(found.scl, raw.scl)
    np.testing.assert_array_equal(found.ucl, raw.ucl)


def test_bands_by_lower_case_names_are_harmonized(cube: Cube) -> None:
    june = cube.scenes["june"]
    names = {"blue": "b02", "green": "b03", "red": "b04", "nir": "b08"}
    definition = copy.deepcopy(june.product.definition)
    definition["measurements"] = [
        {**each, "name": names[each["name"]], "aliases": []}
        for each in definition["measurements"]
        if each["name"] in names
    ]
    given = june.metadata_doc["measurements"]
    document = {
        **june.metadata_doc,
        "measurements": {new: given[old] for old, new in names.items()},
    }
    lower = Dataset(Product(june.product.metadata_type, definition), document, uri=june.uri)
    plain = load(cube.dc, datasets=[june], like=HOME, measurements=["red"], harmonized=True)
    found = load(cube.dc, datasets=[lower], like=HOME, measurements=["b04"], harmonized=True)
    np.testing.assert_array_equal(found.b04, plain.red)


def test_bands_without_red_can_be_loaded(cube: Cube) -> None:
    scene = cube.scenes["june"]
    document = copy.deepcopy(scene.metadata_doc)
    del document["measurements"]["red"]
    found = load(
        cube.dc, datasets=[Dataset(scene.product, document, uri=scene.uri)], measurements=["blue"], like=HOME
    )  # fmt: skip
    assert float(found.offset[0]) == -1000
    assert (found.blue > 0).any()


def test_addresses_are_patched_for_masks_too(cube: Cube, tmp_path: Path) -> None:
    """As those of files that want a signature, or have moved."""
    scene = SimulatedScene(shape=(300, 300), seed=5).write(tmp_path / "here")
    dataset = read_scene(str(scene)).dataset
    how: dict[str, Any] = {
        "datasets": [dataset], "measurements": ["red", "ucl"], "output_crs": "EPSG:32633", "resolution": 20,
    }  # fmt: skip
    expected = load(cube.dc, **how)
    scene.rename(tmp_path / "there")

    def patch(address: str) -> str:
        assert address.startswith("file:")
        return address.replace("/here/", "/there/")

    for more in ({}, {"harmonized": True}, {"ucl": "indexed"}):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", GapWarning)  # of that without an indexed mask
            found = load(cube.dc, patch_url=patch, **how, **more)
        assert (found.red > 0).all()
        if "ucl" not in more:
            np.testing.assert_array_equal(found.ucl, expected.ucl)


@pytest.mark.parametrize("harmonized", [False, True])
def test_paths_that_urls_write_otherwise(cube: Cube, tmp_path: Path, harmonized: bool) -> None:
    scene = SimulatedScene(shape=(300, 300), seed=5).write(tmp_path / "june & j\u00fcly + 10%")
    dataset = read_scene(str(scene)).dataset
    found = load(
        cube.dc, datasets=[dataset], measurements=["red", "ucl"], harmonized=harmonized,
        output_crs="EPSG:32633", resolution=20,
    )  # fmt: skip
    assert ((found.red > 0) == (found.ucl > 0)).all()
    assert (found.red > 0).all()
