"""The transform in datacube's virtual products: what works, what datacube cannot do, and what is said then."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dask
import numpy as np
import pytest
import xarray as xr
from datacube.api.query import GroupBy
from datacube.utils.masking import describe_variable_flags, make_mask
from odc.algo import enum_to_bool
from odc.geo.geobox import GeoBox
from odc.geo.xr import wrap_xr, xr_reproject

from odc_cleansat import CloudClass, classify, list_models
from odc_cleansat.classes import CLOUDS
from odc_cleansat.errors import ModelError, ReflectanceWarning, SceneError
from odc_cleansat.models.registry import DEFAULTS
from odc_cleansat.virtual import UNetMask, catalog, register

# After ours, which silences datacube's warning that virtual products are deprecated.
from datacube.virtual import (  # isort: skip
    DEFAULT_RESOLVER,
    Measurement,
    construct,
    construct_from_yaml,
)
from datacube.virtual.impl import VirtualProductException  # isort: skip

if TYPE_CHECKING:
    from conftest import Cube, Fresh
    from datacube.model import Product

SIX = ["blue", "green", "red", "nir", "swir16", "swir22"]
CATALOG = Path(__file__).parents[2] / "product_definitions" / "s2_l2a_ucl.virtual.yaml"

ZONE_33 = {"x": (403_000, 404_600), "y": (5_297_000, 5_298_600), "crs": "EPSG:32633"}
WHOLE = {"x": (402_300, 407_100), "y": (5_294_100, 5_300_000), "crs": "EPSG:32633"}
BOTH_ZONES = {"x": (400_500, 402_500), "y": (5_296_000, 5_298_500), "crs": "EPSG:32633"}
GRID = {"output_crs": "EPSG:32633", "resolution": 20}
JULY = {"time": "2024-07"}
OFFSETS = {"june": -1000, "july": 0}

# What datacube itself warns of, whatever the transform.
juxtaposes = pytest.mark.filterwarnings("ignore:In a future version of xarray:FutureWarning")
aggregates = pytest.mark.filterwarnings("ignore:GroupBy.apply may be:PendingDeprecationWarning")
eager_and_lazy = pytest.mark.parametrize("lazy", [{}, {"dask_chunks": {"time": 1, "y": 50}}])


def scenes(measurements: list[str] | None = None, **settings: Any) -> dict[str, Any]:
    """The input of a recipe."""
    return {"product": "s2_l2a", "measurements": measurements or [*SIX, "scl"], **settings}


def masked(source: Mapping[str, Any] | None = None, **parameters: Any) -> Any:
    """A recipe with the transform over a product."""
    return construct(transform="unet_mask", input=source or scenes(), **parameters)


@pytest.fixture(scope="module")
def loaded(cube: Cube) -> xr.Dataset:
    """Both dates as `dc.load` gives them."""
    return cube.dc.load(product="s2_l2a", measurements=[*SIX, "scl"], **ZONE_33, **GRID)


@pytest.fixture(scope="module")
def expected(loaded: xr.Dataset) -> xr.Dataset:
    """The mask of each date, with the offset that its metadata says."""
    dates = [
        classify(loaded.isel(time=[i]), offset=offset, confidence=True)
        for i, offset in enumerate(OFFSETS.values())
    ]
    return xr.concat(dates, "time", join="override", coords="minimal", compat="override")


@pytest.fixture(scope="module")
def products(cube: Cube) -> dict[str, Product]:
    return {name: cube.dc.index.products.get_by_name(name) for name in ("s2_l2a", "s2_l2a_ucl")}


def check_masking(ucl: xr.DataArray) -> None:
    """The tools of the ecosystem agree with the codes."""
    cloudy = np.isin(ucl, [*CLOUDS, CloudClass.SHADOW])
    assert cloudy.any()
    assert not cloudy.all()
    labels = ["cloud", "thin_cloud", "shadow"]
    np.testing.assert_array_equal(enum_to_bool(ucl, labels), cloudy)
    np.testing.assert_array_equal(make_mask(ucl, ucl="clear"), ucl == CloudClass.CLEAR)
    (values,) = describe_variable_flags(ucl)["values"]
    known = {"0": "nodata", "1": "clear", "2": "cloud", "3": "shadow", "6": "thin_cloud"}
    assert values == known


# --- what comes out -------------------------------------------------------------------


@eager_and_lazy
def test_equals_classify(
    cube: Cube, loaded: xr.Dataset, expected: xr.Dataset, lazy: dict[str, Any]
) -> None:
    found = masked(confidence=True).load(cube.dc, **ZONE_33, **GRID, **lazy)
    assert dask.is_dask_collection(found) == bool(lazy)
    assert list(found.data_vars) == [*loaded.data_vars, "ucl", "ucl_confidence"]
    for name, band in expected.items():
        np.testing.assert_array_equal(found[name], band)
        assert found[name].dtype == "uint8"
        told = {
            **band.attrs,
            "light": "eo:sun_azimuth, eo:sun_elevation",
        }  # of datasets, not arrays
        assert {**found[name].attrs, **(told if name == "ucl" else band.attrs)} == found[name].attrs
    xr.testing.assert_identical(found[list(loaded.data_vars)].compute(), loaded)
    assert found.odc.geobox == found.ucl.odc.geobox == loaded.odc.geobox
    check_masking(found.ucl.compute())


def test_one_offset_for_all(cube: Cube) -> None:
    with pytest.warns(ReflectanceWarning, match="the offset -1000 looks wrong"):
        found = masked(offset=-1000).load(cube.dc, **WHOLE, **GRID, **JULY)
    assert (found.ucl != masked().load(cube.dc, **WHOLE, **GRID, **JULY).ucl).any()


def test_options_are_those_of_classify(cube: Cube, loaded: xr.Dataset) -> None:
    options = {"thresholds": {"shadow": 0.2}, "dilation": {"cloud": 60, "shadow": 40}}
    found = masked(**options, model=list_models()[1]).load(cube.dc, **ZONE_33, **GRID, **JULY)
    mask = classify(loaded.isel(time=[1]), **options, model=list_models()[1])
    np.testing.assert_array_equal(found.ucl, mask.ucl)
    plain = classify(loaded.isel(time=[1]), model=list_models()[1])
    assert (mask.ucl != plain.ucl).any()


def test_numbers_that_yaml_reads_as_text(cube: Cube, expected: xr.Dataset) -> None:
    recipe = construct_from_yaml(
        """
        transform: odc_cleansat.virtual.UNetMask
        scale: 1e-4
        offset: "-1000"
        input: {product: s2_l2a, measurements: [blue, green, red, nir, swir16, swir22]}
        """
    )
    found = recipe.load(cube.dc, **ZONE_33, **GRID, time="2024-06")
    np.testing.assert_array_equal(found.ucl, expected.ucl.isel(time=[0]))


@pytest.mark.parametrize(
    ("keep", "kept"),
    [(True, [*SIX, "scl"]), (False, []), (["scl"], ["scl"]), (["scl", "red"], ["scl", "red"])],
)
def test_the_bands_that_stay(
    cube: Cube, products: dict[str, Product], keep: Any, kept: list[str]
) -> None:
    recipe = masked(keep=keep)
    found = recipe.load(cube.dc, **ZONE_33, **GRID, **JULY)
    assert list(found.data_vars) == list(recipe.output_measurements(products)) == [*kept, "ucl"]
    assert found.odc.geobox is not None


@eager_and_lazy
def test_reflectance(cube: Cube, loaded: xr.Dataset, lazy: dict[str, Any]) -> None:
    found = masked(reflectance=True).load(cube.dc, **ZONE_33, **GRID, **lazy).compute()
    offsets = xr.DataArray(list(OFFSETS.values()), dims="time")
    for name in SIX:
        truth = ((loaded[name].astype(float) + offsets) / 10_000).where(loaded[name] != 0)
        assert found[name].dtype == "float32"
        np.testing.assert_allclose(found[name], truth, atol=1e-6)
        assert np.isnan(found[name].attrs["nodata"])
    xr.testing.assert_identical(found.scl, loaded.scl)
    # The same ground on two dates, whose digital numbers differ by 1000.
    clear = (found.ucl == CloudClass.CLEAR).all("time")
    june, july = found.blue.where(clear).median(["y", "x"]).values
    assert abs(june - july) < 0.02


def test_bands_by_any_name(cube: Cube, expected: xr.Dataset) -> None:
    source = scenes(["B02", "band_03", "B04", "nir_1", "swir_16", "B12"])
    found = masked(source).load(cube.dc, **ZONE_33, **GRID)
    np.testing.assert_array_equal(found.ucl, expected.ucl)
    assert list(found.data_vars) == [*source["measurements"], "ucl"]


def test_four_bands_take_the_model_of_four(cube: Cube, loaded: xr.Dataset) -> None:
    found = masked(scenes(SIX[:4])).load(cube.dc, **ZONE_33, **GRID, **JULY)
    mask = classify(loaded.isel(time=[1]), model=DEFAULTS[1])
    np.testing.assert_array_equal(found.ucl, mask.ucl)


def test_declares_what_it_gives(cube: Cube, products: dict[str, Product]) -> None:
    recipe = masked(confidence=True, reflectance=True)
    found = recipe.load(cube.dc, **ZONE_33, **GRID, **JULY)
    declared = recipe.output_measurements(products)
    assert list(declared) == list(found.data_vars)
    for name, measurement in declared.items():
        assert measurement.name == name
        assert measurement.dtype == found[name].dtype
        np.testing.assert_equal(measurement.nodata, found[name].nodata)
        assert measurement.units == found[name].units
    assert declared["ucl"].flags_definition == found.ucl.flags_definition
    assert declared["ucl"].flags_definition["ucl"]["values"]["3"] == "shadow"


# --- the matrix: what works -----------------------------------------------------------


@pytest.mark.parametrize("chunk", [None, 70], ids=["eager", "lazy"])
@pytest.mark.parametrize(
    "grid",
    [
        {"output_crs": "EPSG:3857", "resolution": 45},
        {"output_crs": "EPSG:4326", "resolution": 0.0003},
        {"like": GeoBox.from_bbox((403_000, 5_297_000, 404_600, 5_298_600), "EPSG:32633", resolution=30)},
    ],
    ids=["mercator", "geographic", "like"],
)  # fmt: skip
def test_any_grid(cube: Cube, grid: dict[str, Any], chunk: int | None) -> None:
    area = {} if "like" in grid else ZONE_33
    geographic = grid.get("output_crs") == "EPSG:4326"
    dims = ("latitude", "longitude") if geographic else ("y", "x")
    query = {**area, **grid, **JULY, "dask_chunks": chunk and dict.fromkeys(dims, chunk)}
    found = masked().load(cube.dc, **query)
    # In the same chunks: where datacube reprojects, its pixels depend on them.
    there = cube.dc.load(product="s2_l2a", measurements=SIX, **query).compute()
    assert dask.is_dask_collection(found) == bool(chunk)
    np.testing.assert_array_equal(found.ucl, classify(there).ucl)
    assert found.ucl.odc.geobox == there.odc.geobox
    check_masking(found.ucl.compute())


@pytest.mark.parametrize("lazy", [{}, {"dask_chunks": {"y": 100}}])
@pytest.mark.parametrize("band", ["blue", "scl"])
def test_the_native_grid_of_a_band(cube: Cube, band: str, lazy: dict[str, Any]) -> None:
    found = masked(scenes(like=band)).load(cube.dc, **ZONE_33, **JULY, **lazy)
    assert found.odc.geobox.resolution.x == {"blue": 10, "scl": 20}[band]
    there = cube.dc.load(product="s2_l2a", measurements=SIX, like=found.odc.geobox, **JULY)
    np.testing.assert_array_equal(found.ucl, classify(there).ucl)
    check_masking(found.ucl.compute())


@eager_and_lazy
@pytest.mark.parametrize("group_by", ["time", "solar_day"])
def test_two_zones_on_one_grid(cube: Cube, group_by: str, lazy: dict[str, Any]) -> None:
    query = {**BOTH_ZONES, **GRID, "time": "2024-06", "group_by": group_by}
    assert len(cube.dc.find_datasets(product="s2_l2a", **BOTH_ZONES, time="2024-06")) == 2
    found = masked().load(cube.dc, **query, **lazy)
    there = cube.dc.load(product="s2_l2a", measurements=SIX, **query)
    np.testing.assert_array_equal(found.ucl, classify(there, offset=-1000).ucl)


@juxtaposes
@eager_and_lazy
def test_juxtapose(cube: Cube, expected: xr.Dataset, lazy: dict[str, Any]) -> None:
    above = construct(
        juxtapose=[
            {"transform": "unet_mask", "keep": False, "input": scenes()},
            scenes(["nir08"]),
        ]
    )
    below = masked({"juxtapose": [scenes(SIX[:3]), scenes(SIX[3:])]}, keep=False)
    for recipe in (above, below):
        found = recipe.load(cube.dc, **ZONE_33, **GRID, **lazy)
        np.testing.assert_array_equal(found.ucl, expected.ucl)


@juxtaposes
def test_beside_the_indexed_mask(cube: Cube, expected: xr.Dataset) -> None:
    """The mask product has no bands: what its metadata says is not the scene's offset."""
    indexed = {"product": "s2_l2a_ucl", "measurements": ["UCL"]}
    found = masked({"juxtapose": [scenes(), indexed]}).load(cube.dc, **ZONE_33, **GRID)
    np.testing.assert_array_equal(found.ucl, expected.ucl)
    agree = (found.ucl == found.UCL).mean()
    # The indexed mask was made from the whole scene, this one from a part of it: .880 agree. Without light, which spares
    # shadow along the edges of what it sees, it would be .897.
    assert agree > 0.87


@pytest.mark.filterwarnings("ignore:Dataset.apply may be:PendingDeprecationWarning")
@eager_and_lazy
def test_collate(cube: Cube, expected: xr.Dataset, lazy: dict[str, Any]) -> None:
    children = [
        {"transform": "unet_mask", "input": scenes(time=time)} for time in ("2024-07", "2024-06")
    ]
    found = construct(collate=children).load(cube.dc, **ZONE_33, **GRID, **lazy)
    np.testing.assert_array_equal(found.ucl, expected.ucl)


@aggregates
@eager_and_lazy
def test_aggregate(cube: Cube, expected: xr.Dataset, lazy: dict[str, Any]) -> None:
    above = construct(
        aggregate="xarray_reduction",
        method="max",
        group_by="year",
        input={"transform": "unet_mask", "keep": False, "input": scenes()},
    )
    found = above.load(cube.dc, **ZONE_33, **GRID, **lazy)
    np.testing.assert_array_equal(found.ucl, expected.ucl.max("time", keepdims=True))
    below = masked(
        {"aggregate": "xarray_reduction", "method": "max", "group_by": "month", "input": scenes()}
    )
    found = below.load(cube.dc, **ZONE_33, **GRID, **lazy)
    np.testing.assert_array_equal(found.ucl, expected.ucl)


def test_reproject(cube: Cube) -> None:
    """Datacube masks on the native grid, one date at a time, and then resamples the codes."""
    inner = {"transform": "unet_mask", "keep": ["scl"], "input": scenes(like="scl")}
    coarse = construct(reproject={"output_crs": "EPSG:3857", "resolution": 90}, input=inner)
    found = coarse.load(cube.dc, **ZONE_33)
    assert found.sizes["time"] == 2
    assert found.odc.geobox.crs == "EPSG:3857"
    check_masking(found.ucl)
    native = construct(**inner).load(cube.dc, geopolygon=found.odc.geobox.extent)
    again = xr_reproject(native.ucl, found.odc.geobox, resampling="nearest")
    np.testing.assert_array_equal(found.ucl, again)


def test_over_a_reprojection(cube: Cube) -> None:
    onto = {"output_crs": "EPSG:3857", "resolution": 30}
    recipe = masked({"reproject": onto, "input": scenes(like="blue")})
    found = recipe.load(cube.dc, **ZONE_33)
    june = classify(found[SIX].isel(time=[0]), offset=-1000)
    np.testing.assert_array_equal(found.ucl.isel(time=[0]), june.ucl)


def test_an_area_without_data_is_nodata(cube: Cube) -> None:
    elsewhere = GeoBox.from_bbox(
        (450_000, 5_294_500, 452_000, 5_296_000), "EPSG:32633", resolution=20
    )
    found = masked(confidence=True).load(cube.dc, like=elsewhere)
    assert (found.ucl == CloudClass.NODATA).all()
    assert (found.ucl_confidence == 255).all()
    assert not make_mask(found.ucl, ucl="clear").any()


# --- the matrix: what datacube cannot do ----------------------------------------------


@pytest.mark.parametrize("chunks", [{}, {"time": 1}, {"x": 64, "y": 64}])
def test_reproject_with_dask_says_what_to_do(cube: Cube, chunks: dict[str, int]) -> None:
    recipe = construct(
        reproject={"output_crs": "EPSG:3857", "resolution": 90},
        input={"transform": "unet_mask", "input": scenes(like="blue")},
    )
    with pytest.raises(
        SceneError, match=r"cannot `reproject` with dask_chunks.*odc_cleansat\.load"
    ):
        recipe.load(cube.dc, **ZONE_33, dask_chunks=chunks)


def test_over_a_lazy_reprojection(cube: Cube) -> None:
    """It fails before the transform is asked."""
    onto = {"output_crs": "EPSG:3857", "resolution": 30}
    recipe = masked({"reproject": onto, "input": scenes(like="blue")})
    with pytest.raises(TypeError, match="'Shape2d'"):
        recipe.load(cube.dc, **ZONE_33, dask_chunks={"time": 1})


@pytest.mark.parametrize(
    ("query", "error", "message"),
    [
        ({**ZONE_33}, ValueError, "Not all bands share the same pixel grid"),
        ({**ZONE_33, **GRID, "measurements": ["ucl"]}, VirtualProductException, "ucl not found in"),
    ],
    ids=["native without like", "measurements"],
)
def test_what_datacube_refuses(
    cube: Cube, query: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        masked().load(cube.dc, **query)


def test_like_a_dataset(cube: Cube, loaded: xr.Dataset) -> None:
    with pytest.raises(TypeError, match="unhashable type: 'Dataset'"):
        masked().load(cube.dc, like=loaded)


def test_two_zones_natively(cube: Cube) -> None:
    with pytest.raises(ValueError, match="Union of empty stream is undefined"):
        masked(scenes(like="blue")).load(cube.dc, **BOTH_ZONES, time="2024-06")


@pytest.mark.filterwarnings("ignore:`binary_dilation` is deprecated:FutureWarning")
def test_dilation_by_apply_mask(cube: Cube) -> None:
    """Datacube's dilation is eager only; the transform's own is both."""
    pytest.importorskip("skimage", reason="datacube's apply_mask dilates with scikit-image")
    clear = {
        "transform": "make_mask",
        "mask_measurement_name": "ucl",
        "flags": {"ucl": "clear"},
        "input": {"transform": "unet_mask", "input": scenes()},
    }
    recipe = construct(transform="apply_mask", mask_measurement_name="ucl", dilation=2, input=clear)
    query = {**ZONE_33, **GRID, **JULY}
    assert (recipe.load(cube.dc, **query).blue == 0).any()
    with pytest.raises(ValueError, match="with different lengths in arrays"):
        recipe.load(cube.dc, **query, dask_chunks={"time": 1})


@eager_and_lazy
def test_own_dilation(cube: Cube, expected: xr.Dataset, lazy: dict[str, Any]) -> None:
    found = masked(dilation={"cloud": 60}).load(cube.dc, **ZONE_33, **GRID, **lazy).ucl
    cloud, before = found.isin(CLOUDS), expected.ucl.isin(CLOUDS)
    assert cloud.sum() > before.sum()
    assert cloud.values[before.values].all()


@pytest.mark.parametrize("lazy", [{}, {"dask_chunks": {}}])
def test_a_query_that_matches_nothing(cube: Cube, lazy: dict[str, Any]) -> None:
    with pytest.raises(SceneError, match="the query matches no dataset"):
        masked().load(cube.dc, **ZONE_33, **GRID, time="2019", **lazy)


@pytest.mark.parametrize(
    ("recipe", "query", "error", "message"),
    [
        (
            {"reproject": {**GRID}, "input": {"transform": "unet_mask", "input": scenes(like="blue")}},
            ZONE_33,
            ValueError,
            "must supply at least one object",
        ),
        (
            {"collate": [{"transform": "unet_mask", "input": scenes()}]},
            {**ZONE_33, **GRID},
            ValueError,
            "must supply at least one object",
        ),
        (
            {"aggregate": "xarray_reduction", "method": "max", "group_by": "year", "input": scenes()},
            {**ZONE_33, **GRID},
            ValueError,
            "time must not be empty",
        ),
        ({"transform": "unet_mask", "input": scenes()}, GRID, TypeError, "'int' object is not"),
    ],
    ids=["reproject", "collate", "aggregate", "without an area"],
)  # fmt: skip
def test_nothing_where_datacube_fails_first(
    cube: Cube, recipe: dict[str, Any], query: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        construct(**recipe).load(cube.dc, **query, time="2019")


# --- bad input ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"confidnce": True}, "no parameter confidnce; it has model, confidence, keep"),
        ({"measurements": ["ucl"]}, "with the product, under `input`"),
        ({"model": "nosuch"}, "no model 'nosuch'; there are unet-"),
        ({"model": ["a"]}, "must be the name of a model"),
        ({"confidence": "yes"}, "confidence is 'yes'; it must be true or false"),
        ({"keep": "scl"}, "keep is 'scl'; it must be true, false or a list"),
        ({"offset": "auto"}, "offset is 'auto'; it must be a number"),
        ({"scale": "1/10000"}, "scale is '1/10000'; it must be a number"),
        ({"thresholds": 0.4}, "thresholds is 0.4; it must be a mapping"),
        ({"thresholds": {"cloud": "low"}}, "thresholds.cloud is 'low'"),
        ({"thresholds": {"fog": 0.5}}, "has no class 'fog'; it has clear, cloud, shadow"),
        ({"dilation": {"snow": 30}}, "cannot dilate 'snow'"),
    ],
    ids=str,
)
def test_bad_parameters(cube: Cube, parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        masked(**parameters).load(cube.dc, **ZONE_33, **GRID, **JULY)


def test_parameters_can_be_checked_without_loading(products: dict[str, Product]) -> None:
    with pytest.raises(ModelError, match="no model 'nosuch'"):
        masked(model="nosuch").output_measurements(products)


def test_a_product_without_the_bands(cube: Cube, products: dict[str, Product]) -> None:
    recipe = masked({"product": "s2_l2a_ucl"})
    for fails in (
        lambda: recipe.output_measurements(products),
        lambda: recipe.load(cube.dc, **ZONE_33, **GRID),
    ):
        with pytest.raises(SceneError, match=r"lacks blue \(B02\).*it has ucl, ucl_confidence"):
            fails()


def test_a_model_without_its_bands(products: dict[str, Product]) -> None:
    recipe = masked(scenes(SIX[:4]), model=DEFAULTS[0])
    with pytest.raises(SceneError, match=r"lacks swir16 \(B11\), swir22 \(B12\)"):
        recipe.output_measurements(products)


def test_measurements_in_the_query(cube: Cube) -> None:
    with pytest.raises(SceneError, match="given to load\\(\\), it selects there too"):
        masked().load(cube.dc, **ZONE_33, **GRID, measurements=["red", "scl"])


def test_an_unknown_measurement(cube: Cube, products: dict[str, Product]) -> None:
    with pytest.raises(SceneError, match="keep B09, which the input does not have; it has blue"):
        masked(keep=["B09"]).output_measurements(products)
    # Of the product, datacube itself knows; it does so tersely.
    with pytest.raises(KeyError, match="ultraviolet"):
        masked(scenes([*SIX, "ultraviolet"])).load(cube.dc, **ZONE_33, **GRID)


def test_a_mask_is_there_already(products: dict[str, Product]) -> None:
    twice = {"transform": "unet_mask", "input": scenes()}
    with pytest.raises(SceneError, match="has ucl already"):
        masked(twice).output_measurements(products)
    assert "ucl" in masked(twice, keep=["scl"]).output_measurements(products)


def test_a_grid_too_coarse(cube: Cube) -> None:
    coarse = {**GRID, "resolution": 100}
    with pytest.raises(SceneError, match=r"100 m wide, too coarse.*45 m or finer"):
        masked().load(cube.dc, **ZONE_33, **coarse)


def test_fused_scenes_of_different_offsets(cube: Cube) -> None:
    together = GroupBy(
        group_by_func=lambda dataset: "all",
        dimension="time",
        units="1",
        sort_key=lambda dataset: dataset.center_time,
        group_key=lambda datasets: datasets[0].center_time,
    )
    with pytest.raises(SceneError, match=r"offsets \[-1000, 0\]; load them with group_by='time'"):
        masked().load(cube.dc, **ZONE_33, **GRID, group_by=together)
    found = masked(offset=0).load(cube.dc, **ZONE_33, **GRID, group_by=together)
    assert found.sizes["time"] == 1


def test_reflectance_has_no_offset(cube: Cube, expected: xr.Dataset) -> None:
    """Bands that another transform made reflectance are taken as they are."""
    scaled = {
        "transform": "expressions",
        "output": {b: {"formula": f"{b} / 10000 - 0.1", "dtype": "float32"} for b in SIX},
        "input": scenes(),
    }
    found = masked(scaled).load(cube.dc, **ZONE_33, **GRID, time="2024-06")
    assert (found.ucl == expected.ucl.isel(time=[0])).mean() > 0.999


def test_by_itself_it_knows_no_offset(loaded: xr.Dataset) -> None:
    found = UNetMask(keep=False).compute(loaded.isel(time=[1]))
    np.testing.assert_array_equal(found.ucl, classify(loaded.isel(time=[1])).ucl)


def test_coordinates_that_differ_in_the_last_digit() -> None:
    """The bands' own coordinates stay: aligning by value would tear holes."""
    grid = GeoBox.from_bbox((10.0, 47.0, 10.03, 47.02), "EPSG:4326", resolution=0.0003)
    values = np.full(grid.shape, 1500, dtype="uint16")
    scene = xr.Dataset({b: wrap_xr(values, grid, nodata=0).expand_dims(time=1) for b in SIX})
    scene = scene.assign_coords(longitude=scene.longitude * (1 + 1e-15))
    found = UNetMask().compute(scene)
    assert found.ucl.dtype == "uint8"
    xr.testing.assert_identical(found.longitude, scene.longitude)


# --- the recipes, and the name --------------------------------------------------------


def test_the_catalog_names_its_recipes(products: dict[str, Product]) -> None:
    recipes = catalog()
    outputs = {name: list(recipes[name].output_measurements(products)) for name in recipes}
    assert outputs == {
        "s2_l2a_with_ucl": [*SIX, "scl", "ucl", "ucl_confidence"],
        "s2_l2a_scl_ucl": ["scl", "ucl"],
        "s2_l2a_clear": SIX,
        "s2_l2a_clear_median": SIX,
    }


@aggregates
@pytest.mark.filterwarnings("ignore:All-NaN slice:RuntimeWarning")
@pytest.mark.parametrize("lazy", [{}, {"dask_chunks": {"time": 1}}])
@pytest.mark.parametrize("grid", [GRID, {}], ids=["grid", "native"])
def test_recipes(cube: Cube, grid: dict[str, Any], lazy: dict[str, Any]) -> None:
    loads = {
        name: recipe.load(cube.dc, **ZONE_33, **grid, **lazy) for name, recipe in catalog().items()
    }
    found = {name: each.compute() for name, each in loads.items()}
    assert all(dask.is_dask_collection(each) == bool(lazy) for each in loads.values())
    check_masking(found["s2_l2a_with_ucl"].ucl)
    check_masking(found["s2_l2a_scl_ucl"].ucl)
    clear = found["s2_l2a_clear"]
    cloudy = found["s2_l2a_with_ucl"].ucl != CloudClass.CLEAR
    assert np.isnan(clear.blue.values[cloudy.values]).all()
    assert np.isfinite(clear.blue).mean() > 0.2
    assert 0 < clear.blue.median() < 0.2
    median = found["s2_l2a_clear_median"]
    assert median.sizes["time"] == 1
    np.testing.assert_allclose(median.blue[0], clear.blue.median("time"))


def test_a_recipe_in_a_fresh_process(cube: Cube, fresh: Fresh, expected: xr.Dataset) -> None:
    """As a user of datacube would: nothing of ours is imported, the path in the recipe suffices."""
    code = f"""
import json
from datacube import Datacube
from datacube.virtual import catalog_from_file
dc = Datacube(config={str(cube.folder / "datacube.conf")!r})
recipe = catalog_from_file({str(CATALOG)!r})["s2_l2a_scl_ucl"]
found = recipe.load(dc, **{ZONE_33!r}, **{GRID!r})
print(json.dumps(found.ucl.values.tolist()))
"""
    np.testing.assert_array_equal(json.loads(fresh(code)), expected.ucl)


def test_ours_does_not_warn(fresh: Fresh) -> None:
    fresh("import warnings; warnings.simplefilter('error'); import odc_cleansat.virtual")


def test_registering_again_changes_nothing() -> None:
    register()
    register()
    assert DEFAULT_RESOLVER.lookup_table["transform"]["unet_mask"] is UNetMask


def test_a_recipe_prints_and_reads_back(products: dict[str, Product]) -> None:
    recipe = masked(keep=["scl"], offset=-1000, dilation={"cloud": 60})
    again = construct_from_yaml(repr(recipe))
    assert repr(again) == repr(recipe)
    assert again.output_measurements(products) == recipe.output_measurements(products)
    assert isinstance(again.output_measurements(products)["ucl"], Measurement)


def test_reflectance_of_floats_with_a_nodata_value() -> None:
    grid = GeoBox.from_bbox((0, 0, 300, 300), "EPSG:32633", resolution=30)
    pixels = np.full((1, *grid.shape), 0.2, dtype="float32")
    pixels[0, :3] = -999
    band = wrap_xr(pixels, grid, nodata=-999, axis=1)
    found = UNetMask(reflectance=True)._to_reflectance(band, [0])
    assert np.isnan(found.values[0, :3]).all()
    assert np.isfinite(found.values[0, 3:]).all()
