"""The rules of `refine` as the page on time states them: all of a window at once, in float32, with nothing left out.

They are slow, and easy to compare with the page. What is quick has to give the same, bit for bit.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import uniform_filter

from odc_cleansat.classes import CLOUDS, CloudClass
from odc_cleansat.masks.time_rules import BANDS, Series


def refined(series: Series) -> np.ndarray:
    """Return the classes of all dates."""
    codes = without_usual(series)
    for date in series.dates():
        near = series.near(date)
        if near and series.usable(date):
            codes[date] = one_date(series, date, codes[date], near)
    return codes


def one_date(series: Series, date: int, codes: np.ndarray, near: list[int]) -> np.ndarray:
    clear = np.isin(series.codes, (CloudClass.CLEAR, CloudClass.WATER))
    own, ground = {}, {}
    for band in BANDS:
        own[band] = series.reflectance(band, date)
        stack = [np.where(clear[i], series.reflectance(band, i), np.float32(np.nan)) for i in near]
        ground[band], count, spread = in_order(np.stack(stack))
    ground["nir"][spread > 0.7] = np.nan
    darkness = np.log(at_least(own["nir"]) / at_least(ground["nir"]))
    known = clear[date] & np.isfinite(darkness)
    if known.sum() < 500 or abs(shift := np.median(darkness[known])) > 0.7:
        return codes
    excess = {band: own[band] - ground[band] for band in BANDS}
    haze = np.array([np.nanmedian(excess[band][known]) for band in BANDS], "float64")
    if (np.abs(np.abs(haze) - 0.1) < 0.015).all() and abs(haze.sum()) > 0.2:
        return codes
    darkness = mean(darkness - shift, series.smoothing)
    brightness = mean(excess["blue"], series.smoothing) - float(haze[0])
    plain = (ground["blue"] < 0.25) & (count >= 2)
    found, cloud = codes.copy(), np.isin(codes, CLOUDS)
    found[(codes == CloudClass.SHADOW) & (darkness >= -0.25)] = CloudClass.CLEAR
    found[cloud & (darkness < -0.25) & plain] = CloudClass.SHADOW
    found[cloud & (np.abs(darkness) < 0.25) & (brightness < 0.01) & plain] = CloudClass.CLEAR
    side = 5 * series.smoothing
    blue, square, red = (mean(e, side) for e in (excess["blue"], excess["blue"] ** 2, excess["red"]))  # fmt: skip
    even = square - blue**2 < (0.5 * blue) ** 2
    veil = (blue > 0.04) & (blue < 0.2) & even & (red < blue) & (darkness >= -0.25) & plain
    found[veil & (found == CloudClass.CLEAR)] = CloudClass.THIN_CLOUD
    return found


def in_order(stack: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Median, count and spread along the first axis, without NaN."""
    ordered = np.sort(stack, axis=0)  # NaN comes last
    count = np.isfinite(ordered).sum(axis=0)
    ranks = [(count - 1) // 2, count // 2, count // 4, count - 1 - count // 4]
    low, high, first, last = np.take_along_axis(ordered, np.maximum(ranks, 0), axis=0)
    return (low + high) / 2, count, np.log(at_least(last) / at_least(first))


def at_least(values: np.ndarray) -> np.ndarray:
    return np.maximum(values, np.float32(1e-3))


def mean(values: np.ndarray, side: int) -> np.ndarray:
    known = np.isfinite(values)
    total = uniform_filter(np.where(known, values, 0), side, mode="constant")
    share = uniform_filter(known.astype("float32"), side, mode="constant")
    return np.where(known, total / np.maximum(share, np.float32(1e-6)), np.nan)


def without_usual(series: Series) -> np.ndarray:
    masked = np.isin(series.codes, (*CLOUDS, CloudClass.SHADOW))
    share = [uniform_filter(each.astype("float32"), series.surroundings) for each in masked]
    open_sky = (np.array(share) < 0.25) & (series.codes != CloudClass.NODATA)
    codes = series.codes.copy()
    for date in series.dates():
        around = [*series.near(date), date]
        seen, hidden = open_sky[around].sum(axis=0), (open_sky & masked)[around].sum(axis=0)
        usual = (seen >= 4) & (hidden > 0.6 * seen)
        codes[date][open_sky[date] & masked[date] & usual] = CloudClass.CLEAR
    return codes
