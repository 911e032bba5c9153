"""Batches that do not fit into memory, and what breaks a network off."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from odc_cleansat.errors import EngineError
from odc_cleansat.models.inference import checked_by, current_check, run_in_parts


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


def test_what_breaks_a_run_off_counts_in_its_block_and_thread_alone() -> None:
    check, seen = print, []
    assert current_check() is None
    with checked_by(check):
        assert current_check() is check
        other = threading.Thread(target=lambda: seen.append(current_check()))
        other.start()
        other.join()
    assert seen == [None]
    assert current_check() is None
