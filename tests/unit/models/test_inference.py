"""Batches that do not fit into memory, and what breaks a network off."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from odc_cleansat.errors import EngineError, ModelError
from odc_cleansat.models.inference import (
    check_answers,
    checked_by,
    current_check,
    normalised_by_window,
    run_in_parts,
)
from odc_cleansat.models.model import Model


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


def test_each_band_of_each_window_has_a_mean_and_deviation_of_its_own() -> None:
    batch = np.random.default_rng(0).gamma(2, 0.05, (2, 3, 64, 96)).astype("float32")
    batch[1, 0] = 0.3  # even
    batch[1, 1] += np.float32(5)
    found = normalised_by_window(batch)
    assert found.dtype == np.float32
    for window, other in zip(batch, found, strict=True):
        for band, normalised in zip(window, other, strict=True):
            scale = 1.0 if np.ptp(band) == 0 else band.std(dtype="float64")
            expected = (band - band.mean(dtype="float64")) / scale
            np.testing.assert_allclose(normalised, expected, atol=1e-4)
    assert (found[1, 0] == 0).all()


def test_answers_that_torch_does_not_give_are_refused(mobile: Model) -> None:
    shape = (1, len(mobile.classes), 128, 192)
    one = np.zeros(shape, dtype="float32")
    one[:, 0] = 1
    near = one.copy()
    near[:, :2] += np.array([-0.01, 0.01], dtype="float32").reshape(1, 2, 1, 1)
    check_answers(mobile, lambda batch: one, near)
    other = np.roll(one, 1, axis=1)
    with pytest.raises(ModelError, match="OpenVINO gives other probabilities than torch"):
        check_answers(mobile, lambda batch: one, other)
