"""Sources of patches."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from odc_cleansat.training.gather import gather
from odc_cleansat.training.recipe import Recipe
from odc_cleansat.training.recipe_file import read_recipe
from odc_cleansat.training.sources import simulate_patch
from odc_cleansat.training.teachers import weight_by_variety
from odc_cleansat.training.truths import class_bits
from unit.training.helpers import CLEAR, CLOUD, SHADOW, THIN, raster, write


def test_simulated_ground_at_the_resolution_of_the_model(recipe: Recipe) -> None:
    found = simulate_patch(3, 96, recipe.bands, recipe.resolution)
    assert found.pixels.shape == (6, 96, 96)
    assert found.truth is not None
    cloud = found.truth == class_bits([CLOUD, THIN])
    assert cloud.any()
    assert found.pixels[0][cloud].mean() > 2 * found.pixels[0][~cloud].mean()


def test_a_scene_counts_as_many_patches_as_tiles_would_cover_it(tmp_path: Path) -> None:
    raster(tmp_path / "large" / "B02.tif", np.full((1, 384, 576), 1000, "uint16"))
    raster(tmp_path / "small" / "B02.tif", np.full((1, 64, 64), 1000, "uint16"))
    data = [{"scenes": "small"}, {"scenes": "large"}]
    found = read_recipe(write(tmp_path, data=data, bands=["blue"], few=None, held_out=None))
    patches = gather(found, tmp_path).train
    weights = [p.weight for p in patches]
    assert weights == pytest.approx([1, 2 * 3], rel=0.01), "64 pixels at 30 m are 192 of these"
    labelled = [
        replace(p, truth=np.full(p.pixels.shape[1:], class_bits([CLEAR]), "uint8")) for p in patches
    ]
    small, large = weight_by_variety(labelled, {}, (CLEAR, CLOUD, SHADOW))
    assert large.weight == pytest.approx(weights[1] * small.weight)
