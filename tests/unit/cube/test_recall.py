"""`recall`: masks as a user of `dc.load` would ask for them, and what cannot be recalled."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
import rasterio
import xarray as xr
from click.testing import CliRunner
from conftest import Cube
from datacube.model import Dataset
from datacube.utils.masking import describe_variable_flags, make_mask
from odc.algo import enum_to_bool
from odc.geo.geobox import GeoBox
from odc.geo.xr import xr_zeros

from odc_cleansat.cli.main import main
from odc_cleansat.cube.index import add_product
from odc_cleansat.cube.recall import recall
from odc_cleansat.errors import CubeError, GapWarning
from odc_cleansat.storage.eo3 import MASK_PRODUCT, product_definition

from .helpers import rejected
from .independent import expected_nearest
from .mask_archive import GRIDS, MaskArchive, codes_of


def test_masks_of_one_second_get_files_of_their_own(archive: MaskArchive, tmp_path: Path) -> None:
    """Neighbouring tiles are recorded within a second of each other."""
    document = product_definition(MASK_PRODUCT)
    document["name"] = document["metadata"]["product"]["name"] = "pair_ucl"
    add_product(archive.dc, document)
    archive.add("first", "east", "2024-06-15T10:10:31.100Z", product="pair_ucl")
    archive.add("second", "west", "2024-06-15T10:10:31.600Z", product="pair_ucl")
    arguments = [
        "--crs",
        "EPSG:32633",
        "--resolution",
        "20",
        *archive.options,
    ]
    done = CliRunner().invoke(
        main, ["recall", "--product", "pair_ucl", *arguments, "-o", str(tmp_path)]
    )
    assert done.exit_code == 0, done.output
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "pair_ucl_2024-06-15T101031.100000Z_ucl.tif",
        "pair_ucl_2024-06-15T101031.600000Z_ucl.tif",
    ]


def test_a_day_across_two_zones(archive: MaskArchive) -> None:
    """First with data wins; the earlier is the first."""
    target = GeoBox.from_bbox((399000, 5295000, 404000, 5301000), "EPSG:32633", resolution=10)
    found = recall(archive.dc, geobox=target, group_by="solar_day", time="2024-06")
    assert [str(t)[:19] for t in found.time.values] == ["2024-06-15T10:10:31"]
    east, west = archive.truth("east"), archive.truth("west")
    expected, _, unsure = expected_nearest([east, west], target)
    assert (unsure | (found.ucl.values[0] == expected)).all()
    alone, _, _ = expected_nearest([east], target)
    other, _, _ = expected_nearest([west, east], target)
    assert (expected != alone).any()
    assert (expected != other).any()
    both = recall(archive.dc, geobox=target, time="2024-06")
    assert both.sizes["time"] == 2


def test_the_ecosystems_masking_works(archive: MaskArchive) -> None:

    target = GeoBox.from_bbox(GRIDS["east"].extent.boundingbox, resolution=60)
    for how in ("nearest", "mode", "any_cloud"):
        ucl = recall(archive.dc, geobox=target, time="2024-07", how=how).ucl
        cloudy = np.isin(ucl, [2, 3])
        np.testing.assert_array_equal(enum_to_bool(ucl, ["cloud", "shadow"]), cloudy)
        np.testing.assert_array_equal(make_mask(ucl, ucl="shadow"), ucl == 3)
        assert "thin_cloud" in str(describe_variable_flags(ucl).to_dict())
    share = recall(archive.dc, geobox=target, time="2024-07", how="fraction").cloud_fraction
    assert share.attrs["units"] == "1"
    assert "cloud" in share.attrs["long_name"]


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ({"product": "s2_l2a_clouds"}, r"no product 's2_l2a_clouds'.*s2_l2a_ucl"),
        ({"product": "s2_l2a"}, r"s2_l2a has no measurement ucl"),
        ({"product": "empty_ucl"}, r"empty_ucl has no datasets yet"),
        ({"how": "average"}, r"'average' is unknown.*nearest, mode, any_cloud, fraction"),
        ({"measurements": ["red"]}, r"'red'.*ucl, ucl_confidence"),
        ({"measurements": []}, r"measurements is empty"),
        ({"measurements": "ucl", "how": "fraction"}, r"'ucl' with how='fraction'.*cloud_fraction"),
        ({"group_by": "month"}, r"group_by='month'.*solar_day"),
        ({"time": "2020"}, r"time='2020'; its masks are from 2024-06-15 to 2024-07-05"),
        ({"time": "no time"}, r"cannot be understood"),
        ({"x": (0, 1), "y": (0, 1)}, r"none that matches the query in this area.*EPSG:4326"),
        ({"geobox": GRIDS["east"].translate_pix(5000, 0)}, r"none that matches.* in this area"),
        ({"cloudiness": 3}, r"cloudiness"),
        ({"x": (0, 1), "y": (0, 0)}, r"no width or no height"),
        ({"x": (0, 1), "lon": (0, 1)}, r"area of the query cannot be understood"),
        ({"x": (0, 1), "y": (0, 1), "crs": "EPSG:1"}, r"cannot be understood|no coordinate system"),
        ({"output_crs": "EPSG:3857"}, r"EPSG:3857; pass the resolution"),
        ({"output_crs": "EPSG:4326"}, r"in degrees"),
        ({"output_crs": "nowhere", "resolution": 10}, r"'nowhere' is no coordinate system"),
        ({"output_crs": "EPSG:3857", "resolution": 0}, r"the resolution is 0"),
        ({"like": GRIDS["east"], "resolution": 10}, r"resolution cannot go with like"),
        ({"geobox": GRIDS["east"], "x": (13, 14), "y": (47, 48)}, r"an area cannot go with geobox"),
        ({"like": xr.DataArray(np.zeros((3, 4)))}, r"like has no grid"),
        ({"like": xr_zeros(GRIDS["east"])[[0, 1, 3]]}, r"like has no grid: the coordinate y is not evenly"),
        ({"geobox": GRIDS["east"][:0]}, r"grid is empty"),
        ({"datasets": []}, r"datasets= is empty"),
        ({"geobox": GRIDS["east"], "dask_chunks": {"z": 1}}, r"dims are time, y, x"),
        ({"geobox": GRIDS["east"], "dask_chunks": {"x": "big"}}, r"x: 'big'"),
    ],
    ids=str,
)  # fmt: skip
def test_what_cannot_be_asked(archive: MaskArchive, query: dict[str, Any], says: str) -> None:
    with pytest.raises(CubeError, match=says) as error:
        recall(archive.dc, **query)
    assert len(str(error.value)) < 400


@pytest.mark.parametrize("chunks", [None, {"x": 50, "y": 50}], ids=["eager", "lazy"])
@pytest.mark.parametrize("how", ["nearest", "any_cloud"])
def test_files_that_are_gone_leave_a_gap(
    archive: MaskArchive, chunks: Any, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.warns(GapWarning) as said:
        found = recall(archive.dc, "gaps_ucl", how=how, dask_chunks=chunks)
    assert all(each.filename == __file__ for each in said)
    found = found.compute()  # whose threads write to the log
    text = " ".join([*(str(each.message) for each in said), *caplog.messages])
    assert "2024-07-15" in text
    assert "2024-08-15" in text
    assert "gone_ucl.tif does not exist" in text
    kept, gone, broken = found.ucl
    np.testing.assert_array_equal(kept, codes_of(archive, "kept"))
    assert not gone.any()
    assert not broken.any()


@pytest.mark.parametrize("time", ["2024-07", "2024-08"])
def test_all_files_gone(archive: MaskArchive, time: str) -> None:
    with pytest.raises(CubeError, match=r"none of the 1 masks can be read"):
        recall(archive.dc, "gaps_ucl", time=time)


# --- masks that are in no index -------------------------------------------------------


def like_east(archive: MaskArchive, minute: int = 0, **measurements: dict[str, Any]) -> Dataset:
    """A mask on the grid of `east` with an id, a time and measurements of its own."""
    east = archive.masks["east"]
    document = copy.deepcopy(east.metadata_doc)
    document["id"] = str(uuid4())
    document["properties"]["datetime"] = f"2024-06-15T{minute // 60:02}:{minute % 60:02}:00Z"
    document["measurements"] = measurements
    return Dataset(east.product, document, uri=east.uri)


@pytest.mark.parametrize(
    ("number", "more"), [(5, r"\)\. Bring"), (6, " and 1 more"), (300, " and 295 more")]
)
def test_of_many_files_that_are_gone_five_are_named(
    archive: MaskArchive, number: int, more: str
) -> None:
    masks = [like_east(archive, i, ucl={"path": f"gone{i}.tif"}) for i in range(number)]
    with pytest.raises(CubeError, match=f"none of the {number} masks can be read.*{more}") as said:
        recall(archive.dc, datasets=masks)
    assert str(said.value).count("does not exist") == 5


def test_a_mask_in_another_zone_than_its_document_says_leaves_a_gap(
    archive: MaskArchive, tmp_path: Path
) -> None:
    with rasterio.open(archive.folder / "east_ucl.tif") as file:
        profile, codes = {**file.profile, "crs": "EPSG:32634"}, file.read()
    with rasterio.open(tmp_path / "moved.tif", "w", **profile) as file:
        file.write(codes)
    moved = like_east(archive, 1, ucl={"path": str(tmp_path / "moved.tif")})
    with pytest.warns(GapWarning, match="moved.tif is not on the grid that its document says"):
        found = recall(archive.dc, datasets=[archive.masks["east"], moved])
    east = found.sel(time=archive.masks["east"].center_time.replace(tzinfo=None))
    np.testing.assert_array_equal(east.ucl, codes_of(archive, "east"))
    assert (found.ucl != 0).any(["y", "x"]).sum() == 1


def test_files_that_are_not_asked_for_may_be_gone(archive: MaskArchive) -> None:
    files = {"ucl": {"path": "east_ucl.tif"}, "ucl_confidence": {"path": "gone.tif"}}
    mask = like_east(archive, **files)
    found = recall(archive.dc, datasets=[mask])
    np.testing.assert_array_equal(found.ucl[0], codes_of(archive, "east"))
    with pytest.raises(CubeError, match=r"gone.tif does not exist"):
        recall(archive.dc, datasets=[mask], measurements=["ucl", "ucl_confidence"])


def test_a_mask_may_be_any_band_of_a_file(archive: MaskArchive, tmp_path: Path) -> None:
    grid, codes, percents = archive.truth("east")
    path = tmp_path / "both.tif"
    with rasterio.open(
        path, "w", driver="GTiff", dtype="uint8", count=2, crs=str(grid.crs),
        height=grid.shape[0], width=grid.shape[1], transform=grid.affine,
    ) as file:  # fmt: skip
        file.write(np.stack([percents, codes]))
    files = {
        "ucl": {"path": str(path), "band": 2},
        "ucl_confidence": {"path": str(path), "band": 1},
    }
    found = recall(
        archive.dc, datasets=[like_east(archive, **files)], measurements=["ucl", "ucl_confidence"]
    )
    np.testing.assert_array_equal(found.ucl[0], codes)
    np.testing.assert_array_equal(found.ucl_confidence[0], percents)


@pytest.mark.parametrize(
    "part",
    [
        {"measurements": {}},
        {"grids": {}},
    ],
    ids=str,
)
def test_datasets_that_are_no_masks(archive: MaskArchive, part: dict[str, Any]) -> None:
    scene = like_east(archive, ucl={"path": "east_ucl.tif"})
    scene.metadata_doc.update(part)
    with pytest.raises(CubeError, match=f"{scene.id} .* has no band ucl with a grid; pass masks"):
        recall(archive.dc, datasets=[scene])


def test_named_masks_need_not_be_in_the_area(archive: MaskArchive) -> None:
    away = GRIDS["east"].translate_pix(5000, 0)
    found = recall(archive.dc, datasets=[archive.masks["east"]], geobox=away)
    assert found.time.size == 1
    assert not found.ucl.any()


# --- real masks -----------------------------------------------------------------------


def test_rejected_masks_are_left_out(cube: Cube) -> None:
    with rejected(cube.masks["june"]):
        with pytest.warns(GapWarning, match="1 of 2 masks are left out: 1 rejected by reviewers"):
            found = recall(cube.dc)
        whole = recall(cube.dc, include_rejected=True)
    assert whole.sizes["time"] == 2
    xr.testing.assert_equal(found, whole.isel(time=[1]))
    with pytest.raises(CubeError, match="none of the 2 masks is left: 2 not accepted by anyone"):
        recall(cube.dc, only_accepted=True)


def test_as_dc_load_on_the_native_grid(cube: Cube) -> None:
    """Real masks; there, dc.load reads every pixel as well."""
    found = recall(cube.dc, measurements=["ucl", "ucl_confidence"])
    grid = GeoBox.from_bbox((399960, 5294040, 407160, 5300040), "EPSG:32633", resolution=20)
    loaded = cube.dc.load(MASK_PRODUCT, like=grid)
    xr.testing.assert_equal(found, loaded)
    assert found.time.size == 2
    assert found.ucl.attrs["flags_definition"] == loaded.ucl.attrs["flags_definition"]
    assert (found.ucl.dtype, found.ucl.attrs["nodata"]) == ("uint8", 0)
    assert (found.ucl_confidence.dtype, found.ucl_confidence.attrs["nodata"]) == ("uint8", 255)
    assert found.attrs == loaded.attrs
