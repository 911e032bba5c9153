"""What is odd about a mask."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox

from odc_cleansat import CloudClass
from odc_cleansat.grids.windows import Tiling
from odc_cleansat.models.registry import get_model
from odc_cleansat.review.flags import (
    contradiction,
    least_sure,
    little_data,
    low_confidence,
    offset_doubt,
    seams,
)
from odc_cleansat.scenes.offset import Offset
from unit.review.helpers import CLEAR, CLOUD, SHADOW, UTM


def test_contradiction() -> None:
    found = contradiction(95, 3)
    assert found
    assert (found.name, found.text) == ("contradiction", "95 % cloud by UCL, 3 % by SCL")
    assert contradiction(4, 99)
    for ucl, scl in ((95, 20), (80, 5), (0, 0), (100, 100), (float("nan"), 0)):
        assert contradiction(ucl, scl) is None


def test_offset() -> None:
    rng = np.random.default_rng(1)
    ground = rng.uniform(0.02, 0.4, (200, 200, 3)).astype("float32")
    known = Offset(-1000, "s2:processing_baseline is 05.10")
    assert offset_doubt(known, ground) is None
    assert offset_doubt(known, None) is None
    bright = offset_doubt(Offset(0, "argument"), ground + 0.1)
    assert bright
    assert "as if 0.1 had to be subtracted" in bright.text
    dark = offset_doubt(known, ground - 0.1)
    assert dark
    assert "removed already" in dark.text
    assumed = Offset(0, "assumed: the metadata does not tell")
    for visible in (ground + 0.05, None, ground[:20, :20]):
        guess = offset_doubt(assumed, visible)
        assert guess
        assert "assumed" in guess.text
    assert offset_doubt(assumed, ground) is None  # ground so dark settles it


def test_confidence_and_data() -> None:
    codes = np.ones((100, 100), dtype="uint8")
    percent = np.full((100, 100), 97, dtype="uint8")
    percent[:50] = 255
    assert low_confidence(codes, percent) is None
    percent[50:54] = 55  # 8 % of those with data
    assert low_confidence(codes, percent) is None
    percent[50:58] = 55
    found = low_confidence(codes, percent)
    assert found
    assert found.text == "confidence is below 60 % in 16 % of the pixels, 90 % on average"
    assert low_confidence(codes, np.full_like(codes, 84))
    assert low_confidence(codes, np.full_like(codes, 255)) is None
    assert little_data(9.9)
    assert little_data(10) is None


def test_a_mask_is_unsure_where_clear_is_hardly_preferred() -> None:
    """With its curve clear is never below 84 %, whatever the network gives it."""
    curves = get_model().calibration
    codes = np.ones((100, 100), dtype="uint8")
    percent = np.full((100, 100), 99, dtype="uint8")
    percent[:19] = 86
    assert low_confidence(codes, percent, curves) is None
    percent[:21] = 86
    found = low_confidence(codes, percent, curves)
    assert found
    assert found.text.endswith(
        "in 0 % of the pixels, 96 % on average; 21 % of the pixels are in doubt"
    )
    assert low_confidence(codes, percent) is None
    percent[:21] = 88  # of a probability of 0.6
    assert low_confidence(codes, percent, curves) is None


def test_no_class_is_less_sure_than_its_curve_says() -> None:
    plain, curved = (least_sure(60, each)[1:] for each in ((), get_model().calibration))
    assert (plain == 60).all()
    assert curved[CloudClass.CLEAR - 1] == pytest.approx(88)
    others = np.delete(curved, CloudClass.CLEAR - 1)
    assert (others == 60).all()  # shadow of a probability of 0.6 has 42 %, and is in doubt


def blobs(shape: tuple[int, int], seed: int) -> np.ndarray:
    """Clouds with shadow, of all sizes."""
    from scipy import ndimage

    rng = np.random.default_rng(seed)
    field = np.zeros(shape, dtype="float32")
    for size, weight in ((4, 0.3), (10, 0.6), (40, 1.0)):
        coarse = rng.normal(size=[n // size + 2 for n in shape]).astype("float32")
        field += weight * ndimage.zoom(coarse, size, order=2)[: shape[0], : shape[1]]
    codes = np.full(shape, CLEAR, dtype="uint8")
    codes[np.roll(field, (12, 9), (0, 1)) > 0.9] = SHADOW
    codes[field > 0.8] = CLOUD
    return codes


MODEL = replace(get_model(None), tiling=Tiling((448, 448), 64, whole=0))
"""Its windows are half as large, so that a small mask has several."""


@pytest.mark.parametrize("seed", range(3))
def test_seams_are_found_where_they_are_planted_and_nowhere_else(seed: int) -> None:
    grid = GeoBox((1500, 1600), UTM.affine, UTM.crs)  # 30 by 32 km: one cut each way
    codes, others = blobs(grid.shape, seed), blobs(grid.shape, seed + 100)
    assert seams(codes, grid, MODEL) is None
    column = (31 * 448 * 30 - 399960) // 20  # a cut: a whole multiple of the stride of 448 at 30 m
    assert 0 < column < 1600
    planted = codes.copy()
    planted[:, column:] = others[:, column:]
    found = seams(planted, grid, MODEL)
    assert found
    assert found.name == "seams"
    elsewhere = codes.copy()
    elsewhere[:, column + 150 :] = others[:, column + 150 :]
    assert seams(elsewhere, grid, MODEL) is None  # no window ends there
    rows = codes.copy()
    row = (5300040 - 393 * 448 * 30) // 20
    assert 0 < row < 1500
    rows[row:] = others[row:]
    assert seams(rows, grid, MODEL)


def test_no_seams_without_windows() -> None:
    grid = GeoBox((300, 300), UTM.affine, UTM.crs)
    assert seams(blobs(grid.shape, 1), grid, get_model(None)) is None  # one window
    lonlat = GeoBox((1500, 1600), Affine(0.0002, 0, 14, 0, -0.0002, 48), "EPSG:4326")
    assert seams(blobs(lonlat.shape, 1), lonlat, MODEL) is None
