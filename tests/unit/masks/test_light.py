"""Light: where a cloud can cast shadow, at which height it is, and white cores."""

from __future__ import annotations

import math

import numpy as np
import pytest
from odc.geo.geobox import GeoBox
from scipy import ndimage

from odc_cleansat import CloudClass, get_model
from odc_cleansat.masks.light import (
    HIGHEST,
    LOWEST,
    Light,
    Motion,
    cast,
    clip_level,
    find_height,
    motions_of,
    refine_window,
    white_cores,
)
from odc_cleansat.scenes.angles import Angles
from odc_cleansat.synthetic.scene import SimulatedScene

MODEL = get_model("unet-efficientnetb4-l2a-4b")
CLEAR, CLOUD, SHADOW = (MODEL.classes.index(c) for c in (CloudClass.CLEAR, CloudClass.CLOUD, CloudClass.SHADOW))  # fmt: skip
SIDE = 400
GRID = GeoBox.from_bbox((494_000, 5_288_000, 506_000, 5_300_000), "EPSG:32633", resolution=30)
"""Across the middle of its zone, where the grid's north is north."""
SOUTH = Angles(180, 45, 0, 0)
"""Shadows lie to the north, as far away as their cloud is high."""


def sure(**places: tuple[slice, slice]) -> np.ndarray:
    """Probabilities of .9 for a class in its place, for clear elsewhere; the next likeliest of shadow is clear."""
    result = np.full((3, SIDE, SIDE), 0.02, "float32")
    result[CLEAR] = 0.96
    for name, place in places.items():
        position = {"cloud": CLOUD, "shadow": SHADOW, "other": SHADOW}[name]
        for c, value in ((CLEAR, 0.08), (CLOUD, 0.02), (SHADOW, 0.02)):
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
    assert found[CLEAR][FAR] == pytest.approx(0.08)
    np.testing.assert_array_equal(found[:2], plain[:2])


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


def test_heights_of_simulated_clouds_are_found() -> None:
    """To 100 m, from the truth of a scene, with and without the view."""
    for height, elevation in ((800.0, 50.0), (2500.0, 60.0)):
        scene = SimulatedScene(
            seed=3, cloud_cover=0.3, cloud_height=height, sun_elevation=elevation
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


def test_dark_in_near_infrared_is_no_cloud() -> None:
    pixels = clipped_scene()
    pixels[3] = 0.3
    assert not white_cores(pixels, MODEL.bands, RING).any()


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


def test_a_core_becomes_cloud_with_the_confidence_that_the_network_gave_it() -> None:
    plain = sure()
    for c, value in ((CLEAR, 0.03), (CLOUD, 0.95), (SHADOW, 0.02)):
        plain[c][RING] = value
    pixels = clipped_scene()
    found = refine_window(plain, pixels, MODEL, GRID, Light())
    core = np.s_[100:130, 100:130]
    assert (found.argmax(axis=0)[core] == CLOUD).all()
    assert found[CLOUD][core] == pytest.approx(0.02)
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
