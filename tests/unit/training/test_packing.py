"""Patches in small files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from odc_cleansat.errors import ModelError, SceneError
from odc_cleansat.training.gather import gather
from odc_cleansat.training.packing import (
    STEP,
    packed,
    packed_weights,
    read_packed,
    read_packed_weights,
)
from odc_cleansat.training.patches import Patch
from odc_cleansat.training.recipe_file import read_recipe
from unit.training.helpers import SIX, patch, write


def some() -> list[Patch]:
    """Return a labelled patch with gaps, one without a label, and one of extreme values."""
    labelled = patch(seed=1)
    labelled.pixels[:, 20:25, 5:50] = np.nan
    labelled.pixels[2, 0] = np.nan
    bare = replace(patch(side=40, seed=2), truth=None, level="L1C", weight=2.5, file="x/B02.tif")
    wide = np.linspace(-1, 7, 6 * 30 * 50, dtype="float32").reshape(6, 30, 50)
    wide[:, ::2] *= -1
    return [labelled, bare, Patch(wide, SIX, 20.0, "L2A", "wide")]


def test_patches_come_back_in_steps(tmp_path: Path) -> None:
    path = tmp_path / "some.xz"
    path.write_bytes(packed(some()))
    found = read_packed(path)
    assert len(found) == 3
    for before, after in zip(some(), found, strict=True):
        np.testing.assert_allclose(after.pixels, before.pixels, atol=STEP / 2 + 1e-6, rtol=0)
        rest = ("bands", "resolution", "level", "site", "weight", "file")
        assert [getattr(after, n) for n in rest] == [getattr(before, n) for n in rest]
        if before.truth is None:
            assert after.truth is None
        else:
            np.testing.assert_array_equal(after.truth, before.truth, strict=True)


def test_a_recipe_trains_on_packed_patches(tmp_path: Path) -> None:
    (tmp_path / "some.xz").write_bytes(packed([patch()]))
    data = [{"packed": "some.xz", "licence": "CC0-1.0"}]
    found = gather(read_recipe(write(tmp_path, data=data, held_out=None)), tmp_path)
    assert [each.site for each in found.train] == ["a"]
    assert found.counts == {"some.xz": 1}


@pytest.mark.parametrize("how", ["cut", "other", "missing"])
def test_a_file_that_cannot_be_read(tmp_path: Path, how: str) -> None:
    path = tmp_path / "some.xz"
    content = packed(some())
    if how != "missing":
        path.write_bytes(content[:-100] if how == "cut" else b"no archive at all")
    with pytest.raises(SceneError, match=r"some.xz is no file of packed patches"):
        read_packed(path)


def test_weights_come_back_in_127_steps_of_each_channel(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    large = (rng.normal(size=(8, 40, 3, 3)) * np.logspace(-3, 1, 8)[:, None, None, None]).astype(
        "float16"
    )
    large[3] = 0
    state = {
        "large": large,
        "bias": rng.normal(size=2000),
        "count": np.array(7),
        "small": large[:, :2],
    }
    path = tmp_path / "weights.xz"
    path.write_bytes(packed_weights(state))
    found = read_packed_weights(path)
    assert set(found) == set(state)
    for name in ("bias", "count", "small"):
        np.testing.assert_array_equal(found[name], state[name], strict=True)
    half_step = np.abs(large.astype("float32")).max(axis=(1, 2, 3)) / 63 / 2
    assert (np.abs(found["large"] - large).max(axis=(1, 2, 3)) <= half_step * 1.001).all()
    path.write_bytes(b"something else")
    with pytest.raises(ModelError, match="no file of packed weights"):
        read_packed_weights(path)
