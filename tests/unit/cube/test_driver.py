"""The reader driver: `ucl` computed while it is loaded, from a datacube and from STAC items."""

from __future__ import annotations

import copy
import datetime
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import odc.stac
import pystac
import pytest
import rasterio
import stackstac
import xarray as xr
import zarr
from conftest import Cube
from dask.distributed import Client
from datacube.model import Dataset
from datacube.utils.masking import describe_variable_flags, make_mask
from eopf_product import NAME, NATIVE, SCENE, write_product
from odc.algo import enum_to_bool
from odc.geo.geobox import GeoBox
from odc.loader import _rio
from odc.loader.types import RasterLoadParams, RasterSource

from odc_cleansat import CloudClass, classify
from odc_cleansat.cube.driver import CleansatDriver, with_ucl
from odc_cleansat.cube.load import load
from odc_cleansat.cube.special_addresses import MASK_LAYER, SHIFTED, file_address
from odc_cleansat.errors import GapWarning, ModelError, ReflectanceWarning, SceneError
from odc_cleansat.grids.centres import LARGEST
from odc_cleansat.masks import on_demand
from odc_cleansat.masks.on_demand import OnDemandMask
from odc_cleansat.scenes.files import BandFile, local_path
from odc_cleansat.scenes.read import read_scene
from odc_cleansat.scenes.stac import item_scene
from odc_cleansat.synthetic.scene import SimulatedScene

from .helpers import HOME

GRID = {"output_crs": "EPSG:32633", "resolution": 20}
BANDS = ["red", "scl", "ucl", "ucl_confidence"]
SIX = ["blue", "green", "red", "nir", "swir16", "swir22"]


@pytest.fixture(scope="module")
def scene(cube: Cube) -> xr.Dataset:
    """The bands by plain `dc.load` at 10 m."""
    return plainly(cube, "june")


def plainly(cube: Cube, name: str) -> xr.Dataset:
    """The bands of a scene at 10 m, with the sun that its document states: datacube does not tell it."""
    found = cube.dc.load(datasets=[cube.scenes[name]], measurements=SIX, output_crs="EPSG:32633", resolution=10)  # fmt: skip
    return found.assign_attrs(sun_azimuth=150.0, sun_elevation=45.0)


@pytest.fixture(scope="module")
def expected(scene: xr.Dataset) -> xr.Dataset:
    """What classify says of them on the 20 m grid."""
    return classify(scene, offset=-1000, geobox=scene.odc.geobox.zoom_out(2), confidence=True)


@pytest.fixture(scope="module")
def expected_fine(scene: xr.Dataset) -> xr.Dataset:
    """What classify says on the 10 m grid."""
    return classify(scene, offset=-1000)


@pytest.fixture
def item(cube: Cube) -> pystac.Item:
    """The scene as a STAC item, with names and properties as Element 84 gives them."""
    return stac_item(cube.folder / "june", cube.scenes["june"])


def stac_item(folder: Path, dataset: Dataset) -> pystac.Item:
    names = {
        "blue": "B02", "green": "B03", "red": "B04", "nir": "B08", "swir16": "B11", "swir22": "B12",
        "scl": "SCL",
    }  # fmt: skip
    found = pystac.Item(
        "S2B_33UVP_20240615_0_L2A",
        dataset.extent.to_crs("EPSG:4326").json,
        list(dataset.extent.to_crs("EPSG:4326").boundingbox),
        dataset.center_time,
        {
            "s2:processing_baseline": "05.10",
            "proj:code": "EPSG:32633",
            "proj:epsg": 32633,
            "view:sun_azimuth": 150.0,
            "view:sun_elevation": 45.0,
        },
        collection="sentinel-2-l2a",
        stac_extensions=["https://stac-extensions.github.io/projection/v2.0.0/schema.json"],
    )
    for name, band in names.items():
        with rasterio.open(folder / f"{band}.tif") as file:
            fields = {
                "proj:transform": list(file.transform)[:6],
                "proj:shape": list(file.shape),
                "raster:bands": [{"data_type": file.dtypes[0], "nodata": 0}],
            }
        path = str(folder / f"{band}.tif")
        found.add_asset(name, pystac.Asset(path, media_type=pystac.MediaType.COG, roles=["data"], extra_fields=fields))  # fmt: skip
    return found


def loaded(cube: Cube, scenes: list[Dataset], **how: Any) -> xr.Dataset:
    options = {"measurements": BANDS, "driver": "cleansat", **GRID, **how}
    return cube.dc.load(datasets=scenes, **options)


# --- from a datacube ------------------------------------------------------------------


def test_ucl_beside_the_bands(cube: Cube, expected: xr.Dataset) -> None:
    found = loaded(cube, with_ucl([cube.scenes["june"]]))
    plain = cube.dc.load(datasets=[cube.scenes["june"]], measurements=BANDS[:2], **GRID)
    assert list(found.data_vars) == BANDS
    for name in ("red", "scl"):
        np.testing.assert_array_equal(found[name], plain[name])
    for name in ("ucl", "ucl_confidence"):
        np.testing.assert_array_equal(found[name], expected[name])
        assert found[name].dtype == "uint8"


def test_masking_works_with_the_ecosystem_s_tools(cube: Cube) -> None:
    ucl = loaded(cube, with_ucl([cube.scenes["june"]]), measurements=["ucl"]).ucl
    clouded = enum_to_bool(ucl, ["cloud", "shadow"])
    np.testing.assert_array_equal(clouded, ucl.isin([CloudClass.CLOUD, CloudClass.SHADOW]))
    np.testing.assert_array_equal(make_mask(ucl, ucl="cloud"), ucl == CloudClass.CLOUD)
    assert "ucl" in describe_variable_flags(ucl).index


@pytest.mark.parametrize(
    "grid",
    [
        GeoBox.from_bbox((1522000, 6073000, 1530000, 6081000), "EPSG:3857", resolution=30),
        GeoBox.from_bbox((13.67, 47.75, 13.75, 47.83), "EPSG:4326", resolution=0.0004),
        GeoBox.from_bbox((402000, 5296000, 403000, 5297000), "EPSG:32633", resolution=5),
        GeoBox.from_bbox((380000, 5280000, 420000, 5320000), "EPSG:32633", resolution=1000),
    ],
)
def test_any_grid(cube: Cube, scene: xr.Dataset, grid: GeoBox) -> None:
    expected = classify(scene, offset=-1000, geobox=grid)
    assert (expected.ucl != CloudClass.NODATA).any()
    found = cube.dc.load(datasets=with_ucl([cube.scenes["june"]]), measurements=["ucl"], like=grid, driver="cleansat")  # fmt: skip
    assert np.mean(found.ucl.values == expected.ucl.values) > 0.9999


def test_dask_gives_the_same_and_infers_once(
    cube: Cube, expected: xr.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    lazy = loaded(cube, with_ucl([cube.scenes["june"]]), dask_chunks={"x": 70, "y": 50})
    assert lazy.ucl.chunks is not None
    assert len(pickle.dumps(dict(lazy.__dask_graph__()))) < 1_000_000
    windows = []
    on_demand.clear_cache()
    original = on_demand.window_probabilities
    monkeypatch.setattr(
        on_demand, "window_probabilities", lambda *a: windows.append(a[2]) or original(*a)
    )
    found = lazy.compute(scheduler="threads", num_workers=4)
    np.testing.assert_array_equal(found.ucl, expected.ucl)
    np.testing.assert_array_equal(found.ucl_confidence, expected.ucl_confidence)
    assert len(windows) == len(set(windows)) == 1


def test_distributed_gives_the_same(cube: Cube, expected: xr.Dataset, client: Client) -> None:
    lazy = loaded(cube, with_ucl([cube.scenes["june"]]), dask_chunks={"x": 200, "y": 150})
    found = client.compute(lazy).result()
    np.testing.assert_array_equal(found.ucl, expected.ucl)


def test_the_driver_by_its_dotted_path_and_as_an_object(cube: Cube, expected: xr.Dataset) -> None:
    scenes = with_ucl([cube.scenes["june"]])
    for driver in ("odc_cleansat.cube.driver.CleansatDriver", CleansatDriver()):
        found = loaded(cube, scenes, measurements=["ucl"], driver=driver)
        np.testing.assert_array_equal(found.ucl, expected.ucl)


def test_thresholds_and_models(cube: Cube, scene: xr.Dataset) -> None:
    name = "unet-efficientnetb4-l2a-4b"
    how = {"model": name, "thresholds": {"cloud": 0.9}}
    grid = scene.odc.geobox.zoom_out(2)
    expected = classify(scene, offset=-1000, geobox=grid, **how)
    found = loaded(cube, with_ucl([cube.scenes["june"]], **how), measurements=["ucl"])
    np.testing.assert_array_equal(found.ucl, expected.ucl)


def test_each_scene_has_its_own_offset(cube: Cube) -> None:
    with pytest.warns(ReflectanceWarning, match="`ucl` is right for each"):
        scenes = with_ucl([cube.scenes["june"], cube.scenes["july"]])
    found = loaded(cube, scenes, measurements=["ucl"])
    for i, (name, offset) in enumerate({"june": -1000, "july": 0}.items()):
        bands = plainly(cube, name)
        one = classify(bands, offset=offset, geobox=bands.odc.geobox.zoom_out(2))
        np.testing.assert_array_equal(found.ucl[i], one.ucl[0])


def test_the_index_is_not_changed(cube: Cube) -> None:
    scene = cube.scenes["june"]
    before = copy.deepcopy((scene.product.definition, scene.metadata_doc))
    with_ucl([scene])
    assert (scene.product.definition, scene.metadata_doc) == before
    assert "ucl" not in cube.dc.index.products.get_by_name("s2_l2a").measurements


# --- from STAC ------------------------------------------------------------------------


def test_odc_stac(item: pystac.Item, expected: xr.Dataset) -> None:
    how = {"bands": BANDS, "crs": "EPSG:32633", "resolution": 20, "driver": "cleansat"}
    for chunks in ({}, {"chunks": {"x": 100, "y": 100}}):
        found = odc.stac.load(with_ucl([item]), **how, **chunks)
        np.testing.assert_array_equal(found.ucl, expected.ucl)
        np.testing.assert_array_equal(found.ucl_confidence, expected.ucl_confidence)
        np.testing.assert_array_equal(
            enum_to_bool(found.ucl, ["cloud"]), found.ucl == CloudClass.CLOUD
        )
    assert "ucl" not in item.assets, "the caller's item is left alone"


def test_odc_stac_with_a_configuration_of_its_own(item: pystac.Item) -> None:
    how = {"bands": ["rot", "ucl"], "crs": "EPSG:32633", "resolution": 100}
    with pytest.raises(ValueError, match="rot"):
        odc.stac.load(with_ucl([item]), driver="cleansat", **how)
    config = {"*": {"aliases": {"rot": "red"}}}
    found = odc.stac.load(with_ucl([item]), driver=CleansatDriver(stac_cfg=config), **how)
    assert (found.rot > 0).any()
    assert (found.ucl != CloudClass.NODATA).any()


def test_names_and_fields_of_other_catalogues(item: pystac.Item, expected: xr.Dataset) -> None:
    """Assets as Copernicus names them, their values described as in STAC 1.1."""
    del item.properties["s2:processing_baseline"]
    names = {
        "blue": "B02_10m",
        "green": "B03_10m",
        "red": "B04_10m",
        "nir": "B08_10m",
        "swir16": "B11_20m",
        "swir22": "B12_20m",
    }
    for old, new in names.items():
        asset = item.assets[new] = item.assets.pop(old)
        del asset.extra_fields["raster:bands"]
        asset.extra_fields["bands"] = [
            {"data_type": "uint16", "nodata": 0, "raster:offset": -0.1, "raster:scale": 0.0001}
        ]
    found = odc.stac.load(
        with_ucl([item]), bands=["ucl"], crs="EPSG:32633", resolution=20, driver="cleansat"
    )
    np.testing.assert_array_equal(found.ucl, expected.ucl)


@pytest.mark.parametrize("where", ["topleft", "center"])
def test_stackstac(item: pystac.Item, expected_fine: xr.Dataset, where: str) -> None:
    """By default stackstac's coordinates are those of the pixels' corners, not of their centres."""
    how = {"assets": SIX, "resolution": 10, "epsg": 32633, "xy_coords": where, "chunksize": 256}
    integers = stackstac.stack(
        [item], dtype="uint16", fill_value=np.uint16(0), rescale=False, **how
    )
    found = classify(integers, offset=-1000)
    assert found.ucl.chunks is not None
    np.testing.assert_array_equal(found.ucl, expected_fine.ucl)
    assert (found.ucl == CloudClass.CLOUD).equals(
        (found.ucl == CloudClass.CLOUD).reindex_like(integers)
    )
    floats = stackstac.stack([item], **how)
    with pytest.raises(SceneError, match="scale=1/10000"):
        classify(floats).compute()
    found = classify(floats, offset=-1000, scale=1e-4)
    assert np.mean(found.ucl.values == expected_fine.ucl.values) > 0.999


# --- what is refused ------------------------------------------------------------------


@pytest.mark.parametrize("driver", [None, "rio"])
def test_without_the_driver_it_fails_loudly(cube: Cube, driver: str | None) -> None:
    scenes = with_ucl([cube.scenes["june"]])
    with pytest.raises((rasterio.errors.RasterioIOError, OSError), match="driver=cleansat"):
        loaded(cube, scenes, measurements=["ucl"], driver=driver)
    found = loaded(cube, scenes, measurements=["ucl"], driver=driver, skip_broken_datasets=True)
    assert (found.ucl == CloudClass.NODATA).all()


def test_stac_without_the_driver_fails_loudly(item: pystac.Item) -> None:
    with pytest.raises(rasterio.errors.RasterioIOError, match="driver=cleansat"):
        odc.stac.load(with_ucl([item]), bands=["ucl"], crs="EPSG:32633", resolution=100)


def test_missing_bands(cube: Cube, item: pystac.Item) -> None:
    del item.assets["nir"]
    with pytest.raises(SceneError, match=r"S2B_33UVP_20240615_0_L2A: the scene lacks nir \(B08\)"):
        with_ucl([item])
    with pytest.raises(SceneError, match=f"dataset {cube.masks['june'].id}: the scene lacks blue"):
        with_ucl([cube.masks["june"]])


def test_unknown_model_and_threshold(cube: Cube) -> None:
    with pytest.raises(ModelError, match="no model 'x'"):
        with_ucl([cube.scenes["june"]], model="x")
    with pytest.raises(ModelError, match="no class 'haze'"):
        with_ucl([cube.scenes["june"]], thresholds={"haze": 0.5})


def test_a_wrong_offset_is_noticed(cube: Cube) -> None:
    with pytest.warns(ReflectanceWarning, match=f"dataset {cube.scenes['june'].id}: the offset 0"):
        loaded(cube, with_ucl([cube.scenes["june"]], offset=0), measurements=["ucl"])


def test_files_that_are_gone(cube: Cube) -> None:
    scene = cube.scenes["june"]
    document = copy.deepcopy(scene.metadata_doc)
    document["measurements"]["nir"]["path"] = "file:///nowhere/B08.tif"
    scenes = with_ucl([Dataset(scene.product, document, uri=scene.uri)])
    with pytest.raises(SceneError, match=r"cannot read file:///nowhere/B08\.tif"):
        loaded(cube, scenes)
    with pytest.warns(GapWarning, match="nowhere"):
        found = loaded(cube, scenes, skip_broken_datasets=True)
    assert (found.ucl == CloudClass.NODATA).all()
    assert (found.red != 0).any()


def without_system(path: Path, whole: bytes) -> None:
    with rasterio.MemoryFile(whole) as memory, memory.open() as file:
        pixels, profile = file.read(), {**file.profile, "driver": "GTiff", "crs": None}
    with rasterio.open(path, "w", **profile) as file:
        file.write(pixels)


UNREADABLE: dict[str, tuple[Callable[[Path, bytes], object], str]] = {
    "no coordinate system": (without_system, "it has no coordinate system; set it"),
    "cut off": (
        lambda path, whole: path.write_bytes(whole[: len(whole) // 3]),
        "there, and whole?",
    ),
    "no image": (
        lambda path, _: path.write_text("not found"),
        "not recognized as being in a supported",
    ),
    "empty": (lambda path, _: path.write_bytes(b""), "there, and whole?"),
    "a folder": (lambda path, _: path.mkdir(), "there, and whole?"),
}


@pytest.mark.filterwarnings("ignore:the scenes have several radiometric offsets")
@pytest.mark.parametrize("how", UNREADABLE)
@pytest.mark.usefixtures("fast_network")
def test_a_file_that_cannot_be_read_leaves_a_gap_and_says_why(
    cube: Cube, tmp_path: Path, how: str
) -> None:
    """The band itself, the band without its offset, and the mask that needs the band."""
    spoil, reason = UNREADABLE[how]
    scene = cube.scenes["june"]
    document = copy.deepcopy(scene.metadata_doc)
    path = tmp_path / "B08.tif"
    spoil(path, Path(local_path(document["measurements"]["nir"]["path"])).read_bytes())
    document["measurements"]["nir"]["path"] = path.as_uri()
    spoilt = Dataset(scene.product, document, uri=scene.uri)
    for names, harmonized in ((["nir"], False), (["nir", "ucl"], True)):
        asked = {
            "datasets": [spoilt, cube.scenes["july"]], "like": HOME[-60:, -60:], "measurements": names,
            "ucl": "computed", "harmonized": harmonized,
        }  # fmt: skip
        with pytest.warns(GapWarning) as told:
            found = load(cube.dc, **asked)
        said = [str(each.message) for each in told if each.category is GapWarning]
        assert len(said) == len(names)
        assert all("B08.tif" in each and reason in each for each in said), said
        for name in names:
            assert (found[name][0] == 0).all()
            assert (found[name][1] != 0).any()
    with pytest.raises(SceneError, match=r"B08\.tif"):
        load(cube.dc, **asked, skip_broken_datasets=False)


def test_a_document_that_names_a_band_too_many(cube: Cube) -> None:
    scene = cube.scenes["june"]
    document = copy.deepcopy(scene.metadata_doc)
    document["measurements"]["nir"]["band"] = 3
    spoilt = Dataset(scene.product, document, uri=scene.uri)
    with pytest.warns(GapWarning, match="it has 1 band, and band 3 is asked for"):
        found = load(cube.dc, datasets=[spoilt], like=HOME, measurements=["ucl"], ucl="computed")
    assert (found.ucl == CloudClass.NODATA).all()


def test_new_files_of_the_same_name_are_read_anew(cube: Cube, tmp_path: Path) -> None:
    names = []
    for seed in (1, 2):
        SimulatedScene(shape=(300, 300), seed=seed).write(tmp_path / str(seed))
    for seed in (1, 2):
        for band in ("B02", "B03", "B04", "B08", "B11", "B12", "SCL"):
            (tmp_path / f"{band}.tif").write_bytes(
                (tmp_path / str(seed) / f"{band}.tif").read_bytes()
            )
        item = with_ucl([stac_item(tmp_path, cube.scenes["june"])])
        names.append(odc.stac.load(item, bands=["ucl"], crs="EPSG:32633", resolution=20, driver="cleansat").ucl)  # fmt: skip
    assert (names[0].values != names[1].values).any()


@pytest.mark.parametrize(
    ("nodata", "dtype", "expected"),
    [(0, "uint16", 1), (65535, "uint16", 0), (-999, "int16", -100), (-100, "int16", -99)],
)
def test_no_value_is_shifted_onto_nodata(
    tmp_path: Path, nodata: int, dtype: str, expected: int
) -> None:
    grid = GeoBox.from_bbox((0, 0, 200, 200), "EPSG:32633", resolution=10)
    pixels = np.full(grid.shape, 2000, dtype=dtype)
    pixels[:5], pixels[5:8] = nodata, 900
    path = tmp_path / "red.tif"
    with rasterio.open(
        path, "w", driver="GTiff", width=20, height=20, count=1, dtype=dtype, nodata=nodata,
        crs="EPSG:32633", transform=grid.affine,
    ) as file:  # fmt: skip
        file.write(pixels, 1)
    address = file_address(SHIFTED, BandFile(str(path), 1, nodata), -1000)
    reader = CleansatDriver().open(RasterSource(address, band=1), None)
    _, found = reader.read(RasterLoadParams(dtype=dtype, fill_value=nodata), grid)
    assert [found[0, 0], found[6, 6], found[10, 10]] == [nodata, expected, 1000]


def test_a_coarse_view_of_a_large_mask_reads_little_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grid = GeoBox.from_bbox((400_000, 5_200_000, 480_000, 5_260_000), "EPSG:32633", resolution=20)
    path = tmp_path / "ucl.tif"
    with rasterio.open(
        path, "w", driver="GTiff", width=4000, height=3000, count=1, dtype="uint8", nodata=0, tiled=True,
        crs="EPSG:32633", transform=grid.affine,
    ) as file:  # fmt: skip
        file.write(np.full(grid.shape, int(CloudClass.CLOUD), "uint8"), 1)
    sizes: list[int] = []
    read = rasterio.DatasetReader.read

    def counted(self: rasterio.DatasetReader, *arguments: Any, **how: Any) -> np.ndarray:
        values = read(self, *arguments, **how)
        sizes.append(values.size)
        return values

    monkeypatch.setattr(rasterio.DatasetReader, "read", counted, raising=False)
    address = file_address(MASK_LAYER, BandFile(str(path), 1, 0))
    reader = CleansatDriver().open(RasterSource(address, band=1), None)
    _, found = reader.read(RasterLoadParams(dtype="uint8", fill_value=0), grid.zoom_to((30, 40)))
    assert (found == CloudClass.CLOUD).all()
    assert len(sizes) > 1
    assert max(sizes) <= LARGEST


def test_a_failing_request_is_tried_as_often_as_ours_say(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten attempts of odc-loader, with pauses that double, took 8 minutes for one file."""
    monkeypatch.setattr(_rio, "_CFG", _rio._GlobalRioConfig())
    monkeypatch.setattr(_rio, "get_rio_env", lambda **_: {})
    found = CleansatDriver().capture_env()
    assert found == {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR"}
    _rio.configure_rio(cloud_defaults=True)
    assert CleansatDriver().capture_env()["GDAL_HTTP_MAX_RETRY"] == "10"


MOMENT = datetime.datetime(2024, 6, 15, 10, 10, 31)


@pytest.mark.parametrize("form", ["v2", "v3", "geozarr"])
def test_items_whose_assets_are_zarr(form: str, tmp_path: Path) -> None:
    product = write_product(tmp_path, form, holes=slice(60, 120))
    place = SCENE.geobox().geographic_extent
    item = pystac.Item(NAME, place.json, list(place.boundingbox), MOMENT, {})
    for key, path in (("SR_10m", "/measurements/reflectance/r10m"), ("product", "")):
        asset = pystac.Asset(f"{product}{path}", media_type="application/vnd+zarr", roles=["data"])
        item.add_asset(key, asset)
    grid = SCENE.geobox(20)
    found = odc.stac.load(
        with_ucl(item), bands=["B04", "SCL", "ucl"], geobox=grid, driver="cleansat", chunks={}
    )
    found = found.isel(time=0).compute()
    np.testing.assert_array_equal(found.SCL.values, SCENE.read()["SCL"])
    missing = np.isnan(found.B04.values) if form == "geozarr" else found.B04.values == 0
    assert found.B04.dtype == ("float32" if form == "geozarr" else "uint16")
    assert missing[30:60].all()
    assert not missing[61:].any()
    assert (found.ucl.values[31:59] == 0).all()
    assert (found.ucl.values[62:] != 0).all()


def test_a_zarr_product_in_the_datacube(cube: Cube, tmp_path: Path) -> None:
    scene = read_scene(str(write_product(tmp_path)))
    found = cube.dc.load(
        datasets=with_ucl(scene.dataset),
        measurements=["red", "ucl"],
        driver="cleansat",
        like=SCENE.geobox(),
    )
    assert found.ucl.values.all()
    np.testing.assert_array_equal(found.red.values[0], SCENE.read()["B04"])


@pytest.mark.parametrize("form", ["v2", "v3", "geozarr", "packed floats", "no offset"])
@pytest.mark.parametrize("baseline", ["05.10", "03.01"])
def test_the_arrays_of_zarr_tell_the_offset_and_no_baseline_does(
    form: str, baseline: str, tmp_path: Path
) -> None:
    """An item tells less than its store, and the baseline is that of ESA's product."""
    product = write_product(tmp_path, form if form in ("v2", "v3", "geozarr") else "v2", consolidated=False)  # fmt: skip
    offset = 0 if form in ("geozarr", "no offset") else -1000
    root = zarr.open_group(product, mode="a")
    for group, names in NATIVE.items():
        for name in names:
            path = f"measurements/reflectance/{group}/{name.lower()}"
            if form == "packed floats":
                values, attrs = root[path][:], dict(root[path].attrs)
                root.create_array(path, data=values.astype("float32"), attributes=attrs, fill_value=0, overwrite=True)  # fmt: skip
            if form == "no offset":
                values = root[path][:]
                root[path][:] = np.where(values == 0, 0, np.maximum(values, 1001) - 1000)
                root[path].attrs["add_offset"] = 0
    place = SCENE.geobox().geographic_extent
    told = {"s2:processing_baseline": baseline}
    item = pystac.Item("plain", place.json, list(place.boundingbox), MOMENT, told)
    item.add_asset("product", pystac.Asset(str(product), media_type="application/vnd+zarr"))
    with warnings.catch_warnings():
        warnings.simplefilter("error", ReflectanceWarning)
        found = with_ucl(item, harmonized=True)
        (_, mask) = OnDemandMask.from_address(found[0].assets["ucl"].href)
        assert mask.offset == offset
        assert item_scene(item).files.offset().value == offset
        loaded = odc.stac.load(found, bands=["B04", "ucl"], geobox=SCENE.geobox(), driver="cleansat")  # fmt: skip
    red, expected = loaded.B04[0].values.astype("float64"), SCENE.read()["B04"].astype("float64")
    expected = np.maximum(expected - 1000, 1)
    if form == "geozarr":
        red, expected = red * 10000, SCENE.read()["B04"].astype("float64") - 1000
    there = SCENE.read()["B04"] > 0
    np.testing.assert_allclose(red[there], expected[there], atol=0.01)
    truth = classify(SCENE.to_xarray(10), offset=-1000)
    assert np.mean(loaded.ucl[0].values == truth.ucl.values) > 0.995
