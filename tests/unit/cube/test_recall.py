"""Indexed masks recalled: against an implementation of its own with rasterio, and what cannot be recalled."""

from __future__ import annotations

import importlib
import pickle
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid5

import cloudpickle
import numpy as np
import pytest
import rasterio
import rasterio.warp
import xarray as xr
import yaml
from affine import Affine
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from odc.geo.xr import xr_zeros

from odc_cleansat import CloudClass
from odc_cleansat.cli.main import main
from odc_cleansat.cube.embedded import CONFIG_NAME, embedded_cube
from odc_cleansat.cube.index import add_dataset, add_product
from odc_cleansat.cube.recall import recall
from odc_cleansat.errors import CubeError, GapWarning
from odc_cleansat.storage.eo3 import MASK_PRODUCT, product_definition

if TYPE_CHECKING:
    from conftest import Cube
    from datacube import Datacube
    from datacube.model import Dataset

NAMESPACE = UUID("6f34c6f4-13d6-43c0-8e4e-42b6c13203af")
WORST = [2, 6, 3, 4, 5, 1]
# Not square. The two zones overlap: `east` and `west` are the same ground for a good part.
GRIDS = {
    "east": GeoBox((130, 160), Affine(20, 0, 399960, 0, -20, 5300040), "EPSG:32633"),
    "west": GeoBox((150, 140), Affine(20, 0, 848000, 0, -20, 5308000), "EPSG:32632"),
    "fiji": GeoBox((100, 120), Affine(20, 0, 818000, 0, -20, 8100000), "EPSG:32760"),
}


class Archive:
    """A datacube of masks with a class drawn for every pixel: nothing hides a pixel that is off by one."""

    def __init__(self, dc: Datacube, folder: Path) -> None:
        self.dc, self.folder = dc, folder
        self.masks: dict[str, Dataset] = {}
        self.values: dict[str, tuple[np.ndarray, np.ndarray]] = {}

    def add(
        self,
        name: str,
        grid: str,
        time: str,
        model: str = "unet-a",
        product: str = MASK_PRODUCT,
        made: str = "2024-08-01",
    ) -> Dataset:
        box = GRIDS[grid]
        draw = np.random.default_rng(len(self.masks))
        ucl = draw.choice(7, box.shape, p=[0.25, 0.35, 0.1, 0.1, 0.05, 0.05, 0.1]).astype("uint8")
        percent = np.where(ucl == 0, 255, draw.integers(34, 101, box.shape)).astype("uint8")
        self.values[name] = ucl, percent
        for measurement, values in (("ucl", ucl), ("ucl_confidence", percent)):
            with rasterio.open(
                self.folder / f"{name}_{measurement}.tif", "w", driver="GTiff", dtype="uint8",
                height=box.shape[0], width=box.shape[1], count=1, crs=str(box.crs),
                transform=box.affine, nodata=values[ucl == 0].max(), tiled=True,
                blockxsize=64, blockysize=64,
            ) as file:  # fmt: skip
                file.write(values, 1)
                file.build_overviews([2, 4])  # never to be used
        document = {
            "$schema": "https://schemas.opendatacube.org/dataset",
            "id": str(uuid5(NAMESPACE, name)),
            "label": name,
            "product": {"name": product},
            "crs": str(box.crs),
            "geometry": box.extent.json,
            "grids": {"default": {"shape": list(box.shape), "transform": list(box.affine)}},
            "properties": {
                "datetime": time,
                "odc:processing_datetime": made,
                "odc:region_code": grid,
                "odc:file_format": "GeoTIFF",
                "cleansat:model": model,
            },
            "measurements": {m: {"path": f"{name}_{m}.tif"} for m in ("ucl", "ucl_confidence")},
            "lineage": {},
        }
        document["geometry"]["coordinates"] = [
            [list(point) for point in ring] for ring in document["geometry"]["coordinates"]
        ]
        path = self.folder / f"{name}.odc-metadata.yaml"
        path.write_text(yaml.safe_dump(document))
        self.masks[name] = add_dataset(self.dc, path)
        return self.masks[name]

    def truth(self, name: str) -> tuple[GeoBox, np.ndarray, np.ndarray]:
        grid = GRIDS[self.masks[name].metadata_doc["properties"]["odc:region_code"]]
        return grid, *self.values[name]


@pytest.fixture(scope="module")
def archive(
    tmp_path_factory: pytest.TempPathFactory, initialised: Callable[[Path], Path]
) -> Iterator[Archive]:
    folder = initialised(tmp_path_factory.mktemp("archive"))
    with embedded_cube(folder) as dc:
        add_product(dc, product_definition(MASK_PRODUCT))
        add_product(dc, product_definition("s2_l2a"))
        for other in ("empty_ucl", "two_models_ucl", "gaps_ucl", "again_ucl"):
            document = product_definition(MASK_PRODUCT)
            document["name"] = document["metadata"]["product"]["name"] = other
            add_product(dc, document)
        found = Archive(dc, folder)
        found.add("east", "east", "2024-06-15T10:10:31Z")
        found.add("west", "west", "2024-06-15T10:10:45Z")
        found.add("later", "east", "2024-07-05T10:10:31Z")
        found.add("fiji", "fiji", "2024-06-15T22:10:31Z")
        for name, model in (("a", "unet-a"), ("b", "unet-b")):
            found.add(name, "east", "2024-06-15T10:10:31Z", model, "two_models_ucl")
        for name in ("kept", "gone", "broken"):
            month = {"kept": 6, "gone": 7, "broken": 8}[name]
            found.add(name, "east", f"2024-0{month}-15T10:10:31Z", product="gaps_ucl")
        (folder / "gone_ucl.tif").unlink()
        (folder / "broken_ucl.tif").write_bytes((folder / "broken_ucl.tif").read_bytes()[:400])
        for name, made in (("old", "2024-08-01"), ("new", "2024-09-01"), ("older", "2024-07-01")):
            found.add(name, "east", "2024-06-15T10:10:31Z", product="again_ucl", made=made)
        yield found


# --- an independent implementation, with rasterio alone -----------------------------------

EDGE = 1e-5


def centres(grid: GeoBox) -> tuple[np.ndarray, np.ndarray]:
    columns, rows = np.meshgrid(np.arange(grid.shape[1]), np.arange(grid.shape[0]))
    x, y = rasterio.transform.xy(grid.affine, rows.ravel(), columns.ravel())
    return np.asarray(x), np.asarray(y)


def locate(of: GeoBox, on: GeoBox) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Row and column of every centre, -1 outside, and whether rounding may decide."""
    x, y = centres(of)
    if of.crs != on.crs:
        x, y = map(np.asarray, rasterio.warp.transform(str(of.crs), str(on.crs), x, y))
    with np.errstate(invalid="ignore"):
        column, row = ~on.affine * (x, y)
        delicate = (np.abs(column - np.rint(column)) < EDGE) | (np.abs(row - np.rint(row)) < EDGE)
        row, column = np.floor(row), np.floor(column)
        outside = ~((row >= 0) & (row < on.shape[0]) & (column >= 0) & (column < on.shape[1]))
    row[outside] = column[outside] = -1
    return row.astype(int), column.astype(int), delicate


Truth = tuple[GeoBox, np.ndarray, np.ndarray]


def expected_nearest(
    masks: Sequence[Truth], target: GeoBox
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    size = target.shape[0] * target.shape[1]
    ucl, percent, unsure = (
        np.zeros(size, "uint8"),
        np.full(size, 255, "uint8"),
        np.zeros(size, bool),
    )
    for grid, codes, percents in masks:
        row, column, delicate = locate(target, grid)
        unsure |= delicate
        take = (row >= 0) & (ucl == 0)
        ucl[take] = codes[row[take], column[take]]
        percent[take] = percents[row[take], column[take]]
    shape = tuple(target.shape)
    return ucl.reshape(shape), percent.reshape(shape), unsure.reshape(shape)


def expected_members(
    masks: Sequence[Truth], target: GeoBox
) -> tuple[list[list[tuple[int, int]]], np.ndarray]:
    """The native pixels of every pixel as (class, percent), one list a pixel, and where rounding may decide."""
    size = target.shape[0] * target.shape[1]
    members: list[list[tuple[int, int]]] = [[] for _ in range(size)]
    unsure = np.zeros(target.shape, bool)
    for i, (grid, codes, percents) in enumerate(masks):
        row, column, delicate = locate(grid, target)
        before, _, doubtful = expected_nearest(masks[:i], grid)
        own = (row >= 0) & (before.ravel() == 0)
        for r, c, code, percent in zip(
            row[own], column[own], codes.ravel()[own], percents.ravel()[own], strict=True
        ):
            members[r * target.shape[1] + c].append((int(code), int(percent)))
        for r, c in zip(
            *(each[delicate | doubtful.ravel()] for each in (row, column)), strict=True
        ):
            unsure[max(r - 1, 0) : r + 2, max(c - 1, 0) : c + 2] = True
    ucl, percent, doubtful = expected_nearest(masks, target)
    for i, found in enumerate(members):
        if not found:
            found.append((int(ucl.ravel()[i]), int(percent.ravel()[i])))
            unsure.ravel()[i] |= doubtful.ravel()[i]
    return members, unsure


def winner(found: list[tuple[int, int]], how: str) -> tuple[int, int]:
    codes = [code for code, _ in found if code]
    if not codes:
        return 0, 255
    ranked = (
        WORST
        if how == "any_cloud"
        else sorted(WORST, key=lambda c: (-codes.count(c), WORST.index(c)))
    )
    code = next(c for c in ranked if c in codes)
    return code, round(np.mean([percent for each, percent in found if each == code]))


def share(found: list[tuple[int, int]], *classes: int) -> float:
    codes = [code for code, _ in found if code]
    return sum(code in classes for code in codes) / len(codes) if codes else np.nan


DEGREE = 111_320
SYSTEMS = ["EPSG:32633", "EPSG:32632", "EPSG:3857", "EPSG:3577", "EPSG:6933", "EPSG:4326"]


@st.composite
def grids(draw: st.DrawFn, native: GeoBox, finest: float = 5, coarsest: float = 5000) -> GeoBox:
    """Any grid around a native one: inside it, across its edge, or beside it; now and then rotated."""
    crs = draw(st.sampled_from(SYSTEMS))
    extent = native.footprint(crs, npoints=10).boundingbox
    metres = float(np.exp(draw(st.floats(np.log(finest), np.log(coarsest)))))
    pixel = metres / DEGREE if crs == "EPSG:4326" else metres
    height, width = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    at_x, at_y = draw(st.floats(-0.8, 1.8)), draw(st.floats(-0.8, 1.8))
    x = extent.left + at_x * extent.span_x - pixel * width / 2
    y = extent.bottom + at_y * extent.span_y + pixel * height / 2
    turn = Affine.rotation(draw(st.sampled_from([0, 0, 0, 30, 135])))
    return GeoBox(
        (height, width), Affine.translation(x, y) * turn * Affine.scale(pixel, -pixel), crs
    )


ANY = settings(
    max_examples=45, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@ANY
@given(data=st.data())
def test_nearest_is_the_native_pixel_at_the_centre(archive: Archive, data: st.DataObject) -> None:
    target = data.draw(grids(GRIDS["east"]))
    found = recall(
        archive.dc,
        datasets=[archive.masks["east"]],
        geobox=target,
        measurements=["ucl", "ucl_confidence"],
    )
    ucl, percent, unsure = expected_nearest([archive.truth("east")], target)
    assert found.ucl.dims == ("time", *target.dimensions)
    assert (unsure | (found.ucl.values[0] == ucl)).all()
    assert (unsure | (found.ucl_confidence.values[0] == percent)).all()


@ANY
@given(data=st.data(), how=st.sampled_from(["mode", "any_cloud"]))
def test_classes_of_the_native_pixels_within(
    archive: Archive, data: st.DataObject, how: str
) -> None:
    target = data.draw(grids(GRIDS["east"]))
    found = recall(
        archive.dc,
        datasets=[archive.masks[name] for name in ("east", "west")],
        group_by="solar_day",
        geobox=target,
        how=how,
        measurements=["ucl", "ucl_confidence"],
    ).isel(time=0)
    members, unsure = expected_members([archive.truth("east"), archive.truth("west")], target)
    ucl, percent = np.array([winner(each, how) for each in members]).T.reshape(2, *target.shape)
    assert (unsure | (found.ucl.values == ucl)).all()
    assert (unsure | (found.ucl_confidence.values == percent)).all()


@ANY
@given(data=st.data())
def test_fractions_of_the_native_pixels_within(archive: Archive, data: st.DataObject) -> None:
    target = data.draw(grids(GRIDS["west"]))
    found = recall(
        archive.dc, datasets=[archive.masks["west"]], geobox=target, how="fraction"
    ).isel(time=0)
    members, unsure = expected_members([archive.truth("west")], target)
    for name, classes in (("cloud_fraction", (2, 6)), ("shadow_fraction", (3,))):
        expected = np.array([share(each, *classes) for each in members]).reshape(target.shape)
        same = np.isclose(found[name].values, expected, atol=1e-6, equal_nan=True)
        assert found[name].dtype == "float32"
        assert (unsure | same).all()


@settings(ANY, max_examples=30)
@given(data=st.data(), how=st.sampled_from(["nearest", "mode", "any_cloud", "fraction"]))
def test_neither_chunks_nor_extent_matter(archive: Archive, data: st.DataObject, how: str) -> None:
    target = data.draw(grids(GRIDS["east"], coarsest=300))
    query = {
        "datasets": [archive.masks[name] for name in ("west", "east", "later")],
        "group_by": "solar_day",
        "how": how,
    }
    eager = recall(archive.dc, geobox=target, **query)
    chunks = {d: data.draw(st.integers(7, 50)) for d in target.dimensions}
    lazy = recall(archive.dc, geobox=target, dask_chunks=chunks, **query)
    assert all(band.chunks is not None for band in lazy.values())
    xr.testing.assert_identical(eager, lazy.compute(scheduler="threads"))
    top, left = (data.draw(st.integers(0, n - 1)) for n in target.shape)
    part = recall(archive.dc, geobox=target[top:, left:], **query)
    for name in part:
        np.testing.assert_array_equal(part[name], eager[name][:, top:, left:])


def test_many_tiles_and_blocks(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    """What only large grids do, on a small one: more than one tile, native block and read."""
    from odc_cleansat.cube import sample
    from odc_cleansat.grids import centres as grid_centres

    target = GeoBox.from_bbox(GRIDS["east"].footprint("EPSG:3857").boundingbox, resolution=55)
    fine = GeoBox.from_bbox(GRIDS["east"].extent.boundingbox, resolution=10)
    whole = {}
    for how in ("nearest", "mode", "any_cloud", "fraction"):
        for name, grid in (("coarse", target), ("fine", fine)):
            whole[how, name] = recall(archive.dc, geobox=grid, how=how)
    module = importlib.import_module("odc_cleansat.cube.recall")  # the package has the function
    monkeypatch.setattr(module, "BLOCK", 90)
    monkeypatch.setattr(sample, "TILE", 40)
    monkeypatch.setattr(grid_centres, "TILE", 40)
    monkeypatch.setattr(grid_centres, "LARGEST", 2000)
    for (how, name), expected in whole.items():
        grid = target if name == "coarse" else fine
        xr.testing.assert_identical(recall(archive.dc, geobox=grid, how=how), expected)


def test_a_centre_on_an_edge_belongs_to_the_greater_row_and_column(archive: Archive) -> None:
    native, codes, _ = archive.truth("east")
    target = GeoBox((65, 80), native.affine * Affine.scale(2), native.crs)
    found = recall(archive.dc, datasets=[archive.masks["east"]], geobox=target).ucl[0]
    np.testing.assert_array_equal(found, codes[1::2, 1::2])
    aside = GeoBox((130, 160), native.affine * Affine.translation(0.5, 0.5), native.crs)
    found = recall(archive.dc, datasets=[archive.masks["east"]], geobox=aside).ucl[0]
    np.testing.assert_array_equal(found[:-1, :-1], codes[1:, 1:])
    assert not found[-1].any()
    assert not found[:, -1].any()


def test_fine_grids_repeat_the_native_pixels(archive: Archive) -> None:
    native, codes, percents = archive.truth("east")
    fine = GeoBox((520, 640), native.affine * Affine.scale(1 / 4), native.crs)
    query: dict[str, Any] = {"datasets": [archive.masks["east"]], "geobox": fine}
    for how in ("nearest", "mode", "any_cloud"):
        found = recall(archive.dc, how=how, measurements=["ucl_confidence", "ucl"], **query)
        assert list(found) == ["ucl_confidence", "ucl"]
        np.testing.assert_array_equal(found.ucl[0], np.kron(codes, np.ones((4, 4))))
        np.testing.assert_array_equal(found.ucl_confidence[0], np.kron(percents, np.ones((4, 4))))
    cloud = recall(archive.dc, how="fraction", **query).cloud_fraction[0].values
    expected = np.where(codes == 0, np.nan, np.isin(codes, [2, 6]))
    np.testing.assert_array_equal(cloud, np.kron(expected, np.ones((4, 4))))


def test_no_cloud_is_lost_on_a_coarse_grid(archive: Archive) -> None:
    """Where the overviews and `mode` lose the small ones."""
    native, codes, _ = archive.truth("east")
    coarse = GeoBox((13, 16), native.affine * Affine.scale(10), native.crs)
    query: dict[str, Any] = {"datasets": [archive.masks["east"]], "geobox": coarse}
    blocks = codes.reshape(13, 10, 16, 10)
    found = recall(archive.dc, how="any_cloud", **query).ucl[0]
    assert (found == CloudClass.CLOUD).values[(blocks == 2).any(axis=(1, 3))].all()
    share = recall(archive.dc, how="fraction", **query).cloud_fraction[0]
    expected = np.isin(blocks, [2, 6]).sum(axis=(1, 3)) / (blocks > 0).sum(axis=(1, 3))
    np.testing.assert_allclose(share, expected, rtol=1e-6)


# --- as a user of dc.load would ask ---------------------------------------------------------


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


@pytest.mark.parametrize(
    "query",
    [
        {"x": (13.66, 13.68), "y": (47.82, 47.84), "output_crs": "EPSG:32633", "resolution": 20},
        {"lon": (13.66, 13.68), "lat": (47.82, 47.84), "output_crs": "EPSG:3857", "resolution": 30},
        {"x": (401000, 402000), "y": (5298000, 5299500), "crs": "EPSG:32633", "output_crs": "EPSG:4326", "resolution": 0.0003},
        {"output_crs": "EPSG:3035", "resolution": 50, "align": (10, 20), "time": "2024-07"},
        {"time": ("2024-06-01", "2024-06-30"), "output_crs": "EPSG:32633", "resolution": 35, "group_by": "solar_day"},
    ],
    ids=["x-y", "lon-lat", "crs", "align", "solar-day"],
)  # fmt: skip
def test_queries_mean_what_they_mean_to_dc_load(cube: Cube, query: dict[str, Any]) -> None:
    found, loaded = recall(cube.dc, **query), cube.dc.load(MASK_PRODUCT, **query)
    assert found.odc.geobox == loaded.odc.geobox
    assert found.ucl.shape == loaded.ucl.shape
    assert (found.time.values == loaded.time.values).all()
    # dc.load interpolates coordinates to an eighth of a pixel.
    assert np.mean(found.ucl.values == loaded.ucl.values) > 0.95


def test_without_a_grid_the_masks_own(archive: Archive) -> None:
    native = GRIDS["east"]
    found = recall(archive.dc, time="2024-07")
    assert found.odc.geobox == native
    np.testing.assert_array_equal(found.ucl[0], codes_of(archive, "later"))
    part = recall(
        archive.dc, time="2024-07", x=(401001, 401999), y=(5298001, 5299001), crs="EPSG:32633"
    )
    box = part.odc.geobox
    assert (box.crs, box.resolution.x, box.alignment) == (native.crs, 20, native.alignment)
    np.testing.assert_array_equal(part.ucl[0], found.ucl[0].sel(x=part.x, y=part.y))
    coarse = recall(archive.dc, time="2024-07", resolution=60, how="any_cloud")
    assert (coarse.odc.geobox.crs, coarse.odc.geobox.resolution.x) == (native.crs, 60)
    with pytest.raises(CubeError, match=r"EPSG:32633, EPSG:32632|EPSG:32632, EPSG:32633") as error:
        recall(archive.dc, time="2024-06-15T10:10")
    assert "output_crs and resolution" in str(error.value)


def codes_of(archive: Archive, name: str) -> np.ndarray:
    return archive.values[name][0]


def test_like_takes_grid_and_times(archive: Archive) -> None:
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


def test_like_of_a_day_brings_all_masks_of_the_day(archive: Archive) -> None:
    """It stands at the time of its first scene."""
    target = GeoBox.from_bbox((399000, 5295000, 404000, 5301000), "EPSG:32633", resolution=10)
    day = recall(archive.dc, geobox=target, group_by="solar_day", time="2024-06-15")
    again = recall(archive.dc, like=day, group_by="solar_day")
    xr.testing.assert_equal(again, day)


def test_masks_of_one_second_get_files_of_their_own(archive: Archive, tmp_path: Path) -> None:
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
        "-C",
        str(archive.folder / CONFIG_NAME),
    ]
    done = CliRunner().invoke(
        main, ["recall", "--product", "pair_ucl", *arguments, "-o", str(tmp_path)]
    )
    assert done.exit_code == 0, done.output
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "pair_ucl_2024-06-15T101031.100000Z_ucl.tif",
        "pair_ucl_2024-06-15T101031.600000Z_ucl.tif",
    ]


def test_what_goes_with_datasets(archive: Archive) -> None:
    for more in ({"time": "2024-07"}, {"resolutoin": 5}):
        with pytest.raises(CubeError, match="cannot go with datasets="):
            recall(archive.dc, datasets=[archive.masks["east"]], **more)
    with pytest.raises(CubeError, match="pass a size for each dim"):
        recall(archive.dc, datasets=[archive.masks["east"]], dask_chunks="auto")


def test_a_day_across_two_zones(archive: Archive) -> None:
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


def test_of_one_scene_the_mask_made_last_wins(archive: Archive) -> None:
    found = recall(archive.dc, "again_ucl").ucl[0].values
    new, old, older = (codes_of(archive, name) for name in ("new", "old", "older"))
    np.testing.assert_array_equal(found, np.where(new, new, np.where(old, old, older)))


def test_masks_by_several_models(archive: Archive) -> None:
    from odc_cleansat import get_model

    with pytest.raises(CubeError, match=r"model=: unet-a, unet-b"):
        recall(archive.dc, "two_models_ucl")
    for name in ("a", "b"):
        found = recall(archive.dc, "two_models_ucl", model=f"unet-{name}")
        np.testing.assert_array_equal(found.ucl[0], codes_of(archive, name))
    with pytest.raises(CubeError, match=r"no mask by the model 'unet-c'.*unet-a, unet-b"):
        recall(archive.dc, "two_models_ucl", model="unet-c")
    with pytest.raises(CubeError, match=get_model().name):
        recall(archive.dc, "two_models_ucl", model=get_model())


def test_the_ecosystems_masking_works(archive: Archive) -> None:
    from datacube.utils.masking import describe_variable_flags, make_mask
    from odc.algo import enum_to_bool

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


def test_graphs_hold_no_pixels_and_travel(archive: Archive) -> None:
    from distributed import Client, LocalCluster

    target = GeoBox.from_bbox(GRIDS["east"].footprint("EPSG:3857").boundingbox, resolution=15)
    query: dict[str, Any] = {"geobox": target, "how": "any_cloud", "group_by": "solar_day"}
    eager = recall(archive.dc, **query)
    lazy = recall(archive.dc, dask_chunks={"x": np.int64(100), "y": 120}, **query)
    assert lazy.ucl.chunks[1:] == (
        (120,) * 2 + (lazy.sizes["y"] - 240,),
        (100,) * 3 + (lazy.sizes["x"] - 300,),
    )
    graph = cloudpickle.dumps(dict(lazy.ucl.data.dask))
    tasks = len(pickle.loads(graph))
    assert len(graph) < 4000 * tasks
    with (
        LocalCluster(
            n_workers=1,
            threads_per_worker=2,
            processes=False,
            protocol="tcp",  # or nothing would be serialised
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
        ) as local,
        Client(local),
    ):
        xr.testing.assert_identical(lazy.compute(), eager)


# --- legal, however odd -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("crs", "bounds", "resolution"),
    [
        ("EPSG:4326", (-180, -90, 180, 90), 0.5),
        ("EPSG:3857", (-2.01e7, -2.01e7, 2.01e7, 2.01e7), 50_000),
        ("EPSG:3857", (-3e7, -3e7, 3e7, 3e7), 50_000),
        ("EPSG:6933", (-2e7, -9e6, 2e7, 9e6), 40_000),
        ("EPSG:3577", (-3e7, -3e7, 3e7, 3e7), 60_000),
        ("EPSG:32601", (-3e7, -3e7, 3e7, 3e7), 60_000),
        ("EPSG:3031", (-5e7, -5e7, 5e7, 5e7), 100_000),
    ],
)
def test_grids_of_the_world_and_more(
    archive: Archive, crs: str, bounds: tuple[float, ...], resolution: float
) -> None:
    target = GeoBox.from_bbox(bounds, crs, resolution=resolution)
    found = recall(archive.dc, geobox=target, how="any_cloud", group_by="solar_day")
    assert found.sizes["time"] >= 2
    assert (found.ucl.max(target.dimensions) == CloudClass.CLOUD).all()
    nearest = recall(archive.dc, geobox=target, group_by="solar_day")
    assert (nearest.ucl.values != 0).sum() <= (found.ucl.values != 0).sum()


def test_a_projected_grid_across_the_antimeridian(archive: Archive) -> None:
    native, codes, _ = archive.truth("fiji")
    lon = native.extent.to_crs("EPSG:4326").boundingbox.range_x
    assert lon[1] - lon[0] > 300  # it does lie across
    np.testing.assert_array_equal(recall(archive.dc, geobox=native).ucl[0], codes)
    target = GeoBox.from_bbox(native.footprint("EPSG:3832").boundingbox, "EPSG:3832", resolution=30)
    expected, _, unsure = expected_nearest([archive.truth("fiji")], target)
    found = recall(archive.dc, geobox=target).ucl[0].values
    assert (unsure | (found == expected)).all()
    assert (found != 0).sum() > 1000
    for west, east in ((-180, -179.97), (179.97, 180)):
        target = GeoBox.from_bbox((west, -17.2, east, -17.1), "EPSG:4326", resolution=0.0003)
        expected, _, unsure = expected_nearest([archive.truth("fiji")], target)
        found = recall(archive.dc, geobox=target).ucl[0].values
        assert (unsure | (found == expected)).all()
        assert (found != 0).sum() > 500


# --- what cannot be recalled ----------------------------------------------------------------


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
        ({"output_crs": "EPSG:3857", "resolution": 0}, r"resolution 0"),
        ({"like": GRIDS["east"], "resolution": 10}, r"resolution cannot go with like"),
        ({"geobox": GRIDS["east"], "x": (13, 14), "y": (47, 48)}, r"an area cannot go with geobox"),
        ({"like": xr.DataArray(np.zeros((3, 4)))}, r"like has no grid"),
        ({"geobox": GRIDS["east"][:0]}, r"grid is empty"),
        ({"datasets": []}, r"datasets= is empty"),
        ({"geobox": GRIDS["east"], "dask_chunks": {"z": 1}}, r"dims are time, y, x"),
        ({"geobox": GRIDS["east"], "dask_chunks": {"x": "big"}}, r"x: 'big'"),
    ],
    ids=str,
)  # fmt: skip
def test_what_cannot_be_asked(archive: Archive, query: dict[str, Any], says: str) -> None:
    with pytest.raises(CubeError, match=says) as error:
        recall(archive.dc, **query)
    assert len(str(error.value)) < 400


@pytest.mark.parametrize(
    "query",
    [
        {"geobox": GeoBox.from_bbox((179, -18, 181, -17), "EPSG:4326", resolution=0.01)},
        {"x": (179, -179), "y": (-18, -17), "output_crs": "EPSG:32760", "resolution": 20},
        {"lon": (179, 181), "lat": (-18, -17), "output_crs": "EPSG:32760", "resolution": 20},
        {"x": (8e5, 8.4e5), "y": (8.09e6, 8.11e6), "crs": "EPSG:32760", "output_crs": "EPSG:4326", "resolution": 0.01},
    ],
    ids=["grid", "reversed", "beyond", "projected"],
)  # fmt: skip
def test_areas_across_the_antimeridian(archive: Archive, query: dict[str, Any]) -> None:
    with pytest.raises(CubeError, match=r"across the antimeridian.*EPSG:3832"):
        recall(archive.dc, **query)


def test_absurd_grids_are_refused_before_the_memory_is_gone(archive: Archive) -> None:
    query: dict[str, Any] = {"time": "2024-07", "output_crs": "EPSG:4326", "resolution": 1e-7}
    with pytest.raises(CubeError, match=r"GB.*dask_chunks=\{'latitude': 2048, 'longitude': 2048\}"):
        recall(archive.dc, **query)
    area = {"x": (13.66, 13.67), "y": (47.83, 47.84)}
    lazy = recall(archive.dc, dask_chunks={"x": 25_000, "y": 25_000}, **query, **area)
    assert lazy.ucl.nbytes > 9e9
    corner = lazy.ucl[0, 50_000:50_002, 50_000:50_003]
    assert corner.shape == (2, 3)


@pytest.mark.parametrize("chunks", [None, {"x": 50, "y": 50}], ids=["eager", "lazy"])
@pytest.mark.parametrize("how", ["nearest", "any_cloud"])
def test_files_that_are_gone_leave_a_gap(
    archive: Archive, chunks: Any, how: str, caplog: pytest.LogCaptureFixture
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
def test_all_files_gone(archive: Archive, time: str) -> None:
    with pytest.raises(CubeError, match=r"none of the 1 masks can be read"):
        recall(archive.dc, "gaps_ucl", time=time)


def test_values_that_are_no_classes(archive: Archive, replaced: Callable[..., None]) -> None:
    replaced("later", np.full(GRIDS["east"].shape, 9, "uint8"))
    with pytest.raises(CubeError, match=r"value 9, which is no class"):
        recall(archive.dc, time="2024-07")


def test_files_on_another_grid_than_their_document(
    archive: Archive, replaced: Callable[..., None]
) -> None:
    replaced("later", np.ones((130, 160), "uint8"), Affine(10, 0, 399960, 0, -10, 5300040))
    with pytest.raises(CubeError, match=r"not on the grid that its document says"):
        recall(archive.dc, time="2024-07")


@pytest.fixture
def replaced(archive: Archive) -> Iterator[Callable[..., None]]:
    """Replaces the pixels of an indexed mask for one test."""
    saved: dict[Path, bytes] = {}

    def replace(name: str, values: np.ndarray, transform: Affine | None = None) -> None:
        path = archive.folder / f"{name}_ucl.tif"
        saved[path] = path.read_bytes()
        grid = archive.truth(name)[0]
        with rasterio.open(
            path, "w", driver="GTiff", dtype="uint8", count=1, crs=str(grid.crs),
            height=values.shape[0], width=values.shape[1], transform=transform or grid.affine,
        ) as file:  # fmt: skip
            file.write(values, 1)

    yield replace
    for path, content in saved.items():
        path.write_bytes(content)
