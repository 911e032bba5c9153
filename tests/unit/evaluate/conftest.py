"""Fixtures of the tests of evaluations."""

from __future__ import annotations

import numpy as np
import pytest

from odc_cleansat.evaluate.rasters import Case
from odc_cleansat.evaluate.results import Evaluation
from odc_cleansat.evaluate.streaming import evaluate_rasters

from .helpers import blobs, raster, save


@pytest.fixture(scope="session")
def many(tmp_path_factory: pytest.TempPathFactory) -> Evaluation:
    """Six scenes, two predictors; the second does not know shadow."""
    folder = tmp_path_factory.mktemp("many")
    cases = []
    for i in range(6):
        label = blobs(i)
        wrong = np.random.default_rng(i).random(label.shape) < 0.05 * (i + 1)
        good = np.where(wrong, np.uint8(1), label)
        binary = np.isin(label, (2, 6)).astype("uint8")
        cases.append(
            Case(
                f"s{i}",
                raster(save(folder / f"label{i}.tif", label)),
                {
                    "good": raster(save(folder / f"good{i}.tif", good)),
                    "binary": raster(save(folder / f"binary{i}.tif", binary), "s2cloudless"),
                },
            )
        )
    return evaluate_rasters(cases)
