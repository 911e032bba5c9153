"""Layers on other grids."""

from __future__ import annotations

import numpy as np

from odc_cleansat.synthetic.regrid import regrid


def test_finer_grids_repeat_the_pixels() -> None:
    found = regrid(np.array([[1, 2]], "uint16"), 20, 10, classes=False)
    assert found.tolist() == [[1, 1, 2, 2], [1, 1, 2, 2]]


def test_coarser_grids_average_the_valid_pixels() -> None:
    values = np.array([[1, 2, 0, 0], [4, 0, 0, 0]], "uint16")
    found = regrid(values, 10, 20, classes=False)
    assert found.tolist() == [[2, 0]]
    assert found.dtype == np.uint16


def test_classes_are_voted_on_and_the_lowest_of_equals_wins() -> None:
    values = np.array([[3, 3, 5, 4], [1, 2, 4, 5]], "uint8")
    assert regrid(values, 10, 20, classes=True).tolist() == [[3, 4]]


def test_pixels_of_20_m_are_shared_between_those_of_30_m() -> None:
    values = np.array([[10, 40, 70]] * 3, "uint16")
    assert regrid(values, 20, 30, classes=False).tolist() == [[20, 60], [20, 60]]
