"""Clouds, shadows and the SCL of simulated scenes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from odc_cleansat.classes import CloudClass
from odc_cleansat.synthetic.scene import SimulatedScene
from odc_cleansat.synthetic.sky import (
    CLOUD_OPACITY,
    Sky,
    block_mean,
    depth_at_opacity,
    truth_classes,
)

from .helpers import SCENE, repeated


def test_truth_holds_only_classes_of_the_ucl(layers):
    assert set(np.unique(layers["truth"])) == {
        CloudClass.CLEAR,
        CloudClass.CLOUD,
        CloudClass.SHADOW,
    }


@pytest.mark.parametrize(
    ("azimuth", "down", "right"), [(180, -1, 0), (0, 1, 0), (90, 0, -1), (135, -1, -1)]
)
def test_shadow_lies_on_the_side_away_from_the_sun(azimuth, down, right):
    # At 45 degrees a cloud at 1000 m casts its shadow 1000 m away: 100 pixels.
    scene = SimulatedScene(
        shape=(600, 720), seed=5, sun_azimuth=azimuth, sun_elevation=45, cloud_height=1000
    )
    truth = scene.read()["truth"]
    cloud, shadow = truth == CloudClass.CLOUD, truth == CloudClass.SHADOW
    reach = round(100 / np.hypot(down, right))

    def agreement(sign):
        moved = np.roll(cloud, (sign * down * reach, sign * right * reach), axis=(0, 1))
        # What np.roll brings in from the other side is no shadow of this scene's clouds, and
        # shadow below a cloud is cloud.
        inside = np.s_[110:-110, 110:-110]
        expected, seen = (moved & ~cloud)[inside], shadow[inside]
        return (expected & seen).sum() / (expected | seen).sum()

    assert agreement(+1) > 0.85
    assert agreement(-1) < 0.5


def test_a_lower_sun_throws_the_shadow_farther():
    high, low = (
        replace(SCENE, shape=(600, 600), sun_azimuth=180, sun_elevation=e, cloud_height=1000)
        for e in (60, 30)
    )
    cloud = high.read()["truth"] == CloudClass.CLOUD
    for scene, reach in ((high, 58), (low, 173)):
        truth = scene.read()["truth"]
        assert np.array_equal(truth == CloudClass.CLOUD, cloud)  # the sun moves no cloud
        moved = np.roll(cloud, -reach, axis=0)[:-180]
        seen = (truth == CloudClass.SHADOW)[:-180]
        assert seen[moved & ~cloud[:-180]].mean() > 0.85


def test_clouds_are_bright_and_white_and_shadow_is_dark_and_blue(wide, wide_layers):
    truth = wide_layers["truth"]
    blue = wide_layers["B02"].astype(float) + wide.offset
    red = wide_layers["B04"].astype(float) + wide.offset
    swir = repeated(wide_layers["B11"], 2).astype(float) + wide.offset
    cloud, shadow, clear = (
        truth == c for c in (CloudClass.CLOUD, CloudClass.SHADOW, CloudClass.CLEAR)
    )
    assert np.median(blue[cloud]) > 4 * np.median(blue[clear])
    assert np.median(blue[cloud] / red[cloud]) == pytest.approx(1, abs=0.1)
    assert 0.6 < np.median(swir[cloud] / red[cloud]) < 0.9
    dim_blue = np.median(blue[shadow]) / np.median(blue[clear])
    dim_swir = np.median(swir[shadow]) / np.median(swir[clear])
    assert dim_swir < dim_blue < 0.8


def test_scl_finds_ten_to_fifty_percent_of_the_shadow():
    found = total = 0
    for seed in range(4):
        layers = SimulatedScene(shape=(900, 840), seed=seed).read()
        shadow = layers["truth"] == CloudClass.SHADOW
        found += (repeated(layers["SCL"], 2) == 3)[shadow].sum()
        total += shadow.sum()
    assert 0.1 < found / total < 0.5


def test_scl_misses_thin_clouds_and_calls_some_roofs_cloud(wide_layers):
    cloud = wide_layers["truth"] == CloudClass.CLOUD
    scl = repeated(wide_layers["SCL"], 2)
    assert 0.6 < np.isin(scl, (8, 9, 10))[cloud].mean() < 0.97
    assert (scl == 9)[cloud].mean() > 0.3
    assert 0 < np.isin(scl, (8, 9))[wide_layers["truth"] == CloudClass.CLEAR].mean() < 0.03
    assert set(np.unique(scl)) <= set(range(12))


@pytest.mark.parametrize("opacity", [0.05, CLOUD_OPACITY, 0.5, 0.9])
def test_the_depth_of_a_cloud_is_the_inverse_of_smoothstep(opacity):
    depth = depth_at_opacity(opacity)
    assert depth * depth * (3 - 2 * depth) == pytest.approx(opacity)


def test_truth_changes_at_the_thresholds():
    one = np.ones((1, 4), "float32")
    sky = Sky(one * [0, 0, 0.3, 0.3], one, one * [0.2, 0.3, 0.2, 0.3])
    expected = [CloudClass.CLEAR, CloudClass.SHADOW, CloudClass.CLOUD, CloudClass.CLOUD]
    assert truth_classes(sky).tolist() == [expected]


def test_block_means():
    values = np.arange(24, dtype="float32").reshape(4, 6)
    assert block_mean(values, 2).tolist() == [[3.5, 5.5, 7.5], [15.5, 17.5, 19.5]]
    assert block_mean(values, 1) is values
