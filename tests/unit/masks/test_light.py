"""Light: where a cloud can cast shadow, at which height it is, and white cores."""

from __future__ import annotations

import math
from datetime import datetime
from random import Random

import numpy as np
import pytest
from hypothesis import given
from odc.geo.geobox import GeoBox
from scipy import ndimage
from strategies import randoms, tried

from odc_cleansat import CloudClass, get_model
from odc_cleansat.masks.light import (
    HIGHEST,
    LOWEST,
    Light,
    Motion,
    _block_mean,
    _grown,
    cast,
    clip_level,
    find_height,
    motions_of,
    refine_window,
    white_cores,
)
from odc_cleansat.scenes.angles import Angles, sun_at
from odc_cleansat.synthetic.scene import SimulatedScene

MODEL = get_model(bands=["blue", "green", "red", "nir"])
CLEAR, CLOUD, SHADOW, THIN = (
    MODEL.classes.index(c)
    for c in (CloudClass.CLEAR, CloudClass.CLOUD, CloudClass.SHADOW, CloudClass.THIN_CLOUD)
)
SIDE = 400
GRID = GeoBox.from_bbox((494_000, 5_288_000, 506_000, 5_300_000), "EPSG:32633", resolution=30)
"""Across the middle of its zone, where the grid's north is north."""
SOUTH = Angles(180, 45, 0, 0)
"""Shadows lie to the north, as far away as their cloud is high."""


def sure(**places: tuple[slice, slice]) -> np.ndarray:
    """Probabilities of .9 for a class in its place, for clear elsewhere; the next likeliest of shadow is clear."""
    result = np.full((len(MODEL.classes), SIDE, SIDE), 0.02, "float32")
    result[CLEAR] = 0.94
    for name, place in places.items():
        position = {"cloud": CLOUD, "thin": THIN, "shadow": SHADOW, "other": SHADOW}[name]
        for c, value in ((CLEAR, 0.06), (CLOUD, 0.02), (SHADOW, 0.02), (THIN, 0.02)):
            result[(c, *place)] = value
        result[(position, *place)] = 0.9
    return result


def refined(probabilities: np.ndarray, angles: Angles | None, grey: float = 0.1) -> np.ndarray:
    pixels = np.full((4, SIDE, SIDE), grey, "float32")
    before = probabilities.copy()
    found = refine_window(probabilities, pixels, MODEL, GRID, Light(angles))
    np.testing.assert_array_equal(probabilities, before)  # it may be kept by others
    assert found.dtype == np.float32
    return found


CLOUDY = np.s_[250:280, 180:220]
FIFTEEN_HUNDRED = np.s_[200:230, 180:220]
FAR = np.s_[100:130, 20:60]


def test_shadow_that_no_cloud_can_cast_goes_back_to_the_next_likeliest() -> None:
    plain = sure(cloud=CLOUDY, shadow=FIFTEEN_HUNDRED, other=FAR)
    found = refined(plain, SOUTH)
    assert (found.argmax(axis=0)[FIFTEEN_HUNDRED] == SHADOW).all()
    assert (found.argmax(axis=0)[FAR] == CLEAR).all()
    # Nothing is given: the new class has the network's own, low probability.
    assert (found <= plain).all()
    assert found[CLEAR][FAR] == pytest.approx(0.06)
    for c in (CLEAR, CLOUD, THIN):
        np.testing.assert_array_equal(found[c], plain[c])


def test_thin_cloud_casts_shadow_as_thick_does() -> None:
    found = refined(sure(thin=CLOUDY, shadow=FIFTEEN_HUNDRED, other=FAR), SOUTH).argmax(axis=0)
    assert (found[FIFTEEN_HUNDRED] == SHADOW).all()
    assert (found[FAR] == CLEAR).all()
    assert (found[CLOUDY] == THIN).all()


def test_a_white_core_of_thin_cloud_is_thick() -> None:
    plain = sure(thin=np.s_[95:135, 95:135])
    plain[(CLEAR, *np.s_[100:130, 100:130])] = 0.95  # where the network sees nothing
    found = refine_window(plain, clipped_scene(), MODEL, GRID, Light(None))
    core = np.zeros((len(MODEL.classes), 30, 30))
    core[CLOUD] = 1
    np.testing.assert_array_equal(found[:, 100:130, 100:130], core)
    assert (found.argmax(axis=0)[RING] == THIN).all()


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
def test_the_azimuth_counts(turn: int) -> None:
    """A shadow on the side of the sun is none."""
    found = refined(sure(cloud=CLOUDY, shadow=FIFTEEN_HUNDRED), Angles(turn, 45, 0, 0))
    stays = (found.argmax(axis=0)[FIFTEEN_HUNDRED] == SHADOW).all()
    assert stays == (turn == 180)


def test_without_angles_all_shadow_stays() -> None:
    plain = sure(cloud=CLOUDY, other=FAR)
    np.testing.assert_array_equal(refined(plain, None), plain)


def test_beyond_the_edge_and_in_gaps_there_may_be_cloud() -> None:
    plain = sure(other=np.s_[350:400, 100:200], shadow=np.s_[150:180, 180:220])
    pixels = np.full((4, SIDE, SIDE), 0.1, "float32")
    found = refine_window(plain, pixels, MODEL, GRID, Light(SOUTH)).argmax(axis=0)
    assert (found[np.s_[350:390, 100:200]] == SHADOW).all()
    assert (found[np.s_[150:180, 180:220]] == CLEAR).all()
    pixels[:, 200:215, 170:230] = np.nan
    found = refine_window(plain, pixels, MODEL, GRID, Light(SOUTH)).argmax(axis=0)
    assert (found[np.s_[150:180, 180:220]] == SHADOW).all()


def test_far_from_the_height_of_the_cloud_more_evidence_is_needed() -> None:
    """Another shadow, of a height of 3600 m, keeps a seventh of its probability."""
    far_up = np.s_[130:150, 180:220]
    plain = sure(cloud=CLOUDY, shadow=FIFTEEN_HUNDRED, other=far_up)
    found = refined(plain, SOUTH)
    np.testing.assert_allclose(found[SHADOW][far_up], 0.9 * math.exp(-2), rtol=1e-5)
    np.testing.assert_array_equal(found[SHADOW][FIFTEEN_HUNDRED], plain[SHADOW][FIFTEEN_HUNDRED])


def test_where_no_height_is_sharp_all_are_alike() -> None:
    everywhere = np.s_[100:249, 180:220]
    found = refined(sure(cloud=CLOUDY, shadow=everywhere), SOUTH)
    reach = np.s_[150:249, 180:220]  # up to 3700 m above the middle of the cloud
    np.testing.assert_allclose(found[SHADOW][reach], 0.9, rtol=1e-6)


def test_shadow_of_clouds_from_200_to_4000_m_is_possible() -> None:
    """A strip of shadow away from the sun stays as far as that, to a pixel of 30 m."""
    found = refined(sure(cloud=CLOUDY, shadow=np.s_[60:249, 180:220]), SOUTH)
    (rows,) = np.nonzero(found[SHADOW][:249, 200] > 0.02)
    assert rows.min() == pytest.approx(250 - 4000 / 30, abs=2)
    assert rows.max() == 248
    below = refined(sure(cloud=np.s_[250:252, 180:220], shadow=np.s_[200:249, 180:220]), SOUTH)
    (rows,) = np.nonzero(below[SHADOW][:249, 200] > 0.02)
    assert rows.max() == pytest.approx(251 - 200 / 30, abs=2)


def test_near_the_height_means_a_third_less_and_a_fifth_more() -> None:
    """Faint shadow beside the one of 1500 m, above it and below, keeps its probability from 1050 to 1800 m."""
    plain = sure(cloud=CLOUDY, shadow=FIFTEEN_HUNDRED)
    strip = np.s_[140:249, 180:220]
    plain[SHADOW][strip] = np.maximum(plain[SHADOW][strip], 0.1)
    share = (refined(plain, SOUTH) / plain)[SHADOW][strip][:, 20]
    near = np.flatnonzero(share == 1) + 140
    assert near.min() == pytest.approx(250 - 1.2 * 1500 / 30, abs=2)
    assert near.max() == pytest.approx(279 - 0.7 * 1500 / 30, abs=2)
    np.testing.assert_allclose(share[: near.min() - 140], math.exp(-2), rtol=1e-5)
    np.testing.assert_allclose(share[near.max() - 139 :], math.exp(-2), rtol=1e-5)


@pytest.mark.parametrize(
    ("shadow", "elsewhere", "sharp"),
    [(0.48, 0.1, False), (0.52, 0.1, True), (0.6, 0.47, False), (0.6, 0.43, True)],
)
def test_a_height_is_sharp_where_much_more_shadow_is_met(
    shadow: float, elsewhere: float, sharp: bool
) -> None:
    """At least half, and 0.15 above the median of the heights."""
    cloud = np.zeros((SIDE, SIDE), bool)
    cloud[CLOUDY] = True
    probable = np.full(cloud.shape, elsewhere, "float32")
    probable[FIFTEEN_HUNDRED] = shadow
    found = find_height(cloud, probable, cloud | True, [Motion(-1, 0)], 30)
    assert found == ((1500, 0) if sharp else None)


@pytest.mark.parametrize(("side", "found"), [(12, None), (16, (1500, 1))])
def test_a_height_needs_200_pixels(side: int, found: tuple[float, int] | None) -> None:
    """And the way is told for which it was found."""
    cloud, shadow = np.zeros((SIDE, SIDE), bool), np.zeros((SIDE, SIDE), "float32")
    cloud[250 : 250 + side, 200 : 200 + side] = True
    shadow[200 : 200 + side, 200 : 200 + side] = 0.9
    ways = [Motion(-1, 1), Motion(-1, 0), Motion(-1, -1)]
    assert find_height(cloud, shadow, cloud | True, ways, 30) == found


def test_heights_of_simulated_clouds_are_found() -> None:
    """To 100 m, from the truth of a scene, with and without the view."""
    for height, elevation in ((800.0, 50.0), (2500.0, 60.0)):
        scene = SimulatedScene(
            shape=(720, 720), seed=3, cloud_cover=0.3, cloud_height=height, sun_elevation=elevation
        )
        truth = scene.read()["truth"]
        grid = scene.geobox(10)
        cloud, shadow = truth == CloudClass.CLOUD, (truth == CloudClass.SHADOW).astype("float32")
        for angles in (Angles(150, 90 - elevation, 0, 0), Angles(150, 90 - elevation)):
            ways = motions_of(angles, grid)
            found = find_height(cloud, shadow, cloud | True, ways, 10)
            assert found is not None
            assert found[0] == pytest.approx(height, abs=100)


def test_no_cloud_has_no_height() -> None:
    none = np.zeros((50, 50), bool)
    assert find_height(none, np.ones((50, 50), "float32"), ~none, [Motion(-1, 0)], 30) is None
    full = ~none
    assert find_height(full, np.ones((50, 50), "float32"), full, [Motion(-1, 0)], 30) is None


def test_the_satellite_counts_as_the_sun_does() -> None:
    """Seen from the east, clouds are displaced to the west, and their shadows lie to the east of that."""
    north = motions_of(Angles(180, 45, 90, 0), GRID)[1]
    aside = motions_of(Angles(180, 45, 90, 10), GRID)[1]
    assert north == pytest.approx((-1, 0), abs=0.01)
    assert aside.right - north.right == pytest.approx(math.tan(math.radians(10)), abs=0.001)
    unknown = motions_of(Angles(180, 45), GRID)
    assert min(m.right for m in unknown) < -0.15
    assert max(m.right for m in unknown) > 0.15


def test_across_a_window_the_direction_to_the_satellite_changes() -> None:
    """From 786 km above, by as much as the window is wide; from one side to the other."""
    left, middle, right = motions_of(Angles(180, 45, 90, 5), GRID)
    wide = 12_000 / 786_000
    turned = math.radians(106)
    for one, other in ((left, middle), (middle, right)):
        assert other.right - one.right == pytest.approx(wide / 2 * math.sin(turned), rel=0.01)
        assert other.down - one.down == pytest.approx(-wide / 2 * math.cos(turned), rel=0.01)
    unknown = [m.right for m in motions_of(Angles(180, 45), GRID)]
    assert len(unknown) == 9
    np.testing.assert_allclose(np.diff(unknown), 0.4 / 8 * math.sin(turned), rtol=0.01)


def test_the_light_of_a_scene_has_the_angles_of_its_properties() -> None:
    stated = {"view:sun_azimuth": 158.7, "view:sun_elevation": 60.7}
    light = Light.of(stated, GRID)
    assert light.angles is not None
    assert light.angles.sun_azimuth == 158.7
    assert light.describe() == "view:sun_azimuth, view:sun_elevation"
    assert light.complaint is None
    by_place = Light.of({"datetime": "2024-06-15T10:10:31Z"}, GRID)
    assert by_place.angles == sun_at(datetime(2024, 6, 15, 10, 10, 31), *(15.0, 47.8))
    none = Light.of({}, GRID)
    assert none.angles is None
    assert none.describe() == "none: neither angles nor a time of day are known"
    assert none.complaint is None
    wrong = Light.of(stated | {"view:sun_elevation": -5.0}, GRID)
    assert str(wrong.complaint).startswith("shadow is left as the network gave it")
    assert wrong.reason in str(wrong.complaint)


def test_north_of_the_grid_is_not_north() -> None:
    east = GeoBox.from_bbox((700_000, 5_288_000, 712_000, 5_300_000), "EPSG:32633", resolution=30)
    turned = motions_of(Angles(180, 45, 90, 0), east)[1]
    assert math.degrees(math.atan2(turned.right, -turned.down)) == pytest.approx(-2.0, abs=0.2)


def test_cast_is_the_union_over_all_heights() -> None:
    cloud = np.zeros((60, 60), bool)
    cloud[40:43, 30:33] = True
    motion = Motion(-0.6, 0.2)
    found = cast(cloud, [motion], (200, 1400), 30)
    wanted = np.zeros_like(cloud)
    for height in np.arange(200, 1401, 5):
        down, right = (round(each * height / 30) for each in motion)
        wanted[40 + down : 43 + down, 30 + right : 33 + right] = True
    inside = np.s_[:45, 10:]
    beyond = cast(np.zeros_like(cloud), [motion], (200, 1400), 30)  # the cloud beyond the edges
    # Each doubling rounds to whole pixels, so that the two differ by a pixel at most.
    assert not (wanted & ~ndimage.binary_dilation(found))[inside].any()
    assert not (found & ~ndimage.binary_dilation(wanted, iterations=2) & ~beyond).any()
    assert (LOWEST, HIGHEST) == (200, 4000)


@pytest.mark.parametrize("motion", [(0, 1), (0, -1), (1, 0), (-1, 0)])
def test_beyond_a_narrow_window_everything_may_be_cloud(motion: tuple[float, float]) -> None:
    none = np.zeros((60, 60), bool)
    assert cast(none, [Motion(*motion)], (3000, 4000), 30).all()
    assert not cast(none, [Motion(*motion)], (200, 200), 30).all()


# --- odd scenes -----------------------------------------------------------------------


def test_one_cloud_over_all_stays_as_it_is() -> None:
    plain = sure(cloud=np.s_[:, :])
    np.testing.assert_array_equal(refined(plain, SOUTH), plain)


def test_without_any_cloud_shadow_stays_only_where_one_beyond_the_edge_can_cast_it() -> None:
    plain = sure(shadow=np.s_[:, :])
    found = refined(plain, SOUTH).argmax(axis=0)
    far = round(HIGHEST / 30)  # pixels from the southern edge
    assert (found[-far + 2 :] == SHADOW).all()
    assert (found[: -far - 2] == CLEAR).all()


def test_sure_shadow_on_a_slope_stays() -> None:
    """Ground that is 600 m lower than the rest moves a shadow as far as a cloud that is 600 m higher."""
    low = np.s_[180:210, 180:220]  # 2100 m from the cloud, where all others are 1500 m from theirs
    plain = sure(cloud=CLOUDY, shadow=FIFTEEN_HUNDRED)
    for c, value in ((CLEAR, 0.02), (CLOUD, 0.02), (SHADOW, 0.96)):
        plain[(c, *low)] = value
    assert (refined(plain, SOUTH).argmax(axis=0)[180:228, 182:218] == SHADOW).all()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_pixels_without_a_number_may_be_cloud_and_become_none(value: float) -> None:
    plain = sure(shadow=FAR)
    pixels = np.full((4, SIDE, SIDE), 0.1, "float32")
    pixels[0, 133:160, 20:60] = value  # just to the south
    found = refine_window(plain, pixels, MODEL, GRID, Light(SOUTH)).argmax(axis=0)
    assert (found[FAR][-20:] == SHADOW).all()
    assert not (found == CLOUD).any()


@tried(20)
@given(random=randoms)
def test_odd_windows_only_lose_shadow_and_gain_cores(random: Random) -> None:
    chance = np.random.default_rng(random.getrandbits(32))
    shape = chance.integers(1, 150, 2)
    grid = GRID[: shape[0], : shape[1]]
    plain = np.moveaxis(chance.dirichlet([1] * len(MODEL.classes), shape), -1, 0).astype("float32")
    pixels = np.minimum(chance.normal(0.3, 0.3, (4, *shape)), random.choice([0.4, 9])).astype("float32")  # fmt: skip
    pixels[:, chance.random(shape) < random.choice([0, 0.4, 1])] = np.nan
    view = random.choice([(None, None), (random.uniform(0, 360), random.uniform(0, 12))])
    angles = Angles(random.uniform(-360, 360), random.uniform(0, 80), *view)
    found = refine_window(plain, pixels, MODEL, grid, Light(angles))
    cores = (found[CLOUD] == 1) & (plain[CLOUD] < 1)
    assert not cores[np.isnan(pixels[0])].any()
    assert (found[SHADOW] <= plain[SHADOW]).all()
    for c in (CLEAR, CLOUD, THIN):
        np.testing.assert_array_equal(found[c][~cores], plain[c][~cores])


# --- white cores ----------------------------------------------------------------------


def clipped_scene(level: float = 0.4, ground: float = 0.1) -> np.ndarray:
    """Blue, green, red and near infrared; two white squares, clipped but for a little noise of resampling."""
    rng = np.random.default_rng(0)
    pixels = rng.normal(ground, 0.02, (4, SIDE, SIDE)).astype("float32")
    for square in (np.s_[100:130, 100:130], np.s_[300:330, 300:330]):
        pixels[(slice(None), *square)] = level
        pixels[(3, *square)] = rng.uniform(0.5, 0.9, (30, 30))
        edge = rng.random((30, 30)) < 0.1
        pixels[(slice(0, 3), *square)] += np.where(edge, rng.uniform(0, 0.02, (30, 30)), 0)
    return pixels


RING = np.zeros((SIDE, SIDE), bool)
RING[95:135, 95:135] = True
RING[100:130, 100:130] = False


@pytest.mark.parametrize("level", [0.4, 0.6, 1.0])
def test_a_white_core_is_found_at_whatever_level_it_is_clipped(level: float) -> None:
    pixels = clipped_scene(level)
    assert clip_level(pixels[0]) == pytest.approx(level, abs=0.001)
    found = white_cores(pixels, MODEL.bands, RING)
    assert found[100:130, 100:130].all()
    assert found.sum() == 900  # and not the roof without cloud around it


def test_only_what_cloud_encloses_is_a_core() -> None:
    """Of a white field that cloud touches on one side, snow or salt, nothing changes."""
    pixels = clipped_scene()
    beside = np.zeros_like(RING)
    beside[100:115, 90:100] = True  # an eighth of the border
    assert not white_cores(pixels, MODEL.bands, beside).any()
    beside[90:100, 100:130] = True  # with this, more than a third
    assert white_cores(pixels, MODEL.bands, beside).sum() == 900


@pytest.mark.parametrize("turn", range(4))
def test_three_tenths_of_the_border_are_counted_pixel_by_pixel(turn: int) -> None:
    """On whichever side the cloud is: 36 of 120 pixels enclose, 35 do not."""
    pixels = np.rot90(clipped_scene(), turn, (1, 2))
    for pixel, enclosed in ((105, False), (106, True)):
        cloud = np.zeros_like(RING)
        cloud[100:130, 99] = cloud[99, 100:pixel] = True
        found = white_cores(pixels, MODEL.bands, np.rot90(cloud, turn))
        assert found.sum() == 900 * enclosed


def test_a_core_at_the_edge_does_not_touch_the_other_side() -> None:
    pixels = clipped_scene()[:, 100:, 100:]
    cloud = np.zeros(pixels.shape[1:], bool)
    cloud[:, -1] = cloud[-1] = True
    assert not white_cores(pixels, MODEL.bands, cloud).any()
    cloud[30, :30] = True  # the one side of two that is in the window, of 60 pixels
    assert white_cores(pixels, MODEL.bands, cloud).sum() == 900


def test_a_gap_is_no_border_of_a_core() -> None:
    pixels = clipped_scene()
    pixels[:, 99, 100:130] = pixels[:, 130, 100:130] = np.nan
    beside = np.zeros_like(RING)
    beside[100:118, 99] = True  # 18 of the 60 that are left
    assert white_cores(pixels, MODEL.bands, beside).sum() == 900


def test_a_little_below_the_level_is_still_clipped() -> None:
    pixels = clipped_scene()
    pixels[1, 110, 100:130], pixels[1, 115, 100:130] = 0.3985, 0.3975
    found = white_cores(pixels, MODEL.bands, RING)
    assert found[110, 100:130].all()
    assert not found[115, 100:130].any()


def test_dark_in_near_infrared_is_no_cloud() -> None:
    pixels = clipped_scene()
    for reflectance, cores in ((0.34, 0), (0.36, 900)):
        pixels[3] = reflectance
        assert white_cores(pixels, MODEL.bands, RING).sum() == cores


def test_a_core_is_white_in_all_visible_bands() -> None:
    for band in range(3):
        pixels = clipped_scene()
        pixels[band, 100:130, 100:130] = np.linspace(0.2, 0.397, 900).reshape(30, 30)
        assert not white_cores(pixels, MODEL.bands, RING).any()
    for bands in (("blue", "green", "red"), ("blue", "green", "nir", "swir16")):
        assert not white_cores(clipped_scene()[: len(bands)], bands, RING).any()


@pytest.mark.parametrize(("clipped", "level"), [(99, None), (101, 0.5)])
def test_a_level_has_a_hundred_pixels(clipped: int, level: float | None) -> None:
    plane = np.full((50, 50), 0.1, "float32")
    plane.flat[:clipped] = 0.5
    assert clip_level(plane) == (pytest.approx(level) if level else None)


@pytest.mark.parametrize(("below", "above"), [(59, 0), (61, None), (0, 239), (0, 241)])
def test_a_level_stands_out_of_the_bins_below_and_few_have_more(
    below: int, above: int | None
) -> None:
    """Of 240 clipped pixels, a quarter in one of three bins below and as many above are the most."""
    for bin_ in (1, 2, 3):
        plane = np.full((50, 50), 0.1, "float32")
        plane.flat[:240] = 0.5
        plane.flat[300 : 300 + below] = 0.5 - 0.005 * bin_
        plane.flat[400 : 400 + (above or 0)] = np.linspace(0.6, 1.2, above or 0)
        right = below < 60 and (above is None or above <= 240)
        assert clip_level(plane) == (pytest.approx(0.5) if right else None)


def test_bands_that_are_not_clipped_have_no_level() -> None:
    rng = np.random.default_rng(1)
    for values in (
        rng.normal(0.6, 0.1, (300, 300)),
        rng.normal(0.55, 0.004, (300, 300)),  # a salt pan
        np.rint(rng.normal(0.6, 0.1, (300, 300)) * 100) / 100,
        np.full((300, 300), np.nan),
        rng.uniform(0, 0.2, (300, 300)),
    ):
        assert clip_level(values.astype("float32")) is None


def test_a_core_becomes_sure_cloud() -> None:
    plain = sure()
    for c, value in ((CLEAR, 0.03), (CLOUD, 0.95), (SHADOW, 0.02)):
        plain[c][RING] = value
    pixels = clipped_scene()
    found = refine_window(plain, pixels, MODEL, GRID, Light())
    core = np.s_[100:130, 100:130]
    assert (found[CLOUD][core] == 1).all()
    assert (found.sum(axis=0)[core] == 1).all()
    same = np.ones_like(RING)
    same[core] = False
    np.testing.assert_array_equal(found[:, same], plain[:, same])


def test_the_shadow_of_a_core_stays() -> None:
    """The core counts as cloud where shadows are traced back."""
    plain = sure(shadow=np.s_[57:87, 100:130])
    pixels = clipped_scene()
    for c, value in ((CLEAR, 0.03), (CLOUD, 0.95), (SHADOW, 0.02)):
        plain[c][RING & (np.arange(SIDE)[:, None] > 128)] = value  # only below the core
        plain[c][95:132, 95:100] = value
    found = refine_window(plain, pixels, MODEL, GRID, Light(SOUTH)).argmax(axis=0)
    assert (found[57:87, 105:130] == SHADOW).all()


@tried(20)
@given(random=randoms)
def test_what_is_quick_gives_what_is_plain_bit_for_bit(random: Random) -> None:
    chance = np.random.default_rng(random.randrange(2**32))
    shape = random.randint(1, 60), random.randint(1, 60)
    plane, size = chance.random(shape) < random.random(), random.randint(1, 6)
    np.testing.assert_array_equal(
        _grown(plane), ndimage.binary_dilation(plane, np.ones((3, 3), bool))
    )
    found, expected = _block_mean(plane, size), _block_mean(plane.astype("float32"), size)
    assert found.dtype == expected.dtype == "float32"
    np.testing.assert_array_equal(found, expected)
