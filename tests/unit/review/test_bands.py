"""Bands of scenes at the resolution of a picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from odc.geo.geobox import GeoBox
from rasterio.enums import Resampling

from odc_cleansat.errors import SceneError
from odc_cleansat.review.bands import given_scl, read_band, scl_beside
from odc_cleansat.scenes.files import BandFile

GRID = GeoBox((40, 60), Affine(10, 0, 399960, 0, -10, 5300040), "EPSG:32633")


def write(path: Path, values: np.ndarray, overviews: list[int] | None = None) -> BandFile:
    """A band on the grid, whose overviews are 9 everywhere, so that they can be told from the pixels."""
    profile = {
        "driver": "GTiff",
        "height": 40,
        "width": 60,
        "count": 1,
        "dtype": "uint16",
        "nodata": 0,
    }
    with rasterio.open(path, "w", crs="EPSG:32633", transform=GRID.affine, **profile) as file:
        file.write(np.full_like(values, 9) if overviews else values, 1)
    if overviews:
        with rasterio.open(path, "r+") as file:
            file.build_overviews(overviews, Resampling.nearest)
            file.write(values, 1)
    return BandFile(str(path), 1, 0)


@pytest.fixture
def values() -> np.ndarray:
    return np.random.default_rng(0).integers(10, 100, GRID.shape, dtype="uint16")


def test_a_band_on_its_own_grid_and_on_a_coarser_one(tmp_path: Path, values: np.ndarray) -> None:
    file = write(tmp_path / "B04.tif", values)
    found, nodata = read_band(file, GRID, "nearest", overviews=False)
    np.testing.assert_array_equal(found, values)
    assert nodata == 0
    means, _ = read_band(file, GRID.zoom_out(2), "average", overviews=False)
    expected = values.reshape(20, 2, 30, 2).mean(axis=(1, 3))
    np.testing.assert_allclose(means, expected, atol=0.51)


def test_overviews_are_read_only_where_they_are_asked_for(
    tmp_path: Path, values: np.ndarray
) -> None:
    file = write(tmp_path / "B04.tif", values, [2, 4])
    coarse = GRID.zoom_out(4)
    assert (read_band(file, coarse, "nearest", overviews=True)[0] == 9).all()
    assert (read_band(file, coarse, "nearest", overviews=False)[0] != 9).all()
    assert (read_band(file, GRID, "nearest", overviews=True)[0] != 9).all()


def test_the_scl_beside_the_red_band_is_found(tmp_path: Path, values: np.ndarray) -> None:
    (tmp_path / "R10m").mkdir()
    (tmp_path / "R20m").mkdir()
    red = {"red": write(tmp_path / "R10m" / "T33_B04_10m.tif", values)}
    assert scl_beside(red) == {}
    scl = write(tmp_path / "R20m" / "T33_SCL_20m.tif", values)
    assert scl_beside(red) == {"scl": scl}
    assert given_scl(scl.uri, red["red"]) == scl
    with pytest.raises(SceneError, match="cannot read"):
        given_scl(str(tmp_path / "nothing.tif"), red["red"])


def test_the_scl_beside_is_opened_only_if_it_may_be(tmp_path: Path, values: np.ndarray) -> None:
    red = {"red": write(tmp_path / "B04.tif", values)}
    write(tmp_path / "SCL.tif", values)
    asked: list[BandFile] = []

    def refuse(file: BandFile) -> BandFile:
        asked.append(file)
        raise SceneError("no")

    assert scl_beside(red, refuse) == {}
    assert [each.uri for each in asked] == [str(tmp_path / "SCL.tif")]
