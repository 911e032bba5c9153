"""Noise: the same at a place in every window, of the variance that was asked for."""

from __future__ import annotations

import numpy as np
import pytest

from odc_cleansat.synthetic.noise import (
    PixelWindow,
    cell_pattern,
    field_seed,
    fractal_noise,
    octave_amplitudes,
    white_noise,
)

WINDOW = PixelWindow(-40, 80, 1000, 1150)
PART = PixelWindow(3, 41, 1017, 1090)
INSIDE = np.s_[43:81, 17:90]
OCTAVES = octave_amplitudes(0.8, 0, 5)


def test_white_noise_is_the_same_in_every_window() -> None:
    whole = white_noise(WINDOW, 7)
    assert whole.shape == (120, 150)
    assert whole.dtype == np.float32
    assert -1 <= whole.min() < -0.99 < 0.99 < whole.max() <= 1
    np.testing.assert_array_equal(white_noise(PART, 7), whole[INSIDE])
    assert np.mean(white_noise(WINDOW, 8) == whole) < 0.01


def test_fractal_noise_is_the_same_in_every_window() -> None:
    whole = fractal_noise(WINDOW, 7, OCTAVES)
    np.testing.assert_array_equal(fractal_noise(PART, 7, OCTAVES), whole[INSIDE])


def test_fractal_noise_has_unit_variance_and_is_smooth() -> None:
    field = fractal_noise(PixelWindow(0, 1500, 0, 1500), 3, OCTAVES)
    assert field.std() == pytest.approx(1, abs=0.1)
    assert np.abs(np.diff(field, axis=0)).mean() < 0.5 * field.std()


def test_octaves_may_be_left_out_or_boosted() -> None:
    plain, boosted = octave_amplitudes(1.0, 1, 3), octave_amplitudes(1.0, 1, 3, {3: 2.0})
    assert plain[0] == 0
    assert plain[2] / plain[1] == pytest.approx(2)
    assert boosted[3] / boosted[2] == pytest.approx(2 * plain[3] / plain[2])


@pytest.mark.parametrize("bent", [False, True])
def test_cells_are_the_same_in_every_window(bent: bool) -> None:
    bends = [fractal_noise(w, 5, OCTAVES) if bent else None for w in (WINDOW, PART)]
    whole, part = (
        cell_pattern(window, 9, 30.0, (6.0, 11.0), bend)
        for window, bend in zip((WINDOW, PART), bends, strict=True)
    )
    for name in ("id", "across", "along"):
        np.testing.assert_array_equal(getattr(part, name), getattr(whole, name)[INSIDE])
    assert whole.across.max() < 65536
    pixels = whole.id.size / len(np.unique(whole.id))
    assert 40 < pixels < 70  # of 66, less those that the window cuts


def test_seeds_differ_by_name_and_number() -> None:
    assert len({field_seed(seed, name) for seed in (0, 1) for name in ("relief", "woods")}) == 4
    assert field_seed(1, "woods") == field_seed(1, "woods")
