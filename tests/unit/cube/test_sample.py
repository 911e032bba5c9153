"""Masks sampled on any grid, against an implementation of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import rasterio.warp
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox

from odc_cleansat import CloudClass
from odc_cleansat.cube.recall import recall
from odc_cleansat.errors import (
    CubeError,
)

from .independent import ANY, expected_counts, expected_nearest, grids, share, winner
from .mask_archive import GRIDS, MaskArchive


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
    with pytest.raises(CubeError, match=r"value 9, which is no class"):
        recall(archive.dc, time="2024-07")


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
