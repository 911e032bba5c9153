"""Simulated thin cloud."""

from __future__ import annotations

import numpy as np
import pytest

from odc_cleansat.training.clouds import CloudLayer
from odc_cleansat.training.thin_cloud import (
    draw_thin_cloud,
    opacity_of,
    streaked_noise,
    veil_truth,
)
from odc_cleansat.training.truths import class_bits
from unit.training.helpers import CLEAR, CLOUD, SHADOW, SIX, THIN


def test_the_truth_follows_the_optical_depth() -> None:
    depths = [0.0, 0.02, 0.05, 0.2, 0.9, 1.2, 2.0]
    opacity = np.array([[opacity_of(each) for each in depths]], "float32")
    zeros = np.zeros_like(opacity)
    truth = veil_truth(CloudLayer(opacity, zeros, zeros))[0].tolist()
    thin = class_bits([THIN])
    assert truth == [
        0, 0, class_bits([CLEAR, THIN]), thin, thin, class_bits([THIN, CLOUD]), class_bits([CLOUD])
    ]  # fmt: skip


def test_a_weak_shadow_may_count_and_a_stronger_one_does() -> None:
    dimming = np.array([[0.0, 0.1, 0.35, 0.35]], "float32")
    opacity = np.array([[0.0, 0.0, 0.0, 0.5]], "float32")
    truth = veil_truth(CloudLayer(opacity, np.zeros_like(opacity), dimming))[0].tolist()
    assert truth == [0, class_bits([CLEAR, SHADOW]), class_bits([SHADOW]), class_bits([THIN])]


def test_the_ground_can_be_read_below_what_is_drawn() -> None:
    ground = np.full((6, 96, 96), 0.08, "float32")
    cover, seen_truths = [], set()
    for seed in range(40):
        clouds = draw_thin_cloud(np.random.default_rng(seed), 96)
        assert clouds.opacity.max() <= opacity_of(1.5)
        assert clouds.dimming.max() <= opacity_of(1.5) / 2
        truth = veil_truth(clouds)
        thin = truth == class_bits([THIN])
        blue = clouds.over(ground, SIX)[0]
        assert (blue[thin & (clouds.dimming == 0)] > ground[0, 0, 0]).all()
        cover.append(thin.mean())
        seen_truths |= set(np.unique(truth).tolist())
    assert min(cover) < 0.05
    assert max(cover) > 0.9
    assert 0.25 < np.mean(cover) < 0.75
    assert {
        0,
        class_bits([THIN]),
        class_bits([CLEAR, THIN]),
        class_bits([THIN, CLOUD]),
    } <= seen_truths


def test_the_same_seed_draws_the_same_cloud() -> None:
    one, other = (draw_thin_cloud(np.random.default_rng(7), 64) for _ in range(2))
    np.testing.assert_array_equal(one.opacity, other.opacity)
    assert (draw_thin_cloud(np.random.default_rng(8), 64).opacity != one.opacity).any()


def test_streaks_are_longer_than_wide() -> None:
    ratios = []
    for seed in range(8):
        noise = streaked_noise(np.random.default_rng(seed), 128, 2.0, 60)
        assert noise.std() == pytest.approx(1)
        y, x = np.gradient(noise)
        weak, strong = np.linalg.eigvalsh(
            [[(y * y).mean(), (y * x).mean()], [(y * x).mean(), (x * x).mean()]]
        )
        ratios.append(strong / weak)
    assert min(ratios) > 3
