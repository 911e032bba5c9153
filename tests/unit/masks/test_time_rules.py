import warnings

import numpy as np
import pytest

from odc_cleansat.classes import CloudClass
from odc_cleansat.errors import ReflectanceWarning
from odc_cleansat.masks.time_rules import BANDS, Series, refine_window, unmask_usual
from odc_cleansat.scenes.packing import Packing

CLEAR, CLOUD, SHADOW, THIN = 1, 2, 3, 6
SIDE = 96
SPOT = np.s_[20:40, 20:40]
OTHER = np.s_[60:80, 60:80]
EVERY = np.s_[:, 50:54, 50:54]
"""A roof, on every date."""
LAND = {"blue": 0.06, "red": 0.08, "nir": 0.3}
PLAIN = Packing(1, 0, None, "")


def series(dates: int = 5, step: float = 10, **changes: object) -> Series:
    """Clear dates of one textured ground."""
    texture = np.random.default_rng(0).uniform(0.7, 1.3, (SIDE, SIDE)).astype("float32")
    bands = {band: np.stack([texture * value] * dates) for band, value in LAND.items()}
    codes = np.full((dates, SIDE, SIDE), CLEAR, "uint8")
    days = np.arange(dates) * step
    packings = {band: [PLAIN] * dates for band in BANDS}
    return Series(
        **{"bands": bands, "codes": codes, "days": days, "packings": packings,
           "smoothing": 3, "surroundings": 65, **changes}  # type: ignore[arg-type]
    )  # fmt: skip


def times(made: Series, date: int, spot: tuple, factor: float) -> None:
    for band in BANDS:
        made.bands[band][date][spot] *= factor


def plus(made: Series, date: int, spot: tuple, amount: float, red: float = 1) -> None:
    for band, share in (("blue", 1.0), ("red", red), ("nir", 0.5)):
        made.bands[band][date][spot] += amount * share


def inner(codes: np.ndarray, spot: tuple) -> set[int]:
    """The classes of a spot without its edge, where means reach over it."""
    return {int(code) for code in np.unique(codes[spot][2:-2, 2:-2])}


def test_shadow_stays_only_where_the_ground_is_darker_than_on_other_dates():
    made = series()
    made.codes[2][SPOT] = made.codes[2][OTHER] = SHADOW
    times(made, 2, SPOT, 0.5)
    found = refine_window(made)
    assert inner(found[2], SPOT) == {SHADOW}
    assert inner(found[2], OTHER) == {CLEAR}
    assert (np.delete(found, 2, axis=0) == CLEAR).all()


def test_haze_over_all_and_a_low_sun_do_not_count_as_shadow():
    made = series()
    for band in BANDS:
        made.bands[band][2] *= 0.7
    made.codes[2][SPOT] = SHADOW
    assert inner(refine_window(made)[2], SPOT) == {CLEAR}


def test_cloud_that_is_dark_is_shadow_and_cloud_that_looks_as_the_ground_is_clear():
    made = series()
    third = np.s_[60:80, 10:30]
    for spot in (SPOT, OTHER, third):
        made.codes[2][spot] = CLOUD
    times(made, 2, SPOT, 0.5)
    plus(made, 2, third, 0.3)
    found = refine_window(made)[2]
    assert [inner(found, spot) for spot in (SPOT, OTHER, third)] == [{SHADOW}, {CLEAR}, {CLOUD}]


@pytest.mark.parametrize(
    ("amount", "red", "expected"),
    [(0.08, 0.9, THIN), (0.02, 0.9, CLEAR), (0.08, 2, CLEAR), (0.4, 0.9, CLEAR)],
    ids=["veil", "too little", "harvest", "snow"],
)
def test_a_veil_is_an_even_blue_excess(amount, red, expected):
    made = series()
    plus(made, 2, np.s_[:, :48], amount, red)
    assert inner(refine_window(made)[2], SPOT) == {expected}
    assert inner(refine_window(made)[2], OTHER) == {CLEAR}


def test_new_roofs_are_no_veil_for_they_are_uneven():
    made = series()
    plus(made, 2, np.s_[::6, ::6], 1.8, 0.9)
    assert (refine_window(made)[2] == CLEAR).all()


def test_without_a_reference_the_mask_stays_as_it_is():
    for made in (series(dates=1), series(step=46), series(step=0.1)):
        made.codes[0][SPOT] = SHADOW
        np.testing.assert_array_equal(refine_window(made), made.codes)
    overcast = series()
    overcast.codes[2] = CLOUD  # nothing clear to scale by
    times(overcast, 2, SPOT, 0.5)
    np.testing.assert_array_equal(refine_window(overcast)[2], overcast.codes[2])


def test_a_date_that_is_dim_all_over_stays_as_it_is_and_spoils_no_other():
    made = series()
    for band in BANDS:
        made.bands[band][1] *= 0.1
    made.codes[1][SPOT] = made.codes[2][SPOT] = SHADOW
    found = refine_window(made)
    assert inner(found[1], SPOT) == {SHADOW}
    assert inner(found[2], SPOT) == {CLEAR}


def test_where_dates_disagree_about_the_ground_it_is_left_alone():
    made = series(dates=4)
    made.codes[2][SPOT] = SHADOW
    times(made, 0, SPOT, 3)
    times(made, 1, SPOT, 3)
    assert inner(refine_window(made)[2], SPOT) == {
        SHADOW
    }  # once 0.3, once 0.9: harvest, snow or flood


def test_in_near_real_time_later_dates_do_not_count():
    for hindsight, expected in ((True, CLEAR), (False, SHADOW)):
        made = series(hindsight=hindsight)
        made.codes[0][SPOT] = SHADOW
        assert inner(refine_window(made)[0], SPOT) == {expected}


def test_what_is_masked_on_most_dates_alone_is_ground():
    for hindsight, expected in ((True, 0), (False, 3)):
        made = series(hindsight=hindsight, dates=6)
        plus(made, slice(None), EVERY, 0.5)  # type: ignore[arg-type]
        made.codes[EVERY] = CLOUD
        made.codes[5] = CLOUD  # and once there is a cloud over all
        found = refine_window(made)
        assert (found[expected:5][EVERY] == CLEAR).all()
        assert (found[:expected][EVERY] == CLOUD).all()
        assert (found[5] == CLOUD).all()


def test_what_is_masked_on_some_dates_stays_masked():
    made = series(dates=6)
    plus(made, slice(0, 3), EVERY, 0.5)  # type: ignore[arg-type]
    made.codes[:3][EVERY] = CLOUD
    assert (refine_window(made)[:3][EVERY] == CLOUD).all()


def test_nodata_stays_nodata_and_is_no_reference():
    made = series()
    made.codes[:, :, :30] = CloudClass.NODATA
    made.codes[2, 40:60, 20:60] = SHADOW
    found = refine_window(made)
    assert (found[made.codes == 0] == 0).all()
    assert inner(found[2], np.s_[40:60, 34:60]) == {CLEAR}


def test_a_forgotten_offset_is_said_once_and_its_date_left_alone():
    made = series()
    for band in BANDS:
        made.bands[band][2] += 0.1
    made.codes[2][SPOT] = SHADOW
    with pytest.warns(ReflectanceWarning, match="1970-01-21T00:00:00 differs .* by 0.1 in every"):
        found = refine_window(made)
    refine_window(made)
    np.testing.assert_array_equal(found[2], made.codes[2])


def test_numbers_become_reflectance_by_the_packing_of_their_date():
    made = series()
    numbers = {band: (values * 10_000).astype("uint16") for band, values in made.bands.items()}
    packings: dict = {band: [Packing(1e-4, 0, None, "")] * 5 for band in BANDS}
    for band in BANDS:
        numbers[band][2] += 1000
        packings[band] = [*packings[band][:2], Packing(1e-4, -1000, None, ""), *packings[band][:2]]
    shifted = series(bands=numbers, packings=packings)
    shifted.codes[2][SPOT] = shifted.codes[2][OTHER] = SHADOW
    numbers["nir"][2][SPOT] = (numbers["nir"][2][SPOT] - 1000) // 2 + 1000
    found = refine_window(shifted)[2]
    assert inner(found, SPOT) == {SHADOW}
    assert inner(found, OTHER) == {CLEAR}


def test_a_date_without_packing_is_left_alone_and_is_no_reference():
    made = series(dates=2)
    made.packings["red"][1] = None  # type: ignore[index]
    made.codes[:][(slice(None), *SPOT)] = SHADOW
    np.testing.assert_array_equal(refine_window(made), made.codes)


# --- where each rule begins and ends --------------------------------------------------


def only(made: Series, band: str, spot: tuple, factors: tuple[float, ...]) -> None:
    """Scale one band of a spot, for each date."""
    for date, factor in enumerate(factors):
        made.bands[band][date][spot] *= factor


@pytest.mark.parametrize(
    ("date", "hindsight", "expected"),
    [(0, True, [2, 3]), (3, True, [0, 1, 2, 4]), (3, False, [0, 1, 2]), (2, False, [0]), (4, False, [2, 3])],
)  # fmt: skip
def test_near_are_dates_from_half_a_day_to_45_days_away(date, hindsight, expected):
    made = series(days=np.array([0, 0.5, 0.6, 45, 45.55]), hindsight=hindsight)
    assert made.near(date) == expected


def test_a_date_that_cannot_be_used_is_near_none():
    made = series(step=1)
    made.packings["nir"][1] = None  # type: ignore[index]
    assert [made.usable(date) for date in range(5)] == [True, False, True, True, True]
    assert made.near(0) == [2, 3, 4]


@pytest.mark.parametrize("nodata", [None, 7])
def test_reflectance_has_no_value_where_there_are_no_data(nodata):
    made = series(dates=1)
    made.bands["red"][0] = 2000
    made.bands["red"][0][SPOT] = 7
    made.codes[0][OTHER] = CloudClass.NODATA
    made.packings["red"][0] = Packing(1e-4, -1000, nodata, "")  # type: ignore[index]
    found = made.reflectance("red", 0)
    expected = np.full((SIDE, SIDE), 0.1, "float32")
    expected[SPOT] = -0.0993 if nodata is None else np.nan
    expected[OTHER] = np.nan
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert found.dtype == np.float32


@pytest.mark.parametrize(
    ("was", "factor", "expected"),
    [(SHADOW, 0.8, CLEAR), (SHADOW, 0.76, SHADOW), (CLOUD, 0.8, CLEAR), (CLOUD, 0.76, SHADOW),
     (CLOUD, 1.26, CLEAR), (CLOUD, 1.31, CLOUD), (THIN, 0.8, CLEAR), (THIN, 0.76, SHADOW), (CLEAR, 0.5, CLEAR)],
)  # fmt: skip
def test_dark_begins_22_percent_below_the_ground(was, factor, expected):
    made = series()
    made.codes[2][SPOT] = was
    only(made, "nir", SPOT, (1, 1, factor, 1, 1))
    assert inner(refine_window(made)[2], SPOT) == {expected}


@pytest.mark.parametrize(("haze", "more", "expected"), [
    (0, 0.008, CLEAR), (0, 0.012, CLOUD), (0.02, 0.028, CLEAR), (0.02, 0.032, CLOUD),
])  # fmt: skip
def test_cloud_is_a_hundredth_brighter_in_blue_than_the_haze(haze, more, expected):
    made = series()
    made.codes[2][SPOT] = CLOUD
    made.bands["blue"][2] += haze
    made.bands["blue"][2][SPOT] += more - haze
    assert inner(refine_window(made)[2], SPOT) == {expected}


@pytest.mark.parametrize(
    ("amount", "red", "uneven", "expected"),
    [(0.038, 0.9, 0, CLEAR), (0.042, 0.9, 0, THIN), (0.195, 0.9, 0, THIN), (0.205, 0.9, 0, CLEAR),
     (0.08, 0.98, 0, THIN), (0.08, 1.02, 0, CLEAR), (0.08, 0.9, 0.47, THIN), (0.08, 0.9, 0.53, CLEAR)],
)  # fmt: skip
def test_a_veil_has_limits(amount, red, uneven, expected):
    """Of excess in blue, of that in red, and of the spread over its mean."""
    made = series()
    veiled = np.s_[:, :44]
    plus(made, 2, veiled, amount, red)
    made.bands["blue"][2][:, :44:2] += amount * uneven
    made.bands["blue"][2][:, 1:44:2] -= amount * uneven
    assert inner(refine_window(made)[2], np.s_[20:70, 10:34]) == {expected}


def test_a_veil_is_not_dark_and_hides_clear_ground_alone():
    made = series()
    plus(made, 2, np.s_[:, :44], 0.08, 0.9)
    made.codes[2][SPOT] = CloudClass.SNOW
    only(made, "nir", np.s_[60:80, 10:34], (1, 1, 0.5, 1, 1))
    found = refine_window(made)[2]
    assert inner(found, SPOT) == {CloudClass.SNOW}
    assert inner(found, np.s_[60:80, 10:34]) == {CLEAR}
    assert inner(found, np.s_[42:58, 10:34]) == {THIN}


@pytest.mark.parametrize(("dates", "expected"), [(2, CLOUD), (3, CLEAR)])
def test_two_clear_dates_are_needed_to_doubt_cloud(dates, expected):
    made = series(dates=dates)
    made.codes[0][SPOT] = CLOUD
    made.codes[0][OTHER] = SHADOW
    found = refine_window(made)[0]
    assert inner(found, SPOT) == {expected}
    assert inner(found, OTHER) == {CLEAR}  # for shadow one is enough


@pytest.mark.parametrize(("blue", "expected"), [(0.24, CLEAR), (0.26, CLOUD)])
def test_over_bright_ground_cloud_is_not_doubted(blue, expected):
    made = series()
    made.bands["blue"][:] = blue
    made.codes[2][SPOT] = CLOUD
    assert inner(refine_window(made)[2], SPOT) == {expected}


@pytest.mark.parametrize(
    ("factors", "expected"),
    [((1, 1, 0.85, 1.2, 1.2), SHADOW), ((1, 1, 0.88, 1.2, 1.2), CLEAR),
     ((0.9, 0.9, 0.8, 1, 1.2, 1.2), CLEAR), ((0.9, 0.9, 0.76, 1, 1.2, 1.2), SHADOW)],
)  # fmt: skip
def test_the_reference_is_the_median(factors, expected):
    """Of four dates the mean of the two in the middle, of five the third."""
    made = series(dates=len(factors), step=5)
    made.codes[2][SPOT] = SHADOW
    only(made, "nir", SPOT, factors)
    assert inner(refine_window(made)[2], SPOT) == {expected}


@pytest.mark.parametrize(("twice", "expected"), [(1.98, CLEAR), (2.05, SHADOW)])
def test_ground_that_doubles_is_no_reference(twice, expected):
    made = series()
    made.codes[2][SPOT] = SHADOW
    only(made, "nir", SPOT, (1, 1, 2, twice, twice))
    assert inner(refine_window(made)[2], SPOT) == {expected}


@pytest.mark.parametrize(("factor", "expected"), [(0.52, CLEAR), (0.48, SHADOW), (1.95, CLEAR), (2.1, SHADOW)])  # fmt: skip
def test_a_date_twice_as_bright_or_half_is_left_alone(factor, expected):
    made = series()
    made.codes[2][SPOT] = SHADOW
    made.bands["nir"][2] *= factor
    assert inner(refine_window(made)[2], SPOT) == {expected}


@pytest.mark.parametrize(("clear", "expected"), [(499, SHADOW), (500, CLEAR)])
def test_500_clear_pixels_scale_a_window(clear, expected):
    made = series()
    made.codes[2] = CloudClass.SNOW
    made.codes[2][SPOT] = SHADOW
    made.codes[2][70:].flat[:clear] = CLEAR
    assert inner(refine_window(made)[2], SPOT) == {expected}


def test_water_is_ground_as_clear_land_is():
    made = series()
    made.codes[:] = CloudClass.WATER
    made.codes[2][SPOT] = SHADOW
    assert inner(refine_window(made)[2], SPOT) == {CLEAR}


@pytest.mark.parametrize(
    ("bands", "told"),
    [((0.1, 0.1, 0.1), True), ((-0.1, -0.1, -0.1), True), ((0.087, 0.1, 0.113), True),
     ((0.083, 0.1, 0.1), False), ((0.1, 0.1, 0.117), False), ((0.1, 0.1, -0.1), False), ((0, 0.1, 0.1), False)],
)  # fmt: skip
def test_an_offset_is_a_tenth_in_every_band(bands, told):
    made = series()
    for band, more in zip(BANDS, bands, strict=True):
        made.bands[band][2] += more
    made.codes[2][SPOT] = SHADOW
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = refine_window(made)
    assert [each.category for each in caught] == [ReflectanceWarning] * told
    assert inner(found[2], SPOT) == {SHADOW if told else CLEAR}


def test_only_the_dates_that_are_wanted_are_refined():
    made = series(wanted=[1, 3])
    made.codes[:][(slice(None), *SPOT)] = SHADOW
    made.codes[4][SPOT] = CLEAR
    made.codes[:][EVERY] = CLOUD
    found = refine_window(made)
    for date, expected in enumerate((SHADOW, CLEAR, SHADOW, CLEAR, CLEAR)):
        assert inner(found[date], SPOT) == {expected}
        assert (found[date][EVERY[1:]] == (CLEAR if date in (1, 3) else CLOUD)).all()


@pytest.mark.parametrize(
    ("dates", "masked", "expected"), [(4, 4, CLEAR), (3, 3, CLOUD), (5, 3, CLOUD), (5, 4, CLEAR)]
)
def test_ground_is_masked_on_more_than_60_percent_of_four_dates(dates, masked, expected):
    made = series(dates=dates, step=5)
    made.codes[:masked][EVERY] = CLOUD
    found = unmask_usual(made)
    assert (found[:masked][EVERY] == expected).all()
    assert (np.delete(found, np.s_[50:54], axis=1) == CLEAR).all()


@pytest.mark.parametrize(("columns", "expected"), [(32, CLEAR), (33, CLOUD)])
def test_surroundings_are_clear_with_less_than_a_quarter_masked(columns, expected):
    made = series(step=5)
    made.codes[:, :, :columns] = SHADOW  # from 16 on they are within 32 pixels of the middle
    made.codes[:, 48, 48] = CLOUD
    assert (unmask_usual(made)[:, 48, 48] == expected).all()


def test_dates_without_data_do_not_count_as_open_sky():
    made = series(step=5)
    made.codes[:][EVERY] = CLOUD
    made.codes[3:] = CloudClass.NODATA
    found = unmask_usual(made)
    np.testing.assert_array_equal(found, made.codes)
