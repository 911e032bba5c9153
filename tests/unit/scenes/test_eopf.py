"""ESA's Zarr layout: what a root says, the assets of items, and datatrees."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pystac
import pytest
import xarray as xr
from eopf_product import NAME, SCENE, SUN, VIEW, write_product

from odc_cleansat.errors import SceneError
from odc_cleansat.scenes.bands import find_bands
from odc_cleansat.scenes.eopf import (
    mean_angles,
    product_properties,
    tree_bands,
    with_band_assets,
    with_references,
    with_stated_crs,
)
from odc_cleansat.scenes.packing import read_packing
from odc_cleansat.scenes.stac import choose_assets

REAL_V2: dict[str, Any] = {
    "stac_discovery": {
        "id": "S2A_MSIL2A_20251008T100041_N0511_R122_T32TQM_20251008T122613.SAFE",
        "properties": {
            "datetime": None, "start_datetime": "2025-10-08T10:00:41.024000+00:00", "platform": "sentinel-2a",
            "constellation": "sentinel-2", "instrument": "msi", "eo:cloud_cover": 0.003839, "eopf:baseline": "05.11",
            "processing:level": "L2A", "processing:version": "", "product:type": "S02MSIL2A", "proj:epsg": 32632,
            "sat:orbit_state": "descending", "sat:relative_orbit": 122,
        },
    },
    "other_metadata": {
        "horizontal_CRS_code": "EPSG:32632",
        "mean_sun_azimuth_angle_in_deg_for_all_bands_all_detectors": 163.595949089503,
        "mean_sun_zenith_angle_in_deg_for_all_bands_all_detectors": 49.3049375691464,
    },
}  # fmt: skip
"""From the root of a published product, CPM 2.6."""

REAL_V3: dict[str, Any] = {
    "stac_discovery": {
        "id": "S02MSIL2A_20260721T100559_00000_B0022_T8BB",
        "properties": {
            "datetime": "2026-07-21T10:05:59.024000Z", "platform": "sentinel-2b", "instruments": ["msi"],
            "processing:level": "L2A", "processing:version": "1.0.0", "product:type": "S02MSIL2A",
            "eopf:datastrip_id": "S2B_OPER_MSI_L2A_DS_2BPS_20260721T143508_S20260721T101636_N05.12",
            "proj:code": "EPSG:32633",
        },
    },
    "other_metadata": {"horizontal_crs_code": "EPSG:32633"},
}  # fmt: skip
"""The same, CPM 3.0."""


def test_the_root_of_a_real_product_of_version_2() -> None:
    found = product_properties(REAL_V2)
    assert found["datetime"] == datetime.datetime(2025, 10, 8, 10, 0, 41, 24000, datetime.UTC)
    assert found["s2:product_uri"] == REAL_V2["stac_discovery"]["id"]
    assert found["s2:processing_baseline"] == "05.11"
    assert found["view:sun_azimuth"] == pytest.approx(163.6, abs=0.01)
    assert found["view:sun_elevation"] == pytest.approx(40.7, abs=0.01)
    assert "processing:version" not in found


def test_the_root_of_a_real_product_of_version_3() -> None:
    found = product_properties(REAL_V3, ["any"])
    assert found["datetime"].isoformat() == "2026-07-21T10:05:59.024000+00:00"
    assert found["processing:level"] == "L2A"
    assert "s2:product_uri" not in found
    named = product_properties(
        REAL_V3, ["S2B_MSIL2A_20260721T100559_N0512_R022_T33UWQ_20260721T143508"]
    )
    assert named["s2:product_uri"].startswith("S2B_MSIL2A_20260721T100559_N0512")


def test_the_name_tells_what_geozarr_does_not() -> None:
    found = product_properties({}, [NAME])
    assert found["datetime"] == datetime.datetime(2024, 6, 15, 10, 10, 31, tzinfo=datetime.UTC)
    assert found["processing:level"] == "L2A"
    assert (
        product_properties({}, ["S02MSIL1C_20240428T102559_0000_B108_T452"])["processing:level"]
        == "L1C"
    )
    assert product_properties({}, ["anything"]) == {}


@pytest.mark.parametrize(
    ("attrs", "name"),
    [
        ({"stac_discovery": {"properties": {"platform": "sentinel-3a"}}}, "x"),
        ({"stac_discovery": {"properties": {"product:type": "S03OLCEFR"}}}, "x"),
        ({}, "S03OLCEFR_20250416T063751_0180_B248_T853"),
        ({}, "S1A_IW_GRDH_1SDV_20241124T180254_20241124T180319_056700_06F516_BA27"),
    ],
)
def test_another_sensor_is_refused(attrs: dict[str, Any], name: str) -> None:
    with pytest.raises(SceneError, match="is not of Sentinel-2"):
        product_properties(attrs, [name])


def test_mean_angles_of_bands_that_have_them() -> None:
    view = np.array([(4.0, 350.0), (np.nan, np.nan), (6.0, 30.0)])
    found = mean_angles(None, np.array([30.0, 150.0]), view)
    assert (found["view:sun_azimuth"], found["view:sun_elevation"]) == (150, 60)
    assert found["view:azimuth"] == pytest.approx(10)
    assert found["view:incidence_angle"] == pytest.approx(5)
    turned = mean_angles(np.array([b"azimuth", b"zenith"]), np.array([150.0, 30.0]), None)
    assert turned == {"view:sun_azimuth": 150, "view:sun_elevation": 60}
    assert mean_angles(None, np.array([np.nan, 150.0]), np.full((2, 2), np.nan)) == {}
    assert mean_angles(None, None, np.zeros(3)) == {}


def item(**assets: str) -> pystac.Item:
    made = pystac.Item(
        NAME, None, None, datetime.datetime(2024, 6, 15), {"platform": "sentinel-2b"}
    )
    for key, path in assets.items():
        href = f"https://host/{NAME}.zarr{path}"
        made.add_asset(key, pystac.Asset(href, media_type="application/vnd+zarr", roles=["data"]))
    return made


def test_groups_and_products_have_an_asset_for_each_band() -> None:
    for given in (
        {"product": ""},
        {"reflectance": "/measurements/reflectance"},
        {"SR_10m": "/measurements/reflectance/r10m", "SR_20m": "/measurements/reflectance/r20m"},
    ):
        chosen = choose_assets(item(**given))
        found = find_bands(chosen.assets, ["blue", "green", "red", "nir", "swir16", "swir22"])
        assert (
            chosen.assets[found["swir22"]].href
            == f"https://host/{NAME}.zarr/measurements/reflectance/r20m/b12"
        )
    assert "scl" in choose_assets(item(product="")).assets
    assert "scl" not in choose_assets(item(SR_10m="/measurements/reflectance/r10m")).assets


def test_assets_that_are_there_are_not_made_twice() -> None:
    """As the EOPF Sample Service has them: bands, groups, the product and its metadata."""
    given = item(
        B02_10m="/measurements/reflectance/r10m/b02", SR_10m="/measurements/reflectance/r10m",
        product="", product_metadata="/.zmetadata",
    )  # fmt: skip
    found = with_band_assets(given)
    assert "B02" not in found.assets
    assert {"B03", "B12", "SCL"} <= found.assets.keys()
    assert found.assets["B02_10m"].media_type == "application/zarr"
    assert given.assets["B02_10m"].media_type == "application/vnd+zarr"
    assert found.assets["product"].media_type == "application/vnd+zarr"


def test_items_of_files_are_left_alone() -> None:
    plain = pystac.Item("x", None, None, datetime.datetime(2024, 6, 15), {})
    plain.add_asset("red", pystac.Asset("https://host/B04.tif", media_type=pystac.MediaType.COG))
    assert with_band_assets(plain) is plain


@pytest.fixture(scope="module", params=["v2", "v3", "geozarr"])
def product(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_product(tmp_path_factory.mktemp(request.param), request.param, holes=slice(20, 40))


@pytest.mark.parametrize("decoded", [True, False])
def test_a_datatree_is_a_scene_whether_xarray_has_unpacked_it_or_not(
    product: Path, decoded: bool
) -> None:
    tree = xr.open_datatree(product, engine="zarr", chunks=None, mask_and_scale=decoded)
    tree.name = NAME
    bands = tree_bands(tree)
    assert {each.odc.crs.epsg for each in bands.values()} == {SCENE.epsg}
    assert (bands["b02"].shape, bands["b8a"].shape) == ((240, 300), (120, 150))
    red, packing = bands["b04"], read_packing(bands["b04"])
    numbers = SCENE.read()["B04"].astype("float64")
    values = (red.values.astype("float64") + packing.offset) * packing.scale
    there = np.ones(red.shape, bool)
    there[20:40] = False
    np.testing.assert_allclose(values[there], ((numbers - 1000) / 10000)[there], atol=1e-6)
    assert str(red["time"].values)[:19] == "2024-06-15T10:10:31"
    assert float(red["view:sun_azimuth"]) == SUN[1]
    assert float(red["view:azimuth"]) == pytest.approx(VIEW[1])
    assert str(red["s2:product_uri"].values) == f"{NAME}.SAFE"


def test_a_datatree_without_bands_or_coordinate_system(product: Path) -> None:
    tree = xr.open_datatree(product, engine="zarr", chunks=None)
    with pytest.raises(SceneError, match="holds no bands in measurements/reflectance; it has"):
        tree_bands(xr.DataTree(children={"conditions": tree["conditions"].copy()}))
    part = xr.DataTree(name="part", children={"r10m": tree["measurements/reflectance/r10m"].copy()})
    if "v3" in str(product):
        with pytest.raises(SceneError, match="tells no coordinate system of r10m/b0"):
            tree_bands(part)
    else:
        assert set(tree_bands(part)) == {"b02", "b03", "b04", "b08"}


def test_a_datatree_of_another_sensor(tmp_path: Path) -> None:
    path = write_product(tmp_path, told={"platform": "sentinel-3a"})
    with pytest.raises(SceneError, match="is not of Sentinel-2: platform is sentinel-3a"):
        tree_bands(xr.open_datatree(path, engine="zarr", chunks=None))


def test_a_band_alone_has_the_coordinate_system_of_its_attributes() -> None:
    band = xr.DataArray(
        np.ones((2, 3)), coords={"y": [20.0, 10.0], "x": [0.0, 10, 20]}, dims=("y", "x")
    )
    assert with_stated_crs(band) is band
    placed = with_stated_crs(band.assign_attrs({"proj:epsg": 32633}))
    assert placed.odc.crs.epsg == 32633
    kept = band.odc.assign_crs("EPSG:32634").assign_attrs({"proj:epsg": 32633})
    assert with_stated_crs(kept).odc.crs.epsg == 32634


def test_a_reference_that_is_data_becomes_a_coordinate(product: Path) -> None:
    group = xr.open_zarr(product, group="measurements/reflectance/r10m", chunks=None)
    assert ("spatial_ref" in with_references(group).coords) is ("geozarr" in str(product))
    assert with_references(group).data_vars.keys() == {"b02", "b03", "b04", "b08"}
