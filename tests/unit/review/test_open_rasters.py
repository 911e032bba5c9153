"""Rasters that stay open: one thread at a time, a few of them, and never one that was replaced."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
import rasterio
from eopf_product import SCENE, write_product
from rasterio.vrt import WarpedVRT

from odc_cleansat.review import open_rasters
from odc_cleansat.review.open_rasters import OpenRasters
from odc_cleansat.scenes.files import BandFile


def write(path: Path, value: int) -> BandFile:
    draft = path.with_suffix(".draft")
    with rasterio.open(
        draft, "w", driver="GTiff", width=4, height=4, count=1, dtype="uint8",
        crs="EPSG:32633", transform=rasterio.Affine(20, 0, 400_000, 0, -20, 5_300_000),
    ) as file:  # fmt: skip
        file.write(np.full((1, 4, 4), value, dtype="uint8"))
    draft.replace(path)
    return BandFile(path.as_uri(), 1, None)


def test_a_raster_is_opened_once_for_those_who_come_one_after_the_other(tmp_path: Path) -> None:
    files, file = OpenRasters(), write(tmp_path / "a.tif", 7)
    with files.opened(file) as first:
        pass
    with files.opened(file) as second:
        assert second is first
        assert (second.read() == 7).all()
    with files.opened(file, OVERVIEW_LEVEL="NONE") as other:
        assert other is not first
    files.close()
    assert first.closed
    assert other.closed


def test_two_at_a_time_have_two(tmp_path: Path) -> None:
    files, file = OpenRasters(), write(tmp_path / "a.tif", 7)
    found: list[object] = []

    def read() -> None:
        with files.opened(file) as raster:
            found.append(raster)

    with files.opened(file) as mine:
        other = threading.Thread(target=read)
        other.start()
        other.join()
    assert found
    assert found[0] is not mine
    files.close()


def test_a_file_that_was_replaced_is_opened_anew(tmp_path: Path) -> None:
    files = OpenRasters()
    with files.opened(write(tmp_path / "a.tif", 7)) as raster:
        raster.read()
    with files.opened(write(tmp_path / "a.tif", 8)) as raster:
        assert (raster.read() == 8).all()
    files.close()


def test_few_stay_open_and_not_for_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_rasters, "MOST", 2)
    files, seen = OpenRasters(), []
    for name in "abc":
        with files.opened(write(tmp_path / f"{name}.tif", 1)) as raster:
            seen.append(raster)
    assert [each.closed for each in seen] == [True, False, False]
    monkeypatch.setattr(open_rasters, "SECONDS", 0.0)
    with files.opened(write(tmp_path / "d.tif", 1)) as raster:
        pass
    assert all(each.closed for each in (*seen, raster))


def test_a_raster_that_failed_is_closed(tmp_path: Path) -> None:
    files, file = OpenRasters(), write(tmp_path / "a.tif", 7)
    with pytest.raises(ZeroDivisionError), files.opened(file) as raster:
        raise ZeroDivisionError
    assert raster.closed
    with files.opened(file) as again:
        assert again is not raster
    files.close()


class Doubled:
    """A view with pixels of half the size; the class counts how many are made."""

    made = 0

    def of(self, file: BandFile, raster: rasterio.DatasetReader) -> WarpedVRT:
        Doubled.made += 1
        transform = raster.transform * rasterio.Affine.scale(0.5)
        return WarpedVRT(raster, crs=raster.crs, transform=transform, width=8, height=8)


def test_views_stay_with_their_raster_and_are_closed_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_rasters, "VIEWS", 2)
    files, file = OpenRasters(), write(tmp_path / "a.tif", 7)
    first, second, third, sources = Doubled(), Doubled(), Doubled(), set()
    seen = {}
    for view in (first, second, first, third, first):
        with files.opened(file, view) as opened:
            assert (opened.read() == 7).all()
            assert opened.shape == (8, 8)
            seen[view] = opened
            sources.add(opened.src_dataset)
    assert Doubled.made == 3
    assert [seen[view].closed for view in (first, second, third)] == [False, True, False]
    with files.opened(file) as bare:
        assert bare.shape == (4, 4)
    assert sources == {bare}
    files.close()
    assert all(each.closed for each in (bare, *seen.values()))


def test_of_two_that_are_open_the_one_with_the_view_is_taken(tmp_path: Path) -> None:
    files, file, view = OpenRasters(), write(tmp_path / "a.tif", 7), Doubled()
    with files.opened(file) as one, files.opened(file) as two:
        pass
    with files.opened(file, view) as seen:
        source = seen.src_dataset
    assert source in (one, two)
    with files.opened(file) as last, files.opened(file) as other:  # this one is given back first
        assert {last, other} == {one, two}
    made = Doubled.made
    for _ in range(2):
        with files.opened(file, view) as again:
            assert again is seen
    assert Doubled.made == made
    files.close()


def test_a_band_in_zarr_is_read_by_one_thread_after_the_other(tmp_path: Path) -> None:
    """Rasterio reads it only in the thread that has opened it, so it does not stay open."""
    product = write_product(tmp_path, "v3")
    files = OpenRasters()
    file = BandFile(f"{product}/measurements/reflectance/r10m/b02", 1, 0)
    found: list[np.ndarray] = []

    def read() -> None:
        with files.opened(file) as raster:
            found.append(raster.read(1))

    for _ in range(2):
        other = threading.Thread(target=read)
        other.start()
        other.join()
    read()
    assert len(found) == 3
    for values in found:
        np.testing.assert_array_equal(values, SCENE.read()["B02"])
    files.close()
