"""Masks sampled on any grid, against an implementation of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
import rasterio
import rasterio.warp
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox

from odc_cleansat import CloudClass
from odc_cleansat.cube import sample
from odc_cleansat.cube.recall import recall
from odc_cleansat.cube.sample import FRACTIONS, VARIABLES, IndexedMask, Losses, sample_block
from odc_cleansat.errors import CubeError, GapWarning

from .independent import ANY, expected_counts, expected_nearest, grids, share, winner
from .mask_archive import GRIDS, MaskArchive

Pixels = tuple[np.ndarray, np.ndarray]
"""Class codes and confidences in percent, both uint8, dims ``(y, x)``."""


def drawn(rows: int, columns: int) -> Pixels:
    """A class for each pixel, drawn by chance."""
    draw = np.random.default_rng(rows)
    codes = draw.integers(0, 7, (rows, columns), "uint8")
    return codes, np.where(codes == 0, 255, draw.integers(34, 101, codes.shape)).astype("uint8")


def indexed(folder: Path, codes: np.ndarray, percents: np.ndarray | None = None) -> IndexedMask:
    """A mask of pixels of 20 m on disk, with or without its confidences."""
    grid = GeoBox(codes.shape, Affine(20, 0, 399960, 0, -20, 5300040), "EPSG:32633")
    id_, bands = uuid4(), []
    for name, values in (("ucl", codes), ("ucl_confidence", percents)):
        if values is not None:
            path = folder / f"{id_}_{name}.tif"
            with rasterio.open(
                path, "w", driver="GTiff", dtype="uint8", count=1, crs=str(grid.crs),
                height=codes.shape[0], width=codes.shape[1], transform=grid.affine,
                tiled=True, blockxsize=16, blockysize=16,
            ) as file:  # fmt: skip
                file.write(values, 1)
            bands.append((str(path), 1))
    return IndexedMask(id_, "a mask", grid, tuple(bands))


def sampled(
    masks: list[IndexedMask], target: GeoBox, how: str, losses: Losses | None = None
) -> dict[str, np.ndarray]:
    """All layers of a grid that the masks can give."""
    names = VARIABLES[how][: len(masks[0].bands)] if how != "fraction" else FRACTIONS
    return sample_block(masks, target, how, names, losses, {})


def test_four_native_pixels_make_one(tmp_path: Path) -> None:
    """The commonest class, the worst, and the shares; confidence is the mean of those of the class."""
    codes = np.array([[1, 1, 2, 3], [1, 6, 2, 3], [0, 0, 0, 5], [0, 0, 4, 4]], "uint8")
    percents = np.array(
        [[50, 61, 70, 80], [63, 90, 71, 83], [255, 255, 255, 60], [255, 255, 51, 54]], "uint8"
    )
    mask = indexed(tmp_path, codes, percents)
    target = mask.grid.zoom_out(2)
    mode = sampled([mask], target, "mode")
    assert mode["ucl"].tolist() == [[1, 2], [0, 4]]
    assert mode["ucl_confidence"].tolist() == [[58, 70], [255, 52]]
    worst = sampled([mask], target, "any_cloud")
    assert worst["ucl"].tolist() == [[6, 2], [0, 4]]
    assert worst["ucl_confidence"].tolist() == [[90, 70], [255, 52]]
    shares = sampled([mask], target, "fraction")
    np.testing.assert_array_equal(shares["cloud_fraction"], [[0.25, 0.5], [np.nan, 0]])
    np.testing.assert_array_equal(shares["shadow_fraction"], [[0, 0.5], [np.nan, 0]])
    centre = sampled([mask], target, "nearest")
    assert centre["ucl"].tolist() == [[6, 3], [0, 4]]
    assert centre["ucl_confidence"].tolist() == [[90, 83], [255, 54]]


def test_a_later_mask_counts_where_the_earlier_have_no_data(tmp_path: Path) -> None:
    first = indexed(tmp_path, np.array([[0, 1], [0, 0]], "uint8"))
    second = indexed(tmp_path, np.array([[2, 2], [2, 0]], "uint8"))
    for masks, cloud in (([first, second], 2 / 3), ([second, first], 1)):
        found = sampled(masks, first.grid.zoom_out(2), "fraction")
        np.testing.assert_allclose(found["cloud_fraction"], cloud)
    assert sampled([first, second], first.grid, "nearest")["ucl"].tolist() == [[2, 1], [2, 0]]


AREAS = {
    "within": ((4, 4), Affine.translation(19, 21) * Affine.scale(6)),
    "from corner to corner": (
        (1, 8),
        Affine.translation(3, 44) * Affine.rotation(-42) * Affine.scale(6.03),
    ),
    "of fine pixels": ((30, 30), Affine.translation(21.1, 13.1) * Affine.scale(0.23)),
}
"""Shape, and place within a mask in its pixels."""


@pytest.mark.parametrize("area", AREAS)
@pytest.mark.parametrize("how", ["mode", "any_cloud"])
def test_a_large_mask_is_counted_in_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, area: str, how: str
) -> None:
    monkeypatch.setattr(sample, "TILE", 8)
    pixels = drawn(45, 48)
    mask = indexed(tmp_path, *pixels)
    shape, place = AREAS[area]
    target = GeoBox(shape, mask.grid.affine * place, mask.grid.crs)
    counts, percents, unsure = expected_counts([(mask.grid, *pixels)], target)
    expected = [winner(*each, how) for each in zip(counts, percents, strict=True)]
    codes, confidences = np.array(expected).T.reshape(2, *shape)
    found = sampled([mask], target, how)
    assert unsure.mean() < 0.2
    assert (unsure | (found["ucl"] == codes)).all()
    assert (unsure | (found["ucl_confidence"] == confidences)).all()


def test_a_file_that_breaks_leaves_a_gap_and_is_named_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample, "TILE", 8)
    mask = indexed(tmp_path, drawn(45, 48)[0])
    path = Path(mask.bands[0][0])
    path.write_bytes(path.read_bytes()[:600])
    for how in ("nearest", "mode"):
        with pytest.warns(GapWarning, match=r"a mask cannot be read.* a mask \(") as said:
            found = sampled([mask], mask.grid[20:40, 20:40], how)
        assert len(said) == 1
        assert not found["ucl"].any()
        losses = Losses()
        assert not sampled([mask], mask.grid, how, losses)["ucl"].any()
        assert list(losses.why) == [mask.id]


# --- from a datacube ------------------------------------------------------------------


@ANY
@given(data=st.data())
def test_nearest_is_the_native_pixel_at_the_centre(
    archive: MaskArchive, data: st.DataObject
) -> None:
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
    archive: MaskArchive, data: st.DataObject, how: str
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
    counts, percents, unsure = expected_counts(
        [archive.truth("east"), archive.truth("west")], target
    )
    expected = [winner(*each, how) for each in zip(counts, percents, strict=True)]
    ucl, percent = np.array(expected).T.reshape(2, *target.shape)
    assert (unsure | (found.ucl.values == ucl)).all()
    assert (unsure | (found.ucl_confidence.values == percent)).all()


@ANY
@given(data=st.data())
def test_fractions_of_the_native_pixels_within(archive: MaskArchive, data: st.DataObject) -> None:
    target = data.draw(grids(GRIDS["west"]))
    found = recall(
        archive.dc, datasets=[archive.masks["west"]], geobox=target, how="fraction"
    ).isel(time=0)
    counts, _, unsure = expected_counts([archive.truth("west")], target)
    for name, classes in (("cloud_fraction", (2, 6)), ("shadow_fraction", (3,))):
        expected = np.array([share(each, *classes) for each in counts]).reshape(target.shape)
        same = np.isclose(found[name].values, expected, atol=1e-6, equal_nan=True)
        assert found[name].dtype == "float32"
        assert (unsure | same).all()


def test_a_centre_on_an_edge_belongs_to_the_greater_row_and_column(archive: MaskArchive) -> None:
    native, codes, _ = archive.truth("east")
    target = GeoBox((65, 80), native.affine * Affine.scale(2), native.crs)
    found = recall(archive.dc, datasets=[archive.masks["east"]], geobox=target).ucl[0]
    np.testing.assert_array_equal(found, codes[1::2, 1::2])
    aside = GeoBox((130, 160), native.affine * Affine.translation(0.5, 0.5), native.crs)
    found = recall(archive.dc, datasets=[archive.masks["east"]], geobox=aside).ucl[0]
    np.testing.assert_array_equal(found[:-1, :-1], codes[1:, 1:])
    assert not found[-1].any()
    assert not found[:, -1].any()


def test_fine_grids_repeat_the_native_pixels(archive: MaskArchive) -> None:
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


def test_no_cloud_is_lost_on_a_coarse_grid(archive: MaskArchive) -> None:
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


def test_values_that_are_no_classes(archive: MaskArchive, replaced: Callable[..., None]) -> None:
    replaced("later", np.full(GRIDS["east"].shape, 9, "uint8"))
    for names in (["ucl"], ["ucl", "ucl_confidence"]):
        with pytest.raises(CubeError, match=r"later_ucl\.tif holds the value 9, which is no class"):
            recall(archive.dc, time="2024-07", measurements=names)


def test_files_on_another_grid_than_their_document(
    archive: MaskArchive, replaced: Callable[..., None]
) -> None:
    replaced("later", np.ones((130, 160), "uint8"), Affine(10, 0, 399960, 0, -10, 5300040))
    with pytest.raises(CubeError, match=r"not on the grid that its document says"):
        recall(archive.dc, time="2024-07")


@pytest.fixture
def replaced(archive: MaskArchive) -> Iterator[Callable[..., None]]:
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
