"""Bands in Zarr stores: where they lie, how they are packed, and what GDAL and xarray read of them."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import zarr
from eopf_product import SCENE, write_product
from odc.geo.geobox import GeoBox
from rasterio.vrt import WarpedVRT

from odc_cleansat.errors import SceneError
from odc_cleansat.scenes.files import BandFile
from odc_cleansat.scenes.packing import read_packing
from odc_cleansat.scenes.zarr_band import (
    grid_of,
    open_as_tiff,
    open_zarr_band,
    packing_attributes,
)
from odc_cleansat.storage.zarr_store import open_node, place_of

FORMS = ("v2", "v3", "geozarr")
BAND = "measurements/reflectance/r10m/b02"


@pytest.fixture(scope="module")
def products(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {form: write_product(tmp_path_factory.mktemp(form), form) for form in FORMS}


@pytest.mark.parametrize("form", FORMS)
def test_a_band_is_what_was_written(products: dict[str, Path], form: str) -> None:
    opened = BandFile(f"{products[form]}/{BAND}", 1, 0).open()
    packing = read_packing(opened.data)
    numbers = SCENE.read()["B02"].astype("float64")
    found = (opened.data.values + packing.offset) * packing.scale
    np.testing.assert_allclose(found, (numbers - 1000) / 10000, atol=1e-6)
    assert opened.grid == opened.data.odc.geobox == SCENE.geobox()
    whole = opened.data.values
    np.testing.assert_array_equal(opened.data[70:20:-3, 5].values, whole[70:20:-3, 5])
    assert opened.data[3:3].values.shape == (0, 300)


@pytest.mark.parametrize("form", FORMS)
def test_gdal_reads_the_same_numbers_whole_by_windows_and_warped(
    products: dict[str, Path], form: str
) -> None:
    file = BandFile(f"{products[form]}/{BAND}", 1, 0)
    values = file.open().data.values
    with file.opened() as opened:
        np.testing.assert_array_equal(opened.read(1), values)
        window = ((50, 190), (33, 300))
        np.testing.assert_array_equal(opened.read(1, window=window), values[50:190, 33:])
        assert GeoBox.from_rio(opened) == SCENE.geobox()
        assert opened.dtypes == (values.dtype.name,)
        packed = form != "geozarr"
        assert (opened.scales, opened.offsets) == (((0.0001,), (-0.1,)) if packed else ((1,), (0,)))
        assert opened.nodata == 0 if packed else np.isnan(opened.nodata)
        with WarpedVRT(opened, crs="EPSG:3857") as view:
            assert view.read(1, masked=True).count() > 60_000
    assert file.fault() is None


def test_a_large_band_has_many_tiles(tmp_path: Path) -> None:
    values = np.arange(1100 * 1300, dtype="float64").reshape(1100, 1300)
    root = zarr.create_group(tmp_path / "x.zarr", attributes={"proj:code": "EPSG:32633"})
    array = root.create_array("m/a", data=values, chunks=(600, 600))
    array.attrs["proj:shape"] = [1100, 1300]
    array.attrs["proj:transform"] = [10, 0, 500000, 0, -10, 5000000]
    with BandFile(f"{tmp_path}/x.zarr/m/a", 1, None).opened() as opened:
        assert opened.block_shapes == [(512, 512)]
        np.testing.assert_array_equal(opened.read(1), values)


def test_a_band_can_go_to_another_process(products: dict[str, Path]) -> None:
    data = BandFile(f"{products['v3']}/{BAND}", 1, 0).open().data
    sent = pickle.loads(pickle.dumps(data[10:40, 20:50]))
    np.testing.assert_array_equal(sent.values, data.values[10:40, 20:50])


def test_what_gdal_looks_for_beside_a_band_is_not_there(products: dict[str, Path]) -> None:
    for name in (f"{products['v2']}/{BAND}.aux.xml", f"{products['v2']}/none", "/elsewhere"):
        with pytest.raises(FileNotFoundError):
            open_as_tiff(name)


def test_a_broken_chunk_is_told(tmp_path: Path) -> None:
    product = write_product(tmp_path)
    (product / BAND / "1.2").write_bytes(b"half")
    file = BandFile(f"{product}/{BAND}", 1, 0)
    with pytest.raises(SceneError, match=r"r10m/b02 as Zarr.* Is it there, and whole\?"):
        _ = file.open().data.values
    with pytest.raises(SceneError, match=r"r10m/b02 as Zarr"), file.opened() as opened:
        opened.read(1)


def test_the_fill_value_of_zarr_counts_where_no_other_is_declared(tmp_path: Path) -> None:
    root = zarr.create_group(tmp_path / "x.zarr")
    plain = root.create_array("a", shape=(4, 4), dtype="uint16", fill_value=7)
    assert packing_attributes(plain) == {"fill_value": 7}
    plain.attrs.update({"fill_value": 0, "scale_factor": 0.0001, "add_offset": 0})
    assert packing_attributes(plain) == {"fill_value": 0, "scale_factor": 0.0001}
    floats = root.create_array("f", shape=(4, 4), dtype="float32", fill_value=np.nan)
    assert packing_attributes(floats) == {}


@pytest.mark.parametrize("shift", [0, 5])
def test_coordinates_may_be_middles_or_corners_of_pixels(tmp_path: Path, shift: int) -> None:
    product = write_product(tmp_path)
    group = zarr.open_group(product, mode="a", use_consolidated=False)[
        "/".join(BAND.split("/")[:-1])
    ]
    group["x"][:] = group["x"][:] - shift
    group["y"][:] = group["y"][:] + shift
    zarr.consolidate_metadata(product)
    assert open_zarr_band(f"{product}/{BAND}")[1] == SCENE.geobox()


def test_a_part_of_a_product_lies_where_its_coordinates_say(tmp_path: Path) -> None:
    """Xarray cuts the numbers and the coordinates, and leaves the attributes of the whole."""
    import xarray as xr

    product = write_product(tmp_path)
    part = xr.open_zarr(product, group=BAND.rpartition("/")[0], chunks=None).isel(
        y=slice(60, 120), x=slice(30, 180)
    )
    cut = tmp_path / "cut.zarr"
    part.to_zarr(cut, group="m", zarr_format=2, consolidated=False)
    assert open_zarr_band(f"{cut}/m/b02")[1] == SCENE.geobox()[60:120, 30:180]


def test_a_band_that_lies_nowhere(tmp_path: Path) -> None:
    root = zarr.create_group(tmp_path / "x.zarr")
    array = root.create_array("m/a", data=np.ones((4, 6), "uint16"))
    place = place_of(f"{tmp_path}/x.zarr/m/a")
    with pytest.raises(SceneError, match="does not tell its coordinate system"):
        grid_of(place)
    array.attrs["proj:epsg"] = 32633
    open_node.__globals__["_node"].cache_clear()
    with pytest.raises(SceneError, match="neither coordinates x and y nor proj:transform"):
        grid_of(place)
    root.create_array("m/x", data=np.array([0.0, 10, 20, 30, 40, 55]))
    root.create_array("m/y", data=np.array([40.0, 30, 20, 10]))
    with pytest.raises(SceneError, match="uneven coordinates x"):
        grid_of(place)
