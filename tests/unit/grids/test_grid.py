"""The model grid of a scene."""

from __future__ import annotations

import pytest
from affine import Affine
from odc.geo.geobox import GeoBox

from odc_cleansat.errors import SceneError
from odc_cleansat.grids.grid import (
    box_geobox,
    crs_name,
    ground_resolution,
    model_grid,
    overlap,
)


@pytest.mark.parametrize(
    ("crs", "corner", "size"),
    [("EPSG:4326", (179.976, -17.0), 0.0001), ("EPSG:3857", (20034508.0, -1920000.0), 10.0)],
)
def test_scenes_across_the_edge_of_their_projection(
    crs: str, corner: tuple[float, float], size: float
) -> None:
    """GDAL finds no data on the other side, and labels there would be made up."""
    grid = GeoBox((480, 600), Affine(size, 0, corner[0], 0, -size, corner[1]), crs)
    with pytest.raises(SceneError, match="beyond the edge of"):
        model_grid(grid, 30)
    model_grid(grid.translate_pix(-600, 0), 30)


def test_where_there_are_no_zones() -> None:
    with pytest.raises(SceneError, match="no UTM zone"):
        model_grid(GeoBox((50, 50), Affine(0.001, 0, 15, 0, -0.001, 84.9), "EPSG:4326"), 30)


def test_a_scene_in_its_zone_keeps_it() -> None:
    """Rows are counted southwards from the equator, columns eastwards from the zone's origin."""
    grid = GeoBox((30, 60), Affine(20, 0, 600_000, 0, -20, 5_000_000), "EPSG:32633")
    crs, box = model_grid(grid, 30)
    assert crs_name(crs) == "EPSG:32633"
    assert box == (-166_667, -166_646, 20_000, 20_040)
    covered = box_geobox(box, crs, 30).boundingbox
    assert covered.left <= 600_000 < covered.left + 30
    assert covered.top - 30 < 5_000_000 <= covered.top
    crs, _ = model_grid(grid.to_crs("EPSG:3857"), 30)
    assert crs_name(crs) == "EPSG:32633"


def test_size_of_pixels_on_the_ground() -> None:
    grid = GeoBox((10, 10), Affine(0.0001, 0, 20, 0, -0.0001, 60), "EPSG:4326")
    along_y, along_x = ground_resolution(grid)
    assert along_y == pytest.approx(11.14, abs=0.01)
    assert along_x == pytest.approx(5.58, abs=0.01)


def test_what_decides_the_pixels_of_another_grid() -> None:
    """With a margin for the kernel, and within the source."""
    source = GeoBox((300, 400), Affine(20, 0, 600_000, 0, -20, 5_000_000), "EPSG:32633")
    roi = overlap(source, source[100:110, 200:220])
    assert roi is not None
    for span, (start, stop) in zip(roi, ((100, 110), (200, 220)), strict=True):
        assert start - 10 <= span.start <= start - 3
        assert stop + 3 <= span.stop <= stop + 10
    assert overlap(source, source.translate_pix(1000, 0)) is None


def test_model_grid_is_anchored_at_the_origin() -> None:
    geobox = GeoBox.from_bbox((399_967, 5_200_013, 410_003, 5_210_000), "EPSG:32633", resolution=10)
    crs, box = model_grid(geobox, 30.0)
    grid = box_geobox(box, crs, 30.0)
    assert grid.boundingbox.left % 30 == 0
    assert grid.boundingbox.top % 30 == 0
    assert (box.left * 30, -box.top * 30) == (grid.boundingbox.left, grid.boundingbox.top)
    assert grid.extent.contains(geobox.extent)


def test_ground_resolution_counts_metres_on_the_ground() -> None:
    utm = GeoBox.from_bbox((400_000, 6_650_000, 401_000, 6_651_000), "EPSG:32633", resolution=20)
    mercator = utm.to_crs("EPSG:3857", resolution=40)
    assert ground_resolution(utm) == pytest.approx((20, 20), rel=0.001)
    # At 60 degrees north a metre of web Mercator is half a metre on the ground.
    assert ground_resolution(mercator) == pytest.approx((20, 20), rel=0.02)
