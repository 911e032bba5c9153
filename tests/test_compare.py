"""Figures and pictures of two masks side by side."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from odc.geo.geobox import GeoBox

from odc_cleansat import CloudClass
from odc_cleansat.errors import SceneError
from odc_cleansat.review import compare, true_colour

GRID = GeoBox.from_bbox((399960, 5290000, 411960, 5300000), "EPSG:32633", resolution=100)


def test_true_colour_keeps_water_and_cloud_apart() -> None:
    rgb = np.full((20, 20, 3), 0.05)
    rgb[:10] = 0.9
    rgb[15:] = 0.01
    rgb[19, 19] = np.nan
    picture = true_colour(rgb)
    assert picture[0, 0, 0] > 0.95
    assert 0.1 < picture[12, 0, 0] < 0.6
    assert picture[16, 0, 0] < picture[12, 0, 0]
    assert (picture[19, 19] == 1).all()
    assert (true_colour(np.full((2, 2, 3), np.nan)) == 1).all()


def layers() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "rgb": rng.random((*GRID.shape, 3)) / 4,
        "ucl": rng.integers(0, 4, GRID.shape).astype("uint8"),
        "scl": rng.integers(0, 12, GRID.shape).astype("uint8"),
    }


@pytest.mark.parametrize("crs", ["EPSG:32633", "EPSG:4326", "EPSG:3857"])
@pytest.mark.parametrize("suffix", ["png", "pdf"])
def test_the_figure_is_drawn(tmp_path: Path, crs: str, suffix: str) -> None:
    grid = GeoBox.from_bbox(
        GRID.extent.to_crs(crs).boundingbox if crs != "EPSG:32633" else GRID.boundingbox,
        crs, shape=GRID.shape,
    )  # fmt: skip
    path = compare(**layers(), geobox=grid, path=tmp_path / f"compare.{suffix}", title="A scene")
    assert path.stat().st_size > 10_000


def test_each_class_is_painted_in_its_colour(tmp_path: Path) -> None:
    from matplotlib.colors import to_rgb
    from matplotlib.image import imread

    found = layers()
    found["ucl"][:] = CloudClass.SHADOW
    picture = imread(compare(**found, geobox=GRID, path=tmp_path / "compare.png"))
    height, width, _ = picture.shape
    middle_of_ucl = picture[height // 2, int(width * 0.83), :3]
    np.testing.assert_allclose(middle_of_ucl, to_rgb(CloudClass.SHADOW.colour), atol=0.01)


def test_without_scl_there_are_two_panels(tmp_path: Path) -> None:
    from matplotlib.image import imread

    found = layers()
    three = imread(compare(**found, geobox=GRID, path=tmp_path / "three.png"))
    del found["scl"]
    two = imread(compare(**found, geobox=GRID, path=tmp_path / "two.png"))
    assert two.shape[1] < 0.75 * three.shape[1]


def test_arrays_of_another_shape(tmp_path: Path) -> None:
    found = layers()
    found["ucl"] = found["ucl"][1:]
    with pytest.raises(SceneError, match="UCL"):
        compare(**found, geobox=GRID, path=tmp_path / "compare.png")


def test_rows_from_south_to_north_are_drawn_north_up(tmp_path: Path) -> None:
    from matplotlib.image import imread

    found = layers()
    up = imread(compare(**found, geobox=GRID, path=tmp_path / "up.png"))
    flipped = {name: array[::-1] for name, array in found.items()}
    down = imread(compare(**flipped, geobox=GRID.flipy(), path=tmp_path / "down.png"))
    np.testing.assert_array_equal(up, down)


def test_large_scenes_are_thinned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib.image import imread

    whole = imread(compare(**layers(), geobox=GRID, path=tmp_path / "whole.png"))
    monkeypatch.setattr("odc_cleansat.review.figure.PANEL", 40)
    thinned = imread(compare(**layers(), geobox=GRID, path=tmp_path / "thinned.png"))
    assert thinned.shape == whole.shape
    assert not np.array_equal(thinned, whole)
