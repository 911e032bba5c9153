"""Scenes of several providers in one load: their bands are comparable, or the user is told."""

from __future__ import annotations

import copy
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import odc.stac
import pystac
import pytest
import rasterio
import stackstac
from conftest import Cube
from datacube.model import Dataset, Product

from odc_cleansat import classify
from odc_cleansat.cube.driver import with_ucl
from odc_cleansat.cube.load import load
from odc_cleansat.errors import CubeError, ReflectanceWarning
from odc_cleansat.scenes.files import local_path

from .helpers import HOME
from .test_driver import stac_item

GRID: dict[str, Any] = {"crs": "EPSG:32633", "resolution": 20, "driver": "cleansat"}


@pytest.fixture(scope="module")
def items(cube: Cube) -> list[pystac.Item]:
    """The same place by two providers: one has taken the offset off, and says so."""
    june, july = (stac_item(cube.folder / n, cube.scenes[n]) for n in ("june", "july"))
    july.id = "S2B_33UVP_20240715_0_L2A"
    july.properties["earthsearch:boa_offset_applied"] = True
    for asset in june.assets.values():
        if asset.extra_fields["raster:bands"][0]["data_type"] == "uint16":
            asset.extra_fields["raster:bands"][0] |= {"scale": 0.0001, "offset": -0.1}
    return [june, july]


def dark(cube: Cube, name: str) -> np.ndarray:
    """The reflectance of red of a scene, as its file and its offset give it."""
    with rasterio.open(cube.folder / name / "B04.tif") as file:
        numbers = file.read(1).astype(int)
    numbers = numbers[numbers > 0]
    return np.maximum(numbers + (-1000 if name == "june" else 0), 1)


def test_offsets_of_several_providers_are_told(items: list[pystac.Item]) -> None:
    with pytest.warns(ReflectanceWarning, match=r"20240615_0_L2A: -1000; .*20240715_0_L2A: 0\).*harmonized=True"):  # fmt: skip
        with_ucl(items)


def test_nothing_is_said_where_all_is_equal(cube: Cube, items: list[pystac.Item]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", ReflectanceWarning)
        with_ucl([items[0], items[0]])
        with_ucl(items, harmonized=True)
        with_ucl(items, offset=0)
        with_ucl([cube.scenes["june"], cube.scenes["june"]])
        load(cube.dc, datasets=[cube.scenes["june"]], like=HOME[:50, :50], measurements=["red"])


def test_harmonized_bands_of_items(cube: Cube, items: list[pystac.Item]) -> None:
    with pytest.warns(ReflectanceWarning):
        raw = odc.stac.load(with_ucl(items), bands=["red", "scl", "ucl"], **GRID)
    scenes = with_ucl(items, harmonized=True)
    found = odc.stac.load(scenes, bands=["red", "scl", "ucl"], **GRID)
    june = raw.red[0].values.astype(int)
    np.testing.assert_array_equal(found.red[0], np.where(june == 0, 0, np.maximum(june - 1000, 1)))
    np.testing.assert_array_equal(found.red[1], raw.red[1])
    np.testing.assert_array_equal(found.scl, raw.scl)
    np.testing.assert_array_equal(found.ucl, raw.ucl)
    assert found.red.dtype == "uint16"
    # What the whole scene has in its own file, whatever the loader does.
    fine = odc.stac.load(scenes, bands=["red"], **(GRID | {"resolution": 10}))
    for i, name in enumerate(("june", "july")):
        values = fine.red[i].values
        np.testing.assert_array_equal(np.unique(values[values > 0]), np.unique(dark(cube, name)))


def test_no_asset_states_an_offset_that_is_taken_off(items: list[pystac.Item]) -> None:
    old = items[0].assets["red"]
    found = with_ucl([items[0]], harmonized=True)[0].assets["red"]
    assert found.extra_fields["raster:bands"][0]["offset"] == 0
    assert old.extra_fields["raster:bands"][0]["offset"] == -0.1, "the caller's item is left alone"
    assert old.href.endswith("B04.tif")


def test_names_with_a_resolution(items: list[pystac.Item]) -> None:
    """As Copernicus has them; the address of a file may have a signature."""
    item = items[0].clone()
    for name, number in (("blue", 2), ("green", 3), ("red", 4), ("nir", 8)):
        asset = item.assets.pop(name)
        item.assets[f"B0{number}_10m"] = asset
    item.assets = {n: a for n, a in item.assets.items() if not n.startswith("swir")}
    (found,) = with_ucl([item], harmonized=True)
    how = {**GRID, "patch_url": lambda address: address}
    first = odc.stac.load([found], bands=["B04_10m"], **how).B04_10m
    with pytest.warns(ReflectanceWarning):
        second = odc.stac.load(with_ucl(items, harmonized=False), bands=["red"], **GRID).red
    numbers = second[0].values.astype(int)
    np.testing.assert_array_equal(first[0], np.where(numbers == 0, 0, np.maximum(numbers - 1000, 1)))  # fmt: skip


def test_harmonized_bands_of_datasets(cube: Cube) -> None:
    scenes = [cube.scenes["june"], cube.scenes["july"]]
    with pytest.warns(ReflectanceWarning, match="different radiometric offsets"):
        with_ucl(scenes)
    expected = load(cube.dc, datasets=scenes, like=HOME, measurements=["red"], harmonized=True)
    for offset in (None, -0.1):
        how: dict[str, Any] = {"datasets": with_ucl(scenes, harmonized=True, offset=offset)}
        found = cube.dc.load(like=HOME, measurements=["red"], driver="cleansat", **how)
        np.testing.assert_array_equal(found.red[0], expected.red[0])
        assert (found.red[1].values == expected.red[1].values).all() == (offset is None)


def test_stackstac_tells_the_offset_of_each_time(items: list[pystac.Item]) -> None:
    """So the mask is right without `with_ucl`, too."""
    bands = ["blue", "green", "red", "nir", "swir16", "swir22"]
    how: dict[str, Any] = {"assets": bands, "epsg": 32633, "resolution": 20, "chunksize": -1}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        stack = stackstac.stack(items, rescale=False, dtype="float64", fill_value=np.nan, **how)
    numbers = stack.fillna(0).astype("uint16").compute()
    found = classify(numbers, confidence=True)
    for i, offset in enumerate((-1000, 0)):
        one = classify(numbers[i], offset=offset, confidence=True)
        np.testing.assert_array_equal(found.ucl_confidence[i], one.ucl_confidence)


# --- scales ---------------------------------------------------------------------------


@pytest.fixture
def floating(cube: Cube, tmp_path: Path) -> Dataset:
    """July, in a product of reflectance as floating-point numbers."""
    july = cube.scenes["july"]
    definition = copy.deepcopy(july.product.definition)
    definition["name"] = "reflectance"
    document = copy.deepcopy(july.metadata_doc)
    for each in definition["measurements"]:
        if each["name"] == "scl":
            continue
        each |= {"dtype": "float32", "nodata": float("nan")}
        path = document["measurements"][each["name"]]["path"]
        target = tmp_path / Path(path).name
        with rasterio.open(local_path(path)) as file:
            values = file.read(1).astype("float32") / 10000
            values[values == 0] = np.nan
            profile = file.profile | {"dtype": "float32", "nodata": float("nan")}
        with rasterio.open(target, "w", **profile) as file:
            file.write(values, 1)
        document["measurements"][each["name"]]["path"] = target.as_uri()
    return Dataset(Product(july.product.metadata_type, definition), document, uri=july.uri)


def test_numbers_and_reflectance_are_not_mixed(cube: Cube, floating: Dataset) -> None:
    scenes = [cube.scenes["june"], floating]
    how: dict[str, Any] = {"datasets": scenes, "like": HOME[:100, :100]}
    for harmonized in (False, True):
        with pytest.raises(CubeError, match=r"different scales \(.*: 0\.0001; .*: 1\)"):
            load(cube.dc, measurements=["red", "ucl"], harmonized=harmonized, **how)
    with pytest.raises(CubeError, match="different scales"):
        load(cube.dc, measurements=["ucl"], refine="time", ucl="computed", **how)
    with pytest.warns(ReflectanceWarning, match="different scales"):
        with_ucl(scenes, harmonized=True)
    found = load(cube.dc, measurements=["ucl"], ucl="computed", **how)
    assert (found.ucl != 0).all()
