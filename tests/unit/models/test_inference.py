"""Batches that do not fit into memory."""

from __future__ import annotations

import numpy as np
import pytest

from odc_cleansat.errors import EngineError
from odc_cleansat.models.inference import run_in_parts


def test_a_batch_that_is_too_large_is_run_in_parts() -> None:
    sizes = []

    def run(batch: np.ndarray) -> np.ndarray:
        sizes.append(len(batch))
        if len(batch) > 2:
            raise RuntimeError("Failed to allocate 123 bytes of memory")
        return batch * 2

    batch = np.arange(7.0).reshape(7, 1, 1, 1)
    np.testing.assert_array_equal(run_in_parts(run, batch), batch * 2)
    assert max(sizes[1:]) < 7


def test_no_memory_at_all_is_an_error_that_says_so() -> None:
    def run(batch: np.ndarray) -> np.ndarray:
        raise MemoryError

    with pytest.raises(EngineError, match="window of 64 x 96"):
        run_in_parts(run, np.zeros((3, 6, 64, 96)))


def test_other_errors_pass() -> None:
    def run(batch: np.ndarray) -> np.ndarray:
        raise RuntimeError("something else")

    with pytest.raises(RuntimeError, match="something else"):
        run_in_parts(run, np.zeros((2, 6, 32, 32)))
