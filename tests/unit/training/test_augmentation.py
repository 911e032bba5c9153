"""Random changes of tiles."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from odc_cleansat.training.augmentation import BLURRED_SHARE
from odc_cleansat.training.patches import Patch
from odc_cleansat.training.tiles import TileSampler
from unit.training.helpers import SIX, patch


def test_what_is_clipped_are_the_visible_bands(monkeypatch: pytest.MonkeyPatch) -> None:
    bands = ("nir", "swir16", "red")
    bright = Patch(np.full((3, 64, 64), 3, "float32"), bands, 30, "L2A", "a")
    for name, share in (
        ("augmentation.CLIPPED", 1), ("tiles.CLOUDED", 0), ("tiles.SNOWED", 0), ("augmentation.BLURRED", 0)
    ):  # fmt: skip
        monkeypatch.setattr(f"odc_cleansat.training.{name}_SHARE", share)
    pixels = TileSampler([bright], bands, size=64).draw(0, single=True).pixels
    assert pixels[2].max() <= 1
    assert pixels[:2].min() > 1


def test_some_tiles_are_blurred(monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(0).uniform(0.1, 0.2, (6, 100, 100)).astype("float32")
    tiles = TileSampler([replace(patch(), pixels=noise, truth=None)], SIX, size=64)

    def steps(share: float) -> list[float]:
        """How much neighbours differ, in each tile."""
        monkeypatch.setattr("odc_cleansat.training.augmentation.BLURRED_SHARE", share)
        drawn = [tiles.draw(number, single=True).pixels for number in range(60)]
        return [float(np.abs(np.diff(pixels, axis=1)).mean()) for pixels in drawn]

    sharp, blurred, mixed = steps(0), steps(1), steps(BLURRED_SHARE)
    assert all(after < before for before, after in zip(sharp, blurred, strict=True))
    assert 4 <= sum(each in blurred for each in mixed) <= 25
    assert all(each in blurred or each in sharp for each in mixed)
