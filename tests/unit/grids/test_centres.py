"""Which pixels belong to which, and the sampler that reads them."""

from __future__ import annotations

import numpy as np
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox

from odc_cleansat.grids import centres
from odc_cleansat.grids.centres import LARGEST, Roi, pixel_indices, reach, sample_nearest, tiles

NATIVE = GeoBox((300, 400), Affine(20, 0, 399960, 0, -20, 5300040), "EPSG:32633")
VALUES = np.arange(1, 300 * 400 + 1, dtype="int32").reshape(NATIVE.shape)


class Reader:
    """Reads windows of an array, or of none at all, and counts their pixels."""

    def __init__(self, values: np.ndarray | None = None) -> None:
        self.values = values
        self.sizes: list[int] = []

    def __call__(self, window: Roi) -> np.ndarray:
        rows, columns = window
        self.sizes.append((rows.stop - rows.start) * (columns.stop - columns.start))
        if self.values is None:
            return np.ones((rows.stop - rows.start, columns.stop - columns.start), "uint8")
        return self.values[..., rows, columns]


def test_rounding_does_not_decide_on_an_edge() -> None:
    native = GeoBox((130, 160), Affine(1e-4, 0, 13.3, 0, -1e-4, 47.7), "EPSG:4326")
    target = GeoBox((65, 80), native.affine * Affine.scale(2), native.crs)
    for part in (target, target[7:, 11:]):
        inside, row, column = pixel_indices(part, native)
        assert inside.all()
        rows, columns = np.divmod(np.arange(part.shape[0] * part.shape[1]), part.shape[1])
        first = (0, 0) if part is target else (7, 11)
        np.testing.assert_array_equal(row, 2 * (rows + first[0]) + 1)
        np.testing.assert_array_equal(column, 2 * (columns + first[1]) + 1)


@pytest.mark.parametrize(
    ("crs", "size"),
    [("EPSG:32633", 70), ("EPSG:3857", 25), ("EPSG:4326", 0.002), ("EPSG:32632", 11)],
)
def test_a_sample_is_the_pixel_at_the_centre(
    crs: str, size: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    bounds = NATIVE.footprint(crs).boundingbox.buffered(20 * size)
    target = GeoBox.from_bbox(bounds, crs, resolution=size)
    inside, row, column = pixel_indices(target, NATIVE)
    expected = np.zeros((2, *target.shape), dtype="int32")
    expected[:, inside] = np.stack([VALUES, VALUES + 1])[:, row, column]
    assert inside.any()
    assert not inside.all()
    # Tiny tiles and reads take long, so only a corner is sampled with them.
    for tile, largest, side in ((512, LARGEST, None), (37, 2000, 150), (512, 50, 80)):
        monkeypatch.setattr(centres, "TILE", tile)
        monkeypatch.setattr(centres, "LARGEST", largest)
        part = expected[:, :side, :side]
        found, read = np.zeros_like(part), Reader(np.stack([VALUES, VALUES + 1]))
        sample_nearest(NATIVE, target[:side, :side], read, found)
        np.testing.assert_array_equal(found, part)
        assert 0 < max(read.sizes) <= largest


@pytest.mark.parametrize("shape", [(1, 1), (1, 60), (60, 1), (20, 30)])
def test_a_coarse_sample_of_a_large_source_reads_little_at_a_time(shape: tuple[int, int]) -> None:
    source = GeoBox((40_000, 30_000), Affine(1, 0, 4e5, 0, -1, 5.3e6), "EPSG:32633")
    found, read = np.zeros(shape, "uint8"), Reader()
    sample_nearest(source, source.zoom_to(shape), read, found)
    assert found.all()
    assert max(read.sizes) <= LARGEST
    assert sum(read.sizes) <= 40_000 * 30_000


def test_grids_apart_are_not_read() -> None:
    found, read = np.full((20, 30), 7, "uint8"), Reader(VALUES)
    target = NATIVE.translate_pix(2000, 0)[:20, :30]
    assert reach(NATIVE, target) is None
    sample_nearest(NATIVE, target, read, found)
    assert (found == 7).all()
    assert not read.sizes


def test_tiles_cover_a_grid_once() -> None:
    seen = np.zeros((50, 33), int)
    cut = tiles((50, 33), 20, 16)
    assert [len(row) for row in cut] == [3, 3, 3]
    for row in cut:
        for roi in row:
            seen[roi] += 1
    assert (seen == 1).all()
