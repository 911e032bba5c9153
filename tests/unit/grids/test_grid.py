"""The model grid of a scene."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox
from odc.geo.xr import xr_coords
from pyproj import Transformer

from odc_cleansat.errors import SceneError
from odc_cleansat.grids.grid import (
    box_geobox,
    centre,
    corner,
    crs_name,
    fault_of_grid,
    grid_north,
    ground_resolution,
    model_grid,
    overlap,
    pixel_ratios,
    unevenness,
)
from odc_cleansat.grids.windows import Box


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


@pytest.mark.parametrize(
    ("code", "left"),
    [(32601, 899_970), (32633, 99_990), (32660, 99_990), (32701, 899_970), (32733, 99_990), (32760, 99_990)],
)  # fmt: skip
def test_a_scene_beyond_the_edge_of_its_zone_keeps_it(code: int, left: int) -> None:
    """The tiles of a zone reach into its neighbours, first and last zones of both hemispheres too."""
    top = 999_990 if code < 32700 else 9_000_000
    grid = GeoBox((100, 100), Affine(30, 0, left, 0, -30, top), f"EPSG:{code}")
    crs, box = model_grid(grid, 30)
    assert crs_name(crs) == f"EPSG:{code}"
    row, column = -top // 30, left // 30
    assert box == (row, row + 100, column, column + 100)


@pytest.mark.parametrize(
    ("code", "there"), [(32661, 32631), (32761, 32731), (3857, 32631), (4326, 32631), (2154, 32631)]
)
def test_a_scene_in_no_zone_goes_through_that_of_its_centre(code: int, there: int) -> None:
    """The first two are the polar projections whose codes follow those of the zones."""
    top = 7_000_000 if there < 32700 else 3_000_000
    zone = GeoBox((40, 40), Affine(30, 0, 500_000, 0, -30, top), f"EPSG:{there}")
    scene = zone.to_crs(f"EPSG:{code}")
    crs, box = model_grid(scene, 30)
    assert crs_name(crs) == f"EPSG:{there}"
    # The scene is so small that its edges are straight in the zone too.
    height, width = scene.shape
    corners = [
        scene.affine * corner for corner in ((0, 0), (width, 0), (0, height), (width, height))
    ]
    to_zone = Transformer.from_crs(code, there, always_xy=True)
    x, y = zip(*(to_zone.transform(*corner) for corner in corners), strict=True)
    covered = [-max(y) / 30, -min(y) / 30, min(x) / 30, max(x) / 30]
    assert box == pytest.approx(covered, abs=1.02)


@pytest.mark.parametrize(
    ("transform", "turned"),
    [(Affine(1, 0, 10, 0, -1, 62), False), (Affine(0, 1, 10, -1, 0, 63), True)],
)
def test_size_of_the_central_pixel_counts(transform: Affine, turned: bool) -> None:
    """By formulas of the ellipsoid: a degree along the 60th parallel, and one from there southwards."""
    along_y, along_x = ground_resolution(GeoBox((5, 7), transform, "EPSG:4326"))
    across, along = (along_y, along_x) if turned else (along_x, along_y)
    assert across == pytest.approx(55_800, abs=5)
    assert along == pytest.approx(111_404, abs=5)


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
    assert overlap(source, source[0:3, 390:400]) == (slice(0, 9), slice(384, 400))


@pytest.mark.parametrize(("size", "kernel"), [(10, 3), (20, 3), (40, 6), (50, 8)])
def test_margin_for_the_kernel(size: int, kernel: int) -> None:
    """A pixel where the grids meet, the kernel's reach, and two to spare.

    The kernel reaches three pixels of the coarser grid, here 3, 3, 6 and 7.5 pixels of 20 m.
    """
    source = GeoBox((300, 400), Affine(20, 0, 600_000, 0, -20, 5_000_000), "EPSG:32633")
    there = GeoBox.from_bbox(
        (604_000, 4_997_000, 605_000, 4_998_000), "EPSG:32633", resolution=size
    )
    assert overlap(source, there) == (
        slice(100 - 3 - kernel, 150 + 3 + kernel),
        slice(200 - 3 - kernel, 250 + 3 + kernel),
    )


def test_ratio_of_pixel_sizes() -> None:
    """Of pixels of 45 m along y and 60 m along x, to others of 30 m and 20 m."""
    target = GeoBox((4, 4), Affine(60, 0, 600_000, 0, -45, 5_000_000), "EPSG:32633")
    grid = GeoBox((4, 4), Affine(20, 0, 600_000, 0, -30, 5_000_000), "EPSG:32633")
    assert pixel_ratios(grid, target) == pytest.approx((1.5, 3), rel=1e-4)


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


@pytest.mark.parametrize(("pixel", "meant"), [(0.11, True), (0.09, False)])
def test_a_pixel_is_ten_centimetres_wide_or_more(pixel: float, meant: bool) -> None:
    for along_x, along_y in ((pixel, 20), (20, pixel)):
        grid = GeoBox((4, 4), Affine(along_x, 0, 5e5, 0, -along_y, 5e6), "EPSG:32633")
        if meant:
            assert ground_resolution(grid) == pytest.approx((along_y, along_x), rel=0.001)
        else:
            with pytest.raises(SceneError, match="cannot be metres"):
                ground_resolution(grid)


@pytest.mark.parametrize(
    ("bounds", "crs", "says"),
    [
        (
            (278400, 1615200, 280800, 1617600),
            "EPSG:4326",
            r"cannot be degrees.*metres of a UTM zone",
        ),
        ((13.7, 47.7, 13.8, 47.8), "EPSG:32633", r"cannot be metres.*degrees.*'EPSG:4326'"),
    ],
)
def test_a_coordinate_system_written_by_mistake(
    bounds: tuple[float, ...], crs: str, says: str
) -> None:
    with pytest.raises(SceneError, match=says):
        ground_resolution(GeoBox.from_bbox(bounds, crs, shape=(240, 240)))


@pytest.mark.parametrize(
    "box", [Box(-176800, -176700, 13332, 13400), Box(0, 1, -5, 5), Box(7, 9, 0, 3)]
)
@pytest.mark.parametrize("resolution", [30, 10, 28.5])
def test_the_corner_of_a_box_is_found_again(box: Box, resolution: float) -> None:
    crs = GeoBox((1, 1), Affine.identity(), "EPSG:32633").crs
    assert corner(box_geobox(box, crs, resolution)) == (box.top, box.left)


LAID_OUT = GeoBox((12, 16), Affine(10, 0, 400_000, 0, -10, 5_300_000), "EPSG:32633")


def values_on(grid: GeoBox) -> xr.DataArray:
    return xr.DataArray(np.zeros(grid.shape), coords=xr_coords(grid), dims=grid.dimensions)


@pytest.mark.parametrize("axis", ["y", "x"])
@pytest.mark.parametrize(
    "kept",
    [
        [0, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11],
        [0, 1, 2, 3, 4, 5, 7, 8, 9, 10, 11],
        [0, 1, 2, 2, 3, 4],
        [0, 2, 1, 3],
        [0, 1, 2, 3, 9],
    ],
)
def test_rows_that_are_missing_repeated_or_out_of_order(axis: str, kept: list[int]) -> None:
    reason = unevenness(values_on(LAID_OUT).isel({axis: kept}))
    assert reason is not None
    assert f"the coordinate {axis} is not evenly spaced: its steps are from" in reason


def test_coordinates_that_are_even_but_for_rounding() -> None:
    """Also those that run the other way, single rows, none at all, and degrees of 10 m in float32."""
    whole = values_on(LAID_OUT)
    fine = values_on(GeoBox((500, 500), Affine(9e-5, 0, 151.2, 0, -9e-5, -33.8), "EPSG:4326"))
    rounded = fine.assign_coords({d: fine[d].astype("float32") for d in fine.dims})
    even = [whole, whole[::-1], whole[:, ::3], whole[:1, :2], whole[[0, 2]], rounded]
    assert [unevenness(each) for each in even] == [None] * 6
    assert unevenness(whole.to_dataset(name="ucl")) is None
    assert unevenness(whole.drop_vars(["x", "y"])) is None
    assert unevenness(whole.assign_coords(x=np.full(16, np.nan))) is not None


@pytest.mark.parametrize(
    ("affine", "crs", "reason"),
    [
        (Affine(20, 0, 4e5, 0, -20, 5e6), "EPSG:32633", None),
        (Affine(20, 5, 4e5, 5, -20, 5e6), "EPSG:4326", None),
        (Affine(20, 0, 4e5, 0, -20, 5e6), None, None),
        (Affine(20, 0, np.nan, 0, -20, 5e6), "EPSG:32633", "the coordinates are no places"),
        (Affine(20, 0, np.inf, 0, -20, 5e6), "EPSG:32633", "the coordinates are no places"),
        (Affine(0, 0, 4e5, 0, 0, 5e6), "EPSG:32633", "cannot be used"),
        (Affine(1e-300, 0, 4e5, 0, 1e-300, 5e6), "EPSG:32633", "cannot be used"),
        (Affine(20, 0, 4e5, 0, -20, 5e6), "EPSG:4978", "has no x and y on the ground"),
        (Affine(20, 0, 4e5, 0, -20, 5e6), "EPSG:5773", "has no x and y on the ground"),
    ],
)
def test_grids_without_places(affine: Affine, crs: str | None, reason: str | None) -> None:
    said = fault_of_grid(GeoBox((3, 4), affine, crs))
    assert (said is None) if reason is None else (reason in str(said))


def test_the_middle_of_a_grid_and_its_north() -> None:
    """In the middle of a zone the rows run west to east; at its edges they are turned."""
    grid = GeoBox((30, 60), Affine(20, 0, 499_400, 0, -20, 5_000_300), "EPSG:32633")
    middle = Transformer.from_crs(32633, 4326, always_xy=True).transform(500_000, 5_000_000)
    assert centre(grid) == pytest.approx(middle, abs=1e-6)
    assert grid_north(grid) == pytest.approx(0, abs=0.01)
    east = grid.translate_pix(10_000, 0)
    assert grid_north(east) == pytest.approx(1.8, abs=0.1)
