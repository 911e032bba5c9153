import numpy as np
import pytest

from odc_cleansat.classes import CloudClass
from odc_cleansat.errors import ReflectanceWarning
from odc_cleansat.masks.time_rules import BANDS, Series, refine_window
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
