"""The land of simulated scenes."""

from __future__ import annotations

import numpy as np

from odc_cleansat.synthetic.land import BANDS, PALETTE, SPECTRA, VARIANTS, make_land
from odc_cleansat.synthetic.noise import PixelWindow


def test_land_has_water_and_vegetation(wide, wide_layers):
    def reflectance(name):
        return wide_layers[name].astype(float) + wide.offset

    clear = wide_layers["SCL"]
    near, red = reflectance("B8A"), reflectance("B04")[::2, ::2]
    assert np.median(near[clear == 4] / np.maximum(red[clear == 4], 1)) > 3
    assert np.median(reflectance("B12")[clear == 6]) < 100


def test_the_palette_has_every_band_of_every_variant_as_reflectance():
    assert PALETTE.shape == (len(BANDS), len(SPECTRA) * VARIANTS)
    assert PALETTE.dtype == np.float32
    assert 0 < PALETTE.min() < PALETTE.max() < 0.9
    assert all(len(spectrum) == len(BANDS) for spectrum in SPECTRA.values())


def test_land_is_the_same_in_every_window():
    whole, part = (
        make_land(window, 3) for window in (PixelWindow(0, 120, 0, 90), PixelWindow(30, 80, 12, 60))
    )
    assert np.array_equal(part.column, whole.column[30:80, 12:60])
    assert np.array_equal(part.gain, whole.gain[30:80, 12:60])
