import numpy as np
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox

from odc_cleansat.grids.cells import cells, odd_side, parts, side_of_pixel, with_context

UTM = GeoBox((700, 600), Affine(30, 0, 500010, 0, -30, 5000010), "EPSG:32633")
DEGREES = GeoBox((300, 900), Affine(0.0003, 0, 13.5, 0, -0.0003, 47.1), "EPSG:4326")


def numbered(grid: GeoBox) -> np.ndarray:
    """Return the number of each pixel's cell."""
    found = np.full(grid.shape, -1)
    for number, cell in enumerate(cell for row in cells(grid) for cell in row):
        assert (found[cell.inner] == -1).all()
        found[cell.inner] = number
    assert (found >= 0).all()
    return found


@pytest.mark.parametrize("grid", [UTM, DEGREES, UTM.flipy()], ids=["utm", "degrees", "flipped"])
def test_each_pixel_is_in_one_cell_and_cuts_are_where_they_are_in_any_part(grid):
    part = np.s_[51:290, 140:590]
    whole, alone = numbered(grid)[part], numbered(grid[part])
    for axis in (0, 1):
        np.testing.assert_array_equal(
            np.diff(whole, axis=axis) != 0, np.diff(alone, axis=axis) != 0
        )
    assert len(np.unique(alone)) > 1


def test_cells_begin_at_multiples_of_256_pixels_of_30_metres():
    rows = [row[0].inner[0].start for row in cells(UTM)]
    tops = [UTM.affine.f - 30 * start for start in rows[1:]]
    assert [top % 7680 for top in tops] == [0] * len(tops)
    assert len(tops) >= 2


def test_windows_are_cells_with_960_metres_around_them_as_far_as_the_grid_goes():
    first, cell, *_ = list(cells(UTM))[2]
    assert cell.window[0].start == cell.inner[0].start - 32
    assert cell.window[1].stop == min(cell.inner[1].stop + 32, 600)
    assert first.window[1].start == 0
    values = np.arange(UTM.shape[0] * UTM.shape[1]).reshape(UTM.shape)
    np.testing.assert_array_equal(values[cell.window][cell.within], values[cell.inner])


@pytest.mark.parametrize("grid", [UTM, DEGREES, UTM.flipy()], ids=["utm", "degrees", "flipped"])
def test_a_part_read_with_context_has_the_windows_of_the_whole(grid):
    part = grid[260:270, 300:320]
    wide, roi = with_context(part)
    assert wide[roi].boundingbox.bbox == pytest.approx(part.boundingbox.bbox)
    assert wide.shape[0] <= 256 * 2 * 30 / side_of_pixel(grid) + 70
    # Reading the context of the context adds its margin's cells, and none of the cell itself changes.
    middle = [c for row in cells(wide) for c in row if c.inner[0].start <= roi[0].start < c.inner[0].stop
              and c.inner[1].start <= roi[1].start < c.inner[1].stop]  # fmt: skip
    assert len(middle) == 1
    height = middle[0].window[0].stop - middle[0].window[0].start
    assert height == round(7680 / side_of_pixel(grid)) + 2 * round(960 / side_of_pixel(grid))


def test_a_rotated_grid_is_counted_from_its_first_pixel():
    rotated = GeoBox((50, 60), Affine.rotation(20) * Affine.scale(30, -30), "EPSG:32633")
    assert [cell.inner for row in cells(rotated) for cell in row] == [np.s_[0:50, 0:60]]
    assert with_context(rotated) == (rotated, np.s_[0:50, 0:60])


def test_sides_are_odd_and_at_least_a_pixel():
    sides = [odd_side(90, UTM.zoom_to(resolution=r)) for r in (10, 20, 30, 60, 100)]
    assert sides == [9, 5, 3, 1, 1]


def test_parts_are_whole_cells_and_fit_with_their_margins():
    grid = GeoBox((1000, 700), Affine(20, 0, 399960, 0, -20, 5300040), "EPSG:32633")
    found = [*parts(grid, 1024)]
    assert max(p.stop - p.start + 96 for part in found for p in part) <= 1024
    edges = {cell.inner[0].start for row in cells(grid) for cell in row}
    assert {rows.start for rows, _ in found} <= edges
    seen = np.zeros(grid.shape, int)
    for part in found:
        seen[part] += 1
    assert (seen == 1).all()
    assert len([*parts(grid, 1)]) == sum(len(row) for row in cells(grid))
