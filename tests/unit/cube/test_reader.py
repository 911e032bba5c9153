"""Layers read onto the output grid: resampling, presets, clear times, gaps."""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import xarray as xr
from affine import Affine
from conftest import Cube
from datacube.model import Dataset
from odc.geo.geobox import GeoBox

from odc_cleansat import CloudClass
from odc_cleansat.classes import CLOUDS
from odc_cleansat.cube.load import load
from odc_cleansat.errors import CleansatError, GapWarning, SceneError
from odc_cleansat.masks.composite import composite
from odc_cleansat.masks.on_demand import clear_cache
from odc_cleansat.scenes.files import local_path

from .helpers import HOME, indexed, of_home


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


@pytest.mark.parametrize("refine", [True, "time"], ids=["by itself", "by other dates"])
@pytest.mark.parametrize("chunks", [None, {"x": 100, "y": 100}], ids=["eager", "lazy"])
def test_no_time_is_clear_enough(cube: Cube, chunks: Any, refine: Any) -> None:
    """The result is as any other, without times: whoever goes through areas need not catch an error for each."""
    how = {"datasets": of_home(cube), "measurements": ["scl", "ucl"], "like": HOME}
    with pytest.warns(
        GapWarning, match=r"no times: none of 2 has 100 %.*the best has \d+ %\. Lower"
    ):
        found = load(cube.dc, min_clear=1, dask_chunks=chunks, refine=refine, **how)
    assert dict(found.sizes) == {"time": 0, "y": HOME.shape[0], "x": HOME.shape[1]}
    assert found.ucl.dtype == found.scl.dtype == "uint8"
    assert found.offset.shape == (0,)
    assert found.odc.geobox == HOME
    with pytest.raises(SceneError, match="a composite needs one date or more"):
        composite(found)


def test_a_scene_that_covers_little_of_the_area_is_not_clear(cube: Cube) -> None:
    """Pixels without data count as not clear: the share is of the area, and not of what there is of it."""
    clear = float(np.mean(indexed(cube, "june") == CloudClass.CLEAR))
    rows, columns = HOME.shape
    wide = GeoBox((rows, 4 * columns), HOME.affine, HOME.crs)
    how = {"datasets": [cube.scenes["june"]], "measurements": ["ucl"], "like": wide}
    best = f"the best has {25 * clear:.0f} %, and has data in 25 %; group_by='solar_day' puts"
    with pytest.warns(GapWarning, match=best):
        assert load(cube.dc, min_clear=clear, **how).sizes["time"] == 0
    assert load(cube.dc, min_clear=clear / 4 - 1e-6, **how).sizes["time"] == 1
    beyond = {**how, "like": HOME.translate_pix(2000, 0)}
    with pytest.warns(GapWarning, match="none of them has a mask with data in the area"):
        assert load(cube.dc, min_clear=0, **beyond).sizes["time"] == 0


@pytest.mark.parametrize("chunks", [None, {"x": 110, "y": 130}], ids=["eager", "lazy"])
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
    grown = whole.ucl.where(plain.ucl == CloudClass.CLEAR)
    assert grown.isin(CLOUDS).sum() > 100
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


def test_an_alias_of_the_mask_is_the_mask(cube: Cube) -> None:
    how: dict[str, Any] = {"datasets": of_home(cube), "like": HOME, "preset": "conservative"}
    found = load(cube.dc, measurements=["UCL", "ucl"], **how)
    assert list(found.data_vars) == ["UCL", "ucl"]
    xr.testing.assert_equal(found.UCL, found.ucl.rename("UCL"))
    assert found.UCL.attrs["preset"] == "conservative"


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


AFAR = Affine(10, 0, 700000, 0, -10, 5300040)
NOWHERE = rasterio.CRS.from_wkt('LOCAL_CS["nowhere",UNIT["metre",1]]')
USELESS: dict[str, tuple[Any, str]] = {
    "a pipe": (None, "is a pipe or a device"),
    "another place": ({"transform": AFAR}, "0 % of its ground in common"),
    "another zone": ({"crs": "EPSG:32632"}, "0 % of its ground in common"),
    "metres as degrees": ({"crs": "EPSG:4326"}, "0 % of its ground in common"),
    "no place on the ground": ({"crs": NOWHERE}, "no x and y on the ground"),
    "pixels of no size": ({"transform": Affine(0, 0, 399960, 0, 0, 5300040)}, "cannot be used"),
    "a part": ({"height": 100}, "17 % of its ground in common"),
}


def useless(path: Path, target: Path, how: Any) -> None:
    """Write a file that is not what a dataset says of it."""
    if how is None:
        os.mkfifo(target)
    else:
        with rasterio.open(path) as file:
            profile, values = {**file.profile, **how}, file.read()
        with rasterio.open(target, "w", **profile) as file:
            file.write(values[:, : profile["height"]])


@pytest.fixture
def nothing_kept(fast_network: None) -> Iterator[None]:
    """A fast network, whose answers are not taken for those of the real one."""
    clear_cache()
    yield
    clear_cache()


@pytest.mark.usefixtures("nothing_kept")
@pytest.mark.parametrize("kind", USELESS)
def test_files_of_no_use_leave_a_gap_that_is_told(cube: Cube, tmp_path: Path, kind: str) -> None:
    how, says = USELESS[kind]
    useless(cube.folder / "june" / "B04.tif", tmp_path / "B04.tif", how)
    scene = cube.scenes["june"]
    document = copy.deepcopy(scene.metadata_doc)
    document["measurements"]["red"]["path"] = (tmp_path / "B04.tif").as_uri()
    broken = Dataset(scene.product, document, uri=scene.uri)
    query: dict[str, Any] = {
        "measurements": ["red", "scl", "ucl"], "like": HOME, "ucl": "computed", "harmonized": True,
    }  # fmt: skip
    right = load(cube.dc, datasets=of_home(cube), **query)
    with pytest.warns(GapWarning) as said:
        found = load(cube.dc, datasets=[broken, cube.scenes["july"]], **query)
    told = " ".join(str(each.message) for each in said)
    assert re.search(rf"(?s)cannot read .*B04\.tif: .*{says}", told)
    xr.testing.assert_identical(found.isel(time=1), right.isel(time=1))
    assert (found.ucl[0] == CloudClass.NODATA).all()
    assert (found.red[0] == 0).all()
    xr.testing.assert_identical(found.scl, right.scl)


def test_an_indexed_mask_that_lies_elsewhere(cube: Cube, tmp_path: Path) -> None:
    mask, scene = cube.masks["july"], cube.scenes["july"]
    path = Path(local_path(mask.uri)).parent / mask.measurements["ucl"]["path"]
    whole = path.read_bytes()
    useless(path, tmp_path / "ucl.tif", {"transform": AFAR})
    path.write_bytes((tmp_path / "ucl.tif").read_bytes())
    try:
        with pytest.warns(GapWarning, match=r"ucl\.tif: it has 0 % of its ground in common"):
            found = load(cube.dc, datasets=scene, measurements=["red", "ucl"], like=HOME)  # fmt: skip
        assert (found.ucl == CloudClass.NODATA).all()
        assert (found.red != 0).any()
    finally:
        path.write_bytes(whole)
