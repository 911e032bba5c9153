"""Which scenes and masks a query finds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr
from conftest import Cube
from datacube.model import Dataset
from odc.geo.geobox import GeoBox
from odc.geo.xr import xr_zeros

from odc_cleansat.cube.load import load
from odc_cleansat.cube.query import (
    Query,
    check_mask_product,
    check_product,
    find_ids,
    find_masks,
    find_scenes,
)
from odc_cleansat.cube.recall import recall
from odc_cleansat.errors import (
    CubeError,
    SceneError,
)

from .helpers import BOTH, HOME, of_home
from .mask_archive import GRIDS, MaskArchive, codes_of


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


def test_misspelt_arguments_are_not_ignored(cube: Cube) -> None:
    for wrong in ("tresholds", "tim", "time"):
        with pytest.raises(CubeError, match=f"{wrong} cannot go with datasets="):
            load(cube.dc, datasets=of_home(cube), like=HOME, **{wrong: "2024"})


def test_datasets_without_a_place(cube: Cube) -> None:
    scene = cube.scenes["june"]
    homeless = Dataset(scene.product, scene.metadata_doc)
    with pytest.raises(SceneError, match="no location"):
        load(cube.dc, datasets=[homeless], measurements=["ucl"], like=HOME)


def test_like_takes_grid_and_times(archive: MaskArchive) -> None:
    bands = xr_zeros(GRIDS["east"][20:60, 30:90], "int16")
    bands = bands.expand_dims(time=np.array(["2024-07-05T10:10:31"], dtype="datetime64[ns]"))
    for like in (bands, bands.to_dataset(name="red")):
        found = recall(archive.dc, like=like)
        assert found.time.values == bands.time.values
        np.testing.assert_array_equal(found.ucl[0], codes_of(archive, "later")[20:60, 30:90])
    found = recall(archive.dc, like=GRIDS["east"])
    assert found.time.size == 3
    flipped = recall(archive.dc, like=GRIDS["east"].flipx(), time="2024-07")
    np.testing.assert_array_equal(flipped.ucl[0], codes_of(archive, "later")[:, ::-1])


def test_like_of_a_day_brings_all_masks_of_the_day(archive: MaskArchive) -> None:
    """It stands at the time of its first scene."""
    target = GeoBox.from_bbox((399000, 5295000, 404000, 5301000), "EPSG:32633", resolution=10)
    day = recall(archive.dc, geobox=target, group_by="solar_day", time="2024-06-15")
    again = recall(archive.dc, like=day, group_by="solar_day")
    xr.testing.assert_equal(again, day)


def test_what_goes_with_datasets(archive: MaskArchive) -> None:
    for more in ({"time": "2024-07"}, {"resolutoin": 5}):
        with pytest.raises(CubeError, match="cannot go with datasets="):
            recall(archive.dc, datasets=[archive.masks["east"]], **more)
    with pytest.raises(CubeError, match="or a size for each dim"):
        recall(archive.dc, datasets=[archive.masks["east"]], dask_chunks="large")


def test_ids_come_in_the_order_of_time(cube: Cube) -> None:
    ids, area = find_ids(cube.dc, "s2_l2a", {"time": "2024", "x": None})
    june, west, july = (cube.scenes[name].id for name in ("june", "west", "july"))
    assert set(ids[:2]) == {june, west}
    assert ids[2:] == [july]
    assert area is None
    place = {"lon": (13.66, 13.68), "lat": (47.82, 47.84)}
    ids, area = find_ids(cube.dc, "s2_l2a", {"time": "2024-07", **place})
    assert ids == [july]
    assert area is not None
    with pytest.raises(CubeError, match="understood"):
        find_ids(cube.dc, "s2_l2a", {"colour": 1})
    ids, area = find_ids(cube.dc, "s2_l2a", {"x": (179, -179)})
    assert ids == []
    assert area is not None
    assert area.boundingbox.range_x == (179, 181)


def test_products_that_are_not_there(cube: Cube) -> None:
    check_product(cube.dc, "s2_l2a")
    check_mask_product(cube.dc)
    with pytest.raises(CubeError, match="no product None; it has s2_l2a, s2_l2a_ucl"):
        check_product(cube.dc, None)
    with pytest.raises(CubeError, match=r"no measurement ucl.*Products with ucl are: s2_l2a_ucl"):
        check_mask_product(cube.dc, "s2_l2a")


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        (
            {"time": "1999"},
            "no mask of s2_l2a_ucl matches time='1999'; its masks are from 2024-06-15",
        ),
        (
            {"x": (0, 1), "y": (0, 1)},
            "s2_l2a_ucl has masks, but none that matches the query in this",
        ),
        ({"x": (0, 1), "y": (0, 1), "time": "1999"}, "no mask of s2_l2a_ucl matches time='1999'"),
    ],
)
def test_the_part_of_a_query_that_matches_nothing_is_named(
    cube: Cube, terms: dict[str, Any], message: str
) -> None:
    with pytest.raises(CubeError, match=message):
        find_masks(cube.dc, Query.of("s2_l2a_ucl", terms))
    message = message.replace("masks", "datasets").replace("mask", "dataset").replace("_ucl", "")
    with pytest.raises(CubeError, match=message):
        find_scenes(cube.dc, Query.of("s2_l2a", terms))


def test_scenes_without_a_place_are_not_found(cube: Cube, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = cube.scenes["june"]
    homeless = Dataset(scene.product, scene.metadata_doc)
    monkeypatch.setattr(cube.dc, "find_datasets", lambda **_: [homeless])
    with pytest.raises(CubeError, match=r"none of the 1 datasets of s2_l2a .* has a location"):
        find_scenes(cube.dc, Query.of("s2_l2a", {}))


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("2024-06-01/2024-06-30", ("2024-06-01", "2024-06-30")),
        ("2024-06-01/..", ("2024-06-01", None)),
        ("2024-06", "2024-06"),
    ],
)
def test_times_as_stac_writes_them(given: str, meant: object) -> None:
    assert Query.of("s2_l2a", {"time": given}).terms["time"] == meant


def test_times_that_are_none_are_said(archive: MaskArchive) -> None:
    for time in ("2024-13", "2024-06-10/2024-06-01", "1/2/3", "noon"):
        with pytest.raises(
            CubeError,
            match=r"cannot be understood; write|write the earlier|matches time|holds 3 times",
        ):
            recall(archive.dc, time=time)


def test_one_dataset_stands_for_a_list(archive: MaskArchive) -> None:
    (mask,) = archive.dc.find_datasets(product="s2_l2a_ucl", time="2024-07")
    assert find_masks(archive.dc, Query.of(None, {}, datasets=mask)) == [mask]


def test_several_products(archive: MaskArchive) -> None:
    both = Query.of(["s2_l2a_ucl", "gaps_ucl"], {"time": "2024-07"})
    assert {each.product.name for each in find_masks(archive.dc, both)} == {
        "s2_l2a_ucl",
        "gaps_ucl",
    }
    # One of them may have nothing, but not all, and all must be there.
    one = Query.of(["s2_l2a_ucl", "empty_ucl"], {"time": "2024-07"})
    assert len(find_masks(archive.dc, one)) == 1
    for products, says in (
        (["s2_l2a_ucl", "no_ucl"], "no product 'no_ucl'"),
        (["empty_ucl", "s2_l2a_ucl"], "no datasets yet"),
    ):
        with pytest.raises(CubeError, match=says):
            find_masks(archive.dc, Query.of(products, {"time": "1999"}))
    with pytest.raises(CubeError, match="names no product"):
        Query.of([], {})
