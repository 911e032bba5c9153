"""`load`: scenes with their masks, from the index or computed."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from conftest import Cube
from dask.distributed import Client, LocalCluster
from datacube.model import Dataset
from datacube.utils.masking import make_mask
from odc.algo import enum_to_bool
from odc.geo.geobox import GeoBox

from odc_cleansat import CloudClass, computed
from odc_cleansat.errors import (
    CleansatError,
    CubeError,
    GapWarning,
    ModelError,
    ReflectanceWarning,
)
from odc_cleansat.loading import load

HOME = GeoBox.from_bbox((399960, 5294040, 407160, 5300040), "EPSG:32633", resolution=20)
"""The grid of the masks of june and july."""

BOTH = GeoBox.from_bbox((395700, 5292600, 407160, 5300040), "EPSG:32633", resolution=60)
"""A grid over both zones."""

NO_INFERENCE = "a window was classified although its mask is in the index"


@pytest.fixture
def no_inference(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise AssertionError(NO_INFERENCE)

    monkeypatch.setattr(computed, "_ANSWERS", computed._Answers(computed.CACHE_BYTES))
    monkeypatch.setattr(computed, "window_answer", fail)


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
        ({"x": (10, 11), "y": (0, 1)}, "no dataset of s2_l2a matches x="),
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
    ],
)  # fmt: skip
def test_bad_queries(cube: Cube, how: dict[str, Any], message: str) -> None:
    query = {"product": "s2_l2a", "like": HOME, "measurements": ["ucl"], **how}
    if query["like"] is None or "x" in query:
        del query["like"]
    with pytest.raises(CubeError, match=message):
        load(cube.dc, query.pop("product"), **query)


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
