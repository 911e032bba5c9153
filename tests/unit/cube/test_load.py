"""`load`: scenes with their masks, from the index or computed."""

from __future__ import annotations

import copy
import re
import warnings
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
import rasterio
import xarray as xr
from affine import Affine
from conftest import Cube
from dask.distributed import Client, LocalCluster
from datacube.model import Dataset, Product
from datacube.utils.masking import make_mask
from odc.algo import enum_to_bool
from odc.geo.geobox import GeoBox

from odc_cleansat import CloudClass
from odc_cleansat.batch.records import Request
from odc_cleansat.batch.survey import expected_mask_id
from odc_cleansat.cube.choose import of_one_model
from odc_cleansat.cube.index import add_dataset
from odc_cleansat.cube.load import load
from odc_cleansat.cube.lookup import MaskOptions, look_up
from odc_cleansat.cube.recall import recall
from odc_cleansat.errors import (
    CleansatError,
    CubeError,
    GapWarning,
    ModelError,
    ModelWarning,
    ReflectanceWarning,
    SceneError,
)
from odc_cleansat.masks import on_demand
from odc_cleansat.products.job import MaskJob
from odc_cleansat.scenes.read import read_scene
from odc_cleansat.storage.eo3 import native_grids
from odc_cleansat.synthetic.scene import SimulatedScene

HOME = GeoBox.from_bbox((399960, 5294040, 407160, 5300040), "EPSG:32633", resolution=20)
"""The grid of the masks of june and july."""

BOTH = GeoBox.from_bbox((395700, 5292600, 407160, 5300040), "EPSG:32633", resolution=60)
"""A grid over both zones."""

NO_INFERENCE = "a window was classified although its mask is in the index"


@pytest.fixture
def no_inference(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise AssertionError(NO_INFERENCE)

    on_demand.clear_cache()
    monkeypatch.setattr(on_demand, "window_probabilities", fail)


def of_home(cube: Cube) -> list[Dataset]:
    return [cube.scenes["june"], cube.scenes["july"]]


def indexed(cube: Cube, name: str) -> np.ndarray:
    """The mask as it was written."""
    return cube.dc.load(datasets=[cube.masks[name]], like=HOME, measurements=["ucl"]).ucl.values[0]


# --- where masks come from ------------------------------------------------------------


@pytest.mark.usefixtures("no_inference")
def test_masks_come_from_the_index_where_they_are_there(cube: Cube) -> None:
    found = load(cube.dc, datasets=of_home(cube), measurements=["scl", "ucl", "ucl_confidence"], like=HOME)  # fmt: skip
    for i, name in enumerate(("june", "july")):
        np.testing.assert_array_equal(found.ucl[i], indexed(cube, name))
    assert (found.ucl_confidence != 255).all()
    plain = cube.dc.load(datasets=of_home(cube), like=HOME, measurements=["scl"])
    np.testing.assert_array_equal(found.scl, plain.scl)
    np.testing.assert_array_equal(found.time, plain.time)


def test_computed_masks_are_those_of_the_index(cube: Cube) -> None:
    found = load(cube.dc, datasets=of_home(cube), measurements="ucl", like=HOME, ucl="computed")
    for i, name in enumerate(("june", "july")):
        np.testing.assert_array_equal(found.ucl[i], indexed(cube, name))


def test_two_zones_of_one_day(cube: Cube) -> None:
    """Indexed in one zone, computed in the other, put together by solar day."""
    how = {"like": BOTH, "group_by": "solar_day", "time": "2024-06-15"}
    found = load(cube.dc, "s2_l2a", measurements=["scl", "ucl"], **how)
    assert found.sizes["time"] == 1
    alone = {
        name: load(cube.dc, datasets=[cube.scenes[name]], measurements="ucl", like=BOTH).ucl[0]
        for name in ("june", "west")
    }
    data = {name: ucl != CloudClass.NODATA for name, ucl in alone.items()}
    assert (data["west"] & ~data["june"]).sum() > 1000
    assert (data["west"] & data["june"]).sum() > 1000
    ucl = found.ucl[0]
    np.testing.assert_array_equal(ucl != CloudClass.NODATA, data["west"] | data["june"])
    for name, other in (("june", "west"), ("west", "june")):
        only = data[name] & ~data[other]
        np.testing.assert_array_equal(ucl.values[only], alone[name].values[only])
    lazy = load(cube.dc, "s2_l2a", measurements=["ucl"], dask_chunks={"x": 64, "y": 64}, **how)
    assert lazy.ucl.chunks is not None
    np.testing.assert_array_equal(lazy.ucl, found.ucl)


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


def test_masks_by_another_model_are_not_taken(cube: Cube) -> None:
    how = {"datasets": of_home(cube)[:1], "measurements": "ucl", "like": HOME}
    other = load(cube.dc, model="unet-efficientnetb4-l2a-4b", **how).ucl
    assert np.mean(other[0] != indexed(cube, "june")) > 0.001
    strict = load(cube.dc, thresholds={"cloud": 0.99}, **how).ucl
    assert (strict == CloudClass.CLOUD).sum() < (indexed(cube, "june") == CloudClass.CLOUD).sum()


def test_distributed(cube: Cube) -> None:
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster),
    ):
        found = load(
            cube.dc, "s2_l2a", measurements=["ucl"], like=HOME, time="2024-06-15",
            group_by="solar_day", dask_chunks={"x": 120, "y": 150},
        ).compute()  # fmt: skip
    data = indexed(cube, "june") != CloudClass.NODATA
    np.testing.assert_array_equal(found.ucl[0].values[data], indexed(cube, "june")[data])


# --- options --------------------------------------------------------------------------


def test_all_measurements_by_default(cube: Cube) -> None:
    found = load(cube.dc, datasets=of_home(cube)[:1], like=HOME)
    assert list(found.data_vars) == [*cube.scenes["june"].product.measurements, "ucl"]
    assert (enum_to_bool(found.ucl, ["cloud"]) == (found.ucl == CloudClass.CLOUD)).all()
    assert (make_mask(found.ucl, ucl="shadow") == (found.ucl == CloudClass.SHADOW)).all()


def test_aliases_and_resampling(cube: Cube) -> None:
    grid = GeoBox.from_bbox(HOME.boundingbox, HOME.crs, resolution=60)
    how = {"datasets": of_home(cube)[:1], "measurements": ["B04", "SCL", "UCL"], "like": grid}
    nearest = load(cube.dc, **how)
    mean = load(cube.dc, resampling={"B04": "average", "*": "nearest"}, **how)
    assert list(mean.data_vars) == ["B04", "SCL", "UCL"]
    fine = load(cube.dc, datasets=of_home(cube)[:1], measurements=["red"], resolution=10, output_crs="EPSG:32633").red  # fmt: skip
    blocks = fine[0].values.astype("float64").reshape(100, 6, 120, 6).mean(axis=(1, 3))
    np.testing.assert_allclose(mean.B04[0], blocks, atol=0.51)
    assert (nearest.B04 != mean.B04).mean() > 0.5
    np.testing.assert_array_equal(nearest.UCL, mean.UCL)


def test_only_clear_times(cube: Cube) -> None:
    share = {n: float(np.mean(indexed(cube, n) == CloudClass.CLEAR)) for n in ("june", "july")}
    clearer, cloudier = sorted(share, key=share.get, reverse=True)
    assert share[clearer] - share[cloudier] > 0.01
    least = (share[clearer] + share[cloudier]) / 2
    how = {"datasets": of_home(cube), "measurements": ["scl", "ucl"], "like": HOME}
    for chunks in (None, {"x": 100, "y": 100}):
        found = load(cube.dc, min_clear=least, dask_chunks=chunks, **how)
        assert found.sizes["time"] == 1
        np.testing.assert_array_equal(found.ucl[0], indexed(cube, clearer))
        assert (found.ucl.chunks is None) == (chunks is None)
    assert list(load(cube.dc, min_clear=least, **{**how, "measurements": "scl"})) == ["scl"]
    with pytest.raises(
        CubeError, match=f"none of the 2 times has 100 %.* {100 * share[clearer]:.0f} %"
    ):
        load(cube.dc, min_clear=1, **how)


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


# --- what goes wrong ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"product": "s2"}, "no product 's2'; it has s2_l2a, s2_l2a_ucl"),
        ({"time": "1999"}, "no dataset of s2_l2a matches time='1999'"),
        ({"x": (10, 11), "y": (0, 1)}, "s2_l2a has datasets, but none that matches the query in this area"),
        ({"x": (179, -179), "y": (0, 1)}, "antimeridian"),
        ({"measurements": ["red", "ultraviolet"]}, "no measurement 'ultraviolet'; it has coastal"),
        ({"measurements": []}, "measurements is empty"),
        ({"like": None}, "no output grid.*EPSG:32632, EPSG:32633"),
        ({"ucl": "perhaps"}, "choose from auto, indexed, computed"),
        ({"min_clear": 60}, "from 0 to 1"),
        ({"datasets": []}, "datasets= is empty"),
        ({"colour": "red"}, "cannot be understood"),
        ({"group_by": "week"}, "choose time or solar_day"),
        ({"resampling": "cubicc"}, "resampling 'cubicc' is unknown; choose from nearest"),
        ({"like": None, "output_crs": "EPSG:99999", "resolution": 20}, "no coordinate system"),
        ({"like": None, "output_crs": "EPSG:32633", "resolution": 0}, "no output grid"),
        ({"like": None, "output_crs": "EPSG:32633", "resolution": 0.0002}, "check the resolution"),
        ({"like": HOME, "x": (13, 14), "y": (47, 48)}, "an area cannot go with like"),
        ({"like": HOME, "resolution": 10}, "resolution cannot go with like"),
    ],
)  # fmt: skip
def test_bad_queries(cube: Cube, how: dict[str, Any], message: str) -> None:
    query = {"product": "s2_l2a", "like": HOME, "measurements": ["ucl"], **how}
    if query["like"] is None or ("x" in query and "like" not in how):
        del query["like"]
    with pytest.raises(CubeError, match=message):
        load(cube.dc, query.pop("product"), **query)


def test_of_listed_scenes_only_masks_of_their_times_are_searched(
    cube: Cube, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An archive may have a hundred thousand others."""
    found: list[Dataset] = []
    search = cube.dc.find_datasets

    def find(**query: object) -> list[Dataset]:
        found.extend(search(**query))
        return found

    monkeypatch.setattr(cube.dc, "find_datasets", find)
    loaded = load(cube.dc, datasets=[cube.scenes["july"]], like=HOME, measurements=["ucl"])
    assert found == [cube.masks["july"]]
    np.testing.assert_array_equal(loaded.ucl.values[0], indexed(cube, "july"))


def test_misspelt_arguments_are_not_ignored(cube: Cube) -> None:
    for wrong in ("tresholds", "tim", "driver", "time"):
        with pytest.raises(CubeError, match=f"{wrong} cannot go with datasets="):
            load(cube.dc, datasets=of_home(cube), like=HOME, **{wrong: "2024"})


def test_a_grid_by_any_name(cube: Cube) -> None:
    how = {"datasets": of_home(cube)[:1], "measurements": "ucl"}
    expected = load(cube.dc, like=HOME, **how)
    assert load(cube.dc, geobox=HOME, **how).identical(expected)
    for like in (expected, expected.ucl):
        xr.testing.assert_equal(load(cube.dc, like=like, **how), expected)


def test_an_offset_of_the_caller_s(cube: Cube) -> None:
    how = {"datasets": of_home(cube)[1:], "like": HOME, "measurements": ["red", "ucl"]}
    raw, shifted = (load(cube.dc, offset=o, harmonized=True, **how) for o in (0, -100))
    assert raw.offset.item() == 0
    red = raw.red.values.astype(int)
    np.testing.assert_array_equal(shifted.red, np.where(red == 0, 0, np.maximum(red - 100, 1)))
    assert (shifted.ucl != raw.ucl).any(), (
        "the indexed mask, made with another offset, is not taken"
    )


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


@pytest.mark.parametrize("scheduler", ["synchronous", "threads"])
def test_a_gap_is_said_under_dask_too(
    cube: Cube, tmp_path: Path, scheduler: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Cut off in the middle, so that it opens and then cannot be read."""
    scene = cube.scenes["july"]
    document = copy.deepcopy(scene.metadata_doc)
    whole = (cube.folder / "july" / "B08.tif").read_bytes()
    (tmp_path / "B08.tif").write_bytes(whole[: len(whole) // 2])
    document["measurements"]["nir"]["path"] = (tmp_path / "B08.tif").as_uri()
    broken = Dataset(scene.product, document, uri=scene.uri)
    for name in ("ucl", "nir"):
        lazy = load(
            cube.dc, datasets=[broken], measurements=[name], like=HOME, ucl="computed",
            dask_chunks={"x": 100, "y": 100},
        )  # fmt: skip
        said = r"no data where they would be: .*cannot read .*B08\.tif"
        if scheduler == "synchronous":
            with pytest.warns(GapWarning, match=said):
                lazy.compute(scheduler=scheduler)
        else:
            caplog.clear()
            lazy.compute(scheduler=scheduler)
            told = [each for each in caplog.records if each.name == "odc_cleansat"]
            assert told
            assert all(each.category is GapWarning for each in told)  # type: ignore[attr-defined]
            assert all(re.match(said, each.getMessage()) for each in told)


def test_like_brings_its_times_as_in_dc_load(cube: Cube) -> None:
    july = cube.dc.load("s2_l2a", measurements=["red"], like=HOME, time="2024-07")
    found = load(cube.dc, "s2_l2a", measurements=["red", "ucl"], like=july)
    assert found.time.values.tolist() == july.time.values.tolist()
    every = load(cube.dc, "s2_l2a", measurements=["scl"], like=july, time="2024")
    assert every.sizes["time"] > 1
    # A day is named after its first scene, and has others.
    how: dict[str, Any] = {"measurements": ["red"], "group_by": "solar_day"}
    day = load(cube.dc, "s2_l2a", like=BOTH, time="2024-06-15", **how)
    again = load(cube.dc, "s2_l2a", like=day, **how)
    np.testing.assert_array_equal(again.red, day.red)


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


def test_datasets_without_a_place(cube: Cube) -> None:
    scene = cube.scenes["june"]
    homeless = Dataset(scene.product, scene.metadata_doc)
    with pytest.raises(SceneError, match="no location"):
        load(cube.dc, datasets=[homeless], measurements=["ucl"], like=HOME)


def test_bands_without_red_can_be_loaded(cube: Cube) -> None:
    scene = cube.scenes["june"]
    document = copy.deepcopy(scene.metadata_doc)
    del document["measurements"]["red"]
    found = load(
        cube.dc, datasets=[Dataset(scene.product, document, uri=scene.uri)], measurements=["blue"], like=HOME
    )  # fmt: skip
    assert float(found.offset[0]) == -1000
    assert (found.blue > 0).any()


def test_unknown_model(cube: Cube) -> None:
    with pytest.raises(ModelError, match="no model 'x'"):
        load(cube.dc, "s2_l2a", model="x", like=HOME)


def test_files_that_are_gone_leave_a_gap(cube: Cube) -> None:
    scene = cube.scenes["july"]
    document = copy.deepcopy(scene.metadata_doc)
    document["measurements"]["red"]["path"] = "file:///nowhere/B04.tif"
    scenes = [cube.scenes["june"], Dataset(scene.product, document, uri=scene.uri)]
    how: dict[str, Any] = {
        "datasets": scenes, "measurements": ["red", "scl", "ucl"], "like": HOME, "ucl": "computed", "harmonized": True,
    }  # fmt: skip
    with pytest.warns(GapWarning, match=r"nowhere/B04\.tif"):
        found = load(cube.dc, **how)
    np.testing.assert_array_equal(found.ucl[0], indexed(cube, "june"))
    assert (found.ucl[1] == CloudClass.NODATA).all()
    assert (found.red[1] == 0).all()
    assert (found.scl[1] != 0).all()
    with pytest.raises(Exception, match="nowhere"):
        load(cube.dc, skip_broken_datasets=False, **how)


def test_a_product_without_the_bands(cube: Cube) -> None:
    with pytest.raises(ValueError, match="lacks blue"):
        load(cube.dc, "s2_l2a_ucl", like=HOME)


def test_the_result_is_like_that_of_dc_load(cube: Cube) -> None:
    how = {"datasets": of_home(cube)[:1], "like": HOME, "measurements": ["red"]}
    found, plain = load(cube.dc, **how), cube.dc.load(**how)
    xr.testing.assert_equal(found.drop_vars("offset"), plain)
    assert found.odc.geobox == plain.odc.geobox
    assert {"units", "nodata"} <= set(found.red.attrs)


@pytest.mark.parametrize("chunks", [None, {"x": 40, "y": 70}], ids=["eager", "lazy"])
def test_presets(cube: Cube, chunks: Any) -> None:
    """On part of a scene as on all of it: what lies outside the part reaches in."""
    how: dict[str, Any] = {
        "datasets": of_home(cube), "measurements": ["red", "ucl"], "harmonized": True,
    }  # fmt: skip
    plain = load(cube.dc, like=HOME, **how)
    whole = load(cube.dc, like=HOME, preset="conservative", dask_chunks=chunks, **how)
    assert (whole.chunks != {}) == (chunks is not None)
    assert whole.ucl.attrs["preset"] == "conservative"
    assert "preset" not in plain.ucl.attrs
    xr.testing.assert_equal(whole.red, plain.red)
    assert ((plain.ucl == CloudClass.CLEAR) & (whole.ucl == CloudClass.CLOUD)).sum() > 100
    assert ((plain.ucl == CloudClass.NODATA) == (whole.ucl == CloudClass.NODATA)).all()
    part = load(cube.dc, like=HOME[40:90, 30:100], preset="conservative", **how)
    xr.testing.assert_equal(part.ucl, whole.ucl[:, 40:90, 30:100].compute())
    lenient = load(
        cube.dc, like=HOME, preset="permissive", min_clear=0.01, **(how | {"measurements": "ucl"})
    )
    assert (lenient.ucl == CloudClass.CLEAR).sum() > (plain.ucl == CloudClass.CLEAR).sum()
    assert set(lenient.data_vars) == {"ucl"}
    with pytest.raises(CleansatError, match="no preset 'x'; choose from balanced"):
        load(cube.dc, like=HOME, preset="x", **how)


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


def test_an_alias_of_the_mask_is_the_mask(cube: Cube) -> None:
    how: dict[str, Any] = {"datasets": of_home(cube), "like": HOME, "preset": "conservative"}
    found = load(cube.dc, measurements=["UCL", "ucl"], **how)
    assert list(found.data_vars) == ["UCL", "ucl"]
    xr.testing.assert_equal(found.UCL, found.ucl.rename("UCL"))
    assert found.UCL.attrs["preset"] == "conservative"


def test_masks_of_another_scale_are_computed(cube: Cube) -> None:
    how: dict[str, Any] = {"datasets": of_home(cube), "like": HOME, "measurements": "ucl"}
    dark = load(cube.dc, scale=np.float32(2e-5), **how)
    xr.testing.assert_equal(dark, load(cube.dc, scale=2e-5, ucl="computed", **how))
    assert (dark.ucl != load(cube.dc, **how).ucl).any()
    for scale in (0, -1e-4, float("nan")):
        with pytest.raises(CleansatError, match="not above 0"):
            load(cube.dc, scale=scale, **how)


def test_masks_as_fine_as_their_scl_are_found(cube: Cube, tmp_path: Path) -> None:
    scene = SimulatedScene(shape=(300, 300), seed=5).write(tmp_path / "scene")
    with rasterio.open(scene / "SCL.tif") as file:
        codes, profile = file.read(1).repeat(2, axis=0).repeat(2, axis=1), file.profile
    profile |= {"height": 300, "width": 300, "transform": profile["transform"] * Affine.scale(0.5)}
    (scene / "SCL.tif").unlink()
    with rasterio.open(scene / "SCL.tif", "w", **profile) as file:
        file.write(codes, 1)
    dataset = read_scene(str(scene)).dataset
    mask = read_scene(str(MaskJob(dataset, tmp_path / "masks").run())).dataset
    assert native_grids(mask.metadata_doc)["default"].resolution.x == 10
    (found,) = look_up([dataset], [mask], MaskOptions(), masked=True)
    assert found.mask is mask


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


def test_the_plan_knows_masks_of_floats(cube: Cube, tmp_path: Path) -> None:
    """Their offset is none, whatever the baseline."""
    june = cube.scenes["june"]
    definition = copy.deepcopy(june.product.definition)
    for each in definition["measurements"]:
        each |= {"dtype": "float32"}
    product = Product(june.product.metadata_type, definition)
    scene = Dataset(product, june.metadata_doc, uri=june.uri)
    job = MaskJob(scene, tmp_path)
    assert job.offset.value == 0
    assert expected_mask_id(scene, Request("s2_l2a", tmp_path)) == job.id


def test_arguments_that_make_no_sense(cube: Cube) -> None:
    how: dict[str, Any] = {"datasets": [cube.scenes["june"]], "measurements": ["red"]}
    with pytest.raises(CubeError, match="'nonsense' is no coordinate system"):
        load(cube.dc, x=(0, 1), y=(0, 1), crs="nonsense", **how)
    like = load(cube.dc, like=HOME, **how).red
    assert load(cube.dc, geobox=like, **how).odc.geobox == HOME


def test_masks_made_otherwise_are_told_of(cube: Cube, tmp_path: Path) -> None:
    june = cube.scenes["june"]
    how: dict[str, Any] = {"datasets": [june], "like": HOME, "measurements": "ucl"}
    says = "1 of 1 scenes have masks by .* made with the offset -990 and not -1000; pass offset="
    other = add_dataset(cube.dc, MaskJob(june, tmp_path, offset=-990).run())
    try:
        mine = load(cube.dc, ucl="indexed", offset=-990, **how)
        assert (mine.ucl > 0).any()
        twice = [other, cube.masks["june"]]
        with pytest.warns(ModelWarning, match="several masks by .* the offsets -1000, -990"):
            found = recall(cube.dc, datasets=twice)
        np.testing.assert_array_equal(found.ucl, mine.ucl)  # the one made last
        cube.dc.index.datasets.archive([cube.masks["june"].id])
        with pytest.warns(ModelWarning, match=says):
            load(cube.dc, **how)
    finally:
        cube.dc.index.datasets.restore([cube.masks["june"].id])
        cube.dc.index.datasets.purge([other.id], allow_delete_active=True)


def test_masks_by_the_weights_that_are_here_are_recalled(cube: Cube) -> None:
    present = cube.masks["june"]
    later = {"cleansat:weights_sha256": "0" * 64, "odc:processing_datetime": "2099-01-01T00:00:00Z"}
    properties = {**present.metadata_doc["properties"], **later}
    document = {**present.metadata_doc, "id": str(uuid4()), "properties": properties}
    rival = Dataset(present.product, document, uri=present.uri)
    assert of_one_model([rival, present], None) == [present]
    properties["cleansat:model"] = "nobody-has-it"
    assert of_one_model([rival], None) == [rival]
