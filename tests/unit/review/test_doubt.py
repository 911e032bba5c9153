"""How much a mask is in doubt."""

from __future__ import annotations

import math

import numpy as np
import pytest

from odc_cleansat import CloudClass, get_model
from odc_cleansat.review.doubt import PER_FLAG, find_doubt
from odc_cleansat.review.flags import Flag
from unit.review.helpers import CLEAR, CLOUD, SHADOW

SHAPE = (320, 320)  # 256 cells of 20 x 20 pixels; the worst tenth is 26 of them
UCL = np.full(SHAPE, CLEAR, dtype="uint8")
SURE = np.full(SHAPE, 95, dtype="uint8")


def changed(plane: np.ndarray, part: tuple[slice, slice], value: int) -> np.ndarray:
    found = plane.copy()
    found[part] = value
    return found


CELL = np.s_[40:60, 60:80]


def test_a_network_that_is_sure_is_in_no_doubt_whatever_the_scl_says() -> None:
    found = find_doubt(UCL, SURE, np.full(SHAPE, CLOUD, dtype="uint8"))
    assert (found.score, found.worst, found.unsure, found.contested) == (0, 0, 0, 0)
    assert found.confidence == 95


def test_pixels_of_which_it_is_not_sure_are_in_doubt() -> None:
    found = find_doubt(UCL, changed(SURE, CELL, 59), None)
    assert found.worst == found.score == pytest.approx(100 / 26)
    assert found.unsure == pytest.approx(100 / 256)
    assert math.isnan(found.contested)
    assert find_doubt(UCL, changed(SURE, CELL, 60), None).score == 0


def test_disagreement_is_doubt_where_it_is_not_quite_sure() -> None:
    likely = changed(SURE, np.s_[40:60, 60:100], 79)
    scl = changed(
        UCL, np.s_[40:60, 80:120], SHADOW
    )  # agrees in the first cell, is alone in the third
    found = find_doubt(UCL, likely, scl)
    assert found.worst == pytest.approx(100 / 26)
    assert (found.unsure, found.contested) == (0, pytest.approx(100 / 256))
    assert find_doubt(UCL, changed(SURE, CELL, 80), changed(UCL, CELL, SHADOW)).score == 0
    both = find_doubt(UCL, changed(SURE, CELL, 30), changed(UCL, CELL, SHADOW))
    assert (both.unsure, both.contested) == (pytest.approx(100 / 256), 0)  # counted once


def test_clear_that_the_network_hardly_preferred_is_in_doubt_on_a_curve_too() -> None:
    """Its confidence is never below 84 % there. 88 and 96 % are those of the probabilities 0.6 and 0.8."""
    curves = get_model().calibration
    cell = pytest.approx(100 / 256)
    scl = changed(UCL, CELL, CLOUD)
    for percent, unsure, contested in ((87, cell, 0), (88, 0, cell), (95, 0, cell), (96, 0, 0)):
        sure = changed(np.full(SHAPE, 99, "uint8"), CELL, percent)
        found = find_doubt(UCL, sure, scl, (), curves)
        assert (found.unsure, found.contested) == (unsure, contested)
    shadow = np.full(SHAPE, SHADOW, "uint8")
    found = find_doubt(shadow, changed(SURE, CELL, 59), None, (), curves)
    assert found.unsure == cell  # wrong in two of five, though of a probability of 0.75


def test_kinds_of_cloud_are_one() -> None:
    thin = np.full(SHAPE, CloudClass.THIN_CLOUD, dtype="uint8")
    found = find_doubt(thin, np.full(SHAPE, 70, "uint8"), np.full(SHAPE, CLOUD, "uint8"))
    assert found.score == 0


def test_without_confidence_all_disagreement_counts() -> None:
    scl = changed(changed(UCL, CELL, CLOUD), np.s_[0:20, :], 0)
    found = find_doubt(UCL, None, scl)
    assert found.worst == pytest.approx(100 / 24)  # of 240 cells with data in both
    assert math.isnan(found.unsure)
    assert math.isnan(found.confidence)


def test_flags_add_to_it_but_a_contradiction_does_not() -> None:
    flags = [Flag("offset", ""), Flag("contradiction", ""), Flag("seams", "")]
    assert find_doubt(UCL, SURE, None, flags).score == 2 * PER_FLAG
    assert find_doubt(UCL, changed(SURE, np.s_[:], 10), None, flags).score == 100


def test_what_is_not_known() -> None:
    nothing = find_doubt(UCL, None, None)
    assert math.isnan(nothing.score)
    assert math.isnan(nothing.worst)
    assert find_doubt(UCL, None, None, [Flag("data", "")]).score == PER_FLAG
    empty = find_doubt(np.zeros_like(UCL), np.full(SHAPE, 255, "uint8"), None)
    assert math.isnan(empty.score)
    assert math.isnan(empty.confidence)


def test_pixels_without_data_do_not_count() -> None:
    ucl = changed(UCL, np.s_[:160], 0)
    found = find_doubt(ucl, changed(SURE, np.s_[:160], 255), None)
    assert (found.unsure, found.confidence, found.score) == (0, 95, 0)
