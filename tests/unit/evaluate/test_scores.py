"""Scores of arrays: accuracy and agreement."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from odc_cleansat.classes import scl_to_ucl
from odc_cleansat.evaluate.scores import accuracy, agreement

from .helpers import codes


def test_accuracy_by_hand() -> None:
    scores = accuracy(codes(2, 2, 2, 1, 3, 1, 0, 6), codes(2, 2, 1, 2, 3, 1, 2, 2))
    # Cloud: predicted five times with data in both, four of them where the truth is seen ...
    assert scores["cloud"]["precision"] == pytest.approx(3 / 4)
    assert scores["cloud"]["recall"] == pytest.approx(3 / 4)
    assert scores["cloud"]["f1"] == pytest.approx(3 / 4)
    assert scores["shadow"] == {"precision": 1.0, "recall": 1.0, "f1": 1.0}


def test_accuracy_of_an_absent_class_is_not_a_number() -> None:
    assert np.isnan(list(accuracy(codes(1, 1), codes(1, 1))["shadow"].values())).all()


def test_agreement_by_hand() -> None:
    ucl = codes(1, 2, 3, 1, 0, 3)
    scl = codes(4, 9, 3, 8, 4, 2)
    found = agreement(ucl, scl)
    assert found["overall"] == pytest.approx(60)
    assert found["cloud"] == pytest.approx(80)
    assert found["shadow"] == pytest.approx(80)
    assert found["clear"] == pytest.approx(60)


def test_agreement_where_nothing_can_be_compared() -> None:
    assert np.isnan(list(agreement(codes(0, 1), codes(4, 0)).values())).all()
    # 255 is nodata to others, and no class here.
    assert np.isnan(list(agreement(codes(255, 255), codes(4, 4)).values())).all()


def test_simulated_scl_misses_what_sen2cor_misses(simulated: xr.Dataset) -> None:
    scores = accuracy(scl_to_ucl(simulated.SCL.values), simulated.truth.values)
    assert scores["shadow"]["recall"] < 0.5
